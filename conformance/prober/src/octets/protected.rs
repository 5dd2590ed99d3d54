//! A packet under NTS (RFC 8915 §5.6), open, so that it can be changed and closed again.

use super::cipher::Cipher;
use super::field::{AUTHENTICATOR, Field, cut, field, join};
use super::header::LEN;
use super::{len16, u16_at};

/// What a packet under NTS is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Protected {
    /// 48 octets.
    pub header: Vec<u8>,
    /// Fields before the authenticator, covered by it.
    pub clear: Vec<Field>,
    /// The nonce, without padding.
    pub nonce: Vec<u8>,
    /// Fields inside the ciphertext.
    pub inner: Vec<Field>,
    /// Octets of additional padding inside the authenticator.
    pub padding: usize,
    /// Octets after the authenticator.
    pub after: Vec<u8>,
}

impl Protected {
    /// Takes a packet apart; `None` if there is no authenticator or its tag is not of this key.
    #[must_use]
    pub fn open(packet: &[u8], cipher: Cipher, key: &[u8]) -> Option<Self> {
        let header = packet.get(..LEN)?.to_vec();
        let mut at = LEN;
        let mut clear = Vec::new();
        for field in cut(&packet[LEN..]).0 {
            let len = field.body.len() + 4;
            if field.kind != AUTHENTICATOR {
                at += len;
                clear.push(field);
                continue;
            }
            let parts = Parts::read(&field.body)?;
            let text = cipher.open(key, &packet[..at], parts.nonce, parts.sealed)?;
            return Some(Self {
                header,
                clear,
                nonce: parts.nonce.to_vec(),
                inner: cut(&text).0,
                padding: parts.padding,
                after: packet[at + len..].to_vec(),
            });
        }
        None
    }

    /// Closes the packet.
    ///
    /// # Panics
    /// For a key or a nonce that the AEAD cannot take.
    #[must_use]
    pub fn seal(&self, cipher: Cipher, key: &[u8]) -> Vec<u8> {
        self.seal_text(cipher, key, &join(&self.inner))
    }

    /// Closes the packet with this text inside instead of fields.
    ///
    /// # Panics
    /// As [`Self::seal`].
    #[must_use]
    pub fn seal_text(&self, cipher: Cipher, key: &[u8], text: &[u8]) -> Vec<u8> {
        let mut packet = self.header.clone();
        packet.extend(join(&self.clear));
        let sealed = cipher
            .seal(key, &packet, &self.nonce, text)
            .expect("a key and a nonce of their length");
        packet.extend(authenticator(&self.nonce, &sealed, self.padding));
        packet.extend(&self.after);
        packet
    }

    /// All fields of a type, in clear, encrypted or behind the authenticator.
    #[must_use]
    pub fn all(&self, kind: u16) -> Vec<Field> {
        let mut found = [self.clear.clone(), self.inner.clone(), cut(&self.after).0].concat();
        found.retain(|field| field.kind == kind);
        found
    }
}

/// The parts of an authenticator's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parts<'a> {
    /// The nonce, without its padding.
    pub nonce: &'a [u8],
    /// The ciphertext with its tag, without its padding.
    pub sealed: &'a [u8],
    /// Octets that follow both and their padding.
    pub padding: usize,
}

impl<'a> Parts<'a> {
    /// Reads a body; `None` if its lengths go beyond it.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (nonce_len, sealed_len) =
            (usize::from(u16_at(body, 0)?), usize::from(u16_at(body, 2)?));
        let sealed_at = 4 + nonce_len.next_multiple_of(4);
        Some(Self {
            nonce: body.get(4..4 + nonce_len)?,
            sealed: body.get(sealed_at..sealed_at + sealed_len)?,
            padding: body.len().checked_sub(sealed_at + sealed_len.next_multiple_of(4))?,
        })
    }
}

/// Octets of an authenticator field, whatever its parts are worth.
#[must_use]
pub fn authenticator(nonce: &[u8], sealed: &[u8], padding: usize) -> Vec<u8> {
    let mut body = [len16(nonce.len()), len16(sealed.len())].concat();
    for part in [nonce, sealed] {
        body.extend(part);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    body.resize(body.len() + padding, 0);
    field(AUTHENTICATOR, &body)
}
