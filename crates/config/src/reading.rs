//! From the tree of a TOML file to [`Settings`]: each table by a function of its own, then the
//! rules that tie keys together.

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use crate::clock::LeapSmear;
use crate::keys::{TABLES, Table};
use crate::report::Found;
use crate::section::{Document, MISSING, Section};
use crate::settings::{
    AccessRule, Action, AeadId, Cookies, Dscp, Local, Log, LogFormat, LogLevel, Nts, RateLimit,
    Server, Settings, State, Status, Versions,
};
use crate::value::{self, Value, Wrongs};
use crate::{clock, source};

/// UDP port of NTP (RFC 5905 §7.2).
const NTP_PORT: u16 = 123;

/// TCP port of NTS key establishment (RFC 8915 §4).
const KE_PORT: u16 = 4460;

/// Reference identifier of an uncalibrated local clock at stratum 1 (RFC 5905 figure 12).
const LOCAL_PRIMARY: [u8; 4] = *b"LOCL";

/// Reference identifier of the local clock at higher strata: the address that ntpd gave it.
const LOCAL_SECONDARY: [u8; 4] = [127, 127, 1, 1];

/// How wrong a clock may be before it is local: chrony's `distance`.
const LOCAL_DISTANCE: Duration = Duration::from_secs(1);

/// How long others are waited for among servers that may all be without sources: ntpd's `orphanwait`, and chrony's `waitunsynced`.
const ORPHAN_WAIT: Duration = Duration::from_secs(300);

/// Longest path of a Unix socket, one octet of the 108 being its end (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// Most addresses on devices: each is a socket for every thread.
const PLACES_MAX: usize = 128;

/// Most UDP sockets of all threads: a quarter of what the messages that hand them over could count.
pub const SOCKETS_MAX: usize = 16_384;

/// Settings, and where the file says what can only be checked outside of it.
pub(crate) struct Reading {
    pub(crate) settings: Settings,
    pub(crate) places: Places,
}

/// Where files are named, in octets of the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) certificate: Option<Range<usize>>,
    pub(crate) key: Option<Range<usize>>,
    /// Of each source, or where it begins.
    pub(crate) authorities: Vec<Option<Range<usize>>>,
    pub(crate) leap_seconds: Option<Range<usize>>,
}

/// Reads `text`; relative paths start from `folder`.
pub(crate) fn read(text: &str, folder: &Path) -> Result<Reading, Vec<Found>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut found = broken_syntax(text, &errors);
    let root = root.get_ref();
    if root.is_empty() && found.is_empty() {
        let headers: Vec<String> = TABLES.iter().map(Table::header).collect();
        found.push(Found {
            place: None,
            key: None,
            message: "nothing is configured; an empty file does not stand for the defaults".into(),
            accepted: Some(format!("at least one of the tables {}", headers.join(", "))),
        });
        return Err(found);
    }

    let mut document = Document::new(root);
    let has_sources = document.has("source");
    let server = server(&mut document);
    let access = access(&mut document);
    let rate_limit = rate_limit(&mut document);
    let overload = crate::overload::overload(document.section("overload"));
    let nts = nts(&mut document, folder);
    let cookies = cookies(document.section("cookies"));
    let mut authorities = Vec::new();
    let sources = source::sources(&mut document, folder, &mut authorities);
    let smears = server.as_ref().is_some_and(|server| server.leap_smear.is_some());
    let mut leap_seconds = None;
    let clock =
        clock::clock(document.section("clock"), folder, has_sources, smears, &mut leap_seconds);
    let state = state(document.section("state"), folder);
    let status = status(document.section("status"), folder);
    let log = log(document.section("log"));
    let daemon = crate::daemon::daemon(document.section("daemon"));
    drop_echoes(text, &errors, &mut document.found);
    found.append(&mut document.found);
    if !found.is_empty() {
        return Err(found);
    }
    let whole = (|| {
        let (nts, certificate, key) = match nts? {
            Some(nts) => (Some(nts.0), nts.1, nts.2),
            None => (None, None, None),
        };
        let settings = Settings {
            server: server?,
            access: access?,
            rate_limit: rate_limit?,
            overload: overload?,
            nts,
            cookies: cookies?,
            sources: sources?,
            clock: clock?,
            state: state?,
            status: status?,
            log: log?,
            daemon: daemon?,
        };
        Some(Reading { settings, places: Places { certificate, key, authorities, leap_seconds } })
    })();
    Ok(whole.expect("whatever is wrong has been reported"))
}

/// What the parser could not read: of each line the first mistake. A bracket that is never closed
/// makes nonsense of every line after it, which is told once, where the nonsense begins.
fn broken_syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let (mut run_starts, mut last_line) = (0, None);
    for error in sorted(errors) {
        let place = place_of(error);
        let line = line_start(text, place.start);
        let same_line = last_line == Some(line);
        if !same_line && last_line.is_none_or(|last| next_line(text, last) != line) {
            run_starts = found.len();
        }
        let message = format!("not TOML: {}", error.message());
        last_line = Some(line);
        if error.message().starts_with("unclosed")
            && let Some(first) = found.get_mut(run_starts)
        {
            first.message = format!("{message} before this");
            found.truncate(run_starts + 1);
        } else if !same_line || found.is_empty() {
            found.push(Found { place: Some(place), key: None, message, accepted: None });
        }
    }
    found
}

/// Where the syntax is broken, the parser's guess at the rest of the line earns no further
/// complaint, nor do the keys below a broken header, nor anything that might be missing only
/// because of it.
fn drop_echoes(text: &str, syntax: &[toml::de::Error], found: &mut Vec<Found>) {
    let is_header = |start: usize| text[start..].trim_start().starts_with('[');
    let mut guessed: Vec<Range<usize>> = Vec::with_capacity(syntax.len());
    for error in sorted(syntax) {
        let start = line_start(text, place_of(error).start);
        let mut end = next_line(text, start);
        while is_header(start) && end < text.len() && !is_header(end) {
            end = next_line(text, end);
        }
        match guessed.last_mut() {
            Some(last) if start < last.end => last.end = last.end.max(end),
            _ => guessed.push(start..end.max(start + 1)),
        }
    }
    if !guessed.is_empty() {
        found.retain(|found| {
            let at = found.place.as_ref().map_or(0, |place| place.start);
            let before = guessed.partition_point(|lines| lines.start <= at);
            let is_guessed = before.checked_sub(1).is_some_and(|last| guessed[last].contains(&at));
            !is_guessed && !found.message.ends_with(MISSING)
        });
    }
}

fn sorted(errors: &[toml::de::Error]) -> Vec<&toml::de::Error> {
    let mut sorted: Vec<&toml::de::Error> = errors.iter().collect();
    sorted.sort_by_key(|error| place_of(error).start);
    sorted
}

fn place_of(error: &toml::de::Error) -> Range<usize> {
    error.span().unwrap_or(0..0)
}

/// Octet at which the line around `at` begins.
fn line_start(text: &str, at: usize) -> usize {
    text[..text.floor_char_boundary(at)].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Octet at which the line after the one that begins at `start` begins.
fn next_line(text: &str, start: usize) -> usize {
    text[start..].find('\n').map_or(text.len(), |newline| start + newline + 1)
}

fn server(document: &mut Document<'_, '_>) -> Option<Server> {
    let has_other_work = document.has("nts") || document.has("source");
    // Who only names sources wants to be served and not to serve.
    let is_client = document.has("source") && !document.has("nts") && !document.has("server");
    let mut section = document.section("server");
    let listen = section.read("listen", |v, w| value::addresses(v, w, NTP_PORT));
    let interfaces = section.read("interfaces", value::interfaces);
    let threads = section.read("threads", |v, w| value::integer(v, w, 0..=1024));
    let dscp = section.read("dscp", |v, w| small(v, w, 0..=63).and_then(Dscp::new));
    let versions = section.read("versions", versions);
    let interleaved = section.read("interleaved-clients", |v, w| value::integer(v, w, 0..=1 << 22));
    let fast_path = crate::fast_path::fast_path(&mut section, interfaces.value.as_deref());
    let orphan = section.read("local-orphan", value::truth);
    let up_to = |longest| {
        move |v: &Value<'_>, w: &mut Wrongs| value::duration(v, w, Duration::ZERO..=longest)
    };
    let distance = section.read_optional("local-distance", up_to(Duration::from_secs(16)));
    let activate = section.read_optional("local-activate", up_to(Duration::from_secs(16)));
    let wait = section.read_optional("local-wait", up_to(Duration::from_secs(7 * 86_400)));
    let stratum = section.read_optional("local-stratum", |v, w| small(v, w, 1..=15));
    let local_clock = |stratum, reference_id| {
        let orphan = orphan.value?;
        let usual_wait = if orphan { ORPHAN_WAIT } else { Duration::ZERO };
        Some(Local {
            stratum,
            reference_id,
            orphan,
            distance: distance.value?.unwrap_or(LOCAL_DISTANCE),
            activate: activate.value?,
            wait: wait.value?.unwrap_or(usual_wait),
        })
    };
    let reference =
        section.read_optional("reference-id", |v, w| value::text(v, w).map(str::to_owned));

    let smear = section.read("leap-smear", |v, w| {
        value::word(v, w, &[("none", None), ("linear", Some(false)), ("quadratic", Some(true))])
    });
    let smear_length = section.read("leap-smear-length", |v, w| {
        value::duration(v, w, Duration::from_secs(1000)..=Duration::from_secs(86_400))
    });

    let local = match (stratum.value, reference.value) {
        (Some(None), Some(Some(_))) => {
            section.misfit("reference-id", reference.place, "given without local-stratum");
            None
        }
        (Some(Some(stratum)), Some(written)) => {
            let reference_id = reference_id(stratum, written.as_deref());
            if reference_id.is_none() {
                let what =
                    format!("{:?} does not fit stratum {stratum}", written.unwrap_or_default());
                section.misfit("reference-id", reference.place, &what);
            }
            reference_id.and_then(|reference_id| local_clock(stratum, reference_id)).map(Some)
        }
        (Some(None), Some(None)) => Some(None),
        _ => None,
    };
    if let Some(None) = stratum.value {
        let lengths =
            [("local-distance", &distance), ("local-activate", &activate), ("local-wait", &wait)];
        for (name, found) in lengths {
            if let Some(Some(_)) = found.value {
                section.misfit(name, found.place.clone(), "given without local-stratum");
            }
        }
        if orphan.value == Some(true) {
            section.misfit("local-orphan", orphan.place.clone(), "true without local-stratum");
        }
    }
    if !has_other_work && listen.value.as_ref().is_some_and(Vec::is_empty) {
        let what =
            "no address to listen on, and neither [nts] nor [[source]]: nothing would be done";
        section.misfit("listen", listen.place, what);
    }
    if let (Some(addresses), Some(devices)) = (&listen.value, &interfaces.value) {
        let places = addresses.len() * devices.len().max(1);
        if places > PLACES_MAX {
            let (addresses, devices) = (addresses.len(), devices.len());
            let what = format!(
                "{addresses} addresses on {devices} devices are {places} sockets for each thread"
            );
            section.misfit("interfaces", interfaces.place.clone(), &what);
        }
        if let Some(count) = threads.value.filter(|count| *count as usize * places > SOCKETS_MAX) {
            let what =
                format!("{count} threads with {places} sockets each are more than {SOCKETS_MAX}");
            section.misfit("threads", threads.place.clone(), &what);
        }
    }
    Some(Server {
        listen: listen.value.map(|listen| if is_client { Vec::new() } else { listen })?,
        interfaces: interfaces.value?,
        threads: threads.value.map(|threads| NonZeroUsize::new(threads as usize))?,
        dscp: dscp.value?,
        versions: versions.value?,
        fast_path: fast_path?,
        local: local?,
        interleaved_clients: interleaved.value? as usize,
        leap_smear: smear.value?.zip(smear_length.value).map(|(quadratic, length)| LeapSmear {
            quadratic,
            seconds: length.as_secs() as u32, // a day at most
        }),
    })
}

/// RFC 5905 §7.3: four ASCII characters padded with zeros at stratum 1, an address above.
fn reference_id(stratum: u8, written: Option<&str>) -> Option<[u8; 4]> {
    match (stratum, written) {
        (1, None) => Some(LOCAL_PRIMARY),
        (_, None) => Some(LOCAL_SECONDARY),
        (1, Some(name)) => {
            let fits = (1..=4).contains(&name.len()) && name.bytes().all(|o| o.is_ascii_graphic());
            let mut octets = [0; 4];
            octets.iter_mut().zip(name.bytes()).for_each(|(octet, written)| *octet = written);
            fits.then_some(octets)
        }
        (_, Some(address)) => address.parse::<Ipv4Addr>().ok().map(|ip| ip.octets()),
    }
}

fn versions(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<Versions> {
    let listed = value::list(value, wrongs, |v, w| small(v, w, 1..=4), |_| false)?;
    if listed.is_empty() {
        wrongs.add(value, "the list is empty: nothing would be answered");
        return None;
    }
    Some(listed.into_iter().fold(Versions::NONE, Versions::with))
}

fn access(document: &mut Document<'_, '_>) -> Option<Vec<AccessRule>> {
    let mut rules: Option<Vec<AccessRule>> = Some(Vec::new());
    let mut seen: Vec<IpNet> = Vec::new();
    document.each_section("access", |mut section| {
        let prefix = section.read("prefix", value::prefix);
        let action = section.read("action", |v, w| {
            let words =
                [("allow", Action::Allow), ("deny", Action::Deny), ("ignore", Action::Ignore)];
            value::word(v, w, &words)
        });
        if let Some(written) = prefix.value {
            if seen.contains(&written) {
                let what = format!("{written} has a rule already");
                section.misfit("prefix", prefix.place, &what);
            }
            seen.push(written);
        }
        match (&mut rules, prefix.value, action.value) {
            (Some(rules), Some(prefix), Some(action)) => rules.push(AccessRule { prefix, action }),
            _ => rules = None,
        }
    });
    rules
}

/// `None`: something is wrong; `Some(None)`: off.
fn rate_limit(document: &mut Document<'_, '_>) -> Option<Option<RateLimit>> {
    if !document.has("rate-limit") {
        return Some(None);
    }
    let mut section = document.section("rate-limit");
    let interval = section.read("interval", |v, w| {
        value::duration(v, w, Duration::from_millis(1)..=Duration::from_hours(1))
    });
    let burst = section.read("burst", |v, w| small(v, w, 1..=255));
    let leak = section.read("leak", |v, w| small(v, w, 0..=255));
    let table_size = section.read("table-size", |v, w| value::integer(v, w, 1..=1 << 20));
    let ipv4_prefix = section.read("ipv4-prefix", |v, w| small(v, w, 8..=32));
    let ipv6_prefix = section.read("ipv6-prefix", |v, w| small(v, w, 16..=128));
    Some(Some(RateLimit {
        interval: interval.value?,
        burst: burst.value?,
        leak: leak.value?,
        table_size: table_size.value? as usize,
        ipv4_prefix: ipv4_prefix.value?,
        ipv6_prefix: ipv6_prefix.value?,
    }))
}

type NtsReading = (Nts, Option<Range<usize>>, Option<Range<usize>>);

/// `None`: something is wrong; `Some(None)`: off.
fn nts(document: &mut Document<'_, '_>, folder: &Path) -> Option<Option<NtsReading>> {
    if !document.has("nts") {
        return Some(None);
    }
    let mut section = document.section("nts");
    let certificate = section.read("certificate", value::path);
    let key = section.read("key", value::path);
    let listen = section.read("listen", |v, w| {
        let listed = value::addresses(v, w, KE_PORT)?;
        if listed.is_empty() {
            w.add(v, "the list is empty; without the table [nts] is off");
        }
        Some(listed).filter(|listed| !listed.is_empty())
    });
    let aeads = section.read("aeads", aeads);
    let ntp_servers = section.read("ntp-servers", |v, w| value::list(v, w, value::host, |_| false));
    let ntp_port = section.read_optional("ntp-port", port);
    let max_connections = section.read("max-connections", |v, w| value::integer(v, w, 1..=65535));
    let max_per_prefix = section.read("max-per-prefix", |v, w| value::integer(v, w, 1..=65535));
    let ipv4_prefix = section.read("ipv4-prefix", |v, w| small(v, w, 8..=32));
    let ipv6_prefix = section.read("ipv6-prefix", |v, w| small(v, w, 16..=128));
    let time_limit = section.read("time-limit", |v, w| {
        value::duration(v, w, Duration::from_secs(1)..=Duration::from_secs(10))
    });
    if let (Some(all), Some(one), Some(place)) =
        (max_connections.value, max_per_prefix.value, max_per_prefix.place)
        && one > all
    {
        let what = format!("{one} is more than max-connections, which is {all}");
        section.misfit("max-per-prefix", Some(place), &what);
    }
    let max_connections = max_connections.value? as usize;
    let nts = Nts {
        listen: listen.value?,
        certificate: folder.join(certificate.value?),
        key: folder.join(key.value?),
        aeads: aeads.value?,
        ntp_servers: ntp_servers.value?,
        ntp_port: ntp_port.value?,
        max_connections,
        max_per_prefix: (max_per_prefix.value? as usize).min(max_connections),
        ipv4_prefix: ipv4_prefix.value?,
        ipv6_prefix: ipv6_prefix.value?,
        time_limit: time_limit.value?,
    };
    Some(Some((nts, certificate.place, key.place)))
}

fn aeads(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<Vec<AeadId>> {
    let listed = value::list(value, wrongs, value::aead, |_| false)?;
    if !listed.contains(&AeadId::SIV_CMAC_256) {
        wrongs.add(value, "15, which RFC 8915 §4.1.5 demands, is not in the list");
        return None;
    }
    Some(listed)
}

fn cookies(mut section: Section<'_, '_, '_>) -> Option<Cookies> {
    let rotation = section.read("rotation", |v, w| {
        let limits = Duration::from_mins(1)..=Duration::from_hours(90 * 24);
        let rotation = value::duration(v, w, limits)?;
        if rotation.subsec_nanos() != 0 {
            w.add(v, "the duration is not one of whole seconds");
        }
        Some(rotation).filter(|rotation| rotation.subsec_nanos() == 0)
    });
    let retention = section.read("retention", |v, w| value::integer(v, w, 1..=64));
    Some(Cookies { rotation: rotation.value?, retention: retention.value? })
}

fn state(mut section: Section<'_, '_, '_>, folder: &Path) -> Option<State> {
    let written = section.read("folder", value::path);
    Some(State { folder: folder.join(written.value?) })
}

fn status(mut section: Section<'_, '_, '_>, folder: &Path) -> Option<Status> {
    let socket = section.read("socket", |v, w| {
        let path = folder.join(value::path(v, w)?);
        let len = path.as_os_str().len();
        if len > SOCKET_PATH_MAX {
            w.add(
                v,
                format!("the path is {len} octets long with its folder, too long for a socket"),
            );
        }
        Some(path).filter(|_| len <= SOCKET_PATH_MAX)
    });
    Some(Status { socket: socket.value? })
}

fn log(mut section: Section<'_, '_, '_>) -> Option<Log> {
    let format = section.read("format", |v, w| {
        let words = [
            ("text", LogFormat::Text),
            ("json", LogFormat::Json),
            ("journald", LogFormat::Journald),
        ];
        value::word(v, w, &words)
    });
    let level = section.read("level", |v, w| {
        let words =
            [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace]
                .map(|level| (level.as_str(), level));
        value::word(v, w, &words)
    });
    Some(Log { format: format.value?, level: level.value? })
}

/// A whole number of one octet.
fn small(value: &Value<'_>, wrongs: &mut Wrongs, range: RangeInclusive<u8>) -> Option<u8> {
    let range = u32::from(*range.start())..=u32::from(*range.end());
    value::integer(value, wrongs, range).and_then(|number| u8::try_from(number).ok())
}

fn port(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<u16> {
    value::integer(value, wrongs, 1..=65535).and_then(|number| u16::try_from(number).ok())
}
