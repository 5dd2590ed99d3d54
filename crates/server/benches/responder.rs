//! What the pure responder costs per request: plain, NTS with 1 and with 8 cookies, in batches of 1 and of 64.
//!
//! `cargo bench -p noonmark-server`. The best of many rounds is printed, in nanoseconds per request on one core; system calls are not in
//! it. `cargo xtask bench server` measures the whole server.

mod requests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use noonmark_nts::Aead;
use noonmark_os::random::RandomPool;
use noonmark_packet::{Header, ReferenceId};
use noonmark_server::{
    Batch, ClockState, Counter, Envelope, Policy, RateLimit, RateTable, Responder,
};
use noonmark_units::{Mono, Precision, Stratum, Timestamp};
use requests::{keys, request};

fn main() {
    let mut pool = RandomPool::new().expect("random octets");
    let mut random = move |out: &mut [u8]| pool.fill(out);
    println!("{:<44} {:>8} {:>8}", "ns per request, in a batch of", 1, 64);
    report("plain", &[Header::client(Timestamp::from_bits(77)).to_octets().to_vec()]);
    for (aead, name) in
        [(Aead::SivCmac256, "AES-SIV-CMAC-256"), (Aead::Aes128GcmSiv, "AES-128-GCM-SIV")]
    {
        for cookies in [1, 8] {
            let requests: Vec<_> =
                (0..64).map(|client| request(aead, cookies - 1, client, &mut random)).collect();
            report(&format!("NTS, {cookies} cookie(s), {name}"), &requests);
        }
    }
}

fn report(name: &str, requests: &[Vec<u8>]) {
    println!("{name:<44} {:>8.0} {:>8.0}", measure(requests, 1), measure(requests, 64));
}

/// Nanoseconds per request, the best of the rounds.
fn measure(requests: &[Vec<u8>], size: usize) -> f64 {
    let mut pool = RandomPool::new().expect("random octets");
    let rate = RateLimit { interval: Duration::from_millis(1), burst: 255, ..RateLimit::default() };
    let policy = Policy { rate: Some(RateTable::new(rate, [1, 2])), ..Policy::default() };
    let mut responder =
        Responder::new(Arc::new(policy), Box::new(move |out: &mut [u8]| pool.fill(out)));
    responder.set_cookie_keys(Some(Arc::new(keys())));
    let state = ClockState::local(Stratum::PRIMARY, ReferenceId(*b"BNCH"), Precision(-24));
    let mut batch = Batch::new();
    let mut best = Duration::MAX;
    let mut answered = 0;
    const TURNS: usize = 64;
    for round in 0..400_u32 {
        let mut spent = Duration::ZERO;
        for turn in 0..TURNS {
            batch.clear();
            for place in 0..size {
                let client = (round << 16 | (turn * 64 + place) as u32).to_be_bytes();
                let envelope = Envelope {
                    peer: (client, 50_123).into(),
                    received: Timestamp::from_bits(1 << 40),
                    group: false,
                    truncated: false,
                };
                batch.push(&requests[place % requests.len()], envelope);
            }
            let start = Instant::now();
            let mut time = 1 << 40;
            let mut clock = || {
                time += 1000;
                Timestamp::from_bits(time)
            };
            responder.respond(&mut batch, &state, &mut clock, Mono(u64::from(round) << 30));
            spent += start.elapsed();
            answered += batch.slots().iter().filter(|slot| slot.answer().is_some()).count() as u64;
        }
        best = best.min(spent);
    }
    let counters = responder.counters();
    let time = counters.get(Counter::AnsweredPlain) + counters.get(Counter::AnsweredNts);
    assert_eq!(
        (time, counters.get(Counter::Received)),
        (answered, answered),
        "every request gets time"
    );
    best.as_nanos() as f64 / (TURNS * size) as f64
}
