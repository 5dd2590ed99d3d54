//! Datagrams that belong to others: the one place where they leave the path of a request.

use crate::batch::Slot;
use crate::{Counter, Counters};

/// A kind of datagram that this server receives but does not own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handover {
    /// Mode 1: for an association with a peer.
    SymmetricActive,
    /// Mode 2: likewise.
    SymmetricPassive,
    /// Mode 6: for who answers control messages (RFC 9327).
    Control,
}

impl Handover {
    /// What the kind is counted as.
    pub const fn counter(self) -> Counter {
        match self {
            Self::SymmetricActive => Counter::HandedSymmetricActive,
            Self::SymmetricPassive => Counter::HandedSymmetricPassive,
            Self::Control => Counter::HandedControl,
        }
    }
}

/// The hand-over point. There are no other owners so far, so each datagram is counted by kind, and silence is the answer:
/// no association with a stranger, and no control messages for the world (RFC 8633 §3.4 and §5.6).
pub(crate) fn hand_over(_slot: &Slot, kind: Handover, counters: &mut Counters) {
    counters.count(kind.counter());
}
