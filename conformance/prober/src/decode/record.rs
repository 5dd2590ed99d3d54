//! Records of NTS key establishment (RFC 8915 §4).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Notes, Part, names, some};
use crate::octets::record::{
    AEAD, COMPLIANT_EXPORT, COOKIE, END, ERROR, KEEP_ALIVE, NEXT_PROTOCOL, PORT, SERVER, WARNING,
};
use crate::octets::u16_at;

/// Who says a message of key establishment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speaker {
    /// The client: a request.
    Client,
    /// The server: a response.
    Server,
}

/// One record.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    at: usize,
    critical: bool,
    kind: u16,
    body: &'a [u8],
}

impl Record<'_> {
    fn numbers(&self) -> Vec<u16> {
        self.body.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
    }
}

/// Reads a message; its parts and a summary.
pub(super) fn read(octets: &[u8], speaker: Speaker, notes: &mut Notes) -> (Vec<Part>, String) {
    let (mut parts, mut records, mut at) = (Vec::new(), Vec::new(), 0);
    while let (Some(word), Some(len)) = (
        octets.get(at..).and_then(|rest| u16_at(rest, 0)),
        octets.get(at..).and_then(|rest| u16_at(rest, 2)),
    ) {
        let end = at + 4 + usize::from(len);
        let Some(body) = octets.get(at + 4..end) else { break };
        let record = Record { at, critical: word & 0x8000 != 0, kind: word & 0x7fff, body };
        parts.push(part(record, octets.get(at..end).unwrap_or_default()));
        records.push(record);
        at = end;
    }
    let rest = octets.get(at..).unwrap_or_default();
    if !rest.is_empty() {
        notes.must(
            "RFC 8915 §4",
            at,
            format!("the last {} octets are no whole record", rest.len()),
        );
        parts.push(Part::new("cut off", at, rest, "no whole record"));
    }
    judge(&records, speaker, octets.len(), notes);
    let name = if speaker == Speaker::Client { "request" } else { "response" };
    let count = records.len();
    let summary = match records.iter().find(|record| record.kind == ERROR) {
        Some(record) => format!("NTS-KE {name}, {} octets, error: {}", octets.len(), error(record)),
        None => format!("NTS-KE {name}, {} octets, {count} records", octets.len()),
    };
    (parts, summary)
}

fn part(record: Record<'_>, octets: &[u8]) -> Part {
    let at = record.at;
    let of = |from: usize, to: usize| octets.get(from..to).unwrap_or_default();
    let critical = if record.critical { "critical" } else { "not critical" };
    let name = names::record(record.kind);
    let mut whole = Part::new(format!("record {name}"), at, octets, "");
    whole.parts = vec![
        Part::new(
            "critical bit, type",
            at,
            of(0, 2),
            format!("{critical}; {} {name}", record.kind),
        ),
        Part::new("body length", at + 2, of(2, 4), format!("{} octets", record.body.len())),
    ];
    whole.parts.extend(some(Part::new("body", at + 4, record.body, body(record))));
    whole
}

fn body(record: Record<'_>) -> String {
    let list = |name: fn(u16) -> String| {
        record.numbers().into_iter().map(name).collect::<Vec<_>>().join(", ")
    };
    match record.kind {
        NEXT_PROTOCOL => list(names::protocol),
        AEAD => list(names::aead),
        ERROR => error(&record),
        WARNING => u16_at(record.body, 0)
            .map_or_else(String::new, |code| format!("{code}: none is defined")),
        COOKIE => format!("{} octets, opaque", record.body.len()),
        SERVER => format!("\"{}\"", record.body.escape_ascii()),
        PORT => u16_at(record.body, 0).map_or_else(String::new, |port| format!("UDP port {port}")),
        _ => format!("{} octets, not read", record.body.len()),
    }
}

fn error(record: &Record<'_>) -> String {
    let code = u16_at(record.body, 0);
    code.map_or_else(|| "no code".to_owned(), |code| format!("{code} {}", names::error(code)))
}

fn judge(records: &[Record<'_>], speaker: Speaker, len: usize, notes: &mut Notes) {
    let end = records.iter().position(|record| record.kind == END);
    match end {
        None => notes.must("RFC 8915 §4.1.1", len, "no End of Message"),
        Some(nth) => {
            for record in records.iter().skip(nth + 1) {
                notes.must("RFC 8915 §4.1.1", record.at, "a record after End of Message");
            }
        }
    }
    let said = records.get(..end.map_or(records.len(), |nth| nth + 1)).unwrap_or_default();
    let of = |kind: u16| said.iter().filter(move |record| record.kind == kind);
    for record in said {
        each(record, speaker, notes);
    }
    for (kind, rfc) in [
        (NEXT_PROTOCOL, "RFC 8915 §4.1.2"),
        (AEAD, "RFC 8915 §4.1.5"),
        (SERVER, "RFC 8915 §4.1.7"),
        (PORT, "RFC 8915 §4.1.8"),
        (COMPLIANT_EXPORT, "IANA NTS-KE record 1024"),
    ] {
        if let Some(second) = of(kind).nth(1) {
            notes.must(rfc, second.at, format!("a second record {}", names::record(kind)));
        }
    }
    let failed = speaker == Speaker::Server
        && said.iter().any(|record| matches!(record.kind, ERROR | WARNING));
    if of(NEXT_PROTOCOL).next().is_none() && !failed {
        notes.must("RFC 8915 §4.1.2", 0, "no Next Protocol Negotiation");
    }
    let ntp = of(NEXT_PROTOCOL).any(|record| record.numbers().contains(&0));
    let aeads: Vec<u16> = of(AEAD).flat_map(Record::numbers).collect();
    if ntp && of(AEAD).next().is_none() && !failed {
        notes.must("RFC 8915 §4.1.5", 0, "NTPv4 without AEAD Algorithm Negotiation");
    }
    let compliant = of(COMPLIANT_EXPORT).next();
    if let Some(record) = compliant.filter(|_| !aeads.contains(&30)) {
        notes.derived("IANA NTS-KE record 1024", record.at, "without AEAD 30 it means nothing");
    }
    if speaker == Speaker::Server && !failed {
        cookies(&of(COOKIE).copied().collect::<Vec<_>>(), ntp && !aeads.is_empty(), notes);
    }
}

/// What one record must be for itself.
fn each(record: &Record<'_>, speaker: Speaker, notes: &mut Notes) {
    let Record { at, critical, kind, body } = *record;
    let (name, len) = (names::record(kind), body.len());
    let is_request = speaker == Speaker::Client;
    let is_list = matches!(kind, NEXT_PROTOCOL | AEAD);
    let clause = match kind {
        END => "RFC 8915 §4.1.1",
        NEXT_PROTOCOL => "RFC 8915 §4.1.2",
        ERROR => "RFC 8915 §4.1.3",
        WARNING => "RFC 8915 §4.1.4",
        AEAD => "RFC 8915 §4.1.5",
        COOKIE => "RFC 8915 §4.1.6",
        SERVER => "RFC 8915 §4.1.7",
        PORT => "RFC 8915 §4.1.8",
        COMPLIANT_EXPORT => "IANA NTS-KE record 1024",
        _ => "RFC 8915 §4",
    };
    if matches!(kind, END | NEXT_PROTOCOL | ERROR | WARNING) && !critical {
        notes.must(clause, at, format!("{name} without the critical bit"));
    }
    if matches!(kind, END | COMPLIANT_EXPORT) && len != 0 {
        notes.must(clause, at, format!("{name} with a body of {len} octets"));
    }
    if matches!(kind, ERROR | WARNING | PORT) && len != 2 {
        notes.must(clause, at, format!("{name} with {len} octets, not 2"));
    }
    if kind == PORT && u16_at(body, 0) == Some(0) {
        notes.derived(clause, at, "port 0");
    }
    if is_list && !len.is_multiple_of(2) {
        notes.derived(clause, at, format!("a list of 16-bit numbers with {len} octets"));
    }
    if is_list && len < 2 && is_request {
        notes.must(clause, at, format!("{name} with no number in a request"));
    }
    if kind == AEAD && len > 2 && !is_request {
        notes.must(clause, at, format!("{} algorithms in a response", len / 2));
    }
    if matches!(kind, ERROR | WARNING | COOKIE) && is_request {
        notes.must(clause, at, format!("{name} from a client"));
    }
    if kind == WARNING && !is_request {
        notes.must(clause, at, "no warning is defined: clients take it for an error");
    }
    if matches!(kind, SERVER | PORT) && critical && is_request {
        notes.should(clause, at, format!("{name} with the critical bit from a client"));
    }
    if kind == COMPLIANT_EXPORT && critical {
        notes.derived(clause, at, "with the critical bit");
    }
    if kind == SERVER && !is_server(body) {
        notes.must(clause, at, "neither an address nor an ASCII name");
    }
    let is_known = matches!(
        kind,
        END | NEXT_PROTOCOL | ERROR | WARNING | AEAD | COOKIE | SERVER | PORT | COMPLIANT_EXPORT
    );
    if critical && !is_known {
        let what = format!(
            "type {kind} with the critical bit: who does not know it answers an error or gives up"
        );
        notes.may("RFC 8915 §4", at, what);
    }
    if kind == KEEP_ALIVE {
        notes.may(
            "draft NTS-KE pool",
            at,
            "no keys are exported from a connection that is kept alive",
        );
    }
}

/// Cookies of a response.
fn cookies(cookies: &[Record<'_>], agreed: bool, notes: &mut Notes) {
    let at = cookies.first().map_or(0, |cookie| cookie.at);
    match (agreed, cookies.len()) {
        (true, 0) => notes.must(
            "RFC 8915 §4.1.6",
            at,
            "protocol and AEAD are agreed, and there is no cookie",
        ),
        (false, 1..) => notes.must("RFC 8915 §4.1.6", at, "cookies, and nothing is agreed"),
        (true, count) if count != 8 => {
            notes.should("RFC 8915 §4.1.6", at, format!("{count} cookies, not 8"));
        }
        _ => {}
    }
    for cookie in cookies {
        if cookie.critical {
            notes.should("RFC 8915 §4.1.6", cookie.at, "a cookie with the critical bit");
        }
        if !cookie.body.len().is_multiple_of(4) || cookie.body.len() < 12 {
            let what = format!(
                "a cookie of {} octets, which fits an extension field only with padding",
                cookie.body.len()
            );
            notes.may("RFC 7822 §7.5", cookie.at, what);
        }
    }
    for (nth, cookie) in cookies.iter().enumerate() {
        if cookies.iter().take(nth.min(COMPARED)).any(|before| before.body == cookie.body) {
            notes.derived("RFC 8915 §4.1.6", cookie.at, "a cookie that was there before");
        }
    }
}

/// An IPv4 address, an IPv6 address without a zone, or a name of letters, digits and hyphens (RFC 8915 §4.1.7).
fn is_server(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    if text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok() {
        return true;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=253).contains(&name.len())
        && name.split('.').all(label)
        && !name.bytes().all(|o| o.is_ascii_digit() || o == b'.')
}

/// A message has room for thousands of cookies; this many are compared with those after them.
const COMPARED: usize = 64;
