//! What an honest server is asked, octet by octet.

use std::collections::BTreeSet;

use super::{ABSENT, unclear};
use crate::client::log::Question;
use crate::client::say::Say;
use crate::client::script::View;
use crate::client::turn::now;
use crate::decode::{Context, KeySet, datagram};
use crate::octets::field::UNIQUE;
use crate::octets::record::{
    AEAD, COMPLIANT_EXPORT, COOKIE, END, ERROR, KEEP_ALIVE, NEXT_PROTOCOL, PORT, SERVER, WARNING,
};
use crate::octets::{Record, field, protected};

/// An honest server: what a client says, octet by octet.
pub(in crate::client) fn is_well_formed(view: &View<'_>, say: &mut Say) {
    let log = view.log;
    let Some(session) = log.sessions.iter().find(|session| session.answered.is_some()) else {
        let trouble = log.sessions.iter().find_map(|session| session.trouble.clone());
        return unclear(view, say, &trouble.unwrap_or_else(|| ABSENT.to_owned()));
    };
    let records = session.records();
    let of = |kind: u16| records.iter().filter(|record| record.kind == kind).collect::<Vec<_>>();
    if let Some(hello) = &session.hello {
        let names: Vec<String> =
            hello.protocols.iter().map(|name| name.escape_ascii().to_string()).collect();
        let is_there = hello.protocols.iter().any(|name| name == b"ntske/1");
        say.check(
            "KE-02",
            is_there,
            "the hello offers ntske/1",
            format!("the hello offers {names:?}"),
        );
        let weak = hello.weaknesses();
        say.check(
            "KE-05",
            weak.is_empty(),
            "neither early data nor anything weak is offered",
            format!("offered: {}", weak.join(", ")),
        );
    }
    let after = session.after.len();
    say.check(
        "KE-07",
        after == 0,
        "one request came on the connection",
        format!("{after} octets came behind the request"),
    );
    say.check(
        "KE-08",
        session.close_notify,
        "close_notify came",
        "the connection ended without close_notify",
    );
    let ends = of(END);
    let is_end = ends.len() == 1 && records.last() == Some(&Record::end());
    say.check(
        "KE-09",
        is_end,
        "the last record is End of Message, critical and empty",
        format!("records at the end: {:?}", records.last()),
    );
    let framed: usize = records.iter().map(|record| 4 + record.body.len()).sum();
    say.check(
        "KE-12",
        framed == session.request.len(),
        "the request is whole records",
        "octets are left between records",
    );
    let next = of(NEXT_PROTOCOL);
    let is_one = next.len() == 1 && next[0].critical;
    say.check(
        "KE-30",
        is_one,
        "one critical Next Protocol record",
        format!("{} Next Protocol records", next.len()),
    );
    let protocols = session.numbers(NEXT_PROTOCOL);
    say.check(
        "KE-31",
        protocols.contains(&0),
        format!("protocols {protocols:?}"),
        format!("protocols {protocols:?}, without NTPv4"),
    );
    let aeads = of(AEAD);
    say.check(
        "KE-45",
        aeads.len() == 1,
        "one AEAD record",
        format!("{} AEAD records", aeads.len()),
    );
    let offered = session.numbers(AEAD);
    say.check("KE-46", !offered.is_empty(), format!("AEADs {offered:?}"), "no AEAD is named");
    for (id, kind, name) in
        [("KE-37", ERROR, "Error"), ("KE-43", WARNING, "Warning"), ("KE-55", COOKIE, "New Cookie")]
    {
        say.check(
            id,
            of(kind).is_empty(),
            format!("no {name} record in any request"),
            format!("a request has {name}"),
        );
    }
    let servers = of(SERVER).len();
    say.check(
        "KE-62",
        servers <= 1,
        format!("{servers} Server Negotiation records"),
        format!("{servers} Server Negotiation records"),
    );
    match [of(SERVER), of(PORT)].concat().as_slice() {
        [] => say.unbound("KE-65", "no Server or Port record was sent"),
        sent => say.check(
            "KE-65",
            sent.iter().all(|record| !record.critical),
            "their critical bit is clear",
            "their critical bit is set",
        ),
    }
    match of(COMPLIANT_EXPORT).as_slice() {
        [] => say.unbound("KE-73", "record 1024 was not sent"),
        sent => {
            let is_good = sent.len() == 1
                && sent[0].body.is_empty()
                && !sent[0].critical
                && offered.contains(&30);
            say.check(
                "KE-73",
                is_good,
                "record 1024 stands once beside AEAD 30, empty and not critical",
                "record 1024 is not as it should be",
            );
        }
    }
    say.check(
        "KX-08",
        of(KEEP_ALIVE).is_empty(),
        "no connection is asked to be kept alive",
        "keys are exported from a connection asked to be kept alive",
    );
    questions(view, say);
}

/// What honest questions are.
fn questions(view: &View<'_>, say: &mut Say) {
    let log = view.log;
    let nts: Vec<&Question> =
        log.questions.iter().filter(|question| !question.bodies(UNIQUE).is_empty()).collect();
    let open: Vec<&Question> =
        log.questions.iter().filter(|question| question.open.is_some()).collect();
    const OF_QUESTIONS: [&str; 21] = [
        "KE-61", "KX-01", "KX-02", "KX-03", "EF-01", "EF-15", "NC-01", "NC-02", "NC-03", "NC-04",
        "NC-05", "NC-06", "NC-07", "NC-08", "NC-31", "NS-19", "IL-01", "IL-14", "IL-12", "BP-13",
        "PR-05",
    ];
    if nts.is_empty() {
        for id in OF_QUESTIONS {
            say.unclear(id, "no question with NTS came");
        }
        return;
    }
    let count = log.questions.len();
    let all = |id: &'static str, say: &mut Say, good: &str, holds: &dyn Fn(&Question) -> bool| {
        let bad = log.questions.iter().position(|question| !holds(question));
        match bad {
            None => say.pass(id, format!("{good}, in {count} questions")),
            Some(nth) => say.fail(id, format!("not so in question {} of {count}: {good}", nth + 1)),
        }
    };
    say.check(
        "KE-61",
        !nts[0].at_named_port,
        "NTP came to the address of key establishment",
        "NTP came to a port that was not named",
    );
    let says = format!(
        "{} of {} questions open with keys exported as the clause has it",
        open.len(),
        nts.len()
    );
    for id in ["KX-01", "KX-02", "KX-03", "NC-05", "NC-06"] {
        say.check(id, open.len() == nts.len(), says.clone(), says.clone());
    }
    let field_kinds = |question: &Question| {
        field::cut(question.octets.get(48..).unwrap_or_default())
            .0
            .into_iter()
            .map(|field| field.kind)
            .collect::<Vec<_>>()
    };
    all("EF-01", say, "the authenticator ends the packet, without a MAC", &|question| {
        question.open.as_ref().is_some_and(|open| open.after.is_empty())
    });
    all("EF-15", say, "no field of the experimental range", &|question| {
        !field_kinds(question).iter().any(|kind| *kind >= 0xf000)
    });
    all("BP-13", say, "no field of Autokey", &|question| {
        !field_kinds(question)
            .iter()
            .any(|kind| matches!(kind & 0x3fff, 0x0200..=0x0209) && *kind != field::COOKIE)
    });
    all("NC-01", say, "one Unique Identifier, in clear", &|question| {
        question.bodies(UNIQUE).len() == 1
            && question.open.as_ref().is_some_and(|open| open.all(UNIQUE).len() == 1)
    });
    all("NC-04", say, "one cookie, in clear, that this server gave", &|question| {
        question.bodies(field::COOKIE).len() == 1
            && question.cookie.is_some()
            && question.open.as_ref().is_some_and(|open| open.all(field::COOKIE).len() == 1)
    });
    identifiers(view, say);
    all(
        "NC-07",
        say,
        "nonce and ciphertext padded with zeros, lengths without padding",
        &|question| no_remark(view, question, "padding"),
    );
    all("NC-08", say, "nonce and additional padding have the room they must", &|question| {
        let body = question.bodies(field::AUTHENTICATOR);
        let parts = body.first().and_then(|body| protected::Parts::read(body));
        let least = question.cookie.and_then(|cookie| {
            log.sessions.get(cookie.session)?.keys.as_ref().map(|keys| keys.cipher.nonce_len())
        });
        parts.is_some_and(|parts| {
            parts.nonce.len().next_multiple_of(4) + parts.padding >= least.unwrap_or(16)
        })
    });
    all(
        "NC-31",
        say,
        "nothing but version, mode, poll, precision and a transmit timestamp that is not the time",
        &|question| {
            let header = question.header();
            let zero = [
                header.reference,
                header.origin,
                header.receive,
                u64::from(header.root_delay),
                u64::from(header.root_dispersion),
            ];
            let is_interleaved = header.receive != 0;
            (header.leap, header.version, header.mode, header.stratum, header.reference_id)
                == (0, 4, 3, 0, [0; 4])
                && (is_interleaved || zero.iter().all(|value| *value == 0))
                && (header.transmit >> 32).abs_diff(now() >> 32) > 3600
        },
    );
    all("NS-19", say, "NTS fields in mode 3", &|question| question.header().mode == 3);
    all("IL-01", say, "transmit and receive differ", &|question| {
        question.header().transmit != question.header().receive
    });
    all("IL-14", say, "no receive timestamp in the reference timestamp", &|question| {
        let header = question.header();
        header.reference == 0 || header.reference != header.receive
    });
    say.check(
        "IL-12",
        open.len() > 2,
        format!("{} questions after basic answers", open.len()),
        "it stops asking after basic answers",
    );
    let ports: BTreeSet<u16> = log.questions.iter().map(|question| question.from.port()).collect();
    if ports.len() * 10 >= count * 9 {
        say.pass("PR-05", format!("{} ports for {count} questions", ports.len()));
    } else {
        say.deviates(
            "PR-05",
            format!("{} ports for {count} questions: RFC 9109 §3.2 leaves the choice", ports.len()),
        );
    }
}

/// Whether decoding finds nothing wrong of this kind.
fn no_remark(view: &View<'_>, question: &Question, word: &str) -> bool {
    let keys =
        question.cookie.and_then(|cookie| view.log.sessions.get(cookie.session)?.keys.clone());
    let keys: Vec<KeySet> = keys
        .map(|keys| KeySet { cipher: keys.cipher, c2s: Some(keys.c2s), s2c: Some(keys.s2c) })
        .into_iter()
        .collect();
    let decoded = datagram(&question.octets, Context { keys: &keys, near_s: 0 });
    !decoded
        .remarks
        .iter()
        .any(|remark| remark.rfc == "RFC 8915 §5.6" && remark.what.contains(word))
}

pub(super) fn identifiers(view: &View<'_>, say: &mut Say) {
    let all: Vec<Vec<u8>> =
        view.log.questions.iter().flat_map(|question| question.bodies(UNIQUE)).collect();
    let distinct: BTreeSet<&Vec<u8>> = all.iter().collect();
    let says = format!("{} identifiers in {} questions", distinct.len(), all.len());
    say.check("NC-03", distinct.len() == all.len(), says.clone(), says);
    let shortest = all.iter().map(Vec::len).min().unwrap_or(0);
    let octets: Vec<u8> = distinct.iter().flat_map(|unique| unique.iter().copied()).collect();
    let ones: u32 = octets.iter().map(|octet| octet.count_ones()).sum();
    let bits = octets.len() as f64 * 8.0;
    // Six standard deviations of a fair coin.
    let is_even = (f64::from(ones) - bits / 2.0).abs() <= 3.0 * bits.sqrt();
    let says = format!(
        "{} identifiers of at least {shortest} octets, {ones} of {bits} bits set",
        distinct.len()
    );
    say.check("NC-02", shortest >= 32 && is_even, says.clone(), says);
}
