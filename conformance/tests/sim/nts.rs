//! Servers with NTS: our own responder and real cookies, in virtual time.

use std::net::SocketAddr;
use std::sync::Arc;

use noonmark_client::{Endpoint, SourceKind};
use noonmark_conformance::sim::daemon::{Setup, address};
use noonmark_conformance::sim::{Host, START, Seeded, Variant};
use noonmark_nts::{Aead, Agreement, CookieKey, CookieKeys, SessionKeys};
use noonmark_packet::ReferenceId;
use noonmark_server::{Batch, ClockState, Envelope, Policy, Responder};
use noonmark_units::{Mono, Precision, Span, Stratum, Timestamp};

/// The responder behind a network path, with an exact clock.
pub struct NtsServer {
    responder: Responder,
    batch: Batch,
}

impl NtsServer {
    pub fn new(seed: u64) -> Self {
        let policy = Arc::new(Policy::default());
        let mut responder = Responder::new(policy, Box::new(Seeded::new(seed, SERVER_STREAM)));
        responder.set_cookie_keys(Some(Arc::new(cookie_keys())));
        Self { responder, batch: Batch::new() }
    }
}

impl Host for NtsServer {
    fn answer(&mut self, request: &[u8], at_s: f64) -> Option<Vec<u8>> {
        let now = true_time(at_s);
        self.batch.clear();
        let peer: SocketAddr = address(9_999);
        let envelope = Envelope { peer, received: now, group: false, truncated: false };
        self.batch.push(request, envelope);
        let state = ClockState::local(Stratum::PRIMARY, ReferenceId(*b"GPS\0"), Precision(-23));
        let mono = Mono((at_s * 1e9) as u64);
        self.responder.respond(&mut self.batch, &state, &mut || now, mono);
        self.responder.sent(1, 0, now);
        self.batch.slots().first().and_then(|slot| slot.answer()).map(<[u8]>::to_vec)
    }
}

/// Keys and eight cookies that the servers understand.
pub fn agreement(seed: u64) -> Agreement {
    let mut random = Seeded::new(seed, AGREEMENT_STREAM);
    let key = [(random.bits() & 0xff) as u8; 32];
    let other = [!(random.bits() & 0xff) as u8; 32];
    let keys = SessionKeys::new(Aead::SivCmac256, &key, &other).expect("keys of the right length");
    let issued = cookie_keys();
    let issuer = issued.issuer().expect("the key of the current epoch is there");
    let cookies = (0..8).map(|_| issuer.seal(&keys, &mut random)).collect();
    Agreement {
        keys,
        alternative: None,
        cookies,
        server: None,
        port: 123,
        compliant_export: false,
        certificates: Vec::new(),
    }
}

/// The usual daemon, but with NTS to all its servers.
pub fn setup(variant: &Variant, servers: usize) -> Setup {
    let mut setup = Setup::new(variant, servers);
    for (number, spec) in setup.specs.iter_mut().enumerate() {
        spec.kind = SourceKind::Nts(Endpoint::new(address(number).ip().to_string(), 4460));
    }
    setup
}

fn cookie_keys() -> CookieKeys {
    CookieKeys::new(&[CookieKey::new(7, [0x5c; 32])], 7)
}

fn true_time(at_s: f64) -> Timestamp {
    START + Span::from_nanos((at_s * 1e9).round() as i64)
}

const SERVER_STREAM: u64 = 1 << 32;
const AGREEMENT_STREAM: u64 = SERVER_STREAM + 1;
