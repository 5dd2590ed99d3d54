//! A whole batch through a server's stages, and the client at the other end.

use noonmark_nts::{
    Aead, AnswerPlan, AnswerSealing, CookieFault, CookieKeys, Opening, Random, Request,
    RequestFault, RequestFields, Sealing, SessionKeys, Verification, classify, open_answer,
    open_request, open_requests, seal_answers, write_answer,
};
use noonmark_packet::{Header, KissCode, Packet, ReferenceId};

use crate::shape::{Shape, cookie_keys, counting, server_header, session};

struct Slot {
    datagram: Vec<u8>,
    fields: RequestFields,
    keys: SessionKeys,
    cookie: Result<(), CookieFault>,
    wanted: Result<usize, RequestFault>,
    plan: Option<AnswerPlan>,
}

impl Slot {
    fn new(datagram: Vec<u8>) -> Self {
        let Ok(Request::Protected(fields)) =
            classify(&Packet::parse(&datagram).expect("long enough"))
        else {
            panic!("a protected request")
        };
        let wanted = Err(RequestFault::Forged);
        Self { datagram, fields, keys: SessionKeys::blank(), cookie: Ok(()), wanted, plan: None }
    }
}

/// Answers every slot whose request is authentic, in the order a server works.
fn respond(slots: &mut [Slot], keys: &CookieKeys, random: &mut dyn Random) {
    keys.open_many(slots.iter_mut().map(|slot| Opening {
        cookie: slot.fields.cookie(&slot.datagram),
        keys: &mut slot.keys,
        result: &mut slot.cookie,
    }));
    open_requests(slots.iter_mut().filter(|slot| slot.cookie.is_ok()).map(|slot| Verification {
        datagram: &mut slot.datagram,
        fields: &slot.fields,
        keys: &slot.keys,
        result: &mut slot.wanted,
    }));
    for slot in slots.iter_mut() {
        if let Ok(wanted) = slot.wanted {
            slot.plan =
                AnswerPlan::new(&slot.fields, slot.keys.aead(), wanted, slot.datagram.len());
            slot.plan.expect("fits").lay_out(&mut slot.datagram, random);
        }
    }
    keys.issuer().expect("has its key").seal_many(slots.iter_mut().flat_map(|slot| {
        let Slot { datagram, keys, plan, .. } = slot;
        let places = plan.as_ref().map(|plan| plan.cookie_places(datagram));
        places.into_iter().flatten().map(|cookie| Sealing { keys, cookie })
    }));
    for slot in slots.iter_mut().filter(|slot| slot.plan.is_some()) {
        server_header().write(slot.datagram.first_chunk_mut().expect("long enough"));
    }
    seal_answers(slots.iter_mut().filter_map(|slot| {
        Some(AnswerSealing {
            datagram: &mut slot.datagram,
            plan: slot.plan.as_ref()?,
            keys: &slot.keys,
        })
    }));
}

#[test]
fn a_batch_of_64_is_answered_and_every_cookie_works_in_the_next() {
    let server = cookie_keys();
    let issuer = server.issuer().expect("has its key");
    let mut random = counting();
    let mut cookies: Vec<Vec<u8>> =
        (0..64).map(|n| issuer.seal(&session(Aead::ALL[n % 3]), &mut random)).collect();
    for round in 0..20 {
        let mut slots: Vec<_> = cookies
            .iter()
            .enumerate()
            .map(|(n, cookie)| {
                Slot::new(
                    Shape::request(&session(Aead::ALL[n % 3]), cookie, (n + round) % 5).octets(),
                )
            })
            .collect();
        respond(&mut slots, &server, &mut random);
        for (n, (slot, cookie)) in slots.iter_mut().zip(&mut cookies).enumerate() {
            let plan = slot.plan.expect("authentic");
            assert_eq!(plan.len(), slot.datagram.len(), "as long as its request");
            let unique: Vec<u8> = (0..32).collect();
            let answer =
                open_answer(&mut slot.datagram, &unique, &session(Aead::ALL[n % 3]).s2c_key())
                    .expect("authentic");
            assert_eq!(answer.packet.header(), server_header());
            assert_eq!(answer.cookies().count(), 1 + (n + round) % 5);
            let last = answer.cookies().last().expect("at least one");
            assert_ne!(last, cookie);
            *cookie = last.to_vec();
        }
    }
}

#[test]
fn one_bad_request_does_not_disturb_its_neighbours() {
    let server = cookie_keys();
    let keys = session(Aead::SivCmac256);
    let cookie = server.issuer().expect("has its key").seal(&keys, &mut counting());
    let mut slots: Vec<_> =
        (0..16).map(|_| Slot::new(Shape::request(&keys, &cookie, 1).octets())).collect();
    slots[3].datagram[90] ^= 1; // in the cookie: 48 + 36 + 4 octets come before it
    let end = slots[9].datagram.len();
    slots[9].datagram[end - 1] ^= 1; // in the tag
    respond(&mut slots, &server, &mut counting());
    for (n, slot) in slots.iter().enumerate() {
        match n {
            3 => assert!(slot.cookie.is_err() && slot.plan.is_none()),
            9 => assert_eq!((slot.wanted, slot.plan), (Err(RequestFault::Forged), None)),
            _ => assert_eq!(
                (slot.wanted, slot.plan.map(|plan| plan.cookies())),
                (Ok(2), Some(2)),
                "{n}"
            ),
        }
    }
}

#[test]
fn one_request_is_answered_in_one_call_and_a_kiss_is_authentic_too() {
    let server = cookie_keys();
    let issuer = server.issuer().expect("has its key");
    let mut random = counting();
    for aead in Aead::ALL {
        let keys = session(aead);
        let cookie = issuer.seal(&keys, &mut random);
        let kiss = Header { stratum: 0, reference_id: ReferenceId(*b"RATE"), ..server_header() };
        for (header, wanted, code) in [(server_header(), 3, None), (kiss, 1, Some(KissCode::RATE))]
        {
            let mut datagram = Shape::request(&keys, &cookie, 2).octets();
            let Ok(Request::Protected(fields)) =
                classify(&Packet::parse(&datagram).expect("long enough"))
            else {
                panic!("a protected request")
            };
            assert_eq!(open_request(&mut datagram, &fields, &keys), Ok(3));
            let len =
                write_answer(&mut datagram, &fields, &keys, wanted, &header, issuer, &mut random)
                    .expect("fits");
            assert!(len <= datagram.len());
            let unique: Vec<u8> = (0..32).collect();
            let answer =
                open_answer(&mut datagram[..len], &unique, &keys.s2c_key()).expect("authentic");
            assert_eq!((answer.packet.kiss(), answer.cookies().count()), (code, wanted));
            assert!(answer.cookies().all(|cookie| server.open(cookie).is_ok()));
        }
    }
}
