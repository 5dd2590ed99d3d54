//! What [`Sources`](crate::Sources) wants done, and what it has to tell.

use core::fmt;
use std::net::SocketAddr;

use noonmark_clock::{Adjustment, SourceId};
use noonmark_packet::KissCode;

use crate::{Endpoint, Family, GiveUp, KeFailure, Refusal};

/// What [`Sources`](crate::Sources) wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send these octets (48..=1232) from a fresh random port, then call
    /// [`handle_sent`](crate::Sources::handle_sent).
    Transmit {
        /// For which source.
        id: SourceId,
        /// Where to.
        to: SocketAddr,
        /// The question.
        datagram: Vec<u8>,
    },
    /// Find the addresses of this name, then call [`handle_resolved`](crate::Sources::handle_resolved) with the same endpoint and
    /// family.
    Resolve {
        /// The name, and the port the addresses are to have.
        endpoint: Endpoint,
        /// Which addresses are wanted.
        family: Family,
    },
    /// Establish keys, then call [`handle_agreement`](crate::Sources::handle_agreement) or
    /// [`handle_ke_failure`](crate::Sources::handle_ke_failure).
    Rekey {
        /// For which source.
        id: SourceId,
        /// The key-establishment server.
        endpoint: Endpoint,
        /// Which of its addresses are used.
        family: Family,
    },
    /// Do this to the clock at once, then call [`handle_adjusted`](crate::Sources::handle_adjusted).
    Adjust(Adjustment),
    /// Something a log or a person may want to know.
    Told(SourceEvent),
}

/// What happened to a source.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceEvent {
    /// A server is asked from now on.
    Added {
        /// Its number from now on.
        id: SourceId,
        /// The name it was found under, or its address.
        name: String,
        /// Its address; `None` until keys are established.
        address: Option<SocketAddr>,
    },
    /// A server is not asked any more.
    Removed {
        /// Its number until now.
        id: SourceId,
        /// Why.
        why: Removal,
    },
    /// The server answers, after it had not.
    Reachable(SourceId),
    /// The last eight questions brought no usable answer.
    Unreachable(SourceId),
    /// A name has no address now; it is tried again.
    Unresolved {
        /// The name.
        name: String,
    },
    /// A name has addresses.
    Resolved {
        /// The name.
        name: String,
    },
    /// Keys were established.
    Established {
        /// For which source.
        id: SourceId,
        /// Where its questions go.
        server: SocketAddr,
    },
    /// Key establishment failed; it is tried again, after waits that grow.
    NotEstablished {
        /// For which source.
        id: SourceId,
        /// What went wrong.
        failure: KeFailure,
    },
    /// A datagram was dropped.
    Refused {
        /// For which source it came.
        id: SourceId,
        /// Why.
        refusal: Refusal,
    },
    /// A kiss-o'-death answered a question.
    Kiss {
        /// From which source.
        id: SourceId,
        /// Its code.
        code: KissCode,
        /// Whether it proved to come from the server.
        authenticated: bool,
    },
    /// The server gets its time from us (RFC 5905 §A.5.5.3), so we do not take it back.
    Loop(SourceId),
    /// Long questions went unanswered where short ones do not: something on the way drops NTP by its length.
    LengthFilterSuspected(SourceId),
}

/// Why a server is not asked any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// It has not answered for long.
    Unreachable,
    /// This machine has no way to it.
    NoRoute,
    /// Its time contradicts the majority's.
    False,
    /// It, or its key establishment, does not want us.
    GaveUp(GiveUp),
    /// Its name has not its address any more.
    AddressGone,
    /// Another member of its pool has its turn.
    Turn,
    /// Key establishment sends us to another address.
    Moved,
    /// Key establishment leads to a server that another source asks already.
    Double,
    /// The configuration does not name it any more, or not as before.
    Reconfigured,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("it has not answered for long"),
            Self::NoRoute => f.write_str("this machine has no way to it"),
            Self::False => f.write_str("its time contradicts the majority's"),
            Self::GaveUp(reason) => reason.fmt(f),
            Self::AddressGone => f.write_str("its name has not its address any more"),
            Self::Turn => f.write_str("another member of its pool has its turn"),
            Self::Moved => f.write_str("key establishment names another address"),
            Self::Double => f.write_str("its address is asked already, by another name"),
            Self::Reconfigured => f.write_str("the configuration has changed"),
        }
    }
}
