//! Interleaved mode (RFC 9769 §2): which requests may be in it, and the answers whose true departure is to be remembered for them.
//!
//! A client in this mode names the answer it had before by the receive stamp in it. It gets the time at which that answer really left,
//! which the kernel told only afterwards, if that is still known; otherwise an answer as in basic mode. All our receive stamps are odd and all transmit
//! stamps even, so a client that says in basic mode which transmit stamp it had last (RFC 5905 clients do) is told apart by one bit, and
//! neither a stamp of the kernel's nor memory is spent on it. Nor is it on a client's first request, which names nothing: its second is
//! answered as in basic mode, from the third on it has true times.

use noonmark_packet::Packet;
use noonmark_units::{Span, Timestamp};

use crate::past::Asker;

/// An answer whose true departure is awaited, to be told when its client asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Awaited {
    pub(crate) asker: Asker,
    /// The stamps in it.
    pub(crate) receive: Timestamp,
    pub(crate) transmit: Timestamp,
}

impl Awaited {
    /// What stands in octets 32 to 47 of the answer: the two stamps, by which it is known again.
    pub fn mark(&self) -> [u8; MARK_LEN] {
        mark(self.receive, self.transmit)
    }

    /// The transmit stamp its client will be told, if it left at `left`. `None` for what cannot be: a clock was set meanwhile.
    pub(crate) fn departed(&self, left: Timestamp) -> Option<Timestamp> {
        let transmit = transmit_stamp(left);
        let held = transmit - self.receive;
        (!held.is_negative() && held <= LONGEST).then_some(transmit)
    }
}

/// The two stamps of an answer of ours as they stand in it.
pub(crate) fn mark(receive: Timestamp, transmit: Timestamp) -> [u8; MARK_LEN] {
    let mut mark = [0; MARK_LEN];
    mark[..8].copy_from_slice(&receive.to_octets());
    mark[8..].copy_from_slice(&transmit.to_octets());
    mark
}

/// Octets of [`Awaited::mark`].
pub const MARK_LEN: usize = 16;

/// Whether a request may be in interleaved mode: it names an answer by a stamp that could be a receive stamp of ours, and its own two differ.
pub(crate) fn names_an_answer(request: &Packet<'_>) -> bool {
    request.origin().to_bits() & 1 != 0 && request.receive() != request.transmit()
}

/// A time as a receive stamp.
pub(crate) fn receive_stamp(time: Timestamp) -> Timestamp {
    Timestamp::from_bits(time.to_bits() | 1)
}

/// A time as a transmit stamp.
pub(crate) fn transmit_stamp(time: Timestamp) -> Timestamp {
    // 0 would mean "unknown".
    Timestamp::from_bits((time.to_bits() & !1).max(2))
}

/// An answer that took longer to leave was held by something that says nothing of the network.
const LONGEST: Span = Span::from_seconds(1);

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_packet::Header;

    #[test]
    fn only_an_odd_origin_with_two_different_stamps_names_an_answer() {
        let check = |origin: u64, receive: u64, transmit: u64, expected| {
            let mut header = Header::client(Timestamp::from_bits(transmit));
            header.origin = Timestamp::from_bits(origin);
            header.receive = Timestamp::from_bits(receive);
            let octets = header.to_octets();
            let request = Packet::parse(&octets).unwrap();
            assert_eq!(names_an_answer(&request), expected, "{origin} {receive} {transmit}");
        };
        check(0, 0, 7, false);
        check(101, 5, 7, true);
        check(101, 0, 7, true);
        check(101, 7, 7, false);
        check(100, 5, 7, false);
    }

    #[test]
    fn stamps_tell_what_they_are_in_every_era() {
        for bits in [0, 1, 2, 3, u64::MAX - 1, u64::MAX] {
            let time = Timestamp::from_bits(bits);
            let (receive, transmit) = (receive_stamp(time), transmit_stamp(time));
            assert_eq!((receive.to_bits() & 1, transmit.to_bits() & 1), (1, 0));
            assert!(!receive.is_unset() && !transmit.is_unset());
        }
    }

    #[test]
    fn an_answer_leaves_after_its_request_came_and_soon() {
        let awaited = Awaited {
            asker: Asker { address: [192, 0, 2, 1].into(), is_proven: false },
            receive: Timestamp::from_bits(u64::MAX),
            transmit: Timestamp::from_bits(0x2000),
        };
        let check = |left: u64, expected: Option<u64>| {
            let departed = awaited.departed(Timestamp::from_bits(left));
            assert_eq!(departed, expected.map(Timestamp::from_bits), "{left}");
        };
        check(0x3001, Some(0x3000));
        check(0, Some(2));
        check(u64::MAX, None);
        check(u64::MAX - 5000, None);
        check(0xffff_ffff, Some(0xffff_fffe));
        check(0x1_0000_0000, None);
        assert_eq!(awaited.mark(), *b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\x20\0");
    }
}
