//! The scripts, in the order in which addresses are given to them.

use super::authority::Certificate;
use super::forgeries::{FORGERIES, KISSES, play};
use super::log::Mark;
use super::script::{Pieces, Script, Tls};
use super::turn::{Sent, Turn};
use super::{judge, respond};
use crate::octets::{Cipher, Header};

/// An honest script that the others differ from.
const HONEST: Script = Script {
    name: "honest",
    does: "an honest server, AEAD 15",
    clauses: &[
        "KE-02", "KE-05", "KE-07", "KE-08", "KE-09", "KE-12", "KE-30", "KE-31", "KE-37", "KE-43",
        "KE-45", "KE-46", "KE-55", "KE-61", "KE-62", "KE-65", "KE-73", "KX-01", "KX-02", "KX-03",
        "KX-08", "EF-01", "EF-15", "NC-01", "NC-02", "NC-03", "NC-04", "NC-05", "NC-06", "NC-07",
        "NC-08", "NC-31", "NS-19", "IL-01", "IL-12", "IL-14", "BP-13", "PR-05",
    ],
    certificate: Certificate::Good,
    tls: Tls::Good,
    cipher: Cipher::Siv256,
    cookies: (8, 100),
    pieces: Pieces::Whole,
    respond: respond::honest,
    answer: honest,
    is_over: |view| {
        view.log.questions.iter().filter(|question| question.open.is_some()).count() >= 10
    },
    limit_s: 30,
    is_deep: false,
    max_poll: 0,
    judge: judge::is_well_formed,
};

/// Key establishment spoilt so that the client has to give up.
const fn spoilt(
    name: &'static str,
    clauses: &'static [&'static str],
    respond: fn(&super::turn::KeTurn<'_>) -> Vec<u8>,
) -> Script {
    Script {
        name,
        does: name,
        clauses,
        respond,
        is_over: judge::gave_up,
        judge: judge::gives_up,
        limit_s: 30,
        ..HONEST
    }
}

/// Key establishment odd in a way that must not matter.
const fn odd(
    name: &'static str,
    clauses: &'static [&'static str],
    respond: fn(&super::turn::KeTurn<'_>) -> Vec<u8>,
) -> Script {
    Script {
        name,
        does: name,
        clauses,
        respond,
        is_over: judge::has_gone_on,
        judge: judge::goes_on,
        limit_s: 30,
        ..HONEST
    }
}

/// A certificate that proves nothing.
const fn unproven(name: &'static str, certificate: Certificate) -> Script {
    Script {
        name,
        does: name,
        clauses: &["KE-06"],
        certificate,
        is_over: judge::said_nothing,
        judge: judge::says_nothing,
        limit_s: 20,
        ..HONEST
    }
}

/// All scripts.
pub static SCRIPTS: &[Script] = &[
    HONEST,
    Script {
        name: "forgeries",
        does: "something forged before each honest answer",
        clauses: &[
            "WC-01", "WC-02", "WC-03", "WC-05", "WC-06", "WC-10", "WC-26", "WC-27", "IL-10",
            "NC-14", "NC-15", "NC-16", "NC-17", "NC-19", "EF-02", "EF-03", "EF-04", "EF-16",
            "EF-17", "EF-18", "NS-19",
        ],
        cookies: (2, 100),
        answer: |turn| play(FORGERIES, turn),
        is_over: |view| judge::has_heard(view, FORGERIES),
        judge: judge::takes_no_forgery,
        limit_s: 55,
        ..HONEST
    },
    Script {
        name: "false kisses",
        does: "a kiss that must have no effect before each honest answer",
        clauses: &["KD-04", "KD-05", "KD-07", "KD-09", "KD-10", "NC-20"],
        cookies: (2, 100),
        answer: |turn| play(KISSES, turn),
        is_over: |view| judge::has_heard(view, KISSES),
        judge: judge::obeys_no_false_kiss,
        limit_s: 55,
        ..HONEST
    },
    Script {
        name: "silence",
        does: "no answers after the third until keys are established anew",
        clauses: &["NC-03", "NC-09", "NC-10", "NC-11", "NC-12", "NC-23"],
        answer: three_answers,
        is_over: judge::has_borne_loss,
        judge: judge::bears_loss,
        limit_s: 58,
        ..HONEST
    },
    Script {
        name: "negative acknowledgments",
        does: "NTSN before the fourth answer, and in the place of the seventh",
        clauses: &["NC-21", "NC-23"],
        answer: negative_acknowledgments,
        is_over: judge::has_heeded_nak,
        judge: judge::heeds_nak,
        limit_s: 45,
        ..HONEST
    },
    Script {
        name: "NTSN for ever",
        does: "NTSN to every question, and every key establishment succeeds",
        clauses: &["NC-24", "KE-72"],
        answer: |turn| {
            vec![Sent::bad(turn.kiss(*b"NTSN", turn.question.unique()), "NTSN to every question")]
        },
        is_over: |view| view.age_s() > 52.0,
        judge: judge::is_patient,
        limit_s: 54,
        ..HONEST
    },
    Script {
        name: "DENY",
        does: "a proven DENY to the fifth question",
        clauses: &["KD-01", "KD-02"],
        answer: |turn| proven_kiss(turn, *b"DENY", 6),
        is_over: judge::has_obeyed_deny,
        judge: judge::obeys_deny,
        limit_s: 40,
        ..HONEST
    },
    Script {
        name: "RATE",
        does: "a proven RATE with a poll of 2^17 s to the fifth question",
        clauses: &["KD-03", "KD-08"],
        answer: |turn| proven_kiss(turn, *b"RATE", judge::ABSURD_POLL),
        is_over: judge::has_obeyed_rate,
        judge: judge::obeys_rate,
        limit_s: 50,
        max_poll: 4,
        ..HONEST
    },
    Script {
        name: "error 2",
        does: "error 2, internal server error, to every request",
        clauses: &["KE-39", "KE-42", "KE-70", "KE-71"],
        respond: respond::internal_error,
        is_over: |view| view.age_s() > 52.0,
        judge: judge::retries_slowly,
        limit_s: 54,
        ..HONEST
    },
    Script {
        name: "error 1",
        does: "error 1, bad request, to every request",
        clauses: &["KE-39", "KE-40"],
        respond: respond::bad_request,
        is_over: |view| view.age_s() > 40.0,
        judge: judge::does_not_repeat,
        limit_s: 42,
        ..HONEST
    },
    Script {
        name: "cookies of 1000 octets",
        does: "cookies of 1000 octets, and no answer to the second question",
        clauses: &["KE-56", "NC-13"],
        cookies: (8, 1000),
        answer: |turn| if turn.number == 1 { Vec::new() } else { vec![turn.good(1)] },
        is_over: judge::has_kept_packets_short,
        judge: judge::keeps_packets_short,
        limit_s: 25,
        ..HONEST
    },
    Script { cookies: (8, 16), ..odd("cookies of 16 octets", &["KE-56"], respond::honest) },
    Script { cookies: (8, 192), ..odd("cookies of 192 octets", &["KE-56"], respond::honest) },
    Script {
        name: "twenty cookies",
        does: "twenty cookies in the first answer, then silence",
        clauses: &["NC-18"],
        answer: |turn| if turn.number == 0 { vec![turn.good(20)] } else { Vec::new() },
        is_over: judge::has_kept_eight,
        judge: judge::keeps_eight,
        limit_s: 58,
        cookies: (8, 32),
        ..HONEST
    },
    Script {
        cipher: Cipher::Siv512,
        judge: judge::takes_the_aead,
        ..odd("AEAD 17", &["KX-04"], respond::honest)
    },
    Script {
        cipher: Cipher::GcmSiv,
        judge: judge::takes_the_aead,
        ..odd("AEAD 30", &["KX-04", "KX-05"], respond::honest)
    },
    odd("unknown records that are not critical", &["KE-13", "KE-14"], respond::foreign_records),
    odd("critical bits the other way round", &["KE-50"], respond::other_bits),
    Script {
        judge: judge::stops_at_the_end,
        is_over: |view| {
            view.log.questions.iter().filter(|question| question.open.is_some()).count() >= 5
        },
        cookies: (3, 100),
        ..odd("records behind End of Message", &["KE-11"], respond::behind_the_end)
    },
    Script {
        pieces: Pieces::Octets,
        ..odd("one octet in each TLS record", &["KE-19"], respond::honest)
    },
    Script {
        judge: judge::goes_on_or_deviates,
        ..odd("a response of 65536 octets", &["KE-18"], respond::large)
    },
    Script {
        judge: judge::goes_to_the_port,
        ..odd("another port for NTP", &["KE-66"], respond::other_port)
    },
    spoilt("an unknown critical record", &["KE-16"], respond::unknown_critical),
    spoilt("a protocol that was not offered", &["KE-33"], respond::foreign_protocol),
    spoilt("no protocol", &["KE-34"], respond::no_protocol),
    spoilt("two Next Protocol records", &["KE-30"], respond::two_protocol_records),
    spoilt("an Error of one octet", &["KE-36"], respond::short_error),
    spoilt("an Error of three octets", &["KE-36"], respond::long_error),
    spoilt("an Error before all", &["KE-39"], respond::error_before),
    spoilt("an Error between cookies", &["KE-39"], respond::error_between),
    spoilt("an Error behind all", &["KE-39"], respond::error_behind),
    spoilt("Warning 0", &["KE-44"], respond::warning),
    spoilt("Warning 0x8001", &["KE-44"], respond::private_warning),
    spoilt("two AEADs", &["KE-46"], respond::two_algorithms),
    spoilt("an AEAD that was not offered", &["KE-49"], respond::foreign_algorithm),
    spoilt("no cookies", &["KE-52"], respond::no_cookies),
    spoilt("no End of Message", &["KE-09"], respond::no_end),
    spoilt("a record cut off", &["KE-12"], respond::cut_record),
    spoilt("an empty server name", &["KE-59"], respond::empty_server),
    spoilt("a server name with a space", &["KE-59"], respond::server_with_space),
    spoilt("a server name with a zero", &["KE-59"], respond::server_with_zero),
    spoilt("two servers", &["KE-62"], respond::two_servers),
    spoilt("a port of one octet", &["KE-66"], respond::short_port),
    spoilt("a port of three octets", &["KE-66"], respond::long_port),
    spoilt("port 0", &["KE-66"], respond::port_zero),
    unproven("a certificate for another name", Certificate::OtherName),
    unproven("a certificate with a common name only", Certificate::CommonNameOnly),
    unproven("an expired certificate", Certificate::Expired),
    Script {
        judge: judge::may_be_early,
        ..unproven("a certificate not valid yet", Certificate::NotYetValid)
    },
    unproven("a certificate of an unknown authority", Certificate::Unknown),
    unproven("a certificate for clients", Certificate::ForClients),
    unproven("a certificate without its intermediate", Certificate::IntermediateMissing),
    Script {
        tls: Tls::NoProtocol,
        clauses: &["KE-03"],
        ..unproven("no protocol above TLS", Certificate::Good)
    },
    Script {
        tls: Tls::Old,
        clauses: &["KE-01"],
        judge: judge::stays_with_tls13,
        ..unproven("TLS 1.2", Certificate::Good)
    },
];

fn honest(turn: &Turn<'_>) -> Vec<Sent> {
    vec![turn.full()]
}

/// Answers the first three questions of the first keys, and all of later ones.
fn three_answers(turn: &Turn<'_>) -> Vec<Sent> {
    let first = turn.log.sessions.iter().position(|session| session.answered.is_some());
    let is_first = turn.question.cookie.is_some_and(|cookie| Some(cookie.session) == first);
    if turn.number < 3 || !is_first { vec![turn.full()] } else { Vec::new() }
}

fn negative_acknowledgments(turn: &Turn<'_>) -> Vec<Sent> {
    let nak = |meaning| Sent::bad(turn.kiss(*b"NTSN", turn.question.unique()), meaning);
    let first = turn.log.sessions.iter().position(|session| session.answered.is_some());
    let is_first = turn.question.cookie.is_some_and(|cookie| Some(cookie.session) == first);
    match turn.number {
        3 => vec![nak("NTSN before a valid answer"), turn.full()],
        6.. if is_first => vec![nak("NTSN alone")],
        _ => vec![turn.full()],
    }
}

/// A kiss that is sealed, to the fifth question and all after it; honest answers before.
fn proven_kiss(turn: &Turn<'_>, code: [u8; 4], poll: i8) -> Vec<Sent> {
    if turn.number < judge::DENIED || (&code == b"RATE" && turn.number > judge::DENIED) {
        return vec![turn.full()];
    }
    let mut open = turn.draft(1 + turn.question.placeholders(), Mark::Good(turn.number));
    open.header = Header { poll, ..turn.kiss_header(code) }.octets();
    vec![Sent::bad(turn.seal(&open), "a proven kiss")]
}
