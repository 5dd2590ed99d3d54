//! What the pure responder does for one batch, to be counted in instructions and not in time: `cargo xtask bench instructions` runs this
//! under callgrind, which collects only while [`counted_section`] runs and writes a file each time that it returns.
//!
//! Every case is one such call, after one before it that nobody counts, with seeds that never change: on the same machine with the same
//! toolchain the count is the same to the last instruction. The names of the cases are printed in the order of the calls, each with the
//! datagrams of its batch.

mod requests;

use std::sync::Arc;
use std::time::Duration;

use noonmark_nts::{Aead, Random};
use noonmark_packet::{Header, ReferenceId};
use noonmark_server::{
    AccessRules, Action, Batch, ClockState, Counter, Envelope, Load, Policy, Pressure, RateLimit,
    RateTable, Responder, Shedding,
};
use noonmark_units::{Mono, Precision, Stratum, Timestamp};
use requests::{keys, request};

fn main() {
    for case in cases() {
        for size in [1, 64] {
            case.run(size);
            println!("{size} {}", case.name);
        }
    }
}

/// A way of asking, and what becomes of it.
struct Case {
    name: &'static str,
    /// One of each client.
    requests: Vec<Vec<u8>>,
    fate: Counter,
    /// What the operator decided.
    policy: fn() -> Policy,
    /// For how long the server has not kept up.
    overloaded: Duration,
}

fn cases() -> Vec<Case> {
    let mut random = counting(7);
    let mut all = |aead, cookies: usize| -> Vec<Vec<u8>> {
        (0..64).map(|client| request(aead, cookies - 1, client, &mut random)).collect()
    };
    let siv = all(Aead::SivCmac256, 1);
    let siv_8 = all(Aead::SivCmac256, 8);
    let siv_512 = all(Aead::SivCmac512, 1);
    let gcm = all(Aead::Aes128GcmSiv, 1);
    let gcm_8 = all(Aead::Aes128GcmSiv, 8);
    let plain = vec![Header::client(Timestamp::from_bits(77)).to_octets().to_vec()];
    let changed = |requests: &[Vec<u8>], change: fn(&mut Vec<u8>)| {
        let mut requests = requests.to_vec();
        requests.iter_mut().for_each(change);
        requests
    };
    // The authenticator is the last field, its tag behind the nonce in it: the last octet is part of what is authenticated.
    let forged = changed(&siv, |request| {
        if let Some(last) = request.last_mut() {
            *last ^= 1;
        }
    });
    // 48 octets of header, 36 of unique identifier, 4 of the cookie's own header: its first octets name the key.
    let outdated = changed(&siv, |request| request[COOKIE_AT..COOKIE_AT + 4].fill(0xee));
    let short = changed(&plain, |request| request.truncate(47));
    let control = changed(&plain, |request| request[0] = 4 << 3 | 6);
    let answered = |name, requests: &[Vec<u8>], fate| Case {
        name,
        requests: requests.to_vec(),
        fate,
        policy: unlimited,
        overloaded: Duration::ZERO,
    };
    let refused = |name, requests: &[Vec<u8>], fate, policy| Case {
        name,
        requests: requests.to_vec(),
        fate,
        policy,
        overloaded: Duration::ZERO,
    };
    let shed = |name, requests: &[Vec<u8>], fate| Case {
        name,
        requests: requests.to_vec(),
        fate,
        policy: unlimited,
        overloaded: Duration::from_millis(500),
    };
    vec![
        answered("plain", &plain, Counter::AnsweredPlain),
        answered("AEAD 15, 1 cookie", &siv, Counter::AnsweredNts),
        answered("AEAD 15, 8 cookies", &siv_8, Counter::AnsweredNts),
        answered("AEAD 17, 1 cookie", &siv_512, Counter::AnsweredNts),
        answered("AEAD 30, 1 cookie", &gcm, Counter::AnsweredNts),
        answered("AEAD 30, 8 cookies", &gcm_8, Counter::AnsweredNts),
        answered("NTSN: forged", &forged, Counter::KissNtsn),
        answered("NTSN: unknown cookie key", &outdated, Counter::KissNtsn),
        answered("silence: too short", &short, Counter::DroppedShort),
        answered("handed on: control", &control, Counter::HandedControl),
        refused("silence: prefix ignored", &siv, Counter::DroppedIgnored, ignoring),
        refused("kiss DENY, AEAD 15", &siv, Counter::KissDenyAuthentic, denying),
        refused("silence: over the limit, plain", &plain, Counter::DroppedLimited, spent),
        refused("silence: over the limit, AEAD 15", &siv, Counter::DroppedLimitedAuthentic, spent),
        shed("overload: plain", &plain, Counter::ShedPlain),
        shed("overload: unknown cookie key", &outdated, Counter::ShedForged),
        shed("overload: over the prefix's share, AEAD 15", &siv, Counter::ShedAuthentic),
    ]
}

const COOKIE_AT: usize = 48 + 36 + 4;

/// A limit that nobody reaches.
fn unlimited() -> Policy {
    limited(RateLimit { interval: Duration::from_millis(1), burst: 255, leak: 4, ..small() })
}

/// Everybody has had all there is, once the first batch is answered.
fn spent() -> Policy {
    limited(RateLimit { interval: Duration::from_secs(4000), burst: 1, leak: 0, ..small() })
}

fn ignoring() -> Policy {
    Policy { access: AccessRules::new([], Action::Ignore), ..unlimited() }
}

fn denying() -> Policy {
    Policy { access: AccessRules::new([], Action::Deny), ..unlimited() }
}

fn limited(rate: RateLimit) -> Policy {
    let shedding = Shedding::new(vec![], [1, 2]);
    Policy { rate: Some(RateTable::new(rate, [1, 2])), shedding, ..Policy::default() }
}

fn small() -> RateLimit {
    RateLimit { table_size: 1 << 12, ..RateLimit::default() }
}

impl Case {
    /// Batches until what the case is about happens to all of one, and then one that is counted.
    fn run(&self, size: usize) {
        let mut responder = Responder::new(Arc::new((self.policy)()), Box::new(counting(3)));
        responder.set_cookie_keys(Some(Arc::new(keys())));
        responder.set_pressure(pressure(self.overloaded));
        let state = ClockState::local(Stratum::PRIMARY, ReferenceId(*b"BNCH"), Precision(-24));
        let mut batch = Batch::new();
        let mut now = Mono(1 << 40);
        let mut received = Timestamp::from_bits(1 << 40);
        for turn in 0..=WARM_UP {
            batch.clear();
            for place in 0..size {
                let peer = ([10, 0, 0, place as u8], 50_123).into();
                let envelope = Envelope { peer, received, group: false, truncated: false };
                batch.push(&self.requests[place % self.requests.len()], envelope);
            }
            let before = responder.counters().get(self.fate);
            if turn < WARM_UP {
                section(&mut responder, &mut batch, &state, received, now);
            } else {
                counted_section(&mut responder, &mut batch, &state, received, now);
                let met = responder.counters().get(self.fate) - before;
                assert_eq!(met, size as u64, "{}: another fate", self.name);
            }
            now = Mono(now.0 + 10_000_000);
            received = Timestamp::from_bits(received.to_bits() + (1 << 25));
        }
    }
}

/// Batches before the one that counts: kisses to who is over the limit and the share of a prefix are spent by then, too.
const WARM_UP: usize = 16;

/// What a thread sheds that has not found its sockets empty for so long.
fn pressure(overloaded: Duration) -> Pressure {
    let mut load = Load::new();
    let mut now = Mono(1 << 40);
    load.look(now);
    let end = now + overloaded;
    while now < end {
        now = Mono(now.0 + 500_000);
        load.worked(64, 64);
        load.look(now);
    }
    load.pressure()
}

/// What is counted. callgrind knows it by its name.
#[inline(never)]
fn counted_section(
    responder: &mut Responder,
    batch: &mut Batch,
    state: &ClockState,
    time: Timestamp,
    now: Mono,
) {
    section(responder, batch, state, time, now);
}

#[inline(never)]
fn section(
    responder: &mut Responder,
    batch: &mut Batch,
    state: &ClockState,
    time: Timestamp,
    now: Mono,
) {
    let mut bits = time.to_bits();
    let mut clock = || {
        bits += 1000;
        Timestamp::from_bits(bits)
    };
    responder.respond(batch, state, &mut clock, now);
}

/// Octets that differ from call to call and are the same in every run (SplitMix64).
fn counting(seed: u64) -> impl Random + Send {
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
