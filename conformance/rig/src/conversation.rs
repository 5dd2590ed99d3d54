//! Clients that ask in interleaved mode (RFC 9769 §2), each remembering what it heard last.
//!
//! A request carries as its origin the receive time of the last answer this client heard, and two different stamps of its own: a server that remembers
//! that answer echoes the receive time stamp and tells when the answer really left, any other echoes the transmit time stamp.

use std::cell::Cell;
use std::net::Ipv4Addr;

use noonmark_packet::{Header, Packet};
use noonmark_units::{Span, Timestamp};

use crate::material::{MARK_OF_RECEIVE, stamp};

/// What all clients remember.
pub struct Conversations {
    first_client: Ipv4Addr,
    clients: Vec<Client>,
}

/// One client.
#[derive(Clone, Default)]
struct Client {
    /// When its last request arrived, as the server says; unset before the first answer.
    heard: Cell<u64>,
    /// Whether the last answer was in interleaved mode.
    is_interleaved: Cell<bool>,
}

impl Conversations {
    /// So many clients, the first at an address and the others after it, which ask in turn and have heard nothing yet.
    pub fn new(first_client: Ipv4Addr, clients: u32) -> Self {
        Self { first_client, clients: vec![Client::default(); clients.max(1) as usize] }
    }

    /// The `n`-th request.
    pub(crate) fn request(&self, n: u64) -> Header {
        let client = &self.clients[(n % self.clients.len() as u64) as usize];
        Header {
            origin: Timestamp::from_bits(client.heard.get()),
            receive: Timestamp::from_bits(MARK_OF_RECEIVE << 32 | n & 0xffff_ffff),
            ..Header::client(stamp(n))
        }
    }

    /// Gives an answer to the client at `to`; whether it was in interleaved mode.
    ///
    /// # Errors
    /// That nobody is there, or what is wrong with the answer.
    pub(crate) fn hear(&self, answer: &[u8], to: Ipv4Addr) -> Result<bool, String> {
        let packet = Packet::parse(answer).map_err(|error| error.to_string())?;
        let place = u32::from(to).wrapping_sub(u32::from(self.first_client)) as usize;
        let client = self.clients.get(place).ok_or("an address of nobody")?;
        let is_interleaved = packet.origin().to_bits() >> 32 == MARK_OF_RECEIVE;
        if is_interleaved {
            // Answers may overtake each other; what is told is of one that was received before this one and left soon after.
            let gone = packet.transmit() - Timestamp::from_bits(client.heard.get());
            if gone.abs() > MOST {
                return Err(format!("an answer that left {gone} after its request"));
            }
        }
        client.heard.set(packet.receive().to_bits());
        client.is_interleaved.set(is_interleaved);
        Ok(is_interleaved)
    }

    /// How many clients' last answer was in interleaved mode.
    pub fn interleaved(&self) -> usize {
        self.clients.iter().filter(|client| client.is_interleaved.get()).count()
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Whether the client whose turn the `n`-th request is has had an answer in interleaved mode.
    pub(crate) fn is_settled(&self, n: u64) -> bool {
        self.clients[(n % self.clients.len() as u64) as usize].is_interleaved.get()
    }
}

/// No request waits longer than this for its answer, or its answer for the next request.
const MOST: Span = Span::from_seconds(30);

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_packet::Mode;

    #[test]
    fn who_is_told_when_its_answer_left_knows_it() {
        let conversations = Conversations::new(Ipv4Addr::new(10, 64, 0, 0), 3);
        let to = Ipv4Addr::new(10, 64, 0, 1);
        let first = conversations.request(4);
        assert!(first.origin.is_unset());
        assert_ne!(first.receive, first.transmit);
        let answer = |origin, receive: i64, transmit: i64| {
            let at = |s| Timestamp::from_bits(1 << 63) + Span::from_seconds(s);
            let (receive, transmit) = (at(receive), at(transmit));
            Header { mode: Mode::Server, origin, receive, ..Header::client(transmit) }.to_octets()
        };
        let hear = |answer: &[u8]| conversations.hear(answer, to);
        assert_eq!(hear(&answer(first.transmit, 10, 10)), Ok(false));
        assert_eq!(conversations.interleaved(), 0);
        let second = conversations.request(7);
        assert_eq!(second.origin, Timestamp::from_bits(1 << 63) + Span::from_seconds(10));
        assert_eq!(hear(&answer(second.receive, 20, 11)), Ok(true));
        assert_eq!(conversations.interleaved(), 1);
        assert!(conversations.is_settled(10) && !conversations.is_settled(11));
        assert!(hear(&answer(second.receive, 30, 100)).is_err(), "left long after");
        assert!(conversations.hear(&answer(second.receive, 1, 1), first_stranger()).is_err());
    }

    fn first_stranger() -> Ipv4Addr {
        Ipv4Addr::new(10, 64, 0, 3)
    }
}
