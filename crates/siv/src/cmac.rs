//! AES-CMAC (RFC 4493), and the subkeys S2V shares with it.

use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser, Key, KeySizeUser, consts::U16,
    typenum::Unsigned,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::block::{self, Block, BlockCipher};
use crate::{Forged, KeyLength, TAG_LEN};

/// AES-CMAC (RFC 4493) with its subkeys computed: 16, 24 or 32 octets of key, 16 octets of MAC.
///
/// This is also the message authentication code of NTP under RFC 8573, there over a whole packet.
pub struct Cmac<C> {
    pub(crate) cipher: C,
    pub(crate) subkeys: Subkeys,
}

impl<C: BlockCipher> Cmac<C> {
    /// Expands `key` and derives the two subkeys (RFC 4493 §2.3).
    ///
    /// # Errors
    /// [`KeyLength`] unless `key` has the 16, 24 or 32 octets of the cipher.
    pub fn new(key: &[u8]) -> Result<Self, KeyLength> {
        let cipher = C::new(sized::<C>(key)?);
        let mut l = Block::default();
        cipher.encrypt_block(&mut l);
        let subkeys = Subkeys::from_zero_block(&l);
        Ok(Self { cipher, subkeys })
    }

    /// The MAC of `message`, which may be empty (RFC 4493 §2.4).
    #[must_use]
    pub fn mac(&self, message: &[u8]) -> [u8; TAG_LEN] {
        let mut mac = Block::default();
        self.cipher.encrypt_with_backend(Chain { subkeys: &self.subkeys, message, mac: &mut mac });
        mac.0
    }

    /// Compares `mac` with the MAC of `message` in constant time.
    ///
    /// # Errors
    /// [`Forged`] if they differ.
    pub fn verify(&self, message: &[u8], mac: &[u8; TAG_LEN]) -> Result<(), Forged> {
        if block::equal(&self.mac(message), mac) { Ok(()) } else { Err(Forged) }
    }
}

impl<C: BlockCipher> ZeroizeOnDrop for Cmac<C> {}

/// K1 and K2 of RFC 4493 §2.3, as the octets lie in memory; wiped on drop. One word each, so that wiping is one write.
pub(crate) struct Subkeys {
    whole: u128,
    padded: u128,
}

impl Subkeys {
    fn from_zero_block(l: &Block) -> Self {
        let whole = block::double(l);
        let padded = block::double(&whole);
        Self { whole: u128::from_ne_bytes(whole.0), padded: u128::from_ne_bytes(padded.0) }
    }

    /// K1: for a last block that is full.
    #[inline(always)]
    pub(crate) fn whole(&self) -> [u8; block::LEN] {
        self.whole.to_ne_bytes()
    }

    /// K2: for a last block that was padded.
    #[inline(always)]
    pub(crate) fn padded(&self) -> [u8; block::LEN] {
        self.padded.to_ne_bytes()
    }

    /// Takes the last 0 to 16 octets of a message into `state`, padded if need be; one encryption then gives the MAC.
    #[inline(always)]
    pub(crate) fn absorb_last(&self, state: &mut Block, last: &[u8]) {
        if let Ok(full) = <&[u8; block::LEN]>::try_from(last) {
            block::xor(state, full);
            block::xor(state, &self.whole());
        } else {
            block::xor(state, &pad(last));
            block::xor(state, &self.padded());
        }
    }
}

impl Drop for Subkeys {
    fn drop(&mut self) {
        self.whole.zeroize();
        self.padded.zeroize();
    }
}

/// `octets` (fewer than 16), then one bit 1, then bits 0 (RFC 4493 §2.4, RFC 5297 §2.4).
///
/// Read by words: copying an odd number of octets into a block and reading that block at once makes a processor wait
/// until the copy has reached its cache, and nearly every message of NTS ends inside a block.
#[inline(always)]
pub(crate) fn pad(octets: &[u8]) -> [u8; block::LEN] {
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
    let unused = block::LEN.saturating_sub(1 + octets.len());
    ((number << 8 | 0x80) << (8 * unused)).to_be_bytes()
}

/// Splits a message into the blocks before the last and the last 0 to 16 octets.
#[inline(always)]
pub(crate) fn split_last(message: &[u8]) -> (&[[u8; block::LEN]], &[u8]) {
    let before = message.len().saturating_sub(1) / block::LEN;
    let (head, last) = message.split_at(before * block::LEN);
    (head.as_chunks().0, last)
}

/// Takes `key` for a key of cipher `C` if it has the length.
pub(crate) fn sized<C: KeySizeUser>(key: &[u8]) -> Result<&Key<C>, KeyLength> {
    key.try_into().map_err(|_| KeyLength { expected: C::KeySize::USIZE, found: key.len() })
}

/// One CMAC run whole inside the cipher's backend, so that no block pays for choosing it.
struct Chain<'a> {
    subkeys: &'a Subkeys,
    message: &'a [u8],
    mac: &'a mut Block,
}

impl BlockSizeUser for Chain<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Chain<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let (blocks, last) = split_last(self.message);
        let mut state = Block::default();
        for block in blocks {
            block::xor(&mut state, block);
            backend.encrypt_block_inplace(&mut state);
        }
        self.subkeys.absorb_last(&mut state, last);
        backend.encrypt_block_inplace(&mut state);
        *self.mac = state;
    }
}
