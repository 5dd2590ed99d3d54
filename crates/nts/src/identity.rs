use core::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls;

/// What a key exchange server shows for itself: a certificate chain and the private key of its first certificate,
/// checked to belong together. No `Debug` beyond the facts.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    kind: KeyKind,
}

/// What may be told about an identity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IdentityFacts {
    /// Certificates in the chain, the server's own first.
    pub certificates: usize,
    /// Kind of its private key.
    pub key: KeyKind,
}

/// Kinds of private keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// ECDSA on NIST P-256: the fastest for us.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// RSA of 2048 bits or more.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// Why a certificate or a key cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IdentityError {
    /// The PEM framing is broken.
    Pem {
        /// What is broken.
        why: String,
    },
    /// No `CERTIFICATE` section.
    NoCertificate,
    /// A certificate that cannot be read.
    Certificate {
        /// Which one, the first being 0.
        at: usize,
        /// What is wrong with it.
        why: String,
    },
    /// No private key section.
    NoKey,
    /// More than one private key: which one is meant?
    SeveralKeys {
        /// How many.
        count: usize,
    },
    /// The private key is encrypted; nobody would be there to type the passphrase.
    EncryptedKey,
    /// A private key of a kind we cannot use, or a damaged one.
    Key {
        /// What is wrong with it.
        why: String,
    },
    /// The private key is not the one in the certificate.
    Mismatch,
}

impl IdentityError {
    pub(crate) fn pem(error: pem::Error) -> Self {
        Self::Pem {
            why: match error {
                pem::Error::MissingSectionEnd { end_marker } => {
                    format!("the line \"-----END {}-----\" is missing", end_marker.escape_ascii())
                }
                pem::Error::IllegalSectionStart { .. } => {
                    "a line that begins a section is malformed".into()
                }
                other => other.to_string(),
            },
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { why } => write!(f, "not well-formed PEM: {why}"),
            Self::NoCertificate => f.write_str("no certificate in it (a section that begins with -----BEGIN CERTIFICATE-----)"),
            Self::Certificate { at, why } => write!(f, "certificate {} cannot be read: {why}", at + 1),
            Self::NoKey => f.write_str("no private key in it (PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY)"),
            Self::SeveralKeys { count } => write!(f, "{count} private keys in it, one is expected"),
            Self::EncryptedKey => f.write_str("the private key is encrypted; store it without a passphrase, readable by its owner alone"),
            Self::Key { why } => {
                write!(f, "the private key cannot be used (ECDSA P-256 or P-384, RSA of 2048 bits or more, Ed25519): {why}")
            }
            Self::Mismatch => f.write_str("the private key does not belong to the certificate"),
        }
    }
}

impl core::error::Error for IdentityError {}

impl Identity {
    /// Reads a certificate chain (the server's own first) and a private key, both PEM; they may stand in one file, given twice.
    /// Keys as PKCS#8, SEC1 or PKCS#1; ECDSA on P-256 or P-384, RSA, Ed25519.
    ///
    /// # Errors
    /// [`IdentityError`] says what to repair; no part of the key ever appears in it.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(IdentityError::pem)?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = read_key(key)?;
        for (at, certificate) in chain.iter().enumerate() {
            rustls::server::ParsedCertificate::try_from(certificate)
                .map_err(|error| IdentityError::Certificate { at, why: error.to_string() })?;
        }
        let key = tls::certified_key(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityError::Mismatch,
            other => IdentityError::Key { why: other.to_string() },
        })?;
        let kind = kind_of(&key)
            .ok_or_else(|| IdentityError::Key { why: "it makes no signature we know".into() })?;
        Ok(Self { key: Arc::new(key), kind })
    }

    /// What may be told about it.
    pub fn facts(&self) -> IdentityFacts {
        IdentityFacts { certificates: self.key.cert.len(), key: self.kind }
    }

    /// The certificates as DER, the server's own first.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.key.cert.iter().map(AsRef::as_ref)
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

fn read_key(octets: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let keys = PrivateKeyDer::pem_slice_iter(octets).collect::<Result<Vec<_>, _>>();
    let is_encrypted =
        contains(octets, b"ENCRYPTED PRIVATE KEY") || contains(octets, b"Proc-Type: 4,ENCRYPTED");
    let keys = match keys {
        Ok(keys) if keys.is_empty() && !is_encrypted => return Err(IdentityError::NoKey),
        Ok(keys) if !is_encrypted => keys,
        Err(error) if !is_encrypted => return Err(IdentityError::pem(error)),
        _ => return Err(IdentityError::EncryptedKey),
    };
    let count = keys.len();
    let mut keys = keys.into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err(IdentityError::NoKey),
        _ => Err(IdentityError::SeveralKeys { count }),
    }
}

fn contains(octets: &[u8], text: &[u8]) -> bool {
    octets.windows(text.len()).any(|window| window == text)
}

fn kind_of(key: &CertifiedKey) -> Option<KeyKind> {
    [
        (SignatureScheme::ECDSA_NISTP256_SHA256, KeyKind::EcdsaP256),
        (SignatureScheme::ECDSA_NISTP384_SHA384, KeyKind::EcdsaP384),
        (SignatureScheme::RSA_PSS_SHA256, KeyKind::Rsa),
        (SignatureScheme::ED25519, KeyKind::Ed25519),
    ]
    .into_iter()
    .find(|(scheme, _)| key.key.choose_scheme(&[*scheme]).is_some())
    .map(|(_, kind)| kind)
}
