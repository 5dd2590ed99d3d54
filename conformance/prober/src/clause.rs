//! What a clause is, and how one is looked at.

use serde::{Deserialize, Serialize};

use crate::table::CLAUSES;

/// How binding a clause is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Level {
    /// MUST or SHALL of an RFC, or the negative of one.
    #[serde(rename = "MUST")]
    Must,
    /// Follows from a MUST by construction.
    #[serde(rename = "derived")]
    Derived,
    /// SHOULD of an RFC.
    #[serde(rename = "SHOULD")]
    Should,
    /// MAY of an RFC.
    #[serde(rename = "MAY")]
    May,
    /// A rule where the RFCs are silent or their text is unsafe.
    #[serde(rename = "hardening")]
    Hardening,
}

impl Level {
    /// All of them, the most binding first.
    pub const ALL: [Self; 5] =
        [Self::Must, Self::Derived, Self::Should, Self::May, Self::Hardening];

    /// The word for people and for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Derived => "derived",
            Self::Should => "SHOULD",
            Self::May => "MAY",
            Self::Hardening => "hardening",
        }
    }
}

/// The side of the protocol that is judged.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// A server.
    Server,
    /// A client.
    Client,
}

impl Side {
    /// The word for people and for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// Whom a clause binds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Servers.
    Server,
    /// Clients.
    Client,
    /// Servers and clients.
    Both,
    /// Whoever configures them; looked at in configurations, not on the wire.
    Operator,
}

impl Target {
    /// Whether implementations on this side are bound.
    #[must_use]
    pub fn binds(self, side: Side) -> bool {
        match self {
            Self::Server => side == Side::Server,
            Self::Client => side == Side::Client,
            Self::Both => true,
            Self::Operator => false,
        }
    }
}

/// One clause. What is done about it is said by the [`Look`]s of each side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clause {
    /// Two letters and a number, stable: `NS-14`.
    pub id: &'static str,
    /// How binding it is.
    pub level: Level,
    /// Whom it binds.
    pub target: Target,
    /// Document and section, as `RFC 8915 §4.1.3`; `-` for a rule without one.
    pub rfc: &'static str,
    /// What is required, in a few words.
    pub text: &'static str,
}

impl Clause {
    /// The clause with this id, in either case of letters.
    #[must_use]
    pub fn find(id: &str) -> Option<&'static Self> {
        CLAUSES.iter().find(|clause| clause.id.eq_ignore_ascii_case(id))
    }
}

/// How a clause is looked at on one side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// A black box shows it, in every run.
    Probed,
    /// A black box shows it, but by so many questions or so slowly that only a run with `--deep` does it.
    Deep,
    /// It takes a virtual clock, a restart or a look inside, so it is shown on Noonmark's own code only; the text names the test.
    Inside(&'static str),
    /// Nothing shows it but reading; the text says why.
    Review(&'static str),
}

/// What the prober does about one clause on one side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Look {
    /// The clause.
    pub id: &'static str,
    /// How it is looked at.
    pub way: Way,
    /// What is sent to a server, or what a client is given; empty unless probed.
    pub sent: &'static str,
    /// What is expected then; empty unless probed.
    pub expected: &'static str,
}
