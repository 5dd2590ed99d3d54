//! Interleaved mode (IL-*): RFC 9769 lets a server leave it out, and then it must answer as in basic mode.

use std::collections::HashSet;

use super::wire::plain;
use super::{Bench, Judgement, Needs, Probe, Turn, at, probe};
use crate::octets::header::Header;
use crate::server::answer::Answer;
use crate::server::bench::random_number;
use crate::server::judgement::{Objection, ensure};

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    at(Turn::Last, probe("IL-01", Needs::Plain, "all requests of this run", "answers whose transmit is not their receive", never_equal)),
    probe("IL-02", Needs::Plain, "requests whose origin is no receive time of the server, or whose receive is their transmit", "basic answers", only_to_known),
    probe("IL-03", Needs::Plain, "a request whose origin is the receive time of the last answer", "an interleaved answer holds that answer's transmit time, about", true_transmit),
    probe("IL-04", Needs::Plain, "the same interleaved request twice", "one interleaved answer at most", once),
    probe("IL-05", Needs::Plain, "requests with origin zero and with an unknown origin", "basic answers", otherwise_basic),
    probe("IL-07", Needs::Plain, "an interleaved request from another port", "an interleaved answer, if the server has them", any_port),
    at(Turn::Last, probe("IL-08", Needs::Plain, "all requests of this run", "no receive time twice", unique_times)),
    at(Turn::Last, probe("IL-14", Needs::Plain, "all requests of this run", "no reference time that is a receive time", not_leaked)),
    probe("IL-16", Needs::Nts, "an interleaved request under NTS", "an interleaved answer, if the server has them, and an authentic one in any case", under_nts),
];

/// What an answer is, by its origin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Basic,
    Interleaved,
    Neither,
}

fn kind(request: &Header, answer: &Answer) -> Kind {
    match answer.header.origin {
        origin if origin == request.transmit => Kind::Basic,
        origin if origin == request.receive => Kind::Interleaved,
        _ => Kind::Neither,
    }
}

/// A request that asks for an interleaved answer to follow this one.
fn after(answer: &Answer) -> Header {
    Header {
        origin: answer.header.receive,
        receive: random_number(),
        ..Header::request(random_number())
    }
}

/// An ordinary exchange, then requests for interleaved answers from the same port, until one comes or several did not: a server may
/// remember only when answers to such requests left.
fn pair(bench: &mut Bench<'_>) -> Result<(Answer, Header, Answer), Objection> {
    let socket = bench.port()?;
    let to = bench.target.ntp;
    let mut first = None;
    let mut last = None;
    for _ in 0..5 {
        let Some(before) = first.take() else {
            first = bench.ask_from(&socket, to, &plain(), "an ordinary request")?;
            continue;
        };
        let request = after(&before);
        let answer = bench.ask_from(&socket, to, &request.octets(), "an interleaved request")?;
        let Some(second) = answer else { continue };
        if kind(&request, &second) == Kind::Interleaved {
            return Ok((before, request, second));
        }
        first = Some(second.clone());
        last = Some((before, request, second));
    }
    if let Some(last) = last {
        return Ok(last);
    }
    bench.control()?;
    Err(Objection::fails("interleaved requests get silence"))
}

fn basic_only() -> Objection {
    Objection::unbound("the server answers in basic mode only, as it may")
}

fn only_to_known(bench: &mut Bench<'_>) -> Judgement {
    let socket = bench.port()?;
    let to = bench.target.ntp;
    let Some(first) = bench.ask_from(&socket, to, &plain(), "an ordinary request")? else {
        return Err(Objection::unclear("no answer"));
    };
    let same = random_number();
    for (request, meaning) in [
        (
            Header { origin: first.header.receive, receive: same, ..Header::request(same) },
            "receive is transmit",
        ),
        (
            Header {
                origin: random_number(),
                receive: random_number(),
                ..Header::request(random_number())
            },
            "an unknown origin",
        ),
        (
            Header {
                origin: first.header.transmit,
                receive: random_number(),
                ..Header::request(random_number())
            },
            "origin is the last transmit",
        ),
    ] {
        let Some(answer) = bench.ask_from(&socket, to, &request.octets(), meaning)? else {
            continue;
        };
        let interleaved =
            answer.header.origin == request.receive && request.receive != request.transmit;
        ensure(!interleaved, || format!("{meaning}: origin {:016x}", answer.header.origin))?;
    }
    Ok("all answers were basic".to_owned())
}

fn otherwise_basic(bench: &mut Bench<'_>) -> Judgement {
    for (request, meaning) in [
        (Header { receive: random_number(), ..Header::request(random_number()) }, "origin zero"),
        (
            Header {
                origin: random_number(),
                receive: random_number(),
                ..Header::request(random_number())
            },
            "an unknown origin",
        ),
        (
            Header { origin: random_number(), ..Header::request(random_number()) },
            "an unknown origin, receive zero",
        ),
    ] {
        let answer = bench.ask(&request.octets(), meaning)?;
        ensure(kind(&request, &answer) != Kind::Interleaved, || {
            format!("{meaning}: origin {:016x}", answer.header.origin)
        })?;
    }
    Ok("all answers were basic".to_owned())
}

fn true_transmit(bench: &mut Bench<'_>) -> Judgement {
    let (first, request, second) = pair(bench)?;
    match kind(&request, &second) {
        Kind::Basic => Err(basic_only()),
        Kind::Neither => Err(Objection::unclear(format!(
            "origin {:016x} is neither (WS-04)",
            second.header.origin
        ))),
        Kind::Interleaved => {
            // The time at which the first answer left is a little after the one written into it.
            let later = second.header.transmit.wrapping_sub(first.header.transmit).cast_signed();
            let later_s = later as f64 / 2_f64.powi(32);
            ensure((-0.001..0.1).contains(&later_s), || {
                format!("the first answer left {later_s:.6} s after the time in it")
            })?;
            Ok(format!("the first answer left {:.1} µs after the time in it", later_s * 1e6))
        }
    }
}

fn once(bench: &mut Bench<'_>) -> Judgement {
    let socket = bench.port()?;
    let to = bench.target.ntp;
    let (first, request, second) = pair(bench)?;
    if kind(&request, &second) != Kind::Interleaved {
        return Err(basic_only());
    }
    let again = Header { transmit: random_number(), receive: random_number(), ..after(&first) };
    let third = bench.ask_from(&socket, to, &again.octets(), "the same origin again")?;
    let twice = third.is_some_and(|third| kind(&again, &third) == Kind::Interleaved);
    ensure(!twice, || "a receive time serves two interleaved answers".to_owned())?;
    Ok("the second was basic".to_owned())
}

fn any_port(bench: &mut Bench<'_>) -> Judgement {
    let (_, request, second) = pair(bench)?;
    if kind(&request, &second) != Kind::Interleaved {
        return Err(basic_only());
    }
    let request = after(&second);
    let second = bench.ask(&request.octets(), "an interleaved request from another port")?;
    ensure(kind(&request, &second) == Kind::Interleaved, || {
        "another port gets a basic answer".to_owned()
    })?;
    Ok("the port does not matter".to_owned())
}

/// Headers of all answers in mode 4 that gave time.
fn times(bench: &Bench<'_>) -> Vec<(Header, Header)> {
    let pairs = bench.history.iter().flat_map(|exchange| {
        exchange
            .got
            .iter()
            .filter_map(|(_, octets)| Some((Header::read(&exchange.sent)?, Header::read(octets)?)))
    });
    pairs.filter(|(_, answer)| answer.mode == 4 && answer.gives_time()).collect()
}

fn never_equal(bench: &mut Bench<'_>) -> Judgement {
    let answers = times(bench);
    for (_, answer) in &answers {
        ensure(answer.receive != answer.transmit, || {
            format!("receive and transmit are {:016x}", answer.receive)
        })?;
    }
    Ok(format!("receive and transmit differ in {} answers", answers.len()))
}

fn unique_times(bench: &mut Bench<'_>) -> Judgement {
    let answers = times(bench);
    let mut seen = HashSet::new();
    for (_, answer) in &answers {
        ensure(seen.insert(answer.receive), || {
            format!("receive time {:016x} comes twice", answer.receive)
        })?;
    }
    Ok(format!("{} receive times, all different", answers.len()))
}

fn not_leaked(bench: &mut Bench<'_>) -> Judgement {
    let answers = times(bench);
    let received: HashSet<u64> = answers.iter().map(|(_, answer)| answer.receive).collect();
    for (_, answer) in &answers {
        ensure(!received.contains(&answer.reference), || {
            format!("reference time {:016x} is a receive time", answer.reference)
        })?;
    }
    Ok(format!("no reference time of {} answers is a receive time", answers.len()))
}

fn under_nts(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    let mut first = bench.nts_time(&session, &session.request(0), "a request under NTS")?;
    let mut last = (Header::default(), first.clone());
    for _ in 0..3 {
        let header = after(&first);
        let request = session.request_with(|draft| draft.header = header.octets());
        let second = bench.nts_time(&session, &request, "an interleaved request under NTS")?;
        session.open(&second)?;
        last = (header, second.clone());
        if kind(&header, &second) == Kind::Interleaved {
            break;
        }
        first = second;
    }
    let (header, second) = last;
    match kind(&header, &second) {
        Kind::Interleaved => Ok("an authentic interleaved answer".to_owned()),
        Kind::Basic => Err(basic_only()),
        Kind::Neither => Err(Objection::unclear(format!(
            "origin {:016x} is neither (WS-04)",
            second.header.origin
        ))),
    }
}
