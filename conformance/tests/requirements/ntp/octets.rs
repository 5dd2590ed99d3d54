//! Packets by hand, octet by octet, and ciphers that are not ours.

use aes_gcm_siv::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm_siv::{Aes128GcmSiv, Nonce};
use aes_siv::siv::{Aes128Siv, Aes256Siv};
use noonmark_nts::{Aead, CookieKeys, SessionKeys};

/// Types of extension fields (RFC 8915 §7.5, RFC 7821).
pub const UNIQUE: u16 = 0x0104;
pub const COOKIE: u16 = 0x0204;
pub const PLACEHOLDER: u16 = 0x0304;
pub const AUTHENTICATOR: u16 = 0x0404;
pub const COMPLEMENT: u16 = 0x2005;
/// Types nobody has a meaning for: a private one, and one of the experimental range.
pub const UNKNOWN: u16 = 0x7777;
pub const EXPERIMENTAL: u16 = 0xf0ab;

/// The transmit time of all requests that do not choose another.
pub const ASKED: u64 = 0x0123_4567_89ab_cdef;

/// A request's header: all zero but version, mode, poll 6 and the transmit time.
pub fn header(version: u8, mode: u8) -> Vec<u8> {
    let mut octets = vec![0; 48];
    octets[0] = version << 3 | mode;
    octets[2] = 6;
    octets[40..].copy_from_slice(&ASKED.to_be_bytes());
    octets
}

/// A plain request of version 4.
pub fn plain() -> Vec<u8> {
    header(4, 3)
}

/// A plain request of version 4 with octets behind the header.
pub fn plain_with(tail: &[u8]) -> Vec<u8> {
    [&plain()[..], tail].concat()
}

/// Octets of a field.
pub fn field(kind: u16, body: &[u8]) -> Vec<u8> {
    claiming(kind, body.len() + 4, body)
}

/// Octets of a field that claims some length.
pub fn claiming(kind: u16, claimed: usize, body: &[u8]) -> Vec<u8> {
    let claimed = u16::try_from(claimed).expect("a length of 16 bits");
    [&kind.to_be_bytes()[..], &claimed.to_be_bytes(), body].concat()
}

/// A unique identifier's body, without a pattern in it.
pub fn identifier(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 37) as u8 ^ 0xa5).collect()
}

/// Octets of a field with a unique identifier.
pub fn unique(len: usize) -> Vec<u8> {
    field(UNIQUE, &identifier(len))
}

/// One extension field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    pub kind: u16,
    pub body: Vec<u8>,
}

impl Field {
    pub fn new(kind: u16, body: Vec<u8>) -> Self {
        Self { kind, body }
    }

    pub fn octets(&self) -> Vec<u8> {
        field(self.kind, &self.body)
    }
}

/// Cuts octets into fields as far as they go; what is left over comes behind.
pub fn cut(mut octets: &[u8]) -> (Vec<Field>, &[u8]) {
    let mut fields = Vec::new();
    while let Some((&[kind_high, kind_low, high, low], _)) = octets.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len < 4 || len % 4 != 0 || len > octets.len() {
            break;
        }
        let (field, rest) = octets.split_at(len);
        fields.push(Field::new(u16::from_be_bytes([kind_high, kind_low]), field[4..].to_vec()));
        octets = rest;
    }
    (fields, octets)
}

/// An AEAD of NTS, by somebody else's code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cipher {
    /// AEAD 15.
    Siv256,
    /// AEAD 17.
    Siv512,
    /// AEAD 30.
    GcmSiv,
}

impl Cipher {
    pub const ALL: [Self; 3] = [Self::Siv256, Self::Siv512, Self::GcmSiv];

    pub fn aead(self) -> Aead {
        match self {
            Self::Siv256 => Aead::SivCmac256,
            Self::Siv512 => Aead::SivCmac512,
            Self::GcmSiv => Aead::Aes128GcmSiv,
        }
    }

    pub fn key_len(self) -> usize {
        match self {
            Self::Siv256 => 32,
            Self::Siv512 => 64,
            Self::GcmSiv => 16,
        }
    }

    pub fn nonce_len(self) -> usize {
        if self == Self::GcmSiv { 12 } else { 16 }
    }

    /// The ciphertext of `text`, its tag in its place.
    pub fn seal(self, key: &[u8], ad: &[u8], nonce: &[u8], text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        let buffer = text.as_mut_slice().into();
        let tag = match self {
            Self::Siv256 => Aes128Siv::new_from_slice(key)
                .expect("32 octets")
                .encrypt_inout_detached([ad, nonce], buffer)
                .expect("few headers"),
            Self::Siv512 => Aes256Siv::new_from_slice(key)
                .expect("64 octets")
                .encrypt_inout_detached([ad, nonce], buffer)
                .expect("few headers"),
            Self::GcmSiv => Aes128GcmSiv::new_from_slice(key)
                .expect("16 octets")
                .encrypt_inout_detached(&Nonce::try_from(nonce).expect("12 octets"), ad, buffer)
                .expect("a short text"),
        };
        // AES-SIV puts its tag first (RFC 5297 §2.6), AES-GCM-SIV last (RFC 8452 §4).
        if self == Self::GcmSiv { [&text[..], &tag].concat() } else { [&tag[..], &text].concat() }
    }

    /// The text of a ciphertext, if its tag is right.
    pub fn open(self, key: &[u8], ad: &[u8], nonce: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        let tag_at = if self == Self::GcmSiv { ciphertext.len().checked_sub(16)? } else { 0 };
        let tag: [u8; 16] = ciphertext.get(tag_at..tag_at + 16)?.try_into().ok()?;
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
#[derive(Clone)]
pub struct Keys {
    pub cipher: Cipher,
    pub c2s: Vec<u8>,
    pub s2c: Vec<u8>,
}

impl Keys {
    pub fn new(cipher: Cipher) -> Self {
        let key = |first: u8| (0..cipher.key_len()).map(|at| at as u8 ^ first).collect();
        Self { cipher, c2s: key(0xc2), s2c: key(0x2c) }
    }

    /// The keys in a cookie.
    pub fn in_cookie(cookie: &[u8], keys: &CookieKeys) -> Option<Self> {
        let found = keys.open(cookie).ok()?;
        let cipher = Cipher::ALL.into_iter().find(|cipher| cipher.aead() == found.aead())?;
        Some(Self { cipher, c2s: found.c2s().to_vec(), s2c: found.s2c().to_vec() })
    }

    /// The same in the form that goes into a cookie.
    pub fn session(&self) -> SessionKeys {
        SessionKeys::new(self.cipher.aead(), &self.c2s, &self.s2c).expect("keys of their length")
    }
}

/// A packet under NTS, open, so that it can be changed and closed again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// 48 octets.
    pub header: Vec<u8>,
    /// Fields before the authenticator, covered by it.
    pub clear: Vec<Field>,
    pub nonce: Vec<u8>,
    /// Fields inside the ciphertext.
    pub inner: Vec<Field>,
    /// Octets of additional padding inside the authenticator.
    pub padding: usize,
    /// Octets after the authenticator.
    pub after: Vec<u8>,
}

impl Draft {
    /// Takes a packet apart; `None` if there is no authenticator or its tag is not of this key.
    pub fn open(packet: &[u8], cipher: Cipher, key: &[u8]) -> Option<Self> {
        let header = packet.get(..48)?.to_vec();
        let mut at = 48;
        let mut clear = Vec::new();
        for field in cut(&packet[48..]).0 {
            let len = field.body.len() + 4;
            if field.kind != AUTHENTICATOR {
                at += len;
                clear.push(field);
                continue;
            }
            let number =
                |at: usize| Some(u16::from_be_bytes(*field.body.get(at..)?.first_chunk()?));
            let (nonce_len, sealed_len) = (usize::from(number(0)?), usize::from(number(2)?));
            let sealed_at = 4 + nonce_len.next_multiple_of(4);
            let nonce = field.body.get(4..4 + nonce_len)?;
            let sealed = field.body.get(sealed_at..sealed_at + sealed_len)?;
            let text = cipher.open(key, &packet[..at], nonce, sealed)?;
            return Some(Self {
                header,
                clear,
                nonce: nonce.to_vec(),
                inner: cut(&text).0,
                padding: (field.body.len() - sealed_at)
                    .checked_sub(sealed_len.next_multiple_of(4))?,
                after: packet[at + len..].to_vec(),
            });
        }
        None
    }

    /// Closes the packet.
    pub fn seal(&self, cipher: Cipher, key: &[u8]) -> Vec<u8> {
        let mut packet = self.header.clone();
        packet.extend(self.clear.iter().flat_map(Field::octets));
        let text: Vec<u8> = self.inner.iter().flat_map(Field::octets).collect();
        let sealed = cipher.seal(key, &packet, &self.nonce, &text);
        packet.extend(authenticator(&self.nonce, &sealed, self.padding));
        packet.extend(&self.after);
        packet
    }

    /// All fields of a type, in clear, encrypted or behind the authenticator.
    pub fn all(&self, kind: u16) -> Vec<Field> {
        let mut found = [self.clear.clone(), self.inner.clone(), cut(&self.after).0].concat();
        found.retain(|field| field.kind == kind);
        found
    }

    pub fn clear_body(&self, kind: u16) -> Option<&[u8]> {
        self.clear.iter().find(|field| field.kind == kind).map(|field| &field.body[..])
    }
}

/// Octets of an authenticator field, whatever its parts are worth.
pub fn authenticator(nonce: &[u8], sealed: &[u8], padding: usize) -> Vec<u8> {
    let len = |part: &[u8]| u16::try_from(part.len()).expect("short").to_be_bytes();
    let mut body = [len(nonce), len(sealed)].concat();
    for part in [nonce, sealed] {
        body.extend(part);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    body.resize(body.len() + padding, 0);
    field(AUTHENTICATOR, &body)
}

/// An answer as it was received.
#[derive(Clone, Debug)]
pub struct Answer {
    pub octets: Vec<u8>,
    pub fields: Vec<Field>,
    /// What follows the fields.
    pub rest: Vec<u8>,
}

impl Answer {
    /// # Panics
    /// For fewer octets than a header has.
    pub fn read(octets: &[u8]) -> Self {
        assert!(octets.len() >= 48, "an answer of {} octets has no header", octets.len());
        let (fields, rest) = cut(&octets[48..]);
        Self { octets: octets.to_vec(), fields, rest: rest.to_vec() }
    }

    pub fn leap(&self) -> u8 {
        self.octets[0] >> 6
    }

    pub fn version(&self) -> u8 {
        self.octets[0] >> 3 & 7
    }

    pub fn mode(&self) -> u8 {
        self.octets[0] & 7
    }

    pub fn stratum(&self) -> u8 {
        self.octets[1]
    }

    pub fn poll(&self) -> i8 {
        self.octets[2].cast_signed()
    }

    pub fn precision(&self) -> i8 {
        self.octets[3].cast_signed()
    }

    pub fn reference_id(&self) -> [u8; 4] {
        *self.octets[12..].first_chunk().expect("a header")
    }

    pub fn reference_time(&self) -> u64 {
        self.time_at(16)
    }

    pub fn origin(&self) -> u64 {
        self.time_at(24)
    }

    pub fn receive(&self) -> u64 {
        self.time_at(32)
    }

    pub fn transmit(&self) -> u64 {
        self.time_at(40)
    }

    fn time_at(&self, at: usize) -> u64 {
        u64::from_be_bytes(*self.octets[at..].first_chunk().expect("a header"))
    }

    /// Whether a client could take its time from it: no kiss, and from a clock that says it is right.
    pub fn is_time(&self) -> bool {
        (1..16).contains(&self.stratum())
    }

    /// The code of a kiss; what an unsynchronised clock says is none.
    pub fn kiss(&self) -> Option<[u8; 4]> {
        (self.stratum() == 0 && self.reference_id() != [0; 4]).then(|| self.reference_id())
    }

    pub fn of_kind(&self, kind: u16) -> Vec<&Field> {
        self.fields.iter().filter(|field| field.kind == kind).collect()
    }

    pub fn has(&self, kind: u16) -> bool {
        self.fields.iter().any(|field| field.kind == kind)
    }

    /// Whether any of it only makes sense to a client of NTS.
    pub fn is_nts(&self) -> bool {
        self.has(AUTHENTICATOR) || self.has(COOKIE)
    }
}
