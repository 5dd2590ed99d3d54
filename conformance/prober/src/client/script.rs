//! A script: what is done to a client at one address, and what it must do then.

use std::time::{Duration, Instant};

use super::authority::Certificate;
use super::log::Log;
use super::say::Say;
use super::turn::{KeTurn, Sent, Turn};
use crate::octets::Cipher;

/// What is wrong with TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tls {
    /// Nothing.
    Good,
    /// No protocol above it is chosen (ALPN).
    NoProtocol,
    /// TLS 1.2 is chosen.
    Old,
}

/// How a response travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pieces {
    /// As TLS cuts it.
    Whole,
    /// Each octet in a TLS record of its own.
    Octets,
}

/// What is done to a client at one address. Numbers of seconds are those of RFCs; [`super::Settings::second`] says how long one is.
pub struct Script {
    /// Its name, unique.
    pub name: &'static str,
    /// What it does, in words.
    pub does: &'static str,
    /// The clauses it judges.
    pub clauses: &'static [&'static str],
    /// The certificate it shows.
    pub certificate: Certificate,
    /// What is wrong with TLS.
    pub tls: Tls,
    /// The AEAD it wants.
    pub cipher: Cipher,
    /// Cookies it gives at first, and their octets.
    pub cookies: (usize, usize),
    /// How its responses travel.
    pub pieces: Pieces,
    /// What it says to a request of key establishment.
    pub respond: fn(&KeTurn<'_>) -> Vec<u8>,
    /// What it says to an NTP packet that could be opened.
    pub answer: fn(&Turn<'_>) -> Vec<Sent>,
    /// Whether enough was seen.
    pub is_over: fn(&View<'_>) -> bool,
    /// Seconds it takes at most, from when the client comes.
    pub limit_s: u32,
    /// Whether it runs with `--deep` only.
    pub is_deep: bool,
    /// The longest poll exponent the client is to be told.
    pub max_poll: u8,
    /// Judges what was seen.
    pub judge: fn(&View<'_>, &mut Say),
}

/// What was seen at one address, as of now.
pub struct View<'a> {
    /// The script.
    pub script: &'static Script,
    /// What the client did.
    pub log: &'a Log,
    /// Now.
    pub now: Instant,
    /// How long a second of an RFC is.
    pub second: Duration,
    /// How long the same client took from an honest response to its first question.
    pub honest: Option<Duration>,
}

impl View<'_> {
    /// Seconds of an RFC in a length of time.
    #[must_use]
    pub fn seconds(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.second.as_secs_f64()
    }

    /// Seconds since the client came.
    #[must_use]
    pub fn age_s(&self) -> f64 {
        self.log
            .began()
            .map_or(0.0, |began| self.seconds(self.now.saturating_duration_since(began)))
    }

    /// Seconds of silence that decide that a client has given up: [`QUIET_S`], and twice as long as it takes where nothing is wrong.
    #[must_use]
    pub fn quiet_s(&self) -> f64 {
        self.honest.map_or(QUIET_S, |honest| QUIET_S.max(2.0 * self.seconds(honest)))
    }

    /// Seconds from the first to the second of each pair.
    #[must_use]
    pub fn gaps_s(&self, times: impl IntoIterator<Item = Instant>) -> Vec<f64> {
        let times: Vec<Instant> = times.into_iter().collect();
        times
            .windows(2)
            .map(|pair| self.seconds(pair[1].saturating_duration_since(pair[0])))
            .collect()
    }

    /// The usual seconds from one question to the next: the middle of all.
    #[must_use]
    pub fn interval_s(&self, questions: usize) -> Option<f64> {
        let mut gaps =
            self.gaps_s(self.log.questions.iter().take(questions).map(|question| question.at));
        gaps.sort_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied()
    }
}

/// Seconds of silence after which a client counts as having given up, if it takes at most half as long elsewhere.
pub const QUIET_S: f64 = 6.0;
