//! Where each source stands, as far as asking it goes.

use core::fmt;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use noonmark_clock::SourceId;
use noonmark_nts::Aead;
use noonmark_packet::KissCode;
use noonmark_units::Mono;

use crate::{Exchange, GiveUp, Refusal};

/// One server that is asked, or a name that has none yet. What is believed of it is the keeper's business
/// ([`noonmark_clock::SourceReport`], under the same number).
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatus {
    /// Its number; `None` for a name without a server.
    pub id: Option<SourceId>,
    /// Its place in the configuration, from 0.
    pub place: usize,
    /// The name or address in the configuration.
    pub name: String,
    /// Where questions go, once that is known.
    pub address: Option<SocketAddr>,
    /// For a name without a server: who asks the server it stands for.
    pub asked_as: Option<SourceId>,
    /// Whether nothing unproven is taken from it.
    pub nts: Option<NtsStatus>,
    /// Whether its last answer was an interleaved one (RFC 9769).
    pub interleaved: bool,
    /// The last eight questions, the latest in the lowest bit: 1 where an answer with usable time came.
    pub reach: u8,
    /// From one question to the next, outside bursts.
    pub interval: Duration,
    /// When the next question is due, or key establishment that it waits for; `None` while that is under way.
    pub next_question: Option<Mono>,
    /// The last answer with usable time.
    pub last: Option<Exchange>,
    /// What came last in place of usable time, since the last answer that had some.
    pub instead: Option<Instead>,
    /// Why it is not asked any more, if it is not.
    pub gave_up: Option<GiveUp>,
    /// Whether it has no source itself, as far as [`Sources::set_orphan_stratum`](crate::Sources::set_orphan_stratum) wants that minded.
    pub is_orphan: bool,
    /// What came and went.
    pub tally: Tally,
}

/// What a question brought in place of usable time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Instead {
    /// A kiss-o'-death (RFC 5905 §7.4).
    Kiss {
        /// Its code.
        code: KissCode,
        /// Whether it proved to come from the server.
        authenticated: bool,
    },
    /// A datagram that was dropped, and no other answered the question.
    Dropped(Refusal),
}

impl fmt::Display for Instead {
    /// What came, and what was done about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, authenticated) = match self {
            Self::Kiss { code, authenticated } => (*code, *authenticated),
            Self::Dropped(refusal) => return write!(f, "the last answer was dropped: {refusal}"),
        };
        let done = match code {
            KissCode::RATE => "it is asked less often",
            KissCode::NTSN => "other cookies or keys are sought, unless a right answer comes",
            KissCode::DENY | KissCode::RSTR if authenticated => "it is not asked any more",
            KissCode::DENY | KissCode::RSTR => "it is asked rarely, as anybody may have sent that",
            _ => "which asks nothing of us",
        };
        let proof = if authenticated { "authenticated" } else { "without proof of origin" };
        write!(f, "the last answer was a kiss {code} ({proof}): {done}")
    }
}

/// The keys of a source with NTS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NtsStatus {
    /// The algorithm agreed, once keys are established.
    pub aead: Option<Aead>,
    /// Cookies in the jar.
    pub cookies: usize,
    /// Failures of key establishment since the last success.
    pub failures: u32,
}

/// Counts of what came and went, since the source is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Questions sent.
    pub asked: u64,
    /// Answers with usable time.
    pub measured: u64,
    /// Questions without an answer that counts.
    pub unanswered: u64,
    /// Kisses that answered a question.
    pub kisses: u64,
    /// Datagrams dropped, by [`Refusal::name`](crate::Refusal::name).
    pub refused: BTreeMap<&'static str, u64>,
}
