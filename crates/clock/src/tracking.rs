use core::time::Duration;

use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Frequency, Mono, Span, Timestamp};

use crate::{SourceId, SourceState};

/// Where the clock stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracking {
    /// Whether the clock follows anything.
    pub state: ClockState,
    /// The followed source that is named as the one we follow: near and of a low stratum, and kept while no other is clearly better.
    pub reference: Option<SourceId>,
    /// What that source calls its own reference.
    pub reference_id: ReferenceId,
    /// Our stratum: one more than the reference's, 16 without one.
    pub stratum: u8,
    /// What the followed sources say about the next leap second.
    pub leap: Leap,
    /// True time minus the system clock, as estimated; positive when the clock is behind.
    pub offset: Span,
    /// Standard deviation of that estimate, without what an asymmetric way may add.
    pub offset_sigma: Span,
    /// The correction in effect besides slews: how much faster than the oscillator the clock is made to run.
    pub frequency: Frequency,
    /// Standard deviation of the estimate of the frequency.
    pub skew: Frequency,
    /// How the oscillator's frequency is found to wander: standard deviation of its change in one second.
    pub wander: Frequency,
    /// Round trip to the primary source, over the reference.
    pub root_delay: Span,
    /// Bound on the clock's error, without half the root delay.
    pub root_dispersion: Span,
    /// True time is no earlier than this at the instant asked for, if most of those heard are right.
    pub earliest: Timestamp,
    /// True time is no later than this.
    pub latest: Timestamp,
    /// What the last update of the clock found it to be off by.
    pub last_correction: Span,
    /// When that was.
    pub last_update: Option<Mono>,
    /// From one question to the next, of the source asked most often.
    pub interval: Duration,
    /// Updates of the clock so far.
    pub updates: u32,
}

impl Tracking {
    /// Whether anything is known of the offset; without that it is zero, and its standard deviation 16 s.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        self.offset_sigma < UNKNOWN_BOUND
    }

    /// Whether anything is known of where true time lies; without that the bounds are years apart.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.latest - self.earliest < NO_BOUND
    }
}

/// As RFC 5905 has it (`MAXDISP`): nothing is known.
pub(crate) const UNKNOWN_BOUND: Span = Span::from_seconds(16);
/// Seventeen years: before anything was heard the clock may be anywhere, as far as stamps without an era can say.
pub(crate) const NO_BOUND: Span = Span::from_seconds(1 << 29);

/// Whether the clock follows anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClockState {
    /// It never followed anything yet, or what it knew is worthless.
    Unsynchronised,
    /// It follows at least one source.
    Synchronised,
    /// It followed sources and does so no more; what it knows of its oscillator carries it on.
    Holdover,
}

/// Where one source stands.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceReport {
    /// Which one.
    pub id: SourceId,
    /// What became of it in the selection, and why.
    pub state: SourceState,
    /// Its stratum, 0 before it answered.
    pub stratum: u8,
    /// Whether its last answer proved its origin.
    pub authenticated: bool,
    /// The last eight questions, the latest in the lowest bit; a bit is set if it was answered.
    pub reach: u8,
    /// When its last answer came.
    pub last_answer: Option<Mono>,
    /// The server's time minus the system clock as the last answer measured it, when it came.
    pub offset: Span,
    /// The same as it is now: what was done to the clock since then, and how fast it runs, taken into account.
    pub offset_now: Span,
    /// Standard deviation of what chance adds to one such measurement, as learned of the way; nothing of what an asymmetric way adds.
    pub offset_sigma: Span,
    /// Half the width of the interval its answers allow; 16 s if nothing is known.
    pub distance: Span,
    /// The least round trip seen on the way to it.
    pub delay: Span,
    /// Mean of what round trips take longer than that.
    pub jitter: Span,
    /// How much of that is believed to be on the way up, 0 to 1.
    pub share_up: f64,
    /// From one question to the next.
    pub interval: Duration,
    /// Answers taken in.
    pub samples: u64,
}
