//! One AES block of 16 octets: the cipher that encrypts it, and what is done to it before.

use core::ops::BitXor;

pub(crate) use aes::Block;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit, consts::U16};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

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

/// A block as one number, its octets as they lie in memory: what is combined before it is encrypted.
///
/// As a number, because compilers keep one in a register and make vector instructions of what is done to it; sixteen
/// octets they take apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Word(u128);

impl Word {
    /// The block with these octets.
    #[inline(always)]
    pub(crate) fn new(octets: &[u8; LEN]) -> Self {
        Self(u128::from_ne_bytes(*octets))
    }

    /// The block whose first octet is the most significant of `number`.
    #[inline(always)]
    pub(crate) fn from_number(number: u128) -> Self {
        Self(number.to_be())
    }

    /// The number whose most significant octet is the first.
    #[inline(always)]
    pub(crate) fn number(self) -> u128 {
        u128::from_be(self.0)
    }

    /// Its octets.
    #[inline(always)]
    pub(crate) fn octets(self) -> [u8; LEN] {
        self.0.to_ne_bytes()
    }

    /// Multiplies by x in GF(2¹²⁸) as RFC 4493 §2.3 and RFC 5297 §2.3 define it.
    #[inline(always)]
    pub(crate) fn doubled(self) -> Self {
        let bits = self.number();
        // The bit shifted out comes back as 0x87, chosen by a mask: no branch on a secret.
        let carry = (bits >> 127).wrapping_neg() & 0x87;
        Self::from_number((bits << 1) ^ carry)
    }

    /// `octets` (fewer than 16), then one bit 1, then bits 0 (RFC 4493 §2.4, RFC 5297 §2.4).
    ///
    /// Read by words: copying an odd number of octets into a block and reading that block at once makes a processor wait
    /// until the copy has reached its cache, and nearly every message of NTS ends inside a block.
    #[inline(always)]
    pub(crate) fn padded(octets: &[u8]) -> Self {
        let mut number = 0_u128;
        let mut rest = octets;
        if let Some((eight, after)) = rest.split_first_chunk() {
            number = u64::from_be_bytes(*eight).into();
            rest = after;
        }
        if let Some((four, after)) = rest.split_first_chunk() {
            number = number << 32 | u128::from(u32::from_be_bytes(*four));
            rest = after;
        }
        for octet in rest {
            number = number << 8 | u128::from(*octet);
        }
        let unused = LEN.saturating_sub(1 + octets.len());
        Self::from_number((number << 8 | 0x80) << (8 * unused))
    }

    /// Compares in constant time: all octets at once, not one by one.
    #[inline]
    pub(crate) fn equals(self, other: Self) -> bool {
        let differing = self.0 ^ other.0;
        ((differing >> 64) as u64 | differing as u64).ct_eq(&0).into()
    }
}

impl BitXor for Word {
    type Output = Self;
    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl Zeroize for Word {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// `into ^= with`.
#[inline(always)]
pub(crate) fn xor(into: &mut Block, with: Word) {
    *into = Block::from((Word::new(&into.0) ^ with).octets());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_folds_the_carry_back() {
        fn check(from: u128, to: u128) {
            assert_eq!(Word::from_number(from).doubled().number(), to, "{from:x}");
        }
        check(0, 0);
        check(1, 2);
        check(1 << 127, 0x87);
        check(u128::MAX, (u128::MAX << 1) ^ 0x87);
        // RFC 4493 §4: AES-128 of the zero block, K1 and K2 under the example key.
        check(0x7df76b0c_1ab899b3_3e42f047_b91b546f, 0xfbeed618_35713366_7c85e08f_7236a8de);
        check(0xfbeed618_35713366_7c85e08f_7236a8de, 0xf7ddac30_6ae266cc_f90bc11e_e46d513b);
    }

    #[test]
    fn padding_is_one_bit_and_then_nothing() {
        for len in 0..LEN {
            let octets: [u8; LEN] = core::array::from_fn(|n| n as u8 + 1);
            let mut expected = [0; LEN];
            expected[..len].copy_from_slice(&octets[..len]);
            expected[len] = 0x80;
            assert_eq!(Word::padded(&octets[..len]).octets(), expected);
        }
    }

    #[test]
    fn blocks_that_differ_in_one_bit_differ() {
        let block = Word::new(&[0x5a; LEN]);
        assert!(block.equals(block));
        for bit in 0..128 {
            assert!(!block.equals(block ^ Word::from_number(1 << bit)), "bit {bit}");
        }
    }
}
