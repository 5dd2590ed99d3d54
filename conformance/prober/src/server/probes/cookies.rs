//! What cookies are worth, and what those are told whose cookies are worth nothing (NS-06, NS-14 to NS-16, NS-23, NS-25, NS-30).

use super::{Bench, Judgement, Needs, Probe, probe};
use crate::octets::field::{AUTHENTICATOR, COOKIE, Field, PLACEHOLDER, UNIQUE, cut};
use crate::octets::header::Header;
use crate::server::answer::{Answer, shown};
use crate::server::judgement::{Objection, ensure};
use crate::server::session::Session;

/// The probes.
#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("NS-06", Needs::Nts, "a chain of requests, each with a cookie from an answer before", "time for each", chain),
    probe("NS-14", Needs::Nts, "cookies and tags that are wrong in seven ways", "the kiss NTSN", ntsn),
    probe("NS-15", Needs::Nts, "the same", "NTSN without cookie and authenticator", ntsn_is_bare),
    probe("NS-16", Needs::Nts, "the same", "NTSN with the request's identifier and origin, leap 3", ntsn_echoes),
    probe("NS-23", Needs::Nts, "the same request five times", "time each time, or a limit", replays),
    probe("NS-25", Needs::Nts, "requests for cookies", "cookies that share no more octets than chance gives, but the key's id", unlinkable),
    probe("NS-30", Needs::Nts, "as many placeholders as a datagram holds", "eight cookies at most", eight_cookies),
];

/// The cookies of an answer, wherever in it they stand.
fn cookies_of(session: &Session, answer: &Answer) -> Result<Vec<Vec<u8>>, Objection> {
    Ok(session.open(answer)?.all(COOKIE).into_iter().map(|field| field.body).collect())
}

fn chain(bench: &mut Bench<'_>) -> Judgement {
    let rounds = if bench.manner.deep { 1000 } else { 10 };
    let mut spent = 0;
    for first in bench.sessions()? {
        let mut session = first.clone();
        let answer = bench.nts_time(&session, &session.request(3), "three placeholders")?;
        let mut jar = cookies_of(&session, &answer)?;
        for _ in 0..rounds {
            if jar.is_empty() {
                return Err(Objection::fails("an answer without cookies"));
            }
            // All cookies of an answer get their turn.
            session.cookie = jar.remove(0);
            let request = session.request(usize::from(jar.len() < 3));
            let answer = bench.ask_nts(&session, &request, "a cookie from an answer")?;
            let Some(answer) = answer.filter(|answer| answer.has(AUTHENTICATOR)) else {
                bench.nts_control(&first)?;
                return Err(Objection::fails(format!(
                    "cookie {spent} from an answer is not taken"
                )));
            };
            jar.append(&mut cookies_of(&session, &answer)?);
            spent += 1;
        }
    }
    Ok(format!("{spent} cookies from answers were taken"))
}

/// Requests whose cookie or tag is not good, and why; the identifier is in order.
fn bad_requests(session: &Session) -> Vec<(Vec<u8>, String)> {
    let with_cookie = |change: fn(&mut Vec<u8>)| {
        let mut session = session.clone();
        change(&mut session.cookie);
        session.request(0)
    };
    let mut wrong_keys = session.clone();
    wrong_keys.keys.c2s.clone_from(&session.keys.s2c);
    let mut wrong_tag = session.request(1);
    if let Some(last) = wrong_tag.last_mut() {
        *last ^= 0x80;
    }
    [
        (with_cookie(|cookie| cookie[0] ^= 0x40), "the cookie's first octet changed"),
        (with_cookie(|cookie| cookie[10] ^= 1), "its eleventh octet changed"),
        (
            with_cookie(|cookie| cookie.iter_mut().rev().take(1).for_each(|octet| *octet ^= 1)),
            "its last octet changed",
        ),
        (with_cookie(|cookie| cookie.truncate(cookie.len() - 4)), "a cookie four octets short"),
        (with_cookie(|cookie| cookie.fill(0x5a)), "a cookie of nothing but 5a"),
        (wrong_keys.request(0), "another client key"),
        (wrong_tag, "the packet's tag changed"),
    ]
    .map(|(request, meaning)| (request, meaning.to_owned()))
    .to_vec()
}

/// A bad request, why it is one, and what was answered.
type Bad = (Vec<u8>, String, Option<Answer>);

/// What is answered to those.
fn bad_answers(bench: &mut Bench<'_>) -> Result<Vec<Bad>, Objection> {
    let mut found = Vec::new();
    for session in bench.sessions()? {
        let requests = bad_requests(&session);
        let answers = bench.nts_silence(&session, &requests)?;
        for ((request, meaning), answer) in requests.into_iter().zip(answers) {
            found.push((request, format!("{meaning}, AEAD {}", session.aead()), answer));
        }
    }
    Ok(found)
}

fn ntsn(bench: &mut Bench<'_>) -> Judgement {
    let answers = bad_answers(bench)?;
    let silent = answers.iter().filter(|(_, _, answer)| answer.is_none()).count();
    for (_, meaning, answer) in &answers {
        let Some(answer) = answer else { continue };
        ensure(answer.is_ntsn(), || format!("{meaning}: {}", answer.shown()))?;
    }
    if silent == answers.len() {
        // Known of NTPsec; the RFC says SHOULD, and clients have to come to terms with it.
        return Err(Objection::deviates("bad cookies and bad tags get silence, all of them"));
    }
    for (_, meaning, answer) in &answers {
        ensure(answer.is_some(), || format!("{meaning}: silence, while others get NTSN"))?;
    }
    Ok(format!("{} bad requests got NTSN", answers.len()))
}

/// Every NTSN must be as `holds` says.
fn each_ntsn(bench: &mut Bench<'_>, holds: fn(&[u8], &Answer) -> bool, ok: &str) -> Judgement {
    let mut seen = 0;
    for (request, meaning, answer) in bad_answers(bench)? {
        let Some(answer) = answer.filter(Answer::is_ntsn) else { continue };
        seen += 1;
        ensure(holds(&request, &answer), || format!("{meaning}: {}", answer.shown()))?;
    }
    if seen == 0 {
        return Err(Objection::unbound("NTSN is never sent"));
    }
    Ok(format!("{seen} NTSN {ok}"))
}

fn ntsn_is_bare(bench: &mut Bench<'_>) -> Judgement {
    each_ntsn(bench, |_, answer| !answer.is_nts(), "had neither cookie nor authenticator")
}

fn ntsn_echoes(bench: &mut Bench<'_>) -> Judgement {
    let holds = |request: &[u8], answer: &Answer| {
        let asked = cut(&request[48..]).0;
        let unique: Vec<_> = asked.iter().filter(|field| field.kind == UNIQUE).collect();
        let origin = Header::read(request).unwrap_or_default().transmit;
        answer.of_kind(UNIQUE) == unique && answer.header.origin == origin
    };
    let says = each_ntsn(bench, holds, "belonged to their requests")?;
    // The leap of a kiss is not in RFC 8915; RFC 5905 figure 12 has 3.
    let leap_0 = bench.history.iter().flat_map(|exchange| &exchange.got).any(|(_, octets)| {
        let answer = Answer::read(octets);
        answer.is_ntsn() && answer.header.leap != 3
    });
    if leap_0 {
        return Err(Objection::deviates(format!("{says}, with a leap other than 3")));
    }
    Ok(says)
}

fn replays(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    bench.nts_control(&session)?;
    let request = session.request(1);
    let rounds = if bench.manner.deep { 200 } else { 5 };
    let mut cookies = 0;
    for _ in 0..rounds {
        let answer = bench.ask_nts(&session, &request, "the same request again")?;
        let Some(answer) = answer else { continue };
        let kiss = answer.header.kiss();
        ensure(kiss.is_none() || kiss == Some(*b"RATE"), || {
            format!("a replay: {}", answer.shown())
        })?;
        cookies += 1;
    }
    bench.nts_control(&session)?;
    ensure(cookies > 0, || "a request that was answered once is not answered again".to_owned())?;
    Ok(format!("{cookies} of {rounds} replays were answered; memory is not seen from here"))
}

fn unlinkable(bench: &mut Bench<'_>) -> Judgement {
    let wanted = if bench.manner.deep { 512 } else { 48 };
    let mut count = 0;
    for session in bench.sessions()? {
        let mut cookies = session.cookies.clone();
        while cookies.len() < wanted {
            let answer = bench.nts_time(&session, &session.request(4), "four placeholders")?;
            let new = cookies_of(&session, &answer)?;
            ensure(!new.is_empty(), || "an answer without cookies".to_owned())?;
            cookies.extend(new);
        }
        cookies.truncate(wanted);
        let len = cookies.iter().map(Vec::len).min().unwrap_or(0);
        let pairs = wanted * (wanted - 1) / 2;
        // By chance two cookies agree in an octet once in 256. What tells the key, and a length, agrees always: a few octets.
        let mut same = Vec::new();
        for at in 0..len {
            let mut counts = [0_usize; 256];
            cookies.iter().for_each(|cookie| counts[usize::from(cookie[at])] += 1);
            let equal: usize = counts.iter().map(|count| count * count.saturating_sub(1) / 2).sum();
            if equal > pairs / 256 * 3 + pairs / 16 {
                same.push(at);
            }
        }
        ensure(same.len() <= 6, || {
            format!("AEAD {}: octets {same:?} of cookies are the same", session.aead())
        })?;
        count += cookies.len();
    }
    Ok(format!("{count} cookies share the key's id at most"))
}

fn eight_cookies(bench: &mut Bench<'_>) -> Judgement {
    let session = bench.session()?;
    let most = (1472 - session.request(0).len()) / (session.cookie.len() + 4);
    let mut small = session.draft(0);
    small
        .clear
        .extend(vec![Field::new(PLACEHOLDER, vec![0; 12]); (1472 - session.request(0).len()) / 16]);
    let mut found = Vec::new();
    for (request, meaning) in [
        (session.request(most), format!("{most} placeholders")),
        (session.seal(&small), "placeholders of 16 octets".to_owned()),
    ] {
        let answer = bench.ask_nts(&session, &request, &meaning)?;
        let Some(answer) = answer.filter(|answer| answer.has(AUTHENTICATOR)) else {
            found.push(shown(None));
            continue;
        };
        let cookies = cookies_of(&session, &answer)?.len();
        if cookies > 8 && cookies <= 1 + most && answer.octets.len() <= request.len() {
            // Known of NTPsec: more than any client keeps, but no more than it asked for.
            return Err(Objection::deviates(format!("{meaning} earn {cookies} cookies")));
        }
        ensure(cookies <= 8, || format!("{meaning} earn {cookies} cookies"))?;
        found.push(format!("{cookies} cookies"));
    }
    bench.nts_control(&session)?;
    Ok(format!("{most} placeholders: {}", found.join(", ")))
}
