//! What a probe comes to.

use crate::verdict::Verdict;

/// A sentence on what was seen, if the clause is kept; else what stands against saying so.
pub type Judgement = Result<String, Objection>;

/// Why a clause is not found to be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Objection {
    /// Any verdict but a pass.
    pub verdict: Verdict,
    /// The facts, as a sentence.
    pub says: String,
}

impl Objection {
    /// The clause is broken.
    #[must_use]
    pub fn fails(says: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, says: says.into() }
    }

    /// The clause is broken in a known and harmless way.
    #[must_use]
    pub fn deviates(says: impl Into<String>) -> Self {
        Self { verdict: Verdict::Deviates, says: says.into() }
    }

    /// The clause does not bind what is under test.
    #[must_use]
    pub fn unbound(says: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotApplicable, says: says.into() }
    }

    /// Nothing can be said.
    #[must_use]
    pub fn unclear(says: impl Into<String>) -> Self {
        Self { verdict: Verdict::Inconclusive, says: says.into() }
    }
}

/// Holds, or fails for the reason given.
///
/// # Errors
/// The failure.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Objection> {
    if holds { Ok(()) } else { Err(Objection::fails(why())) }
}
