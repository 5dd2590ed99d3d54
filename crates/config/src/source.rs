//! `[[source]]`: what it means, and how it is read.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::section::{Document, Section};
use crate::value::{self, Value, Wrongs};

/// Where the machine gets its time from: one table `[[source]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// Whom to ask.
    pub kind: SourceKind,
    /// UDP port of NTP; with NTS the TCP port of key establishment.
    pub port: u16,
    /// The shortest interval between questions, log2 s, -4..=17.
    pub minpoll: i8,
    /// The longest one, no less than `minpoll`.
    pub maxpoll: i8,
    /// Begin with a burst.
    pub iburst: bool,
    /// Ask again soon where a question is not answered.
    pub burst: bool,
    /// Ask for interleaved answers.
    pub xleave: bool,
    /// Follow it rather than others.
    pub prefer: bool,
    /// Trusted sources alone decide who is right.
    pub trust: bool,
    /// Nobody is followed unless a required source is right.
    pub require: bool,
    /// Measured and shown, never followed.
    pub noselect: bool,
    /// Which addresses are used.
    pub family: AddressFamily,
    /// Who runs it.
    pub operator: Option<String>,
    /// Which network leads to it.
    pub network: Option<String>,
    /// Authorities that may vouch for it, instead of the system's; only with NTS.
    pub ca: Option<PathBuf>,
}

/// Whom a source asks. Hosts are names in ASCII or addresses without brackets, an IPv6 address perhaps with a zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SourceKind {
    /// One server.
    Server(String),
    /// Servers behind one name.
    Pool {
        /// The name.
        name: String,
        /// How many are asked at a time, 1..=16.
        max_sources: usize,
    },
    /// One server with NTS.
    Nts(String),
    /// Several servers with NTS.
    NtsPool {
        /// Their key-establishment servers, at least one, no two equal.
        hosts: Vec<String>,
        /// How many are asked at a time, 1..=16.
        max_sources: usize,
    },
}

impl SourceKind {
    /// How many servers are asked at a time.
    #[must_use]
    pub fn servers(&self) -> usize {
        match self {
            Self::Server(_) | Self::Nts(_) => 1,
            Self::Pool { max_sources, .. } | Self::NtsPool { max_sources, .. } => *max_sources,
        }
    }

    /// The hosts it names.
    #[must_use]
    pub fn hosts(&self) -> &[String] {
        match self {
            Self::Server(host) | Self::Nts(host) | Self::Pool { name: host, .. } => {
                std::slice::from_ref(host)
            }
            Self::NtsPool { hosts, .. } => hosts,
        }
    }

    /// Whether it proves its origin.
    #[must_use]
    pub fn is_nts(&self) -> bool {
        matches!(self, Self::Nts(_) | Self::NtsPool { .. })
    }
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressFamily {
    /// Both.
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// All sources of a file; `None` if something is wrong with one. Where each of them names authorities, or else
/// begins, goes into `ca_places`.
pub(crate) fn sources(
    document: &mut Document<'_, '_>,
    folder: &Path,
    ca_places: &mut Vec<Option<Range<usize>>>,
) -> Option<Vec<Source>> {
    let mut sources: Option<Vec<Source>> = Some(Vec::new());
    document.each_section("source", |mut section| {
        let source = source(&mut section, folder, ca_places);
        if let (Some(source), Some(before)) = (&source, &sources) {
            check_beside(&mut section, source, before);
        }
        match (&mut sources, source) {
            (Some(sources), Some(source)) => sources.push(source),
            _ => sources = None,
        }
    });
    sources
}

fn source(
    section: &mut Section<'_, '_, '_>,
    folder: &Path,
    ca_places: &mut Vec<Option<Range<usize>>>,
) -> Option<Source> {
    let kind = kind(section);
    let port = section.read_optional("port", |v, w| value::integer(v, w, 1..=65535));
    let minpoll = section.read("minpoll", poll);
    let maxpoll = section.read("maxpoll", poll);
    let mut truth = |name| section.read(name, value::truth).value;
    let iburst = truth("iburst");
    let burst = truth("burst");
    let xleave = truth("xleave");
    let prefer = truth("prefer");
    let trust = truth("trust");
    let require = truth("require");
    let noselect = truth("noselect");
    let family = section.read("family", |v, w| {
        let words =
            [("any", AddressFamily::Any), ("ipv4", AddressFamily::V4), ("ipv6", AddressFamily::V6)];
        value::word(v, w, &words)
    });
    let operator = section.read_optional("operator", label);
    let network = section.read_optional("network", label);
    let ca = section.read_optional("ca", value::path);
    ca_places.push(ca.place.clone().or_else(|| section.place()));
    if let (Some(shortest), Some(longest), Some(place)) =
        (minpoll.value, maxpoll.value, maxpoll.place.clone())
        && longest < shortest
    {
        section.misfit(
            "maxpoll",
            Some(place),
            &format!("{longest} is less than minpoll, which is {shortest}"),
        );
    }
    if let (Some(Some(_)), Some(place)) = (&ca.value, ca.place.clone())
        && kind.as_ref().is_some_and(|kind| !kind.is_nts())
    {
        section.misfit("ca", Some(place), "given for a source without NTS");
    }
    if let (Some(true), Some(true)) = (noselect, require) {
        section.misfit("noselect", None, "a source that is never followed cannot be required");
    }
    let kind = kind?;
    let (minpoll, maxpoll_value) = (minpoll.value?, maxpoll.value?);
    let usual = if kind.is_nts() { 4460 } else { 123 };
    Some(Source {
        port: port.value?.map_or(usual, |port| u16::try_from(port).unwrap_or(usual)),
        minpoll,
        maxpoll: if maxpoll.place.is_none() { maxpoll_value.max(minpoll) } else { maxpoll_value },
        iburst: iburst?,
        burst: burst?,
        xleave: xleave?,
        prefer: prefer?,
        trust: trust?,
        require: require?,
        noselect: noselect?,
        family: family.value?,
        operator: operator.value?,
        network: network.value?,
        ca: ca.value?.map(|ca| folder.join(ca)),
        kind,
    })
}

fn kind(section: &mut Section<'_, '_, '_>) -> Option<SourceKind> {
    let server = section.read_optional("server", value::peer);
    let pool = section.read_optional("pool", value::peer);
    let nts = section.read_optional("nts", value::peer);
    let nts_pool = section.read_optional("nts-pool", |v, w| {
        let hosts = value::list(v, w, value::peer, |_| false)?;
        if hosts.is_empty() || hosts.len() > HOSTS_MAX {
            w.add(v, format!("the list has {} hosts", hosts.len()));
            return None;
        }
        Some(hosts)
    });
    let max_sources = section.read_optional("max-sources", |v, w| value::integer(v, w, 1..=16));
    let places = [
        ("server", server.place.clone()),
        ("pool", pool.place.clone()),
        ("nts", nts.place.clone()),
        ("nts-pool", nts_pool.place.clone()),
    ];
    let mut written = places.into_iter().filter(|(_, place)| place.is_some());
    match (written.next(), written.next()) {
        (None, _) => {
            section.misfit(
                "server",
                None,
                "none of server, pool, nts and nts-pool says whom to ask",
            );
            return None;
        }
        (Some((first, _)), Some((second, place))) => {
            section.misfit(
                second,
                place,
                &format!("the table has `{first}` already: one source each"),
            );
            return None;
        }
        _ => {}
    }
    let is_pool = pool.place.is_some() || nts_pool.place.is_some();
    if max_sources.place.is_some() && !is_pool {
        section.misfit(
            "max-sources",
            max_sources.place.clone(),
            "given for a source that is not a pool",
        );
    }
    let max_sources = max_sources.value?.map(|count| count as usize);
    if let Some(host) = server.value? {
        return Some(SourceKind::Server(host));
    }
    if let Some(name) = pool.value? {
        return Some(SourceKind::Pool { name, max_sources: max_sources.unwrap_or(USUAL_MEMBERS) });
    }
    if let Some(host) = nts.value? {
        return Some(SourceKind::Nts(host));
    }
    let hosts = nts_pool.value??;
    let max_sources = max_sources.unwrap_or(USUAL_MEMBERS).min(hosts.len());
    Some(SourceKind::NtsPool { hosts, max_sources })
}

/// What does not fit the sources written before.
fn check_beside(section: &mut Section<'_, '_, '_>, source: &Source, before: &[Source]) {
    let key = match source.kind {
        SourceKind::Server(_) => "server",
        SourceKind::Pool { .. } => "pool",
        SourceKind::Nts(_) => "nts",
        SourceKind::NtsPool { .. } => "nts-pool",
    };
    let same_place =
        |other: &&Source| other.port == source.port && other.kind.is_nts() == source.kind.is_nts();
    for host in source.kind.hosts() {
        let is_listed = |other: &Source| {
            other.kind.hosts().iter().any(|known| known.eq_ignore_ascii_case(host))
        };
        if before.iter().filter(same_place).any(is_listed) {
            section.misfit(key, None, &format!("{host:?} is a source already"));
        }
    }
    let asked: usize = before.iter().map(|other| other.kind.servers()).sum();
    let more = source.kind.servers();
    if asked <= SERVERS_MAX && asked + more > SERVERS_MAX {
        section.misfit(
            key,
            None,
            &format!("{} servers would be asked at a time, more than {SERVERS_MAX}", asked + more),
        );
    }
}

fn poll(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<i8> {
    value::signed(value, wrongs, -4..=17).and_then(|number| i8::try_from(number).ok())
}

fn label(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<String> {
    let written = value::text(value, wrongs)?;
    let len = written.chars().count();
    if len == 0 || len > 63 || written.chars().any(char::is_control) {
        wrongs.add(value, format!("{written:?} is not a label"));
        return None;
    }
    Some(written.to_owned())
}

/// As many members of a pool as chrony asks.
const USUAL_MEMBERS: usize = 4;
const HOSTS_MAX: usize = 64;
/// Servers asked at a time, in all.
const SERVERS_MAX: usize = 64;
