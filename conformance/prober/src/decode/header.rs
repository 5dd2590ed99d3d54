//! The header of an NTP packet (RFC 5905 §7.3).

use super::{Notes, Part, names, stamp};

/// Octets of it.
pub(super) const LEN: usize = 48;

/// What later readers need of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) version: u8,
    pub(super) mode: u8,
    pub(super) kiss: Option<[u8; 4]>,
    pub(super) origin: u64,
    pub(super) transmit: u64,
    stratum: u8,
}

impl Shown {
    /// Version, mode, and a kiss if it is one.
    pub(super) fn summary(&self) -> String {
        let kiss = match self.kiss {
            Some(code) => format!(", kiss {}", text(&code)),
            None if self.mode == 4 => format!(", stratum {}", self.stratum),
            None => String::new(),
        };
        format!("NTPv{} {}{kiss}", self.version, names::mode(self.mode))
    }
}

/// Reads 48 octets; what is missing counts as zero.
pub(super) fn read(octets: &[u8], near_s: i64, notes: &mut Notes) -> (Vec<Part>, Shown) {
    let octet = |at: usize| octets.get(at).copied().unwrap_or(0);
    let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|nth| octet(at + nth)));
    let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    let part = |name: &'static str, at: usize, len: usize, meaning: String| {
        Part::new(name, at, octets.get(at..at + len).unwrap_or_default(), meaning)
    };
    let (leap, version, mode) = (octet(0) >> 6, octet(0) >> 3 & 7, octet(0) & 7);
    let (stratum, id) = (octet(1), word(12).to_be_bytes());
    let first = format!(
        "leap {leap}: {}; version {version}; mode {mode}: {}",
        names::leap(leap),
        names::mode(mode)
    );
    let stamps = [
        ("reference timestamp", 16),
        ("origin timestamp", 24),
        ("receive timestamp", 32),
        ("transmit timestamp", 40),
    ];
    let mut parts = vec![
        part("leap, version, mode", 0, 1, first),
        part("stratum", 1, 1, stratum_in_words(stratum, mode)),
        part("poll", 2, 1, stamp::exponent(octet(2).cast_signed())),
        part("precision", 3, 1, stamp::exponent(octet(3).cast_signed())),
        part("root delay", 4, 4, stamp::short(word(4))),
        part("root dispersion", 8, 4, stamp::short(word(8))),
        part("reference id", 12, 4, reference_in_words(stratum, mode, id)),
    ];
    parts.extend(stamps.map(|(name, at)| part(name, at, 8, stamp::stamp(long(at), near_s))));
    let kiss = (mode == 4 && stratum == 0 && id != [0; 4]).then_some(id);
    let shown = Shown { version, mode, kiss, origin: long(24), transmit: long(40), stratum };
    if !(1..=4).contains(&version) {
        notes.derived(
            "RFC 5905 §9.2, §A.5.1",
            0,
            format!("version {version} is none that NTPv4 answers"),
        );
    }
    if stratum > 16 {
        notes.derived("RFC 5905 §7.3", 1, format!("stratum {stratum} is reserved"));
    } else if stratum == 16 {
        notes.derived("RFC 5905 §7.3", 1, "stratum 16 is sent as 0");
    }
    match mode {
        0 => notes.derived("RFC 5905 §9.2", 0, "mode 0 is reserved and never answered"),
        3 => question(octets, long, notes),
        4 => answer(&shown, leap, (word(4), word(8)), long, notes),
        _ => {}
    }
    (parts, shown)
}

/// RFC 8915 §9.1 for NTS, and the practice of others: a question tells nothing of the client.
fn question(octets: &[u8], long: impl Fn(usize) -> u64, notes: &mut Notes) {
    let told = |at: usize, len: usize| {
        octets.get(at..at + len).is_some_and(|octets| octets.iter().any(|octet| *octet != 0))
    };
    for (at, len, name) in [
        (1, 1, "stratum"),
        (4, 8, "root delay or dispersion"),
        (12, 4, "reference id"),
        (16, 8, "reference timestamp"),
    ] {
        if told(at, len) {
            notes.should("RFC 8915 §9.1", at, format!("the {name} tells something of the client"));
        }
    }
    if long(40) == 0 {
        notes.may(
            "RFC 5905 §8",
            40,
            "a transmit timestamp of zero matches any answer to such a question",
        );
    }
}

fn answer(
    shown: &Shown,
    leap: u8,
    (root_delay, root_dispersion): (u32, u32),
    long: impl Fn(usize) -> u64,
    notes: &mut Notes,
) {
    let (reference, origin, receive, transmit) = (long(16), long(24), long(32), long(40));
    if origin == 0 {
        notes.derived("RFC 5905 §8", 24, "an origin timestamp of zero: clients drop it");
    }
    if let Some(code) = shown.kiss {
        if !code.iter().all(u8::is_ascii_graphic) {
            notes.derived("RFC 5905 §7.4", 12, "a kiss code is four ASCII characters");
        }
        if leap != 3 {
            notes.derived("RFC 5905 §7.4", 0, format!("a kiss with leap {leap}, not 3"));
        }
        return;
    }
    if shown.stratum == 0 || leap == 3 {
        if (leap == 3) != (shown.stratum == 0) {
            let what = format!("leap {leap} and stratum {} contradict each other", shown.stratum);
            notes.derived("RFC 5905 §7.3", 0, what);
        }
        notes.may("RFC 5905 §A.5.1.1", 0, "not synchronised: its time is not used");
    }
    for (at, name, value) in [(32, "receive", receive), (40, "transmit", transmit)] {
        if value == 0 {
            notes.derived(
                "RFC 5905 §A.5.1",
                at,
                format!("a {name} timestamp of zero: clients drop it"),
            );
        }
    }
    let held = stamp::difference(transmit, receive);
    if receive != 0 && transmit != 0 && held < 0.0 {
        notes.derived(
            "RFC 5905 §8",
            40,
            format!("sent {} before it received the question", stamp::seconds(-held)),
        );
    }
    if receive != 0 && receive == transmit {
        notes.must("RFC 9769 §2", 40, "transmit and receive timestamp are the same");
    }
    if reference != 0 && stamp::difference(transmit, reference) < 0.0 {
        notes.derived("RFC 5905 §A.5.1.1", 16, "the clock was set after the answer was sent");
    }
    let distance = f64::from(root_delay) / 131_072.0 + f64::from(root_dispersion) / 65536.0;
    if distance >= 16.0 {
        let what = format!("a root distance of {} is 16 s or more", stamp::seconds(distance));
        notes.derived("RFC 5905 §A.5.1.1", 4, what);
    }
}

fn stratum_in_words(stratum: u8, mode: u8) -> String {
    let word = match stratum {
        0 if mode == 3 => "none given",
        0 => "a kiss, or not synchronised",
        1 => "has a reference clock",
        2..=15 => "synchronised over the network",
        16 => "not synchronised",
        _ => "reserved",
    };
    format!("{stratum}: {word}")
}

fn reference_in_words(stratum: u8, mode: u8, id: [u8; 4]) -> String {
    let [a, b, c, d] = id;
    match stratum {
        _ if id == [0; 4] => "none".to_owned(),
        0 if mode != 3 => format!("kiss code {}: {}", text(&id), names::kiss(id)),
        0 | 1 => format!("\"{}\"", text(&id)),
        _ => format!("{a}.{b}.{c}.{d}: an IPv4 address, or the MD5 of another"),
    }
}

/// Characters of a fixed field, zeros at its end left out.
fn text(octets: &[u8]) -> String {
    let end = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    octets.get(..end).unwrap_or_default().escape_ascii().to_string()
}
