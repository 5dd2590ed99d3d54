//! What is said of an implementation about one clause.

use serde::{Deserialize, Serialize};

/// The outcome of one clause.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does what the clause asks, and the evidence shows it.
    Pass,
    /// The clause does not bind it, as cookies do not bind a server without NTS.
    NotApplicable,
    /// It does not do what the clause asks, in a way that is known and harmless.
    Deviates,
    /// What was seen decides nothing, as when a control request went unanswered.
    Inconclusive,
    /// It does not do what the clause asks, and the evidence shows it.
    Fail,
}

impl Verdict {
    /// All of them, the best first.
    pub const ALL: [Self; 5] =
        [Self::Pass, Self::NotApplicable, Self::Deviates, Self::Inconclusive, Self::Fail];

    /// The word for people and for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::NotApplicable => "not-applicable",
            Self::Deviates => "deviates",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}
