//! What the tests ask with: a responder under a virtual clock, and a client that can say anything, right or wrong.
#![allow(dead_code, reason = "each test program uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;

use noonmark_nts::{Aead, AeadKey, CookieKey, CookieKeys, Random, SessionKeys, open_answer};
use noonmark_packet::{FieldKind, Packet, ReferenceId};
use noonmark_server::{Batch, ClockState, Counter, Envelope, Policy, Responder};
use noonmark_units::{Mono, Precision, Span, Stratum, Timestamp};

/// A responder, the clock it reads, and the time it is told.
pub struct Server {
    pub responder: Responder,
    pub state: ClockState,
    /// What the clock reads, and how far it moves with every reading.
    pub time: Timestamp,
    pub tick: Span,
    /// When the next datagram was received, counted back from `time`.
    pub age: Span,
    pub mono: Mono,
}

impl Server {
    /// Stratum 1, no limits, all allowed, cookie keys of epochs 3 to 7 of which 6 is current.
    pub fn new() -> Self {
        Self::with(Policy::default())
    }

    pub fn with(policy: Policy) -> Self {
        let mut responder = Responder::new(Arc::new(policy), Box::new(counting(1)));
        responder.set_cookie_keys(Some(Arc::new(cookie_keys(3..8, 6))));
        Self {
            responder,
            state: ClockState::local(Stratum::PRIMARY, ReferenceId(*b"LOCL"), Precision(-24)),
            time: Timestamp::from_bits(0xe9ff_fff0_1234_5678),
            tick: Span::from_nanos(100),
            age: Span::from_nanos(20_000),
            mono: Mono(1_000_000_000_000),
        }
    }

    pub fn respond(&mut self, batch: &mut Batch) {
        let mut time = self.time;
        let tick = self.tick;
        let mut clock = || {
            time = time + tick;
            time
        };
        let before = self.fates();
        self.responder.respond(batch, &self.state, &mut clock, self.mono);
        self.time = time;
        assert_eq!(
            self.fates(),
            before + batch.slots().len() as u64,
            "every datagram has exactly one fate"
        );
        for slot in batch.slots() {
            assert!(slot.answer().is_none_or(|answer| answer.len() <= slot.request_len()));
        }
    }

    /// Asks as an ordinary client.
    pub fn ask(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.ask_as(datagram, "192.0.2.7:50123")
    }

    /// Asks from some address.
    pub fn ask_as(&mut self, datagram: &[u8], peer: &str) -> Option<Vec<u8>> {
        self.ask_in(datagram, self.envelope(peer))
    }

    pub fn ask_in(&mut self, datagram: &[u8], envelope: Envelope) -> Option<Vec<u8>> {
        let mut batch = Batch::new();
        assert!(batch.push(datagram, envelope));
        self.respond(&mut batch);
        batch.slots()[0].answer().map(<[u8]>::to_vec)
    }

    pub fn envelope(&self, peer: &str) -> Envelope {
        let peer: SocketAddr = peer.parse().unwrap();
        Envelope { peer, received: self.time - self.age, group: false, truncated: false }
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.responder.counters().get(counter)
    }

    /// Asks, expects silence, and expects it to be counted for this reason.
    pub fn check_silence(&mut self, datagram: &[u8], reason: Counter) {
        let before = self.count(reason);
        assert_eq!(self.ask(datagram), None, "{}", reason.name());
        assert_eq!(self.count(reason), before + 1, "{}", reason.name());
    }

    fn fates(&self) -> u64 {
        let counters = self.responder.counters();
        Counter::ALL
            .into_iter()
            .filter(|counter| counter.is_fate())
            .map(|counter| counters.get(counter))
            .sum()
    }
}

pub fn cookie_keys(epochs: std::ops::Range<u32>, current: u32) -> CookieKeys {
    let keys: Vec<_> = epochs.map(|epoch| CookieKey::new(epoch, [epoch as u8; 32])).collect();
    CookieKeys::new(&keys, current)
}

/// Octets that differ from call to call and are the same in every run (SplitMix64).
pub fn counting(seed: u64) -> impl Random + Send {
    let mut state = seed;
    move |out: &mut [u8]| {
        for chunk in out.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The transmit time of all requests here.
pub const ASKED: Timestamp = Timestamp::from_bits(0x0123_4567_89ab_cdef);

/// A request's header: 48 octets, all zero but version, mode, poll 6 and the transmit time.
pub fn header(version: u8, mode: u8) -> Vec<u8> {
    let mut octets = vec![0; 48];
    octets[0] = version << 3 | mode;
    octets[2] = 6;
    octets[40..].copy_from_slice(&ASKED.to_octets());
    octets
}

/// A plain request of version 4.
pub fn plain() -> Vec<u8> {
    header(4, 3)
}

/// An extension field around `body`, which is a multiple of four octets.
pub fn field(kind: FieldKind, body: &[u8]) -> Vec<u8> {
    let mut octets = kind.0.to_be_bytes().to_vec();
    octets.extend((body.len() as u16 + 4).to_be_bytes());
    octets.extend(body);
    octets
}

/// A unique identifier of `len` octets, with its field header.
pub fn unique(len: usize) -> Vec<u8> {
    field(FieldKind::UNIQUE_IDENTIFIER, &(0..len).map(|at| at as u8 ^ 0xa5).collect::<Vec<_>>())
}

/// A client that has been through key establishment.
pub struct Client {
    pub keys: SessionKeys,
    pub cookie: Vec<u8>,
}

impl Client {
    /// With a cookie of the current epoch.
    pub fn new(aead: Aead) -> Self {
        Self::of_epoch(aead, 6)
    }

    pub fn of_epoch(aead: Aead, epoch: u32) -> Self {
        let key = |fill: u8| vec![fill; aead.key_len()];
        let keys = SessionKeys::new(aead, &key(0xc2), &key(0x2c)).unwrap();
        let maker = cookie_keys(epoch..epoch + 1, epoch);
        let cookie = maker.issuer().unwrap().seal(&keys, &mut counting(99));
        Self { keys, cookie }
    }

    pub fn cookie_field(&self) -> Vec<u8> {
        field(FieldKind::NTS_COOKIE, &self.cookie)
    }

    pub fn placeholders(&self, count: usize) -> Vec<u8> {
        field(FieldKind::NTS_COOKIE_PLACEHOLDER, &vec![0; self.cookie.len()]).repeat(count)
    }

    /// The request every client makes: identifier, cookie, placeholders, authenticator.
    pub fn request(&self, placeholders: usize) -> Vec<u8> {
        self.sealed(
            [plain(), unique(32), self.cookie_field(), self.placeholders(placeholders)].concat(),
        )
    }

    /// Closes a packet with an ordinary authenticator.
    pub fn sealed(&self, packet: Vec<u8>) -> Vec<u8> {
        let nonce_len = self.keys.aead().nonce_len();
        self.sealed_with(packet, &[0x77; 64][..nonce_len], &[], 0)
    }

    /// Closes a packet with an authenticator of this nonce around `plaintext`, with so many octets of additional padding.
    pub fn sealed_with(
        &self,
        mut packet: Vec<u8>,
        nonce: &[u8],
        plaintext: &[u8],
        padding: usize,
    ) -> Vec<u8> {
        let mut text = plaintext.to_vec();
        let tag = self.keys.c2s_key().seal(&packet, nonce, &mut text).unwrap();
        let ciphertext = match self.keys.aead() {
            Aead::Aes128GcmSiv => [&text[..], &tag].concat(),
            _ => [&tag[..], &text].concat(),
        };
        packet.extend(authenticator(nonce, &ciphertext, padding));
        packet
    }

    /// Verifies an answer and returns its new cookies.
    pub fn open(&self, answer: &[u8]) -> Vec<Vec<u8>> {
        let mut answer = answer.to_vec();
        let key: AeadKey = self.keys.s2c_key();
        let opened = open_answer(&mut answer, &unique(32)[4..], &key).expect("an authentic answer");
        opened.cookies().map(<[u8]>::to_vec).collect()
    }
}

/// An authenticator field, whatever its parts are worth.
pub fn authenticator(nonce: &[u8], ciphertext: &[u8], padding: usize) -> Vec<u8> {
    let mut body = (nonce.len() as u16).to_be_bytes().to_vec();
    body.extend((ciphertext.len() as u16).to_be_bytes());
    for part in [nonce, ciphertext] {
        body.extend(part);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    body.resize(body.len() + padding, 0);
    field(FieldKind::NTS_AUTHENTICATOR, &body)
}

/// The types of the extension fields of an answer, with their lengths.
pub fn fields_of(answer: &[u8]) -> Vec<(u16, usize)> {
    let packet = Packet::parse(answer).unwrap();
    packet
        .contents()
        .expect("a well framed answer")
        .fields
        .map(|field| (field.kind.0, field.body.len() + 4))
        .collect()
}
