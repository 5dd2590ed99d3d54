//! AES-CMAC (RFC 4493), and the subkeys S2V shares with it.

use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser, Key, KeySizeUser, consts::U16,
    typenum::Unsigned,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::block::{self, Block, BlockCipher, Word};
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
        if Word::new(&self.mac(message)).equals(Word::new(mac)) { Ok(()) } else { Err(Forged) }
    }
}

impl<C: BlockCipher> ZeroizeOnDrop for Cmac<C> {}

/// K1 and K2 of RFC 4493 §2.3; wiped on drop.
pub(crate) struct Subkeys {
    /// K1: for a last block that is full.
    pub(crate) whole: Word,
    /// K2: for a last block that was padded.
    pub(crate) padded: Word,
}

impl Subkeys {
    pub(crate) fn from_zero_block(l: &Block) -> Self {
        let whole = Word::new(&l.0).doubled();
        Self { whole, padded: whole.doubled() }
    }

    /// The last 0 to 16 octets of a message, padded if need be, with the subkey that belongs to them; added to a
    /// chain's state and encrypted, it gives the MAC.
    #[inline(always)]
    pub(crate) fn last(&self, octets: &[u8]) -> Word {
        match octets.try_into() {
            Ok(full) => Word::new(full) ^ self.whole,
            Err(_) => Word::padded(octets) ^ self.padded,
        }
    }
}

impl Drop for Subkeys {
    fn drop(&mut self) {
        self.whole.zeroize();
        self.padded.zeroize();
    }
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
            block::xor(&mut state, Word::new(block));
            backend.encrypt_block_inplace(&mut state);
        }
        block::xor(&mut state, self.subkeys.last(last));
        backend.encrypt_block_inplace(&mut state);
        *self.mac = state;
    }
}
