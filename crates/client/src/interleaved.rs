//! Interleaved mode of a client (RFC 9769): each answer brings the time at which the one before really left.

use noonmark_nts::Random;
use noonmark_packet::Header;
use noonmark_units::{Span, Timestamp};

use crate::Exchange;

/// What has to be remembered from one answer to the next.
///
/// A question names the last answer by the server's receive stamp of its question and carries a random receive stamp of its own. A server
/// that knows the answer returns that stamp as origin and the answer's true transmit stamp; any other server answers as ever, and
/// nothing is lost.
#[derive(Default)]
pub(crate) struct Interleaved {
    past: Option<Past>,
    unanswered: u32,
    served: bool,
}

/// The stamps of an exchange whose answer's true transmit time is still to come.
#[derive(Clone, Copy)]
pub(crate) struct Past {
    origin: Timestamp,
    receive: Timestamp,
    destination: Timestamp,
    measured: bool,
}

impl Interleaved {
    /// Makes a basic question an interleaved one, if there is an answer to refer to.
    pub(crate) fn ask(&mut self, header: &mut Header, random: &mut dyn Random) {
        let Some(past) = &self.past else { return };
        let mut stamp = [0; 8];
        random.fill(&mut stamp);
        let receive = Timestamp::from_octets(stamp).never_unset();
        // RFC 9769 §2: the two differ in every packet. Once in 2^64 questions this one stays basic.
        if receive != header.transmit {
            header.origin = past.receive;
            header.receive = receive;
        }
    }

    /// A question was answered by what the next may refer to.
    pub(crate) fn answered(&mut self, past: Past) {
        self.served = !past.measured;
        self.past = Some(past);
        self.unanswered = 0;
    }

    /// A question was not answered. After a few the server may not understand us any more, so the next is basic.
    pub(crate) fn unanswered(&mut self) {
        self.unanswered += 1;
        if self.unanswered >= MOST_UNANSWERED {
            self.forget();
        }
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Our clock was stepped.
    pub(crate) fn step(&mut self, by: Span) {
        if let Some(past) = &mut self.past {
            past.origin = past.origin + by;
            past.destination = past.destination + by;
        }
    }

    pub(crate) fn past(&self) -> Option<Past> {
        self.past
    }

    /// Whether the last answer was an interleaved one.
    pub(crate) fn is_served(&self) -> bool {
        self.served
    }
}

impl Past {
    /// Of an exchange as its answer describes it; `measured` if the transmit stamp in it was its own, so that it has been used.
    pub(crate) fn of(exchange: &Exchange, measured: bool) -> Self {
        let Exchange { origin, receive, destination, .. } = *exchange;
        Self { origin, receive, destination, measured }
    }

    pub(crate) fn is_measured(self) -> bool {
        self.measured
    }

    /// Puts the three stamps beside the transmit stamp that came for them.
    pub(crate) fn complete(self, exchange: &mut Exchange) {
        exchange.origin = self.origin;
        exchange.receive = self.receive;
        exchange.destination = self.destination;
    }
}

/// chrony's number; RFC 9769 §2 leaves it open.
const MOST_UNANSWERED: u32 = 4;
