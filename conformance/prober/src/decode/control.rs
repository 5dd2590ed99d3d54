//! Modes 6 and 7: control messages (RFC 9327) and private ones.

use super::{Notes, Part, some};
use crate::octets::u16_at;

/// Octets of the shortest header of either.
pub(super) const LEAST: usize = 8;

/// Reads a message of mode 6 or 7.
pub(super) fn read(octets: &[u8], notes: &mut Notes) -> (Vec<Part>, String) {
    let octet = |at: usize| octets.get(at).copied().unwrap_or(0);
    let number = |at: usize| u16_at(octets, at).unwrap_or(0);
    let part = |name: &'static str, at: usize, len: usize, meaning: String| {
        Part::new(name, at, octets.get(at..at + len).unwrap_or_default(), meaning)
    };
    let first = format!("version {}; mode {}", octet(0) >> 3 & 7, octet(0) & 7);
    if octet(0) & 7 == 7 || octets.len() < CONTROL {
        notes.should("RFC 8633 §3.4", 0, "not to be answered to everybody");
        let mut parts = vec![part("leap, version, mode", 0, 1, first)];
        parts.extend(some(Part::new(
            "private",
            1,
            octets.get(1..).unwrap_or_default(),
            "in no RFC; not read",
        )));
        return (parts, format!("mode {}, {} octets", octet(0) & 7, octets.len()));
    }
    notes.should(
        "RFC 8633 §3.4, RFC 9327 §6",
        0,
        "control messages are not to be answered to everybody",
    );
    let (bits, code) = (octet(1) >> 5, octet(1) & 31);
    let kind = if bits & 4 != 0 { "response" } else { "command" };
    let flags = [(2, ", error"), (1, ", more to come")];
    let flags: String =
        flags.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| *word).collect();
    let name = opcode(code);
    let count = usize::from(number(10));
    let rest = octets.get(CONTROL..).unwrap_or_default();
    if count > rest.len() {
        notes.derived(
            "RFC 9327 §2",
            10,
            format!("a count of {count} octets, {} there", rest.len()),
        );
    }
    let (data, after) = rest.split_at(count.min(rest.len()));
    let mut parts = vec![
        part("leap, version, mode", 0, 1, first),
        part(
            "response, error, more, opcode",
            1,
            1,
            format!("{kind}{flags}; opcode {code}: {name}"),
        ),
        part("sequence", 2, 2, number(2).to_string()),
        part("status", 4, 2, format!("{:#06x}", number(4))),
        part("association id", 6, 2, number(6).to_string()),
        part("offset", 8, 2, number(8).to_string()),
        part("count", 10, 2, format!("{count} octets of data")),
    ];
    parts.extend(some(Part::new("data", CONTROL, data, format!("\"{}\"", data.escape_ascii()))));
    parts.extend(some(Part::new(
        "padding, authenticator",
        CONTROL + data.len(),
        after,
        "not read",
    )));
    (parts, format!("NTP control {kind}, {name}, {} octets", octets.len()))
}

fn opcode(code: u8) -> &'static str {
    match code {
        1 => "read status",
        2 => "read variables",
        3 => "write variables",
        4 => "read clock variables",
        5 => "write clock variables",
        6 => "set trap",
        7 => "asynchronous response",
        8 => "runtime configuration",
        9 => "export configuration",
        10 => "read the list of those who asked",
        11 => "read an ordered list",
        12 => "request a nonce",
        31 => "unset trap",
        _ => "reserved",
    }
}

/// Octets of a control message's header (RFC 9327 figure 1).
const CONTROL: usize = 12;
