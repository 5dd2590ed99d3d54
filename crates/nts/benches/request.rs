//! What one authenticated request costs a server in cryptography, stage by stage, in batches of 64: nanoseconds per request.
//!
//! `cargo bench -p noonmark-nts`. Key set-up and wiping are included; sockets, clock and header are not.

use std::hint::black_box;
use std::time::{Duration, Instant};

use noonmark_nts::{
    Aead, AnswerPlan, AnswerSealing, CookieFault, CookieKey, CookieKeys, Opening, Random, Request,
    RequestFault, RequestFields, Sealing, SessionKeys, Verification, classify, open_requests,
    seal_answers, write_request,
};
use noonmark_packet::{Header, Packet};
use noonmark_units::Timestamp;

struct Slot {
    datagram: [u8; 1500],
    len: usize,
    fields: Option<RequestFields>,
    keys: SessionKeys,
    cookie: Result<(), CookieFault>,
    wanted: Result<usize, RequestFault>,
    plan: Option<AnswerPlan>,
}

const BATCH: usize = 64;
const STAGES: [&str; 6] = ["classify", "open cookies", "verify", "lay out", "make cookies", "seal"];

fn main() {
    println!("{:<18} {:>8}  {}", "", "ns/req", STAGES.map(|stage| format!("{stage:>13}")).concat());
    for aead in [Aead::SivCmac256, Aead::Aes128GcmSiv, Aead::SivCmac512] {
        for cookies in [1, 2, if aead == Aead::SivCmac512 { 6 } else { 8 }] {
            for batch in [1, BATCH] {
                let stages = measure(aead, cookies, batch)
                    .map(|stage| stage.as_secs_f64() * 1e9 / batch as f64);
                let total: f64 = stages.iter().sum();
                let stages = stages.map(|stage| format!("{stage:>13.0}")).concat();
                println!("{:>5} x{cookies} batch {batch:<3} {total:>8.0}  {stages}", aead.id());
            }
        }
    }
}

/// The shortest each stage ever took for a whole batch: what the machine does when nobody disturbs it.
fn measure(aead: Aead, cookies: usize, batch: usize) -> [Duration; 6] {
    let mut random = fast_random();
    let server = CookieKeys::new(&[CookieKey::new(0, [7; 32])], 0);
    let issuer = server.issuer().expect("has its key");
    let requests: Vec<([u8; 1500], usize)> = (0..batch)
        .map(|_| {
            let mut material = vec![0; 2 * aead.key_len()];
            random.fill(&mut material);
            let (c2s, s2c) = material.split_at(aead.key_len());
            let keys = SessionKeys::new(aead, c2s, s2c).expect("right length");
            let cookie = issuer.seal(&keys, &mut random);
            let mut unique = [0; 32];
            random.fill(&mut unique);
            let mut buffer = [0; 1500];
            let header = Header::client(Timestamp::from_bits(1));
            let nonce = &unique[..aead.nonce_len()];
            let len = write_request(
                &mut buffer,
                &header,
                &unique,
                &cookie,
                cookies - 1,
                &keys.c2s_key(),
                nonce,
            );
            (buffer, len.expect("fits"))
        })
        .collect();
    let mut slots: Vec<Slot> = requests
        .iter()
        .map(|&(datagram, len)| {
            let (wanted, keys) = (Err(RequestFault::Forged), SessionKeys::blank());
            Slot { datagram, len, fields: None, keys, cookie: Ok(()), wanted, plan: None }
        })
        .collect();
    let mut best = [Duration::MAX; 6];
    for _ in 0..2000 {
        for (slot, request) in slots.iter_mut().zip(&requests) {
            slot.datagram = request.0;
        }
        let mut mark = Instant::now();
        let mut lap = |stage: usize| {
            let now = Instant::now();
            best[stage] = best[stage].min(now - mark);
            mark = now;
        };
        for slot in &mut slots {
            let packet = Packet::parse(&slot.datagram[..slot.len]).expect("long enough");
            let Ok(Request::Protected(fields)) = classify(&packet) else {
                panic!("a protected request")
            };
            slot.fields = Some(fields);
        }
        lap(0);
        server.open_many(slots.iter_mut().filter_map(|slot| {
            let Slot { datagram, fields: Some(fields), keys, cookie, .. } = slot else {
                return None;
            };
            Some(Opening { cookie: fields.cookie(datagram), keys, result: cookie })
        }));
        lap(1);
        open_requests(slots.iter_mut().filter_map(|slot| {
            let Slot { datagram, len, fields: Some(fields), keys, cookie: Ok(()), wanted, .. } =
                slot
            else {
                return None;
            };
            Some(Verification { datagram: &mut datagram[..*len], fields, keys, result: wanted })
        }));
        lap(2);
        for slot in &mut slots {
            let wanted = slot.wanted.expect("authentic");
            let fields = slot.fields.expect("classified");
            let plan = AnswerPlan::new(&fields, slot.keys.aead(), wanted, slot.len).expect("fits");
            plan.lay_out(&mut slot.datagram, &mut random);
            slot.plan = Some(plan);
        }
        lap(3);
        issuer.seal_many(slots.iter_mut().flat_map(|slot| {
            let Slot { datagram, keys, plan, .. } = slot;
            let places = plan.as_ref().map(|plan| plan.cookie_places(datagram));
            places.into_iter().flatten().map(|cookie| Sealing { keys, cookie })
        }));
        lap(4);
        seal_answers(slots.iter_mut().filter_map(|slot| {
            Some(AnswerSealing {
                datagram: &mut slot.datagram,
                plan: slot.plan.as_ref()?,
                keys: &slot.keys,
            })
        }));
        lap(5);
        black_box(&mut slots);
    }
    best
}

/// Stands in for a pool of random octets; as cheap as one should be.
fn fast_random() -> impl Random {
    let mut state = 1_u64;
    move |out: &mut [u8]| {
        for chunk in out.chunks_mut(8) {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let word = (state ^ (state >> 29)).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
