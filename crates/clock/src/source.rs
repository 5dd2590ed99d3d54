use std::net::SocketAddr;

use noonmark_units::PollExponent;

/// A source's number, given by whoever owns the sources and not used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u32);

/// What is said about a source before it answers: by the operator, and where it is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceOptions {
    /// The shortest interval between questions, log2 s.
    pub min_poll: PollExponent,
    /// The longest interval between questions, log2 s.
    pub max_poll: PollExponent,
    /// May be asked more often than `min_poll` for a short time, when much is to be learned quickly.
    pub bursts: bool,
    /// Followed rather than others that agree with it.
    pub prefer: bool,
    /// Believed against a majority of others: only where trusted sources agree can the time be.
    pub trust: bool,
    /// Without this source nothing is selected.
    pub require: bool,
    /// Measured and shown, never followed.
    pub noselect: bool,
    /// Who runs it; sources of one operator are one voice.
    pub operator: Option<String>,
    /// Which network leads to it; sources behind one network are one voice.
    pub network: Option<String>,
    /// Where its questions go, once that is known; sources at one address and port are one server, so one voice.
    pub address: Option<SocketAddr>,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            min_poll: PollExponent(6),
            max_poll: PollExponent(10),
            bursts: false,
            prefer: false,
            trust: false,
            require: false,
            noselect: false,
            operator: None,
            network: None,
            address: None,
        }
    }
}
