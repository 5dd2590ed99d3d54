//! Sources as the operator names them.

use std::net::{IpAddr, SocketAddr};

use noonmark_clock::SourceOptions;

use crate::{Family, Polling};

/// One source of the configuration: whom to ask, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceSpec {
    /// Whom to ask.
    pub kind: SourceKind,
    /// Which of its addresses are used.
    pub family: Family,
    /// Limits of the interval, and what selection makes of it.
    pub options: SourceOptions,
    /// `iburst`: begin with a few questions 2 s apart.
    pub initial_burst: bool,
    /// `burst`: ask again 2 s later where a question is not answered.
    pub burst: bool,
    /// `xleave`: ask for interleaved answers (RFC 9769).
    pub interleaved: bool,
}

impl SourceSpec {
    /// A source with options as public servers expect them: 64 s to 1024 s, a burst at the start.
    #[must_use]
    pub fn new(kind: SourceKind) -> Self {
        Self {
            kind,
            family: Family::Any,
            options: SourceOptions::default(),
            initial_burst: true,
            burst: false,
            interleaved: false,
        }
    }

    /// What the keeper is told of a server of this source that is asked at `address`.
    pub(crate) fn options_of_member(&self, address: Option<SocketAddr>) -> SourceOptions {
        let bursts = self.initial_burst || self.burst;
        let address = address.map(canonical);
        SourceOptions { bursts, address, ..self.options.clone() }
    }

    /// Whether `other` is the same source, however it is to be asked: then what is known of its servers holds.
    pub(crate) fn is_of_same_source(&self, other: &Self) -> bool {
        let is_same = match (&self.kind, &other.kind) {
            (SourceKind::Pool { name, .. }, SourceKind::Pool { name: other, .. }) => name == other,
            (SourceKind::NtsPool { hosts, .. }, SourceKind::NtsPool { hosts: others, .. }) => {
                hosts.iter().any(|host| others.contains(host))
            }
            (kind, other) => kind == other,
        };
        is_same && self.family == other.family
    }

    pub(crate) fn polling(&self) -> Polling {
        Polling {
            min_poll: self.options.min_poll,
            max_poll: self.options.max_poll,
            initial_burst: self.initial_burst,
            burst: self.burst,
        }
    }
}

/// The same address without the ways there are to write it: an IPv4 address in IPv6 is the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

/// What kind of source it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SourceKind {
    /// One server, plain NTP.
    Server(Endpoint),
    /// Several servers behind one name, plain NTP.
    Pool {
        /// The name, whose addresses are different servers.
        name: Endpoint,
        /// How many of them are asked at a time.
        max_sources: usize,
    },
    /// One server with NTS, by its key-establishment server.
    Nts(Endpoint),
    /// Several servers with NTS, of which some are asked at a time.
    NtsPool {
        /// Their key-establishment servers.
        hosts: Vec<Endpoint>,
        /// How many of them are asked at a time.
        max_sources: usize,
    },
}

impl SourceKind {
    /// How many servers are asked at a time; at least one.
    pub(crate) fn wanted(&self) -> usize {
        match self {
            Self::Server(_) | Self::Nts(_) => 1,
            Self::Pool { max_sources, .. } | Self::NtsPool { max_sources, .. } => {
                (*max_sources).clamp(1, MOST_MEMBERS)
            }
        }
    }

    /// The name or address in the configuration; of several, the first.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Server(endpoint) | Self::Pool { name: endpoint, .. } | Self::Nts(endpoint) => {
                &endpoint.host
            }
            Self::NtsPool { hosts, .. } => hosts.first().map_or("", |endpoint| &endpoint.host),
        }
    }

    /// Whether nothing unproven is taken from it.
    #[must_use]
    pub fn is_nts(&self) -> bool {
        matches!(self, Self::Nts(_) | Self::NtsPool { .. })
    }
}

/// A name or an address, and a port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// A name or an address as a person writes it, an IPv6 address with or without brackets.
    pub host: String,
    /// UDP for NTP, TCP for key establishment.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint on `port`.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Whether the host is an address on a link, with the name of the interface (`fe80::1%eth0`, RFC 4007 §11).
    pub(crate) fn has_zone(&self) -> bool {
        self.host.contains('%')
    }

    /// The address, if the host is one and needs no resolver. One with a zone (`fe80::1%eth0`) does: only the system knows
    /// the number of its interface.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let host = &self.host;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, self.port))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.host)
    }
}

/// As many members of a pool as are asked, if nothing else is said.
pub const DEFAULT_MAX_SOURCES: usize = 4;
/// More members than this are not asked of one name.
const MOST_MEMBERS: usize = 16;
