//! The outcome of a run: a verdict on every clause that was looked at.

use serde::{Deserialize, Serialize};

use crate::clause::{Level, Side};
use crate::evidence::Evidence;
use crate::verdict::Verdict;

/// What is said about one clause.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Finding {
    /// The clause's id.
    pub id: String,
    /// Document and section.
    pub rfc: String,
    /// How binding it is.
    pub level: Level,
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on.
    pub evidence: Evidence,
}

/// A clause that binds this side and that no run from outside can judge.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Unprobed {
    /// The clause's id.
    pub id: String,
    /// Document and section.
    pub rfc: String,
    /// How binding it is.
    pub level: Level,
    /// Why it was not looked at: `deep`, `inside` or `review`, and the reason.
    pub why: String,
}

/// The outcome of a run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// The version of this form, 1.
    pub format: u32,
    /// The prober's version.
    pub prober: String,
    /// The side that was judged.
    pub side: Side,
    /// What was judged, as it was named on the command line.
    pub target: String,
    /// When the run began, in seconds since 1970 by the prober's clock.
    pub began_s: u64,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// The clauses that were looked at, in the order of the table.
    pub clauses: Vec<Finding>,
    /// The clauses that bind this side and were not.
    pub not_probed: Vec<Unprobed>,
}

impl Report {
    /// How many clauses got this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.clauses.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// The finding about a clause.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.clauses.iter().find(|finding| finding.id.eq_ignore_ascii_case(id))
    }
}
