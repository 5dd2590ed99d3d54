//! How a command ended, as a monitor reads it.

use std::process::ExitCode;

/// What a command found out, as its exit status.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// 0: everything asked for was answered and is right.
    Good,
    /// 1: there is an answer, and something about it deserves a look.
    Warning,
    /// 2: there is no answer, or what was checked is wrong.
    Critical,
    /// 3: what came could not be believed, so nothing is known: authentication was refused, by us or by the server.
    Unknown,
    /// 64: the command was called wrongly (`EX_USAGE` of sysexits.h).
    Usage,
}

impl Verdict {
    /// The exit status.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
            Self::Usage => 64,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(verdict.status())
    }
}
