//! Kisses: their shape, their number, whom they reach (KD-*).

use std::time::Duration;

use noonmark_conformance::check::Check;

use super::lab::{CLIENT, DENIED, NtpLab, Outcome, Session, ensure, shown};
use super::octets::{Answer, Cipher, plain, plain_with, unique};
use crate::Lab;

pub const CHECKS: &[Check<Lab>] = &[
    Check { ids: &["KD-11"], name: "a_kiss_has_the_shape_of_one", run: shape },
    Check { ids: &["KD-12"], name: "kisses_are_few_and_short", run: few_and_short },
    Check { ids: &["KD-13"], name: "a_flood_in_a_clients_name_leaves_it_served", run: flood },
];

fn shape(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::strict(lab, 3);
    let session = Session::new(&lab, Cipher::Siv256);
    let mut forged = session.request(0);
    forged[120] ^= 1;
    let mut seen = Vec::new();
    let mut look = |answer: Option<Answer>| {
        let Some(answer) = answer.filter(|answer| !answer.is_time()) else {
            return Ok::<(), String>(());
        };
        let code = answer.reference_id();
        let ascii = code[..3].iter().all(u8::is_ascii_uppercase)
            && (code[3].is_ascii_uppercase() || code[3] == 0);
        ensure((answer.stratum(), answer.leap()) == (0, 3) && ascii, || {
            format!("no kiss: {}", shown(&answer.octets))
        })?;
        seen.push(code);
        Ok(())
    };
    look(lab.ask(&forged))?;
    look(lab.ask_as(&session.request(0), DENIED))?;
    for _ in 0..6 {
        look(lab.ask_as(&plain_with(&unique(32)), "203.0.113.3:123"))?;
        look(lab.ask_as(&session.request(0), "203.0.113.4:123"))?;
    }
    seen.sort_unstable();
    seen.dedup();
    ensure(seen.len() >= 3, || format!("only kisses {seen:02x?}"))
}

fn few_and_short(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::strict(lab, 3);
    let requests = lab.many(200, 1000, 100_000);
    for request in [plain(), plain_with(&unique(32))] {
        let mut kisses = 0;
        for _ in 0..requests {
            lab.pass(Duration::from_millis(10));
            let Some(answer) = lab.ask(&request) else { continue };
            ensure(answer.octets.len() <= request.len(), || {
                format!("{} for {}", shown(&answer.octets), shown(&request))
            })?;
            kisses += usize::from(answer.kiss().is_some());
        }
        // Fewer than one for each interval of a second.
        let most = requests / 100 / 2 + 2;
        ensure(kisses <= most, || format!("{kisses} kisses for {requests} requests"))?;
    }
    lab.control()
}

fn flood(lab: &mut Lab) -> Outcome {
    let mut lab = NtpLab::strict(lab, 4);
    let session = Session::new(&lab, Cipher::Siv256);
    let request = session.request(0);
    let mut forged = request.clone();
    forged[120] ^= 1;
    for _ in 0..lab.many(3, 30, 300) {
        for number in 0..lab.many(50, 1000, 1000) {
            let datagram = if number % 10 == 0 { forged.clone() } else { plain() };
            lab.ask_as(&datagram, CLIENT);
        }
        let answer = lab.time_for(&request)?;
        ensure(session.open(&answer).is_ok(), || "not an authentic answer".to_owned())?;
        lab.pass(Duration::from_secs(1));
    }
    lab.control()
}
