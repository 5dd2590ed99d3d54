//! AES-SIV-CMAC (RFC 5297) for one message.

use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockSizeUser, KeySizeUser, consts::U16,
    typenum::Unsigned,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::block::{self, Block, BlockCipher, Word};
use crate::cmac::{Cmac, Subkeys, sized};
use crate::s2v::{Lanes, Message, s2v};
use crate::{Forged, KeyLength, MAX_HEADERS, TAG_LEN, counter};

/// AEAD_AES_SIV_CMAC_256, AEAD id 15, the one every NTS implementation has: 32 octets of key.
pub type SivCmac256 = Siv<aes::Aes128Enc>;
/// AEAD_AES_SIV_CMAC_384, AEAD id 16: 48 octets of key.
pub type SivCmac384 = Siv<aes::Aes192Enc>;
/// AEAD_AES_SIV_CMAC_512, AEAD id 17: 64 octets of key.
pub type SivCmac512 = Siv<aes::Aes256Enc>;

/// AES-SIV-CMAC (RFC 5297) with everything that depends only on the key computed.
///
/// Deterministic: the same headers and text under one key give the same tag and ciphertext, so NTS puts a nonce last
/// among the headers (RFC 5297 §3). Repeating a nonce then shows that two messages are equal, and nothing else.
pub struct Siv<C> {
    pub(crate) mac: Cmac<C>,
    pub(crate) counter: C,
    /// CMAC of the zero block, where every S2V begins.
    pub(crate) zero: Word,
}

impl<C: BlockCipher> Siv<C> {
    /// Expands `key`: its first half makes tags, its second half encrypts (RFC 5297 §2.2).
    ///
    /// # Errors
    /// [`KeyLength`] unless `key` has 32, 48 or 64 octets as the algorithm asks.
    pub fn new(key: &[u8]) -> Result<Self, KeyLength> {
        let half = <C as KeySizeUser>::KeySize::USIZE;
        if key.len() != 2 * half {
            return Err(KeyLength { expected: 2 * half, found: key.len() });
        }
        let (mac, counter) = key.split_at(half);
        let mac = Cmac::<C>::new(mac)?;
        let zero = Word::new(&mac.mac(&[0; block::LEN]));
        Ok(Self { mac, counter: C::new(sized::<C>(counter)?), zero })
    }

    /// Encrypts `text` in place and returns the tag (the synthetic IV) that opens it. In NTS `headers` are the
    /// associated data and the nonce; the text may be empty.
    ///
    /// # Panics
    /// With more than [`MAX_HEADERS`] headers, which is a mistake of the caller.
    #[must_use]
    pub fn seal(&self, headers: &[&[u8]], text: &mut [u8]) -> [u8; TAG_LEN] {
        let tag = self.tag(headers, text);
        counter::apply(&self.counter, &tag, text);
        tag
    }

    /// Decrypts `text` in place if `tag` belongs to it and to `headers` under this key.
    ///
    /// # Errors
    /// [`Forged`] if not; `text` is then all zero.
    ///
    /// # Panics
    /// With more than [`MAX_HEADERS`] headers, which is a mistake of the caller.
    pub fn open(
        &self,
        headers: &[&[u8]],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        counter::apply(&self.counter, tag, text);
        if matches_or_wipe(&self.tag(headers, text), tag, text) { Ok(()) } else { Err(Forged) }
    }

    fn tag(&self, headers: &[&[u8]], text: &[u8]) -> [u8; TAG_LEN] {
        assert!(headers.len() <= MAX_HEADERS, "S2V has at most {MAX_HEADERS} headers");
        let mut tag = [Block::default()];
        let message = [Message { headers, text }];
        self.mac.cipher.encrypt_with_backend(Tags {
            siv: self,
            messages: &message,
            tags: &mut tag,
        });
        let [tag] = tag;
        tag.0
    }
}

impl<C> Drop for Siv<C> {
    fn drop(&mut self) {
        self.zero.zeroize();
    }
}

impl<C: BlockCipher> ZeroizeOnDrop for Siv<C> {}

/// Compares in constant time; a text that must not be seen is wiped.
#[inline]
pub(crate) fn matches_or_wipe(
    computed: &[u8; TAG_LEN],
    tag: &[u8; TAG_LEN],
    text: &mut [u8],
) -> bool {
    let matches = Word::new(computed).equals(Word::new(tag));
    if !matches {
        text.zeroize();
    }
    matches
}

/// S2V of up to `N` messages under one key, whole inside the cipher's backend.
pub(crate) struct Tags<'a, C, const N: usize> {
    pub siv: &'a Siv<C>,
    pub messages: &'a [Message<'a>; N],
    pub tags: &'a mut [Block; N],
}

impl<C, const N: usize> BlockSizeUser for Tags<'_, C, N> {
    type BlockSize = U16;
}

impl<C: BlockCipher, const N: usize> BlockCipherEncClosure for Tags<'_, C, N> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        *self.tags = s2v(&OneKey { siv: self.siv, backend }, self.messages);
    }
}

/// All lanes under one key.
struct OneKey<'a, C, B> {
    siv: &'a Siv<C>,
    backend: &'a B,
}

impl<C: BlockCipher, B: BlockCipherEncBackend<BlockSize = U16>> Lanes for OneKey<'_, C, B> {
    #[inline(always)]
    fn encrypt(&self, _lane: usize, block: &mut Block) {
        self.backend.encrypt_block_inplace(block);
    }

    #[inline(always)]
    fn subkeys(&self, _lane: usize) -> &Subkeys {
        &self.siv.mac.subkeys
    }

    #[inline(always)]
    fn zero(&self, _lane: usize) -> Word {
        self.siv.zero
    }
}
