//! How often an association asks, and for how long it takes an answer.

use core::time::Duration;

use noonmark_units::{PollExponent, Precision};

/// When questions are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plan {
    /// A measurement: so many questions, then [`Output::Done`](crate::Output::Done).
    ///
    /// Whatever makes the answer impossible ends it at once, because somebody waits for the result.
    Count {
        /// How many questions; 0 counts as 1.
        questions: u32,
        /// From one question to the next.
        spacing: Duration,
    },
    /// A lasting association: a question every `interval`, until it is dropped or the server ends it.
    Continuous {
        /// From one question to the next, unless the server asks for less.
        interval: Duration,
    },
    /// A source of time: its interval is set from outside ([`Association::set_interval`](crate::Association::set_interval))
    /// within limits, and questions are asked until it is dropped or the server ends it.
    Polled(Polling),
}

/// The limits of a source's interval and its bursts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Polling {
    /// The shortest interval, log2 s; taken within -4..=17.
    pub min_poll: PollExponent,
    /// The longest interval, log2 s; taken within `min_poll`..=17.
    pub max_poll: PollExponent,
    /// Begin with questions 2 s apart: until four are answered, at most eight.
    pub initial_burst: bool,
    /// Ask again 2 s later where a question is not answered, at most four times in each interval.
    pub burst: bool,
}

impl Polling {
    /// The shortest interval.
    pub(crate) fn shortest(self) -> Duration {
        interval(self.min_poll)
    }

    /// The longest interval.
    pub(crate) fn longest(self) -> Duration {
        interval(self.max_poll.max(self.min_poll))
    }
}

impl Default for Polling {
    /// 64 s to 1024 s, as public servers expect, without bursts.
    fn default() -> Self {
        Self {
            min_poll: PollExponent(6),
            max_poll: PollExponent(10),
            initial_burst: false,
            burst: false,
        }
    }
}

/// An interval a source may have (RFC 5905 §7.2 allows 2^4 to 2^17 s; below that is for networks of one's own).
fn interval(exponent: PollExponent) -> Duration {
    PollExponent(exponent.0.clamp(SHORTEST_POLL, LONGEST_POLL)).as_span().to_duration()
}

impl Plan {
    /// Whether `asked` questions carry the plan out.
    pub(crate) fn is_complete(self, asked: u32) -> bool {
        matches!(self, Self::Count { questions, .. } if asked >= questions.max(1))
    }

    /// Whether somebody waits for the result.
    pub(crate) const fn is_counted(self) -> bool {
        matches!(self, Self::Count { .. })
    }
}

/// What an association is told when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// When questions are asked.
    pub plan: Plan,
    /// How long an answer is waited for. A few seconds at most: who may answer later may also delay on purpose.
    pub window: Duration,
    /// The precision of our own clock.
    pub local_precision: Precision,
    /// Ask for answers that bring the time at which the answer before really left (interleaved mode, RFC 9769).
    pub interleaved: bool,
}

impl Settings {
    /// Settings with the usual window of [`DEFAULT_WINDOW`], basic mode.
    #[must_use]
    pub const fn new(plan: Plan, local_precision: Precision) -> Self {
        Self { plan, window: DEFAULT_WINDOW, local_precision, interleaved: false }
    }
}

/// As long as a path on Earth may take, with room for a queue.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(3);

/// 1/16 s.
const SHORTEST_POLL: i8 = -4;
/// A day and a half (`MAXPOLL` of RFC 5905 §7.2).
const LONGEST_POLL: i8 = 17;
