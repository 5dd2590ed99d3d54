//! What scripts say to requests of key establishment.

use super::log::Mark;
use super::turn::KeTurn;
use crate::octets::record::{self, AEAD, ERROR, NEXT_PROTOCOL, PORT, SERVER, WARNING, message};
use crate::octets::{Cipher, Record};

/// As it should be.
pub(super) fn honest(turn: &KeTurn<'_>) -> Vec<u8> {
    message(&turn.honest())
}

/// The honest response with these records before all others.
fn before(turn: &KeTurn<'_>, records: &[Record]) -> Vec<u8> {
    message(&[records.to_vec(), turn.honest()].concat())
}

/// The honest response with these records before End of Message.
fn with(turn: &KeTurn<'_>, records: &[Record]) -> Vec<u8> {
    message(&[turn.honest(), records.to_vec()].concat())
}

/// Other records in the place of the terms, cookies behind them.
fn instead(turn: &KeTurn<'_>, terms: &[Record]) -> Vec<u8> {
    message(&[terms.to_vec(), turn.jar()].concat())
}

/// The terms without the record of one type.
fn terms_without(turn: &KeTurn<'_>, kind: u16) -> Vec<Record> {
    let mut terms = turn.terms();
    terms.retain(|record| record.kind != kind);
    terms
}

fn of(critical: bool, kind: u16, body: &[u8]) -> Record {
    Record::new(critical, kind, body)
}

pub(super) fn unknown_critical(turn: &KeTurn<'_>) -> Vec<u8> {
    with(turn, &[of(true, 0x3fff, &[1, 2, 3, 4])])
}

pub(super) fn foreign_protocol(turn: &KeTurn<'_>) -> Vec<u8> {
    let terms = [vec![Record::protocols(&[0x8000])], terms_without(turn, NEXT_PROTOCOL)].concat();
    instead(turn, &terms)
}

pub(super) fn no_protocol(_: &KeTurn<'_>) -> Vec<u8> {
    message(&[Record::protocols(&[])])
}

pub(super) fn two_protocol_records(turn: &KeTurn<'_>) -> Vec<u8> {
    before(turn, &[Record::protocols(&[0])])
}

pub(super) fn short_error(turn: &KeTurn<'_>) -> Vec<u8> {
    before(turn, &[of(true, ERROR, &[1])])
}

pub(super) fn long_error(turn: &KeTurn<'_>) -> Vec<u8> {
    before(turn, &[of(true, ERROR, &[0, 1, 0])])
}

pub(super) fn error_before(turn: &KeTurn<'_>) -> Vec<u8> {
    before(turn, &[of(true, ERROR, &[0, 2])])
}

pub(super) fn error_between(turn: &KeTurn<'_>) -> Vec<u8> {
    let mut records = turn.honest();
    records.insert(records.len() - 4.min(records.len()), of(true, ERROR, &[0, 2]));
    message(&records)
}

pub(super) fn error_behind(turn: &KeTurn<'_>) -> Vec<u8> {
    with(turn, &[of(true, ERROR, &[0, 2])])
}

pub(super) fn bad_request(_: &KeTurn<'_>) -> Vec<u8> {
    message(&[of(true, ERROR, &[0, 1])])
}

pub(super) fn internal_error(_: &KeTurn<'_>) -> Vec<u8> {
    message(&[of(true, ERROR, &[0, 2])])
}

pub(super) fn warning(turn: &KeTurn<'_>) -> Vec<u8> {
    with(turn, &[of(true, WARNING, &[0, 0])])
}

pub(super) fn private_warning(turn: &KeTurn<'_>) -> Vec<u8> {
    with(turn, &[of(true, WARNING, &[0x80, 1])])
}

pub(super) fn two_algorithms(turn: &KeTurn<'_>) -> Vec<u8> {
    let offered = turn.asked.numbers(AEAD);
    let chosen = turn.cipher().map_or(15, Cipher::number);
    let other = offered.into_iter().find(|number| *number != chosen).unwrap_or(17);
    let terms = [terms_without(turn, AEAD), vec![Record::aeads(&[chosen, other])]].concat();
    instead(turn, &terms)
}

pub(super) fn foreign_algorithm(turn: &KeTurn<'_>) -> Vec<u8> {
    let offered = turn.asked.numbers(AEAD);
    let other = [16, 31, 2].into_iter().find(|number| !offered.contains(number)).unwrap_or(1);
    let terms = [terms_without(turn, AEAD), vec![Record::aeads(&[other])]].concat();
    instead(turn, &terms)
}

pub(super) fn no_cookies(turn: &KeTurn<'_>) -> Vec<u8> {
    message(&turn.terms())
}

pub(super) fn no_end(turn: &KeTurn<'_>) -> Vec<u8> {
    record::join(&turn.honest())
}

pub(super) fn cut_record(turn: &KeTurn<'_>) -> Vec<u8> {
    let mut octets = honest(turn);
    // A record that claims ten octets more than follow, in the place of End of Message.
    octets.truncate(octets.len() - 4);
    octets.extend([0x40, 0, 0, 14, 0x80, 0, 0, 0]);
    octets
}

pub(super) fn empty_server(turn: &KeTurn<'_>) -> Vec<u8> {
    with(turn, &[of(false, SERVER, b"")])
}

pub(super) fn server_with_space(turn: &KeTurn<'_>) -> Vec<u8> {
    with(turn, &[of(false, SERVER, format!("{} x", turn.address).as_bytes())])
}

pub(super) fn server_with_zero(turn: &KeTurn<'_>) -> Vec<u8> {
    with(turn, &[of(false, SERVER, format!("{}\0", turn.address).as_bytes())])
}

pub(super) fn two_servers(turn: &KeTurn<'_>) -> Vec<u8> {
    let name = turn.address.to_string();
    with(turn, &[of(false, SERVER, name.as_bytes()), of(false, SERVER, name.as_bytes())])
}

pub(super) fn port_with(turn: &KeTurn<'_>, body: &[u8]) -> Vec<u8> {
    let terms = [terms_without(turn, PORT), vec![of(false, PORT, body)]].concat();
    instead(turn, &terms)
}

pub(super) fn short_port(turn: &KeTurn<'_>) -> Vec<u8> {
    port_with(turn, &[1])
}

pub(super) fn long_port(turn: &KeTurn<'_>) -> Vec<u8> {
    port_with(turn, &[0, 0, 123])
}

pub(super) fn port_zero(turn: &KeTurn<'_>) -> Vec<u8> {
    port_with(turn, &[0, 0])
}

pub(super) fn other_port(turn: &KeTurn<'_>) -> Vec<u8> {
    port_with(turn, &turn.other_port.to_be_bytes())
}

pub(super) fn foreign_records(turn: &KeTurn<'_>) -> Vec<u8> {
    let foreign = |kind: u16, len: usize| of(false, kind, &vec![0x5a; len]);
    let terms = turn.terms();
    let jar = turn.jar();
    let records = [
        vec![foreign(100, 0)],
        terms,
        vec![foreign(101, 1), foreign(1023, 3)],
        jar,
        vec![foreign(0x7fff, 5000)],
    ];
    message(&records.concat())
}

/// Filled up with a record that means nothing to the whole number of octets.
fn filled(turn: &KeTurn<'_>, len: usize) -> Vec<u8> {
    let mut records = turn.honest();
    let mut missing = len.saturating_sub(message(&records).len());
    while missing >= 4 {
        let body = (missing - 4).min(60_000);
        records.push(of(false, 1023, &vec![0; body]));
        missing -= body + 4;
    }
    message(&records)
}

pub(super) fn large(turn: &KeTurn<'_>) -> Vec<u8> {
    filled(turn, 65_536)
}

pub(super) fn other_bits(turn: &KeTurn<'_>) -> Vec<u8> {
    let mut records = turn.honest();
    for record in &mut records {
        match record.kind {
            AEAD => record.critical = false,
            record::COOKIE | PORT => record.critical = true,
            _ => {}
        }
    }
    message(&records)
}

pub(super) fn behind_the_end(turn: &KeTurn<'_>) -> Vec<u8> {
    let stray = turn.cookie(Mark::Bad("a cookie behind End of Message"));
    [honest(turn), record::join(&[stray, Record::end()])].concat()
}
