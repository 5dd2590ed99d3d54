//! Answers that have been sent and whose departure the kernel has not told yet.

use crate::{Awaited, MARK_LEN};

/// The last answers of a socket that are awaited, in the order in which they were sent.
///
/// What the kernel tells of is the packet that left, so an answer is known again by what stands in it: by nothing that has to be
/// counted, and whoever else may send or listen on the same socket. Only where a packet is encrypted on its way (IPsec) is it not known again.
pub(super) struct Unconfirmed {
    answers: Vec<Option<([u8; MARK_LEN], Awaited)>>,
    /// Where the next is kept, and which is expected to leave next.
    end: usize,
    first: usize,
    /// Where in a packet the mark stood the last time: the headers in front are mostly the same.
    at: usize,
    /// Packets in a row that were not known.
    strange: u32,
}

impl Unconfirmed {
    pub(super) fn new() -> Self {
        Self { answers: vec![None; KEPT], end: 0, first: 0, at: 0, strange: 0 }
    }

    /// Keeps an answer that is sent now; of too many the oldest is forgotten.
    pub(super) fn keep(&mut self, awaited: &Awaited) {
        if let Some(place) = self.answers.get_mut(self.end % KEPT) {
            *place = Some((awaited.mark(), *awaited));
        }
        self.end = (self.end + 1) % KEPT;
    }

    /// Whether there is any.
    pub(super) fn is_any(&self) -> bool {
        self.answers.iter().any(Option::is_some)
    }

    /// The answer in a packet that left, once.
    pub(super) fn find(&mut self, packet: &[u8]) -> Option<Awaited> {
        let place = self.search(packet);
        self.strange = if place.is_some() { 0 } else { self.strange.saturating_add(1) };
        let place = place?;
        let (_, awaited) = self.answers.get_mut(place)?.take()?;
        self.first = place + 1;
        Some(awaited)
    }

    fn search(&mut self, packet: &[u8]) -> Option<usize> {
        let mark_at = |at: usize| packet.get(at..)?.first_chunk::<MARK_LEN>();
        if let Some(place) = mark_at(self.at).and_then(|mark| self.place_of(mark)) {
            return Some(place);
        }
        // Where no packet is ever known, there is no use in looking everywhere.
        if self.strange >= MOST_STRANGE {
            return None;
        }
        for at in 0..packet.len() {
            if let Some(place) = mark_at(at).and_then(|mark| self.place_of(mark)) {
                self.at = at;
                return Some(place);
            }
        }
        None
    }

    fn place_of(&self, mark: &[u8; MARK_LEN]) -> Option<usize> {
        let mut in_turn = (0..KEPT).map(|ahead| (self.first + ahead) % KEPT);
        in_turn
            .find(|place| matches!(self.answers.get(*place), Some(Some((kept, _))) if kept == mark))
    }
}

/// Two batches: what has not left when the one after it is sent has left too late to be told.
const KEPT: usize = 2 * crate::BATCH;
const MOST_STRANGE: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::past::Asker;
    use noonmark_units::Timestamp;

    fn awaited(number: u64) -> Awaited {
        Awaited {
            asker: Asker { address: [192, 0, 2, 1].into(), is_proven: false },
            receive: Timestamp::from_bits(number << 32 | 1),
            transmit: Timestamp::from_bits(number << 32 | 0x1000),
        }
    }

    /// The answer behind so many octets of headers.
    fn packet(headers: usize, number: u64) -> Vec<u8> {
        [&vec![0x45; headers + 32][..], &awaited(number).mark()].concat()
    }

    #[test]
    fn answers_are_known_again_in_any_order_behind_any_headers_and_once() {
        let mut unconfirmed = Unconfirmed::new();
        for number in 1..=6 {
            unconfirmed.keep(&awaited(number));
        }
        for (headers, number) in [(42, 1), (42, 2), (46, 5), (62, 3), (42, 6)] {
            let packet = packet(headers, number);
            assert_eq!(unconfirmed.find(&packet), Some(awaited(number)), "{number}");
            assert_eq!(unconfirmed.find(&packet), None, "{number} again");
        }
        assert_eq!(unconfirmed.find(&packet(42, 7)), None, "never kept");
        assert_eq!(unconfirmed.find(&packet(42, 4)[..80]), None, "cut short");
        assert_eq!(unconfirmed.find(&[]), None);
        assert_eq!(unconfirmed.find(&packet(42, 4)), Some(awaited(4)));
    }

    #[test]
    fn of_too_many_the_oldest_are_forgotten() {
        let mut unconfirmed = Unconfirmed::new();
        let all = 3 * KEPT as u64;
        for number in 1..=all {
            unconfirmed.keep(&awaited(number));
        }
        let oldest = all - KEPT as u64 + 1;
        assert_eq!(unconfirmed.find(&packet(42, oldest - 1)), None);
        for number in oldest..=all {
            assert_eq!(unconfirmed.find(&packet(42, number)), Some(awaited(number)));
        }
    }

    #[test]
    fn packets_that_are_never_known_are_not_searched_for_ever() {
        let mut unconfirmed = Unconfirmed::new();
        unconfirmed.keep(&awaited(1));
        unconfirmed.keep(&awaited(2));
        assert!(unconfirmed.find(&packet(42, 1)).is_some());
        for _ in 0..MOST_STRANGE {
            assert_eq!(unconfirmed.find(&[0xee; 192]), None);
        }
        unconfirmed.keep(&awaited(3));
        assert_eq!(unconfirmed.find(&packet(46, 3)), None, "elsewhere it is not looked for");
        assert_eq!(unconfirmed.find(&packet(42, 2)), Some(awaited(2)), "where it was, it is");
        assert_eq!(unconfirmed.find(&packet(46, 3)), Some(awaited(3)));
    }
}
