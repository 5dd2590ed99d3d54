//! What holds for any octets at all.

mod client;

use client::{Client, Server, header};
use noonmark_nts::Aead;
use noonmark_packet::{Mode, Packet};
use noonmark_server::Counter;
use proptest::prelude::*;

proptest! {
    /// No panic, no answer longer than its request (checked for every answer by `Server::respond`), and only mode 3 is answered.
    #[test]
    fn any_octets_are_answered_in_kind_or_not_at_all(octets in proptest::collection::vec(any::<u8>(), 0..1600)) {
        let answer = Server::new().ask(&octets);
        if let Some(answer) = answer {
            let (request, answer) = (Packet::parse(&octets).unwrap(), Packet::parse(&answer).unwrap());
            prop_assert_eq!((request.mode(), answer.mode()), (Mode::Client, Mode::Server));
            prop_assert_eq!((answer.version(), answer.origin()), (request.version(), request.transmit()));
        }
    }

    /// The same for octets that begin like a request, so that more of them get further.
    #[test]
    fn any_fields_are_survived(
        version in 1_u8..=4,
        tail in proptest::collection::vec((0_usize..9, 0_u16..200, any::<u8>()), 0..12),
    ) {
        let mut datagram = header(version, 3);
        for (kind, len, fill) in tail {
            let kind = [0x0104, 0x0204, 0x0304, 0x0404, 0x0404, 0x2005, 0xf0ab, 0, 0x0104][kind];
            let len = len / 4 * 4;
            datagram.extend(u16::to_be_bytes(kind));
            datagram.extend((len + 4).to_be_bytes());
            datagram.extend(std::iter::repeat_n(fill % 24, len.into()));
        }
        Server::new().ask(&datagram);
    }

    /// A valid request with octets changed, cut off or added never yields authenticated time.
    #[test]
    fn no_damaged_request_is_authentic(
        aead in 0_usize..3,
        placeholders in 0_usize..4,
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
        cut in any::<bool>(),
    ) {
        let mut server = Server::new();
        let mut request = Client::new(Aead::ALL[aead]).request(placeholders);
        let at = at.index(request.len());
        if cut {
            request.truncate(at);
        } else {
            request[at] ^= change;
        }
        server.ask(&request);
        prop_assert_eq!(server.count(Counter::AnsweredNts), 0);
    }
}
