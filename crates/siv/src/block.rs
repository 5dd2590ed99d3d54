//! One AES block of 16 octets: the cipher that encrypts it, exclusive or, and doubling.

pub(crate) use aes::Block;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit, consts::U16};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// AES with one of its three key lengths, encryption only: SIV and CMAC never decrypt a block.
///
/// Implemented for [`aes::Aes128Enc`], [`aes::Aes192Enc`] and [`aes::Aes256Enc`]; nobody else can.
pub trait BlockCipher:
    sealed::Sealed + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit + ZeroizeOnDrop
{
}

impl BlockCipher for aes::Aes128Enc {}
impl BlockCipher for aes::Aes192Enc {}
impl BlockCipher for aes::Aes256Enc {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for aes::Aes128Enc {}
    impl Sealed for aes::Aes192Enc {}
    impl Sealed for aes::Aes256Enc {}
}

/// Octets in a block.
pub(crate) const LEN: usize = 16;

/// `into ^= with`. Both are read whole before anything is written: compilers make one vector instruction of that, and
/// sixteen of an exclusive or in place, whose stores the next encryption would have to wait for.
#[inline(always)]
pub(crate) fn xor(into: &mut Block, with: &[u8; LEN]) {
    let (a, b) = (into.0, *with);
    *into = Block::from(core::array::from_fn::<u8, LEN, _>(|n| a[n] ^ b[n]));
}

/// Multiplies by x in GF(2¹²⁸) as RFC 4493 §2.3 and RFC 5297 §2.3 define it: the first octet is the most significant.
#[inline(always)]
pub(crate) fn double(block: &Block) -> Block {
    let bits = u128::from_be_bytes(block.0);
    // The bit shifted out comes back as 0x87, chosen by a mask: no branch on a secret.
    let carry = (bits >> 127).wrapping_neg() & 0x87;
    Block::from(((bits << 1) ^ carry).to_be_bytes())
}

/// Compares in constant time: all octets in one word, not one by one.
#[inline]
pub(crate) fn equal(a: &[u8; LEN], b: &[u8; LEN]) -> bool {
    let differing = u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b);
    ((differing >> 64) as u64 | differing as u64).ct_eq(&0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_folds_the_carry_back() {
        fn check(from: u128, to: u128) {
            assert_eq!(u128::from_be_bytes(double(&Block::from(from.to_be_bytes())).0), to);
        }
        check(0, 0);
        check(1, 2);
        check(1 << 127, 0x87);
        check(u128::MAX, (u128::MAX << 1) ^ 0x87);
        // RFC 4493 §4: AES-128 of the zero block, K1 and K2 under the example key.
        check(0x7df76b0c_1ab899b3_3e42f047_b91b546f, 0xfbeed618_35713366_7c85e08f_7236a8de);
        check(0xfbeed618_35713366_7c85e08f_7236a8de, 0xf7ddac30_6ae266cc_f90bc11e_e46d513b);
    }
}
