//! One TOML value into one typed value, or a sentence about what is wrong with it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;

use crate::settings::{AeadId, InterfaceName};
use crate::spelling;

/// A value and its place in the text.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// What is wrong with a value, and where.
pub(crate) struct Wrong {
    pub(crate) place: Range<usize>,
    pub(crate) what: String,
}

/// Collects what is wrong, so that a list reports each of its items.
#[derive(Default)]
pub(crate) struct Wrongs(pub(crate) Vec<Wrong>);

impl Wrongs {
    pub(crate) fn add(&mut self, value: &Value<'_>, what: impl Into<String>) {
        self.0.push(Wrong { place: value.span(), what: what.into() });
    }
}

/// A string.
pub(crate) fn text<'v>(value: &'v Value<'_>, wrongs: &mut Wrongs) -> Option<&'v str> {
    match value.get_ref() {
        DeValue::String(text) => Some(text),
        other => {
            wrongs.add(value, format!("{} is not text in quotes", named(other)));
            None
        }
    }
}

/// A whole number within `range`.
pub(crate) fn integer(
    value: &Value<'_>,
    wrongs: &mut Wrongs,
    range: RangeInclusive<u32>,
) -> Option<u32> {
    let DeValue::Integer(written) = value.get_ref() else {
        wrongs.add(value, format!("{} is not a whole number", named(value.get_ref())));
        return None;
    };
    // What does not even fit here is out of every range; only the sign tells which way.
    let number = i128::from_str_radix(written.as_str(), written.radix())
        .unwrap_or(if written.as_str().starts_with('-') { i128::MIN } else { i128::MAX });
    match u32::try_from(number) {
        Ok(number) if range.contains(&number) => Some(number),
        _ => {
            let way = if number < i128::from(*range.start()) { "small" } else { "large" };
            wrongs.add(value, format!("{written} is too {way}"));
            None
        }
    }
}

/// A whole number within `range`, which may begin below zero.
pub(crate) fn signed(
    value: &Value<'_>,
    wrongs: &mut Wrongs,
    range: RangeInclusive<i32>,
) -> Option<i32> {
    let DeValue::Integer(written) = value.get_ref() else {
        wrongs.add(value, format!("{} is not a whole number", named(value.get_ref())));
        return None;
    };
    let number = i128::from_str_radix(written.as_str(), written.radix())
        .unwrap_or(if written.as_str().starts_with('-') { i128::MIN } else { i128::MAX });
    match i32::try_from(number) {
        Ok(number) if range.contains(&number) => Some(number),
        _ => {
            let way = if number < i128::from(*range.start()) { "small" } else { "large" };
            wrongs.add(value, format!("{written} is too {way}"));
            None
        }
    }
}

/// `true` or `false`.
pub(crate) fn truth(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<bool> {
    match value.get_ref() {
        DeValue::Boolean(truth) => Some(*truth),
        other => {
            wrongs.add(value, format!("{} is neither true nor false", named(other)));
            None
        }
    }
}

/// A list whose items `item` reads; one wrong item spoils the list but not the check of the rest.
/// An item equal to an earlier one is refused unless `may_repeat` says so.
pub(crate) fn list<T: PartialEq>(
    value: &Value<'_>,
    wrongs: &mut Wrongs,
    item: impl Fn(&Value<'_>, &mut Wrongs) -> Option<T>,
    may_repeat: impl Fn(&T) -> bool,
) -> Option<Vec<T>> {
    let DeValue::Array(items) = value.get_ref() else {
        wrongs.add(value, format!("{} is not a list in brackets", named(value.get_ref())));
        return None;
    };
    let before = wrongs.0.len();
    let mut read: Vec<T> = Vec::with_capacity(items.len());
    for value in items {
        let Some(one) = item(value, wrongs) else { continue };
        if !may_repeat(&one) && read.contains(&one) {
            wrongs.add(value, format!("{} is listed twice", shown(value.get_ref())));
        }
        read.push(one);
    }
    (wrongs.0.len() == before).then_some(read)
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    value: &Value<'_>,
    wrongs: &mut Wrongs,
    words: &[(&str, T)],
) -> Option<T> {
    let written = text(value, wrongs)?;
    let found = words.iter().find(|(word, _)| *word == written);
    if found.is_none() {
        let nearest = spelling::nearest(written, words.iter().map(|(word, _)| *word));
        let hint = nearest.map_or(String::new(), |word| format!("; did you mean {word:?}?"));
        wrongs.add(value, format!("{written:?} is not known{hint}"));
    }
    found.map(|(_, meaning)| *meaning)
}

/// A length of time within `range`: whole numbers with units, added up, as in `1h30m`.
pub(crate) fn duration(
    value: &Value<'_>,
    wrongs: &mut Wrongs,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    if let DeValue::Integer(number) = value.get_ref() {
        wrongs.add(value, format!("{number} has no unit; did you mean \"{number}s\"?"));
        return None;
    }
    let written = text(value, wrongs)?;
    match duration_of(written) {
        Ok(duration) if range.contains(&duration) => return Some(duration),
        Ok(duration) if duration < *range.start() => {
            wrongs.add(value, format!("{written:?} is too short"));
        }
        Ok(_) => wrongs.add(value, format!("{written:?} is too long")),
        Err(what) => wrongs.add(value, format!("{written:?} is not a duration: {what}")),
    }
    None
}

/// The units of durations and their length in milliseconds.
const UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
];

fn duration_of(written: &str) -> Result<Duration, &'static str> {
    let mut rest = written;
    let mut milliseconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or("it ends without a unit")?;
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err("a whole number comes before each unit");
        }
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, length) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or("the units are ms, s, m, h, d and w")?;
        milliseconds = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*length))
            .and_then(|part| milliseconds.checked_add(part))
            .ok_or("it is too long")?;
        rest = after;
    }
    if written.is_empty() { Err("it is empty") } else { Ok(Duration::from_millis(milliseconds)) }
}

/// Addresses to bind; `port` stands where none is written.
pub(crate) fn addresses(
    value: &Value<'_>,
    wrongs: &mut Wrongs,
    port: u16,
) -> Option<Vec<SocketAddr>> {
    // Two free ports are two different ports.
    let is_free = |address: &SocketAddr| address.port() == 0;
    let read = list(value, wrongs, |value, wrongs| address(value, wrongs, port), is_free)?;
    if read.len() > ADDRESSES_MAX {
        wrongs.add(value, format!("the list has {} addresses", read.len()));
        return None;
    }
    let DeValue::Array(items) = value.get_ref() else { return None };
    let before = wrongs.0.len();
    for (at, (item, later)) in items.iter().zip(&read).enumerate() {
        if let Some(earlier) = read.iter().take(at).find(|earlier| overlap(earlier, later)) {
            wrongs.add(item, format!("\"{later}\" and \"{earlier}\" overlap: one stands for all"));
        }
    }
    (wrongs.0.len() == before).then_some(read)
}

/// A list of network devices.
pub(crate) fn interfaces(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<Vec<InterfaceName>> {
    let read = list(value, wrongs, interface, |_| false)?;
    if read.len() > INTERFACES_MAX {
        wrongs.add(value, format!("the list has {} devices", read.len()));
        return None;
    }
    Some(read)
}

/// As for addresses: each is a socket per thread and address.
const INTERFACES_MAX: usize = 64;

/// More than any machine needs, few enough for the descriptors of one process: each is a socket per thread.
const ADDRESSES_MAX: usize = 64;

/// Whether one of two different addresses stands for every address of the other's family, at the same port.
fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && one.ip().is_unspecified() != other.ip().is_unspecified()
}

fn address(value: &Value<'_>, wrongs: &mut Wrongs, port: u16) -> Option<SocketAddr> {
    let written = text(value, wrongs)?;
    let bare = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = written
        .parse::<SocketAddr>()
        .or_else(|_| bare.unwrap_or(written).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)));
    match address {
        Ok(address) if address.ip().is_multicast() || is_broadcast(address.ip()) => {
            wrongs.add(value, format!("{written:?} is not an address a host can have"));
        }
        Ok(SocketAddr::V6(address)) if address.ip().to_ipv4_mapped().is_some() => {
            wrongs.add(value, format!("{written:?} is an IPv4 address: write it as one"));
        }
        Ok(address) => return Some(address),
        Err(_) if written.starts_with(':') || written.starts_with("*:") => wrongs.add(
            value,
            format!("{written:?} has no address; every one is \"[::]\" and \"0.0.0.0\""),
        ),
        Err(_) => wrongs.add(value, format!("{written:?} is not an address")),
    }
    None
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

/// A prefix of client addresses, or one address.
pub(crate) fn prefix(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<IpNet> {
    let written = text(value, wrongs)?;
    let parsed = written.parse::<IpNet>().or_else(|_| written.parse::<IpAddr>().map(IpNet::from));
    // Whoever writes /08 may mean anything.
    let has_zeros = written
        .rsplit_once('/')
        .is_some_and(|(_, length)| length.len() > 1 && length.starts_with('0'));
    let Some(prefix) = parsed.ok().filter(|_| !has_zeros) else {
        wrongs.add(value, format!("{written:?} is not a prefix"));
        return None;
    };
    if prefix != prefix.trunc() {
        let meant = prefix.trunc();
        wrongs.add(
            value,
            format!("{written:?} has bits outside its mask; did you mean \"{meant}\"?"),
        );
        return None;
    }
    if matches!(prefix, IpNet::V6(prefix) if prefix.addr().to_ipv4_mapped().is_some()) {
        wrongs.add(value, format!("{written:?} is an IPv4 prefix: write it as one"));
        return None;
    }
    Some(prefix)
}

/// Name of a network device.
pub(crate) fn interface(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<InterfaceName> {
    let written = text(value, wrongs)?;
    let name = InterfaceName::new(written);
    if name.is_none() {
        wrongs.add(value, format!("{written:?} cannot be a device's name"));
    }
    name
}

/// An AEAD by number or by name.
pub(crate) fn aead(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<AeadId> {
    match value.get_ref() {
        DeValue::String(name) => {
            let same = |known: &str| {
                let name = name.strip_prefix("AEAD_").unwrap_or(name);
                name.replace('_', "-").eq_ignore_ascii_case(known)
            };
            let found = AeadId::ALL.iter().find(|(_, known)| same(known));
            if found.is_none() {
                let nearest = spelling::nearest(name, AeadId::ALL.iter().map(|(_, known)| *known));
                let hint =
                    nearest.map_or(String::new(), |near| format!("; did you mean {near:?}?"));
                wrongs.add(value, format!("{name:?} is not an algorithm of ours{hint}"));
            }
            found.map(|(aead, _)| *aead)
        }
        DeValue::Integer(number) => {
            let id = u16::from_str_radix(number.as_str(), number.radix()).ok();
            let found = AeadId::ALL.iter().find(|(aead, _)| Some(aead.get()) == id);
            if found.is_none() {
                wrongs.add(value, format!("{number} is not an algorithm of ours"));
            }
            found.map(|(aead, _)| *aead)
        }
        other => {
            wrongs.add(value, format!("{} is neither a number nor a name", named(other)));
            None
        }
    }
}

/// The path of a file, as written.
pub(crate) fn path(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<PathBuf> {
    let written = text(value, wrongs)?;
    if written.is_empty() || written.contains('\0') {
        wrongs.add(value, format!("{written:?} is not a path"));
        return None;
    }
    Some(PathBuf::from(written))
}

/// An IP address without a zone, or a host name in ASCII (RFC 8915 §4.1.7): labels of 1 to 63
/// letters, digits and inner hyphens, 253 octets in all, the last label not a number.
pub(crate) fn host(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<String> {
    let written = text(value, wrongs)?;
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = written.len() <= 253
        && written.split('.').all(is_label)
        && !written.rsplit('.').next().is_some_and(|last| last.bytes().all(|o| o.is_ascii_digit()));
    if written.parse::<IpAddr>().is_ok() || is_name {
        return Some(written.to_owned());
    }
    wrongs.add(value, format!("{written:?} is neither a host name nor an address"));
    None
}

/// A host to ask: as [`host`], and an IPv6 address may have a zone, as one on a link needs it.
pub(crate) fn peer(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<String> {
    let written = text(value, wrongs)?;
    let has_zone = written.split_once('%').is_some_and(|(address, zone)| {
        address.parse::<Ipv6Addr>().is_ok() && InterfaceName::new(zone).is_some()
    });
    if has_zone { Some(written.to_owned()) } else { host(value, wrongs) }
}

/// A value as a message shows it: text quoted and cut, numbers as written.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => {
            format!("{:?}…", text.chars().take(60).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// [`shown`] with the name of the type before it, for a value of the wrong type.
fn named(value: &DeValue<'_>) -> String {
    let kind = match value {
        DeValue::String(_) => "text ",
        DeValue::Integer(_) => "number ",
        DeValue::Float(_) => "fraction ",
        DeValue::Datetime(_) => "time ",
        DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => "",
    };
    format!("{kind}{}", shown(value))
}
