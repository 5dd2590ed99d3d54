//! What scripts answer that a client must not take, with the honest answer behind it.

use super::log::{Mark, Question};
use super::turn::{Sent, Turn};
use crate::octets::field::{AUTHENTICATOR, COMPLEMENT, UNIQUE, field};
use crate::octets::{Field, Header, Protected};

/// One thing that is sent before the honest answer, or in its place.
pub(super) struct Forgery {
    /// Its name, which cookies in it are marked with.
    pub(super) name: &'static str,
    /// The clauses that forbid to take it, or demand to take it.
    pub(super) clauses: &'static [&'static str],
    /// What is sent before the honest answer; nothing if `is_taken`.
    pub(super) make: fn(&Turn<'_>, Mark) -> Forged,
}

/// What a forgery comes to.
pub(super) enum Forged {
    /// Sent before the honest answer, and not to be taken.
    Before(Vec<u8>),
    /// The same from another port.
    Elsewhere(Vec<u8>),
    /// Sent behind the honest answer.
    Behind(Vec<u8>),
    /// The honest answer in another form, to be taken.
    Honest(Vec<u8>),
}

impl Forged {
    /// In the order in which it is sent, the honest answer with it.
    pub(super) fn sent(self, turn: &Turn<'_>, name: &'static str) -> Vec<Sent> {
        match self {
            Self::Before(octets) => vec![Sent::bad(octets, name), turn.good(1)],
            Self::Elsewhere(octets) => {
                let bad = Sent { from_elsewhere: true, ..Sent::bad(octets, name) };
                vec![bad, turn.good(1)]
            }
            Self::Behind(octets) => vec![turn.good(1), Sent::bad(octets, name)],
            Self::Honest(octets) => vec![Sent { meaning: name, ..Sent::good(octets) }],
        }
    }
}

/// The honest answer with another header.
fn with_header(turn: &Turn<'_>, mark: Mark, change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut open = turn.draft(1, mark);
    let mut header = turn.header();
    change(&mut header);
    open.header = header.octets();
    turn.seal(&open)
}

/// The honest answer with other fields in clear.
fn with_clear(turn: &Turn<'_>, mark: Mark, change: impl FnOnce(&mut Protected)) -> Vec<u8> {
    let mut open = turn.draft(1, mark);
    change(&mut open);
    turn.seal(&open)
}

/// The honest answer with octets changed after it was closed.
fn damaged(turn: &Turn<'_>, mark: Mark, damage: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut octets = turn.seal(&turn.draft(1, mark));
    damage(&mut octets);
    octets
}

fn with_length(turn: &Turn<'_>, mark: Mark, length: u16) -> Vec<u8> {
    damaged(turn, mark, |octets| {
        if let Some(place) = octets.get_mut(50..52) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    })
}

fn is_flipped(unique: &mut [u8]) {
    if let Some(last) = unique.last_mut() {
        *last ^= 1;
    }
}

/// The identifier of the question before this one.
fn old_unique(turn: &Turn<'_>) -> Vec<u8> {
    let before = turn.log.questions.iter().rev().find_map(Question::unique);
    before.unwrap_or_else(|| vec![7; 32])
}

/// What is not to be taken, and what is to be taken in spite of how it looks, each in a turn of its own.
#[rustfmt::skip]
pub(super) const FORGERIES: &[Forgery] = &[
    Forgery { name: "an origin with one bit changed", clauses: &["WC-02"],
        make: |turn, mark| Forged::Before(with_header(turn, mark, |header| header.origin ^= 1)) },
    Forgery { name: "an origin of zero", clauses: &["WC-03"],
        make: |turn, mark| Forged::Before(with_header(turn, mark, |header| header.origin = 0)) },
    Forgery { name: "no identifier", clauses: &["NC-14"],
        make: |turn, mark| Forged::Before(with_clear(turn, mark, |open| open.clear.clear())) },
    Forgery { name: "another identifier", clauses: &["NC-14"],
        make: |turn, mark| Forged::Before(with_clear(turn, mark, |open| is_flipped(&mut open.clear[0].body))) },
    Forgery { name: "the identifier of the question before", clauses: &["NC-14"],
        make: |turn, mark| Forged::Before(with_clear(turn, mark, |open| open.clear[0].body = old_unique(turn))) },
    Forgery { name: "a tag with one bit changed", clauses: &["NC-14"],
        make: |turn, mark| Forged::Before(damaged(turn, mark, |octets| is_flipped(octets))) },
    Forgery { name: "sealed with the client's own key", clauses: &["NC-14"],
        make: |turn, mark| {
            let open = turn.draft(1, mark);
            Forged::Before(turn.keys.map_or_else(Vec::new, |keys| open.seal(keys.cipher, &keys.c2s)))
        } },
    Forgery { name: "a header changed after it was sealed", clauses: &["NC-14"],
        make: |turn, mark| Forged::Before(damaged(turn, mark, |octets| octets[1] = 2)) },
    Forgery { name: "an answer without NTS", clauses: &["NC-15", "WC-26"],
        make: |turn, _| Forged::Before(turn.header().octets()) },
    Forgery { name: "an answer with the identifier alone", clauses: &["NC-15", "WC-26"],
        make: |turn, _| {
            let unique = Field::new(UNIQUE, turn.question.unique().unwrap_or_default()).octets();
            Forged::Before([turn.header().octets(), unique].concat())
        } },
    Forgery { name: "mode 2", clauses: &["WC-10", "NS-19"],
        make: |turn, mark| Forged::Before(with_header(turn, mark, |header| header.mode = 2)) },
    Forgery { name: "mode 5", clauses: &["WC-10", "NS-19"],
        make: |turn, mark| Forged::Before(with_header(turn, mark, |header| header.mode = 5)) },
    Forgery { name: "an answer from another port", clauses: &["WC-10"],
        make: |turn, mark| Forged::Elsewhere(turn.seal(&turn.draft(1, mark))) },
    Forgery { name: "a crypto-NAK", clauses: &["WC-27"],
        make: |turn, _| Forged::Before([turn.header().octets(), vec![0; 4]].concat()) },
    Forgery { name: "a field of length 0", clauses: &["EF-02"],
        make: |turn, mark| Forged::Before(with_length(turn, mark, 0)) },
    Forgery { name: "a field of length 3", clauses: &["EF-02"],
        make: |turn, mark| Forged::Before(with_length(turn, mark, 3)) },
    Forgery { name: "a field of length 17", clauses: &["EF-02"],
        make: |turn, mark| Forged::Before(with_length(turn, mark, 17)) },
    Forgery { name: "a field longer than the packet", clauses: &["EF-03"],
        make: |turn, mark| Forged::Before(with_length(turn, mark, 0xfffc)) },
    Forgery { name: "a field of length 12", clauses: &["EF-04"],
        make: |turn, mark| Forged::Before(with_length(turn, mark, 12)) },
    Forgery { name: "two identifiers", clauses: &["EF-17"],
        make: |turn, mark| Forged::Before(with_clear(turn, mark, |open| {
            let mut second = open.clear[0].clone();
            is_flipped(&mut second.body);
            open.clear.push(second);
        })) },
    Forgery { name: "a second answer", clauses: &["NC-19", "WC-05", "WC-01"],
        make: |turn, mark| Forged::Behind(turn.seal(&turn.draft(1, mark))) },
    Forgery { name: "a cookie in clear", clauses: &["NC-16"],
        make: |turn, mark| Forged::Honest({
            let mut open = turn.draft(1, Mark::Good(turn.number));
            open.clear.push(turn.cookie(mark));
            turn.seal(&open)
        }) },
    Forgery { name: "a field behind the authenticator", clauses: &["NC-17"],
        make: |turn, mark| Forged::Honest({
            let mut open = turn.draft(1, Mark::Good(turn.number));
            open.after = turn.cookie(mark).octets();
            turn.seal(&open)
        }) },
    Forgery { name: "an encrypted field of 4 octets", clauses: &["EF-16"],
        make: |turn, _| Forged::Honest({
            let mut open = turn.draft(1, Mark::Good(turn.number));
            open.inner.insert(0, Field::new(0x7777, []));
            turn.seal(&open)
        }) },
    Forgery { name: "a checksum complement", clauses: &["EF-18"],
        make: |turn, _| Forged::Honest({
            let mut open = turn.draft(1, Mark::Good(turn.number));
            open.clear.push(Field::new(COMPLEMENT, [0; 24]));
            turn.seal(&open)
        }) },
    Forgery { name: "two authenticators", clauses: &["EF-17"],
        make: |turn, mark| Forged::Before(damaged(turn, mark, |octets| octets.extend(field(AUTHENTICATOR, &[0; 36])))) },
];

/// Kisses that must have no effect, each before an honest answer.
#[rustfmt::skip]
pub(super) const KISSES: &[Forgery] = &[
    Forgery { name: "RATE with another origin", clauses: &["KD-07"],
        make: |turn, _| {
            let header = Header { origin: turn.header().origin ^ 1, ..turn.kiss_header(*b"RATE") };
            let unique = Field::new(UNIQUE, turn.question.unique().unwrap_or_default()).octets();
            Forged::Before([header.octets(), unique].concat())
        } },
    Forgery { name: "DENY without identifier", clauses: &["NC-20", "KD-09"], make: |turn, _| Forged::Before(turn.kiss(*b"DENY", None)) },
    Forgery { name: "NTSN without identifier", clauses: &["NC-20", "KD-09"], make: |turn, _| Forged::Before(turn.kiss(*b"NTSN", None)) },
    Forgery { name: "RSTR with another identifier", clauses: &["NC-20", "KD-09"], make: |turn, _| Forged::Before(turn.kiss(*b"RSTR", Some(vec![9; 32]))) },
    Forgery { name: "RATE with another identifier", clauses: &["NC-20", "KD-09"], make: |turn, _| Forged::Before(turn.kiss(*b"RATE", Some(vec![9; 32]))) },
    Forgery { name: "NTSN with another identifier", clauses: &["NC-20", "KD-09"], make: |turn, _| Forged::Before(turn.kiss(*b"NTSN", Some(vec![9; 32]))) },
    Forgery { name: "XABC", clauses: &["KD-04"], make: |turn, _| Forged::Before(turn.kiss(*b"XABC", turn.question.unique())) },
    Forgery { name: "ACST", clauses: &["KD-05"], make: |turn, _| Forged::Before(turn.kiss(*b"ACST", turn.question.unique())) },
    Forgery { name: "AUTH", clauses: &["KD-05"], make: |turn, _| Forged::Before(turn.kiss(*b"AUTH", turn.question.unique())) },
    Forgery { name: "CRYP", clauses: &["KD-05"], make: |turn, _| Forged::Before(turn.kiss(*b"CRYP", turn.question.unique())) },
    Forgery { name: "DROP", clauses: &["KD-05"], make: |turn, _| Forged::Before(turn.kiss(*b"DROP", turn.question.unique())) },
    Forgery { name: "INIT", clauses: &["KD-05"], make: |turn, _| Forged::Before(turn.kiss(*b"INIT", turn.question.unique())) },
    Forgery { name: "NKEY", clauses: &["KD-05"], make: |turn, _| Forged::Before(turn.kiss(*b"NKEY", turn.question.unique())) },
    Forgery { name: "STEP", clauses: &["KD-05"], make: |turn, _| Forged::Before(turn.kiss(*b"STEP", turn.question.unique())) },
    Forgery { name: "one unproven DENY", clauses: &["KD-10"], make: |turn, _| Forged::Before(turn.kiss(*b"DENY", turn.question.unique())) },
];

/// Honest turns before the first forgery.
pub(super) const HONEST_FIRST: usize = 2;

/// The answer of a script that plays such a list.
pub(super) fn play(list: &[Forgery], turn: &Turn<'_>) -> Vec<Sent> {
    match turn.number.checked_sub(HONEST_FIRST).and_then(|nth| list.get(nth)) {
        Some(forgery) => (forgery.make)(turn, Mark::Bad(forgery.name)).sent(turn, forgery.name),
        None => vec![turn.good(1)],
    }
}
