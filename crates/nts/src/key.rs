use aes_gcm_siv::aead::{AeadInOut, KeyInit};
use aes_gcm_siv::{Aes128GcmSiv, Nonce, Tag};
use noonmark_siv::{SivCmac256, SivCmac512};
use zeroize::{Zeroize, Zeroizing};

use crate::aead::{Aead, TAG_LEN};

pub use noonmark_siv::{Forged, KeyLength};

/// One key of one algorithm, expanded and ready: what seals and opens NTP packets. Wiped when dropped.
pub enum AeadKey {
    /// AEAD 15.
    SivCmac256(SivCmac256),
    /// AEAD 17.
    SivCmac512(SivCmac512),
    /// AEAD 30.
    Aes128GcmSiv(Aes128GcmSiv),
}

/// A nonce of a length the algorithm does not take: AES-SIV takes 1 octet or more, AES-GCM-SIV exactly 12.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NonceLength {
    /// Octets offered.
    pub found: usize,
}

impl core::fmt::Display for NonceLength {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the algorithm takes no nonce of {} octets", self.found)
    }
}

impl core::error::Error for NonceLength {}

impl AeadKey {
    /// Expands `key`, of [`Aead::key_len`] octets.
    ///
    /// # Errors
    /// [`KeyLength`] for any other length.
    pub fn new(aead: Aead, key: &[u8]) -> Result<Self, KeyLength> {
        Ok(match aead {
            Aead::SivCmac256 => Self::SivCmac256(SivCmac256::new(key)?),
            Aead::SivCmac512 => Self::SivCmac512(SivCmac512::new(key)?),
            Aead::Aes128GcmSiv => {
                let length = KeyLength { expected: aead.key_len(), found: key.len() };
                Self::Aes128GcmSiv(Aes128GcmSiv::new_from_slice(key).map_err(|_| length)?)
            }
        })
    }

    /// The algorithm of this key.
    pub fn aead(&self) -> Aead {
        match self {
            Self::SivCmac256(_) => Aead::SivCmac256,
            Self::SivCmac512(_) => Aead::SivCmac512,
            Self::Aes128GcmSiv(_) => Aead::Aes128GcmSiv,
        }
    }

    /// Encrypts `text` in place and returns its tag. For AES-SIV the headers of S2V are `ad`, then `nonce` (RFC 5297 §3).
    ///
    /// # Errors
    /// [`NonceLength`] for a nonce the algorithm does not take; `text` is untouched then.
    pub fn seal(
        &self,
        ad: &[u8],
        nonce: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_LEN], NonceLength> {
        let wrong = NonceLength { found: nonce.len() };
        match self {
            Self::SivCmac256(_) | Self::SivCmac512(_) if nonce.is_empty() => Err(wrong),
            Self::SivCmac256(siv) => Ok(siv.seal(&[ad, nonce], text)),
            Self::SivCmac512(siv) => Ok(siv.seal(&[ad, nonce], text)),
            Self::Aes128GcmSiv(gcm) => {
                let nonce = Nonce::try_from(nonce).map_err(|_| wrong)?;
                gcm.encrypt_inout_detached(&nonce, ad, text.into())
                    .map(Into::into)
                    .map_err(|_| wrong)
            }
        }
    }

    /// Decrypts `text` in place if `tag` is right.
    ///
    /// # Errors
    /// [`Forged`] if it is not, or if the algorithm takes no such nonce; `text` is all zero then.
    pub fn open(
        &self,
        ad: &[u8],
        nonce: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        match self {
            Self::SivCmac256(_) | Self::SivCmac512(_) if nonce.is_empty() => {
                text.zeroize();
                Err(Forged)
            }
            Self::SivCmac256(siv) => siv.open(&[ad, nonce], text, tag),
            Self::SivCmac512(siv) => siv.open(&[ad, nonce], text, tag),
            Self::Aes128GcmSiv(gcm) => {
                let opened = Nonce::try_from(nonce).is_ok_and(|nonce| {
                    gcm.decrypt_inout_detached(&nonce, ad, (&mut *text).into(), &Tag::from(*tag))
                        .is_ok()
                });
                if !opened {
                    text.zeroize();
                }
                if opened { Ok(()) } else { Err(Forged) }
            }
        }
    }
}

/// The two keys of one association, as the TLS exporter made them (RFC 8915 §5.1). No `Debug`; wiped when dropped.
pub struct SessionKeys {
    aead: Aead,
    /// C2S, then S2C, then unused octets: the plaintext of our cookies is a prefix of it.
    material: Zeroizing<[u8; MATERIAL_LEN]>,
}

impl SessionKeys {
    /// From the two keys, [`Aead::key_len`] octets each.
    ///
    /// # Errors
    /// [`KeyLength`] for any other length.
    pub fn new(aead: Aead, c2s: &[u8], s2c: &[u8]) -> Result<Self, KeyLength> {
        let mut keys = Self { aead, ..Self::blank() };
        for (place, key) in keys.material.chunks_exact_mut(aead.key_len()).zip([c2s, s2c]) {
            if place.len() != key.len() {
                return Err(KeyLength { expected: place.len(), found: key.len() });
            }
            place.copy_from_slice(key);
        }
        Ok(keys)
    }

    /// Room for keys that a cookie will fill, all zero until then.
    pub fn blank() -> Self {
        Self { aead: Aead::SivCmac256, material: Zeroizing::new([0; MATERIAL_LEN]) }
    }

    /// Their algorithm.
    pub fn aead(&self) -> Aead {
        self.aead
    }

    /// The key requests are sealed with, [`Aead::key_len`] octets.
    pub fn c2s(&self) -> &[u8] {
        self.material().split_at(self.aead.key_len()).0
    }

    /// The key answers are sealed with, [`Aead::key_len`] octets.
    pub fn s2c(&self) -> &[u8] {
        self.material().split_at(self.aead.key_len()).1
    }

    /// [`c2s`](Self::c2s), expanded.
    pub fn c2s_key(&self) -> AeadKey {
        AeadKey::new(self.aead, self.c2s()).expect("session keys have their algorithm's length")
    }

    /// [`s2c`](Self::s2c), expanded.
    pub fn s2c_key(&self) -> AeadKey {
        AeadKey::new(self.aead, self.s2c()).expect("session keys have their algorithm's length")
    }

    /// C2S and S2C in a row.
    pub(crate) fn material(&self) -> &[u8] {
        self.material.split_at(2 * self.aead.key_len()).0
    }

    /// The room of both keys of an algorithm, to be filled in place.
    pub(crate) fn refill(&mut self, aead: Aead) -> &mut [u8] {
        self.aead = aead;
        self.material.split_at_mut(2 * aead.key_len()).0
    }
}

impl Clone for SessionKeys {
    fn clone(&self) -> Self {
        Self { aead: self.aead, material: self.material.clone() }
    }
}

/// Two keys of the longest kind.
const MATERIAL_LEN: usize = 2 * Aead::SivCmac512.key_len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_what_is_changed_does_not() {
        for aead in Aead::ALL {
            let key = AeadKey::new(aead, &vec![7; aead.key_len()]).expect("right length");
            let nonce = vec![1; aead.nonce_len()];
            for len in [0, 1, 15, 16, 17, 100] {
                let mut text = vec![9; len];
                let tag = key.seal(b"header", &nonce, &mut text).expect("right nonce");
                let sealed = text.clone();
                assert_eq!(key.open(b"header", &nonce, &mut text, &tag), Ok(()), "{aead} {len}");
                assert_eq!(text, vec![9; len]);
                let mut text = sealed;
                assert_eq!(
                    key.open(b"Header", &nonce, &mut text, &tag),
                    Err(Forged),
                    "{aead} {len}"
                );
                assert_eq!(text, vec![0; len], "a forged text is wiped");
            }
        }
    }

    #[test]
    fn lengths_no_algorithm_has_are_refused() {
        for aead in Aead::ALL {
            let short = vec![0; aead.key_len() - 1];
            assert!(AeadKey::new(aead, &short).is_err());
            assert!(SessionKeys::new(aead, &short, &short).is_err());
            let key = AeadKey::new(aead, &vec![0; aead.key_len()]).expect("right length");
            assert_eq!(key.aead(), aead);
            assert_eq!(key.seal(b"", &[], &mut []), Err(NonceLength { found: 0 }));
            assert_eq!(key.open(b"", &[], &mut [], &[0; 16]), Err(Forged));
        }
        let gcm = AeadKey::new(Aead::Aes128GcmSiv, &[0; 16]).expect("right length");
        assert_eq!(gcm.seal(b"", &[0; 16], &mut []), Err(NonceLength { found: 16 }));
    }

    #[test]
    fn session_keys_keep_their_directions_apart() {
        for aead in Aead::ALL {
            let (c2s, s2c) = (vec![1; aead.key_len()], vec![2; aead.key_len()]);
            let keys = SessionKeys::new(aead, &c2s, &s2c).expect("right length");
            assert_eq!((keys.c2s(), keys.s2c()), (&c2s[..], &s2c[..]));
        }
    }
}
