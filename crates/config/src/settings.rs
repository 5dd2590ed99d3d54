//! What a checked configuration means. Nothing downstream checks these values again.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::{Clock, ClockMode, LeapSmear};
use crate::daemon::Daemon;
use crate::fast_path::FastPath;
use crate::overload::Overload;
use crate::source::Source;

/// A whole configuration, checked: every value is within the limits its documentation states,
/// and the values fit each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Serving time over UDP.
    pub server: Server,
    /// Who is served, in the order written; the longest matching prefix decides, and an address
    /// that no prefix matches is allowed. No prefix occurs twice.
    pub access: Vec<AccessRule>,
    /// Limit on answers per client prefix; `None` when switched off.
    pub rate_limit: Option<RateLimit>,
    /// Who goes first when more is asked than can be answered.
    pub overload: Overload,
    /// NTS key establishment; `None` without a certificate.
    pub nts: Option<Nts>,
    /// Life of the keys that seal cookies.
    pub cookies: Cookies,
    /// Where the machine gets its time from. Empty: from nobody we know.
    pub sources: Vec<Source>,
    /// What is done with that time.
    pub clock: Clock,
    /// Where durable state lives.
    pub state: State,
    /// Where `noonmark status` asks.
    pub status: Status,
    /// What is logged, and how.
    pub log: Log,
    /// The daemon's own processes.
    pub daemon: Daemon,
}

impl Settings {
    /// Whether the sources are asked.
    pub fn asks_sources(&self) -> bool {
        self.clock.mode != ClockMode::Off && !self.sources.is_empty()
    }

    /// Whether a client at `address` is served: the action of the longest prefix that contains it.
    pub fn action_for(&self, address: IpAddr) -> Action {
        self.access
            .iter()
            .filter(|rule| rule.prefix.contains(&address))
            .max_by_key(|rule| rule.prefix.prefix_len())
            .map_or(Action::Allow, |rule| rule.action)
    }
}

/// The table `[server]`: time over UDP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Addresses to bind, 64 at most, no two equal (port 0, "any free port", may repeat) and none
    /// that stands for another. May be empty when key establishment alone is served.
    pub listen: Vec<SocketAddr>,
    /// Devices to listen on: every address is bound once on each. Empty: not bound to a device.
    pub interfaces: Vec<InterfaceName>,
    /// Serving threads; `None` means one per core.
    pub threads: Option<NonZeroUsize>,
    /// DiffServ code point of answers, 0..=63 (RFC 2474).
    pub dscp: Dscp,
    /// NTP versions answered.
    pub versions: Versions,
    /// Clients in interleaved mode remembered at a time; fixes the memory used; 0..=2^22, 0: the mode is not served.
    pub interleaved_clients: usize,
    /// Whether plain requests are answered in the kernel.
    pub fast_path: FastPath,
    /// Serve this machine's clock on purpose, as it stands. `None`: unsynchronised (leap
    /// indicator 3) until something disciplines the clock.
    pub local: Option<Local>,
    /// How leap seconds are smeared over the time that is served; `None`: they are not.
    pub leap_smear: Option<LeapSmear>,
}

/// The machine's clock served on purpose (`local-stratum`, `reference-id` and the other keys `local-…`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Local {
    /// 1..=15.
    pub stratum: u8,
    /// Reference identifier in network order: ASCII padded with zeros at stratum 1, an IPv4
    /// address or ASCII above (RFC 5905 §7.3).
    pub reference_id: [u8; 4],
    /// Whether sources at this very stratum are taken for others without sources.
    pub orphan: bool,
    /// How wrong the clock may be before it is served as its own rather than as its last source's.
    pub distance: Duration,
    /// How close to the truth it must have been before.
    pub activate: Option<Duration>,
    /// How long sources must have been gone before.
    pub wait: Duration,
}

/// A set of NTP versions out of 1..=4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Versions(u8);

impl Versions {
    /// The set without members.
    pub const NONE: Self = Self(0);

    /// The same set with `version` (1..=4; anything else changes nothing).
    #[must_use]
    pub const fn with(self, version: u8) -> Self {
        match version {
            1..=4 => Self(self.0 | 1 << version),
            _ => self,
        }
    }

    /// Whether `version` is a member; never for a number outside 1..=4.
    pub const fn contains(self, version: u8) -> bool {
        version <= 4 && self.0 & 1 << version != 0
    }

    /// The members, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (1..=4).filter(move |&version| self.contains(version))
    }
}

/// A DiffServ code point, 0..=63 (RFC 2474 §3). The traffic class octet is this shifted left by 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dscp(u8);

impl Dscp {
    /// `None` above 63.
    pub const fn new(code_point: u8) -> Option<Self> {
        if code_point < 64 { Some(Self(code_point)) } else { None }
    }

    /// 0..=63.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Name of a network device: 1..=15 octets, neither a slash nor white space in it, and not `.`
/// or `..`, which is what Linux itself asks.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// `None` when the kernel would refuse the name.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=15).contains(&name.len())
            && name != "."
            && name != ".."
            && name.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':');
        fits.then(|| Self(name.to_owned()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One `[[access]]` rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccessRule {
    /// Clients it is about; no bit set outside the mask.
    pub prefix: IpNet,
    /// What they get.
    pub action: Action,
}

/// What clients of a prefix get.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Time, and key establishment.
    Allow,
    /// An authenticated kiss `DENY` when the request was authentic, silence otherwise; no key
    /// establishment.
    Deny,
    /// Silence; no key establishment.
    Ignore,
}

/// The table `[rate-limit]`: answers per client prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// Mean time between two answers that a prefix may reach for good; 1 ms..=1 h.
    pub interval: Duration,
    /// Answers that may come at once after a quiet time; 1..=255.
    pub burst: u8,
    /// One in this many requests over the limit is answered all the same, so that a forged flood
    /// cannot starve the client it names; 0: none.
    pub leak: u8,
    /// Prefixes remembered at a time: fixes the memory used; 1..=2^20.
    pub table_size: usize,
    /// Length of an IPv4 client prefix, 8..=32.
    pub ipv4_prefix: u8,
    /// Length of an IPv6 client prefix, 16..=128.
    pub ipv6_prefix: u8,
}

/// The table `[nts]`: key establishment over TCP (RFC 8915 §4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nts {
    /// Addresses to bind, 1..=64, no two equal (port 0 may repeat) and none that stands for another.
    pub listen: Vec<SocketAddr>,
    /// Certificate chain in PEM, the server's own first.
    pub certificate: PathBuf,
    /// The certificate's private key in PEM.
    pub key: PathBuf,
    /// AEADs offered, most wanted first; none twice; [`AeadId::SIV_CMAC_256`] always among them
    /// (RFC 8915 §4.1.5).
    pub aeads: Vec<AeadId>,
    /// Names and addresses of the NTP servers told to clients, the usual one first, none twice;
    /// empty: the host they already speak to.
    pub ntp_servers: Vec<String>,
    /// UDP port told to clients; `None`: the port of the first `[server]` address.
    pub ntp_port: Option<u16>,
    /// Sessions at a time, in all; 1..=65535.
    pub max_connections: usize,
    /// Sessions at a time from one client prefix; 1..=`max_connections`.
    pub max_per_prefix: usize,
    /// Length of an IPv4 client prefix, 8..=32.
    pub ipv4_prefix: u8,
    /// Length of an IPv6 client prefix, 16..=128.
    pub ipv6_prefix: u8,
    /// A whole session from accept to close; 1 s..=10 s.
    pub time_limit: Duration,
}

/// Number of an AEAD in IANA's registry (RFC 5116), one of those Noonmark speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AeadId(u16);

impl AeadId {
    /// AEAD_AES_SIV_CMAC_256 (RFC 5297), which every NTS server has to speak.
    pub const SIV_CMAC_256: Self = Self(15);
    /// AEAD_AES_SIV_CMAC_512 (RFC 5297).
    pub const SIV_CMAC_512: Self = Self(17);
    /// AEAD_AES_128_GCM_SIV (RFC 8452).
    pub const AES_128_GCM_SIV: Self = Self(30);

    /// Every AEAD Noonmark speaks, with the names a configuration may use.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::SIV_CMAC_256, "AES-SIV-CMAC-256"),
        (Self::SIV_CMAC_512, "AES-SIV-CMAC-512"),
        (Self::AES_128_GCM_SIV, "AES-128-GCM-SIV"),
    ];

    /// The registry's number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The table `[cookies]`: the keys under which cookies are sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cookies {
    /// Time after which a new key takes over; whole seconds, 1 min..=90 d.
    pub rotation: Duration,
    /// Replaced keys under which cookies are still taken; 1..=64.
    pub retention: u32,
}

/// The table `[state]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// Folder for everything that outlives the process.
    pub folder: PathBuf,
}

/// The table `[status]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Status {
    /// Unix socket on which the daemon's state may be read.
    pub socket: PathBuf,
}

/// The table `[log]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// The least severe line written.
    pub level: LogLevel,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people, on standard error.
    Text,
    /// One JSON object per line, on standard error.
    Json,
    /// To systemd's journal, with its fields.
    Journald,
}

/// Severity of a log line, most severe first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something deserves a look.
    Warn,
    /// What an operator wants to read a year later.
    Info,
    /// What a developer wants to read.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level as it is written in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
