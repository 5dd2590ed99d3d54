//! Requests and answers of any shape, also of shapes nobody should send.

use noonmark_nts::{Aead, AeadKey, CookieKey, CookieKeys, Random, SessionKeys, TAG_LEN};
use noonmark_packet::{FieldKind, Header, Leap, Mode, ReferenceId, Version};
use noonmark_units::{PollExponent, Precision, Short, Timestamp};

/// Everything about a protected packet that a test may want to bend.
#[derive(Clone)]
pub struct Shape {
    pub header: Vec<u8>,
    /// Fields before the authenticator: type and body.
    pub before: Vec<(FieldKind, Vec<u8>)>,
    /// The authenticator, if there is one.
    pub authenticator: Option<Authenticator>,
    /// Octets after the authenticator.
    pub after: Vec<u8>,
}

#[derive(Clone)]
pub struct Authenticator {
    pub key: Vec<u8>,
    pub aead: Aead,
    pub nonce: Vec<u8>,
    pub plaintext: Vec<u8>,
    pub padding: usize,
}

impl Shape {
    /// A good request with these cookie octets and so many placeholders.
    pub fn request(keys: &SessionKeys, cookie: &[u8], placeholders: usize) -> Self {
        let mut before = vec![
            (FieldKind::UNIQUE_IDENTIFIER, (0..32).collect()),
            (FieldKind::NTS_COOKIE, cookie.to_vec()),
        ];
        before.extend(
            (0..placeholders).map(|_| (FieldKind::NTS_COOKIE_PLACEHOLDER, vec![0; cookie.len()])),
        );
        let nonce = (0x20..0x20 + keys.aead().nonce_len() as u8).collect();
        let (key, aead) = (keys.c2s().to_vec(), keys.aead());
        Self {
            header: octets_of(&Header::client(Timestamp::from_bits(0x0123_4567_89ab_cdef))),
            before,
            authenticator: Some(Authenticator {
                key,
                aead,
                nonce,
                plaintext: Vec::new(),
                padding: 0,
            }),
            after: Vec::new(),
        }
    }

    /// A good answer with this plaintext.
    pub fn answer(keys: &SessionKeys, plaintext: &[u8]) -> Self {
        let nonce = (0x30..0x30 + keys.aead().nonce_len() as u8).collect();
        let (key, aead, plaintext) = (keys.s2c().to_vec(), keys.aead(), plaintext.to_vec());
        Self {
            header: octets_of(&server_header()),
            before: vec![(FieldKind::UNIQUE_IDENTIFIER, (0..32).collect())],
            authenticator: Some(Authenticator { key, aead, nonce, plaintext, padding: 0 }),
            after: Vec::new(),
        }
    }

    pub fn bend(mut self, how: impl FnOnce(&mut Self)) -> Self {
        how(&mut self);
        self
    }

    pub fn seal(&mut self) -> &mut Authenticator {
        self.authenticator.as_mut().expect("has one")
    }

    pub fn octets(&self) -> Vec<u8> {
        let mut out = self.header.clone();
        for (kind, body) in &self.before {
            out.extend(field(*kind, body));
        }
        if let Some(authenticator) = &self.authenticator {
            let body = authenticator.body(&out);
            out.extend(field(FieldKind::NTS_AUTHENTICATOR, &body));
        }
        out.extend(&self.after);
        out
    }
}

impl Authenticator {
    fn body(&self, ad: &[u8]) -> Vec<u8> {
        let mut text = self.plaintext.clone();
        let key = AeadKey::new(self.aead, &self.key).expect("right length");
        // A nonce the algorithm does not take cannot be sealed under; any tag will do for such a packet.
        let tag = key.seal(ad, &self.nonce, &mut text).unwrap_or([0; TAG_LEN]);
        let ciphertext = match self.aead {
            Aead::Aes128GcmSiv => [&text[..], &tag].concat(),
            _ => [&tag[..], &text].concat(),
        };
        let mut body = Vec::new();
        body.extend((self.nonce.len() as u16).to_be_bytes());
        body.extend((ciphertext.len() as u16).to_be_bytes());
        body.extend(padded(&self.nonce));
        body.extend(padded(&ciphertext));
        body.extend(vec![0; self.padding]);
        body
    }
}

/// A field as octets, zero-padded to a multiple of four.
pub fn field(kind: FieldKind, body: &[u8]) -> Vec<u8> {
    let body = padded(body);
    let mut out = kind.0.to_be_bytes().to_vec();
    out.extend((body.len() as u16 + 4).to_be_bytes());
    out.extend(body);
    out
}

fn padded(octets: &[u8]) -> Vec<u8> {
    let mut out = octets.to_vec();
    out.resize(octets.len().next_multiple_of(4), 0);
    out
}

pub fn octets_of(header: &Header) -> Vec<u8> {
    let mut octets = [0; 48];
    header.write(&mut octets);
    octets.to_vec()
}

/// The header of the answer in the golden vectors.
pub fn server_header() -> Header {
    Header {
        leap: Leap::None,
        version: Version::V4,
        mode: Mode::Server,
        stratum: 1,
        poll: PollExponent(6),
        precision: Precision(-25),
        root_delay: Short::from_bits(0),
        root_dispersion: Short::from_bits(0x10),
        reference_id: ReferenceId(*b"GPS\0"),
        reference_time: Timestamp::from_bits(0xe9ff_fff0_0000_0000),
        origin: Timestamp::from_bits(0x0123_4567_89ab_cdef),
        receive: Timestamp::from_bits(0xea00_0000_8000_0000),
        transmit: Timestamp::from_bits(0xea00_0000_8001_0000),
    }
}

/// Session keys 00, 01, … with no octet twice.
pub fn session(aead: Aead) -> SessionKeys {
    let len = aead.key_len() as u8;
    let (c2s, s2c): (Vec<u8>, Vec<u8>) = ((0..len).collect(), (len..2 * len).collect());
    SessionKeys::new(aead, &c2s, &s2c).expect("right length")
}

/// Cookie keys of epochs 5 to 8, 7 being current.
pub fn cookie_keys() -> CookieKeys {
    let keys: Vec<_> = (5..9_u8).map(|epoch| CookieKey::new(epoch.into(), [epoch; 32])).collect();
    CookieKeys::new(&keys, 7)
}

/// Octets that do not repeat within a test, the same in every run (SplitMix64).
pub fn counting() -> impl Random {
    let mut state = 1_u64;
    move |out: &mut [u8]| {
        for chunk in out.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}
