//! How often an association asks, and for how long it takes an answer.

use core::time::Duration;

use noonmark_units::Precision;

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
}

impl Plan {
    /// From one question to the next.
    pub(crate) const fn spacing(self) -> Duration {
        match self {
            Self::Count { spacing: every, .. } | Self::Continuous { interval: every } => every,
        }
    }

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
}

impl Settings {
    /// Settings with the usual window of [`DEFAULT_WINDOW`].
    #[must_use]
    pub const fn new(plan: Plan, local_precision: Precision) -> Self {
        Self { plan, window: DEFAULT_WINDOW, local_precision }
    }
}

/// As long as a path on Earth may take, with room for a queue.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(3);
