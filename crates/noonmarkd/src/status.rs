//! The document that tells how a daemon is: `docs/status.md` in types.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything told about a running daemon. Times are RFC 3339.
#[derive(Debug, Serialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Of the executable.
    pub version: &'static str,
    /// When this was so.
    pub time: String,
    /// When the launcher started.
    pub started: Option<String>,
    /// Since then.
    pub uptime_seconds: f64,
    /// Every role that is needed serves.
    pub ready: bool,
    /// The configuration file.
    pub configuration: Configuration,
    /// The certificate, if there is one.
    pub certificate: Option<Certificate>,
    /// Every address bound.
    pub listening: Vec<Address>,
    /// What answers say of the clock.
    pub clock: Clock,
    /// Where the ratchet of cookie keys stands.
    pub cookies: Option<Cookies>,
    /// The launcher and its roles.
    pub roles: Vec<Process>,
    /// By role.
    pub counters: Counters,
}

/// The version of the document's layout.
pub const SCHEMA: u32 = 1;

/// The configuration in force.
#[derive(Debug, Serialize)]
pub struct Configuration {
    /// Where it is.
    pub file: String,
    /// What is in force and what was refused.
    #[serde(flatten)]
    pub replaceable: Replaceable,
}

/// Something that can be replaced while running.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Replaceable {
    /// 1 for the start, one more for each taken since.
    pub generation: u32,
    /// When that was.
    pub loaded: Option<String>,
    /// The last attempt since, if it was refused.
    pub refused: Option<Refused>,
}

/// The certificate in force.
#[derive(Debug, Serialize)]
pub struct Certificate {
    /// What is in force and what was refused.
    #[serde(flatten)]
    pub replaceable: Replaceable,
    /// What it says; missing for the moment in which it is not known yet.
    #[serde(flatten)]
    pub facts: Option<CertificateFacts>,
}

/// What the certificate in force says.
#[derive(Debug, Serialize)]
pub struct CertificateFacts {
    /// The names it is for.
    pub names: Vec<String>,
    /// When it becomes valid.
    pub not_before: String,
    /// Its last second.
    pub not_after: String,
    /// When all certificates of its chain are valid.
    pub chain_not_before: String,
    /// The last second in which they are.
    pub chain_not_after: String,
    /// SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
    pub spki_sha256: String,
    /// Of the chain: `not-yet-valid`, `valid`, `ends-soon` or `expired`.
    pub validity: &'static str,
    /// Until the chain's last second; negative afterwards.
    pub ends_in_seconds: i64,
}

/// An attempt that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// When.
    pub time: String,
    /// Why.
    pub reason: String,
}

/// An address bound.
#[derive(Clone, Debug, Serialize)]
pub struct Address {
    /// `ntp` or `nts-ke`.
    pub protocol: &'static str,
    /// With its port.
    pub address: String,
    /// The device it is bound to.
    pub interface: Option<String>,
}

/// What answers say of the clock.
#[derive(Debug, Serialize)]
pub struct Clock {
    /// Whether clients may take their time from it.
    pub synchronised: bool,
    /// `none`, `insert`, `delete` or `unsynchronised`.
    pub leap: &'static str,
    /// 1..=16.
    pub stratum: u8,
    /// As people write it at that stratum.
    pub reference_id: String,
    /// Round trip to the reference clock.
    pub root_delay_seconds: f64,
    /// Error bound now.
    pub root_dispersion_seconds: f64,
    /// Time to read the clock, log2 s.
    pub precision_log2_seconds: i8,
    /// The warden no longer writes the page.
    pub stale: bool,
}

/// Where the ratchet of cookie keys stands.
#[derive(Clone, Debug, Serialize)]
pub struct Cookies {
    /// Of new cookies.
    pub epoch: u32,
    /// Whose cookies are still honoured.
    pub oldest_epoch: u32,
    /// End of the epoch.
    pub next_rotation: String,
}

/// A process of the daemon.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// `launcher` or a role.
    pub role: &'static str,
    /// `off`, `starting`, `ready`, `waiting` or `hung`.
    pub state: &'static str,
    /// Since its last sign of life, if it hangs.
    pub silent_seconds: Option<f64>,
    /// Process id, if there is a process.
    pub pid: Option<u32>,
    /// When it was last started.
    pub started: Option<String>,
    /// How often it ended by itself.
    pub restarts: u32,
    /// How it last ended by itself.
    pub last_end: Option<String>,
    /// When that was, by the machine's clock.
    pub last_end_time: Option<String>,
    /// How long ago that was, whatever the machine's clock has done since.
    pub last_end_seconds_ago: Option<f64>,
    /// Physical memory.
    pub memory_bytes: u64,
}

/// Counters by kind and reason, since their role was last started.
#[derive(Debug, Serialize)]
pub struct Counters {
    /// Datagrams, by the names of `noonmark_server::Counter`; empty until the role has started.
    pub ntp: BTreeMap<&'static str, u64>,
    /// Connections, by the names of `noonmark_ke::Counter`.
    pub ke: BTreeMap<&'static str, u64>,
}
