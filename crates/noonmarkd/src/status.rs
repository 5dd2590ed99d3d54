//! The document that tells how a daemon is: `docs/status.md` in types.

use std::collections::BTreeMap;
use std::time::Duration;

use noonmark_units::Span;
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
    /// Where the machine's clock stands by the sources, if any are asked.
    pub tracking: Option<Tracking>,
    /// Each source asked.
    pub sources: Vec<Source>,
    /// Where the ratchet of cookie keys stands.
    pub cookies: Option<Cookies>,
    /// What happened to the machine and its clock without our doing.
    pub machine: Machine,
    /// The launcher and its roles.
    pub roles: Vec<Process>,
    /// What the role ntp keeps for its clients.
    pub tables: Vec<Table>,
    /// What answers in the kernel; `null` where nobody wants that.
    pub fast_path: Option<FastPath>,
    /// By role.
    pub counters: Counters,
}

/// A table of fixed size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Table {
    /// `overload`, `rate-limit` or `interleaved`.
    pub name: &'static str,
    /// Clients or prefixes it is for.
    pub entries: u64,
    /// Octets it takes up at most.
    pub memory_bytes: u64,
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
    /// Of the server's own certificate and of the chain: `not-yet-valid`, `valid`, `ends-soon` or `expired`.
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
    /// Octets of datagrams the kernel holds for each of its sockets.
    pub receive_buffer_bytes: Option<u32>,
    /// What the configuration asks for.
    pub receive_buffer_wanted_bytes: Option<u32>,
}

/// A leap second that comes, or is being smeared.
#[derive(Debug, Serialize)]
pub struct LeapSecond {
    /// The end of its day.
    pub end_of_day: String,
    /// `insert` or `delete`.
    pub kind: &'static str,
    /// What becomes of the machine's clock: `kernel`, `step`, `slew` or `ignore`.
    pub clock: &'static str,
    /// How served time gets past it, if it is smeared.
    pub smear: Option<Smear>,
}

/// A smear.
#[derive(Debug, Serialize)]
pub struct Smear {
    /// `linear` or `quadratic`.
    pub shape: &'static str,
    /// How long it takes.
    pub length_seconds: u32,
    /// By how much served time is ahead of the machine's clock now.
    pub ahead_seconds: f64,
}

/// What answers say of the clock.
#[derive(Debug, Serialize)]
pub struct Clock {
    /// Whether clients may take their time from it.
    pub synchronised: bool,
    /// `none`, `insert`, `delete` or `unsynchronised`.
    pub leap: &'static str,
    /// The leap second at the end of this day, or the one that is smeared.
    pub leap_second: Option<LeapSecond>,
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
    /// Why it is served although no source vouches for it, if it is (`local-stratum`).
    pub local: Option<Local>,
}

/// A clock served without a source.
#[derive(Debug, Serialize)]
pub struct Local {
    /// Since when.
    pub since: String,
    /// Why, as a sentence.
    pub why: &'static str,
}

/// Where the machine's clock stands. Offsets are positive when true time is ahead of the clock.
#[derive(Clone, Debug, Serialize)]
pub struct Tracking {
    /// `keep` or `observe`.
    pub clock: &'static str,
    /// `unsynchronised`, `synchronised` or `holdover`.
    pub state: &'static str,
    /// Why it is `unsynchronised`.
    pub why: Option<String>,
    /// Since the sources were last looked at.
    pub age_seconds: f64,
    /// Number of the followed source with the least distance.
    pub reference: Option<u32>,
    /// Its name.
    pub reference_name: Option<String>,
    /// Its reference identifier in our answers.
    pub reference_id: String,
    /// Ours; 16 without a reference.
    pub stratum: u8,
    /// `none`, `insert`, `delete` or `unsynchronised`.
    pub leap: &'static str,
    /// How far the clock is off, as estimated; `null` while nothing is known, as everything below that has an `Option`.
    pub offset_seconds: Option<f64>,
    /// Standard deviation of that.
    pub offset_sigma_seconds: Option<f64>,
    /// How much faster than by itself the oscillator has to run.
    pub frequency_ppm: f64,
    /// Standard deviation of that.
    pub skew_ppm: f64,
    /// Standard deviation of its change in a second.
    pub wander_ppm: f64,
    /// Round trip to the primary source.
    pub root_delay_seconds: f64,
    /// Bound on the clock's error without half the root delay.
    pub root_dispersion_seconds: Option<f64>,
    /// True time minus the clock is no less than this.
    pub earliest_seconds: Option<f64>,
    /// And no more than this.
    pub latest_seconds: Option<f64>,
    /// The larger of the two without its sign: the clock is not further off than this.
    pub error_bound_seconds: Option<f64>,
    /// What the last update found the clock to be off by.
    pub last_correction_seconds: Option<f64>,
    /// How long ago that was.
    pub last_update_seconds_ago: Option<f64>,
    /// The same as an instant, by the clock as it is now.
    pub reference_time: Option<String>,
    /// From one question to the next, of the source asked most often.
    pub poll_seconds: Option<f64>,
    /// Until the next question; negative if it is late.
    pub next_question_seconds: Option<f64>,
    /// Updates so far.
    pub updates: u32,
    /// Sources that agree.
    pub agreeing: u32,
    /// Corrections the guard forbade.
    pub refusals: u32,
    /// Why it forbade the last one.
    pub refused: Option<String>,
}

impl Tracking {
    /// The same of a clock that counts as synchronised only as long as it cannot be wrong by more than `max_distance`.
    #[must_use]
    pub fn within(self, max_distance: Duration) -> Self {
        match self.error_bound_seconds {
            Some(bound) if bound > max_distance.as_secs_f64() => {
                let length = |seconds| Span::from_seconds_f64(seconds).to_string();
                let (bound, limit) = (length(bound), length(max_distance.as_secs_f64()));
                let bare = |length: &str| length.trim_start_matches('+').to_owned();
                let (bound, limit) = (bare(&bound), bare(&limit));
                let why = format!(
                    "the clock may be wrong by {bound}, which is more than max-distance ({limit})"
                );
                self.unsynchronised(why)
            }
            _ => self,
        }
    }

    /// The same where answers vouch for no more than `served` does: they decide.
    #[must_use]
    pub fn as_served(self, served: &Clock) -> Self {
        let claims = self.state != UNSYNCHRONISED;
        let mut tracking = if !served.synchronised && claims {
            self.unsynchronised(
                "answers do not vouch for the clock yet, or not any more".to_owned(),
            )
        } else {
            self
        };
        if !served.synchronised || served.local.is_some() {
            (tracking.stratum, tracking.leap) = (served.stratum, served.leap);
        }
        tracking
    }

    fn unsynchronised(self, why: String) -> Self {
        Self { state: UNSYNCHRONISED, why: Some(why), stratum: 16, leap: UNSYNCHRONISED, ..self }
    }

    /// One line for people: state, offset with its standard deviation, bound, frequency.
    #[must_use]
    pub fn in_short(&self) -> String {
        let length = |seconds: Option<f64>| match seconds {
            Some(seconds) => Span::from_seconds_f64(seconds).to_string(),
            None => "unknown".to_owned(),
        };
        let bare = |seconds| length(seconds).trim_start_matches('+').to_owned();
        format!(
            "{} stratum {} via {} ({} agree): offset (+ true time ahead) {} ± {}, error at most {}, frequency {:+.3} ± {:.3} ppm",
            self.state,
            self.stratum,
            self.reference_name.as_deref().unwrap_or("-"),
            self.agreeing,
            length(self.offset_seconds),
            bare(self.offset_sigma_seconds),
            bare(self.error_bound_seconds),
            self.frequency_ppm,
            self.skew_ppm,
        )
    }
}

/// The word for a clock that nothing vouches for.
pub const UNSYNCHRONISED: &str = "unsynchronised";

/// Where one source stands.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// Its number; `null` for a name without a server.
    pub number: Option<u32>,
    /// Its place in the configuration, from 0.
    pub place: u32,
    /// Its name in the configuration.
    pub name: String,
    /// Address and port asked.
    pub address: Option<String>,
    /// A short fixed name of what became of it.
    pub state: String,
    /// The same as a sentence.
    pub why: String,
    /// What stands in the way of asking it.
    pub note: Option<String>,
    /// The keys of a source with NTS.
    pub nts: Option<SourceNts>,
    /// Whether its last answer proved its origin.
    pub authenticated: bool,
    /// Whether its last answer was an interleaved one.
    pub interleaved: bool,
    /// `null` before it answered.
    pub stratum: Option<u8>,
    /// The last eight questions, the latest in the lowest bit.
    pub reach: u8,
    /// Since its last answer.
    pub last_answer_seconds_ago: Option<f64>,
    /// Until the next question; negative if it is late.
    pub next_question_seconds: Option<f64>,
    /// From one question to the next.
    pub poll_seconds: f64,
    /// The server minus the clock as the last answer measured it, when it came.
    pub offset_seconds: Option<f64>,
    /// The same now, what was done to the clock since taken into account.
    pub offset_now_seconds: Option<f64>,
    /// Standard deviation of what chance adds to one such measurement.
    pub offset_sigma_seconds: Option<f64>,
    /// Half the width of what its answers allow.
    pub distance_seconds: Option<f64>,
    /// The least round trip known.
    pub delay_seconds: Option<f64>,
    /// Mean of what round trips take longer.
    pub jitter_seconds: Option<f64>,
    /// Questions sent.
    pub asked: u64,
    /// Answers with usable time.
    pub measured: u64,
    /// Questions without an answer that counts.
    pub unanswered: u64,
    /// Kisses that answered a question.
    pub kisses: u64,
    /// Datagrams dropped.
    pub refused: u64,
}

/// The keys of a source with NTS.
#[derive(Clone, Debug, Serialize)]
pub struct SourceNts {
    /// IANA's number of the algorithm agreed.
    pub aead: Option<u32>,
    /// Cookies left.
    pub cookies: u32,
    /// Failures of key establishment since the last success.
    pub failures: u32,
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
    /// The epoch is over and there are no keys for the next: they cannot be stored.
    pub overdue: bool,
}

/// What happened to the machine and its clock without our doing, since the daemon started.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// It turned out to be a copy, was restored, or did not run for a while.
    pub restored: Option<Happening>,
    /// Somebody else set or steered its clock.
    pub meddled: Option<Happening>,
}

/// Something that happened, the last time it did.
#[derive(Clone, Debug, Serialize)]
pub struct Happening {
    /// How often so far.
    pub count: u32,
    /// When it last did, by the machine's clock.
    pub time: String,
    /// How long ago that was, whatever the machine's clock has done since.
    pub seconds_ago: f64,
    /// What is known of the last time, as a sentence.
    pub facts: String,
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
    /// How much private memory it may have, by the configuration; `null` where there is no bound.
    pub memory_bound_bytes: Option<u64>,
    /// What it has given up, for good; nothing is said of the launcher.
    pub sandbox: Option<Sandbox>,
}

/// What a process has given up.
#[derive(Clone, Debug, Serialize)]
pub struct Sandbox {
    /// The user it is.
    pub user: u32,
    /// The names of [`Part`](crate::message::Part): what was given up.
    pub given_up: Vec<&'static str>,
    /// And what should have been and could not.
    pub lacking: Vec<&'static str>,
}

/// Counters by kind and reason, since their role was last started.
#[derive(Debug, Serialize)]
pub struct Counters {
    /// Datagrams, by the names of `noonmark_server::Counter`; empty until the role has started.
    pub ntp: BTreeMap<&'static str, u64>,
    /// Connections, by the names of `noonmark_ke::Counter`.
    pub ke: BTreeMap<&'static str, u64>,
    /// Frames for us that the kernel's program saw, by the names of `noonmark_server::fast_path::FastCounter`; empty without one.
    pub fast_path: BTreeMap<&'static str, u64>,
}

/// What answers plain requests in the kernel.
#[derive(Debug, Serialize)]
pub struct FastPath {
    /// Where it is attached.
    pub devices: Vec<FastPathDevice>,
    /// Why it is not as configured, if it is not.
    pub reason: Option<String>,
}

/// A device of the fast path.
#[derive(Debug, Serialize)]
pub struct FastPathDevice {
    /// Its name.
    pub name: String,
    /// `native`: in the driver; `generic`: behind it.
    pub mode: &'static str,
}
