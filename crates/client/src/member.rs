//! One server that is asked, as [`Sources`](crate::Sources) holds it.

use std::net::SocketAddr;

use noonmark_clock::{Sample, SourceId};
use noonmark_packet::ReferenceId;
use noonmark_units::Mono;

use crate::{Association, Endpoint, Exchange, Instead, NtsStatus, Refusal, SourceStatus, Tally};

/// One association, and what belongs to it.
pub(crate) struct Member {
    pub(crate) id: SourceId,
    /// Its place in the configuration.
    pub(crate) group: usize,
    pub(crate) peer: Peer,
    pub(crate) association: Association,
    /// Where questions go; for NTS known once keys are established.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the keeper knows it.
    pub(crate) is_kept: bool,
    /// Whether it has no source itself, as its last answer shows.
    pub(crate) is_orphan: bool,
    /// What it would call us if it followed us.
    pub(crate) local_id: Option<ReferenceId>,
    /// Whether it was last told reachable.
    pub(crate) told_reachable: Option<bool>,
    /// Since when its time contradicts the majority's.
    pub(crate) false_since: Option<Mono>,
    pub(crate) added_at: Mono,
    /// Failures of key establishment since the last success.
    pub(crate) ke_failures: u32,
    /// What its last usable answer said.
    pub(crate) last: Option<Exchange>,
    /// What came last in place of usable time, since `last`.
    pub(crate) instead: Option<Instead>,
    /// What was dropped last, of what came since the open question was asked.
    pub(crate) dropped: Option<Refusal>,
    pub(crate) tally: Tally,
}

impl Member {
    /// Where it stands, under the name `name` of the configuration.
    pub(crate) fn status(&self, name: String) -> SourceStatus {
        let association = &self.association;
        SourceStatus {
            id: Some(self.id),
            place: self.group,
            name,
            address: self.address,
            asked_as: None,
            nts: association.cookies_left().map(|cookies| NtsStatus {
                aead: association.aead(),
                cookies,
                failures: self.ke_failures,
            }),
            interleaved: association.is_interleaved(),
            reach: association.reach(),
            interval: association.interval(),
            next_question: association.next_step(),
            last: self.last,
            instead: self.instead,
            gave_up: association.gave_up(),
            is_orphan: self.is_orphan,
            tally: self.tally.clone(),
        }
    }

    /// Whether this is the server it asks.
    pub(crate) fn is_at(&self, peer: &Peer) -> bool {
        self.peer == *peer
            || matches!(peer, Peer::Address(address) if self.address == Some(*address))
    }
}

/// Whom a member asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    /// A server of plain NTP.
    Address(SocketAddr),
    /// A key-establishment server.
    KeyServer(Endpoint),
}

/// An answer as the keeper of the clock takes it.
pub(crate) fn sample(exchange: &Exchange) -> Sample {
    Sample {
        origin: exchange.origin,
        receive: exchange.receive,
        transmit: exchange.transmit,
        destination: exchange.destination,
        leap: exchange.leap,
        stratum: exchange.stratum,
        root_delay: exchange.root_delay.to_span(),
        root_dispersion: exchange.root_dispersion.to_span(),
        reference_id: exchange.reference_id,
        reference_time: exchange.reference_time,
        precision: exchange.precision,
        authenticated: exchange.authenticated,
    }
}
