//! The AEADs of NTS, by the crates `aes-siv` and `aes-gcm-siv`.

use aes_gcm_siv::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm_siv::{Aes128GcmSiv, Nonce};
use aes_siv::siv::{Aes128Siv, Aes256Siv};

use crate::evidence::SessionKeys;

/// An AEAD of NTS, as far as this judge can compute it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cipher {
    /// AEAD 15, AES-SIV-CMAC-256.
    Siv256,
    /// AEAD 17, AES-SIV-CMAC-512.
    Siv512,
    /// AEAD 30, AES-128-GCM-SIV.
    GcmSiv,
}

impl Cipher {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Siv256, Self::Siv512, Self::GcmSiv];

    /// The one with this number in IANA's registry of AEADs.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.number() == number)
    }

    /// Its number in IANA's registry of AEADs.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Siv256 => 15,
            Self::Siv512 => 17,
            Self::GcmSiv => 30,
        }
    }

    /// Octets of a key.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            Self::Siv256 => 32,
            Self::Siv512 => 64,
            Self::GcmSiv => 16,
        }
    }

    /// Octets of an ordinary nonce.
    #[must_use]
    pub fn nonce_len(self) -> usize {
        if self == Self::GcmSiv { 12 } else { 16 }
    }

    /// The ciphertext of `text`, its tag in its place; `None` for a key or a nonce this AEAD cannot take.
    #[must_use]
    pub fn seal(self, key: &[u8], ad: &[u8], nonce: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let mut text = text.to_vec();
        let buffer = text.as_mut_slice().into();
        let tag = match self {
            Self::Siv256 => Aes128Siv::new_from_slice(key)
                .ok()?
                .encrypt_inout_detached([ad, nonce], buffer)
                .ok()?,
            Self::Siv512 => Aes256Siv::new_from_slice(key)
                .ok()?
                .encrypt_inout_detached([ad, nonce], buffer)
                .ok()?,
            Self::GcmSiv => Aes128GcmSiv::new_from_slice(key)
                .ok()?
                .encrypt_inout_detached(&Nonce::try_from(nonce).ok()?, ad, buffer)
                .ok()?,
        };
        // AES-SIV puts its tag first (RFC 5297 §2.6), AES-GCM-SIV last (RFC 8452 §4).
        Some(if self == Self::GcmSiv {
            [&text[..], &tag].concat()
        } else {
            [&tag[..], &text].concat()
        })
    }

    /// The text of a ciphertext, if its tag is right.
    #[must_use]
    pub fn open(self, key: &[u8], ad: &[u8], nonce: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        let tag_at = if self == Self::GcmSiv { ciphertext.len().checked_sub(16)? } else { 0 };
        let tag: [u8; 16] = *ciphertext.get(tag_at..)?.first_chunk()?;
        let mut text = [&ciphertext[..tag_at], &ciphertext[tag_at + 16..]].concat();
        let buffer = text.as_mut_slice().into();
        match self {
            Self::Siv256 => Aes128Siv::new_from_slice(key)
                .ok()?
                .decrypt_inout_detached([ad, nonce], buffer, &tag.into())
                .ok()?,
            Self::Siv512 => Aes256Siv::new_from_slice(key)
                .ok()?
                .decrypt_inout_detached([ad, nonce], buffer, &tag.into())
                .ok()?,
            Self::GcmSiv => Aes128GcmSiv::new_from_slice(key)
                .ok()?
                .decrypt_inout_detached(&Nonce::try_from(nonce).ok()?, ad, buffer, &tag.into())
                .ok()?,
        }
        Some(text)
    }
}

/// The keys of an association.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keys {
    /// The AEAD they are for.
    pub cipher: Cipher,
    /// Key for what clients send.
    pub c2s: Vec<u8>,
    /// Key for what servers send.
    pub s2c: Vec<u8>,
}

impl From<&Keys> for SessionKeys {
    fn from(keys: &Keys) -> Self {
        Self { aead: keys.cipher.number(), c2s: keys.c2s.clone(), s2c: keys.s2c.clone() }
    }
}
