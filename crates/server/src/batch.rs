//! The octets of a batch: requests that become their own answers.

use std::fmt;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use noonmark_nts::{AnswerPlan, Random, UniqueIdentifier, echo_unique};
use noonmark_packet::{HEADER_LEN, Header};
use noonmark_units::Timestamp;

use crate::interleaved::Awaited;

/// Most datagrams in a batch.
pub const BATCH: usize = 64;

/// Room for one datagram in octets: more than a request that fits into an Ethernet frame.
pub const ROOM: usize = 1536;

/// Up to [`BATCH`] datagrams, in memory allocated once. One datagram is a batch of one.
#[derive(Clone)]
pub struct Batch {
    slots: Box<[Slot; BATCH]>,
    filled: usize,
}

impl Batch {
    /// A batch without datagrams.
    pub fn new() -> Self {
        let slots: Box<[Slot]> = (0..BATCH).map(|_| Slot::EMPTY).collect();
        // The iterator gave exactly as many as the array has.
        let Ok(slots) = slots.try_into() else { unreachable!("{BATCH} slots were made") };
        Self { slots, filled: 0 }
    }

    /// Takes all datagrams out.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Adds a datagram by copying it; what is longer than [`ROOM`] is cut and marked so. False if the batch is full.
    pub fn push(&mut self, datagram: &[u8], envelope: Envelope) -> bool {
        let Some(slot) = self.slots.get_mut(self.filled) else { return false };
        let len = datagram.len().min(ROOM);
        slot.octets[..len].copy_from_slice(&datagram[..len]);
        slot.arrive(
            len,
            Envelope { truncated: envelope.truncated || len < datagram.len(), ..envelope },
        );
        self.filled += 1;
        true
    }

    /// The rooms of all slots, for receiving into.
    pub fn rooms(&mut self) -> [IoSliceMut<'_>; BATCH] {
        self.filled = 0;
        self.slots.each_mut().map(|slot| IoSliceMut::new(&mut slot.octets))
    }

    /// Says what has been received into the first rooms: the length of each, and its envelope.
    pub fn received(&mut self, arrivals: impl IntoIterator<Item = (usize, Envelope)>) {
        self.filled = 0;
        for (slot, (len, envelope)) in self.slots.iter_mut().zip(arrivals) {
            slot.arrive(len.min(ROOM), envelope);
            self.filled += 1;
        }
    }

    /// The datagrams.
    pub fn slots(&self) -> &[Slot] {
        self.slots.get(..self.filled).unwrap_or(&[])
    }

    pub(crate) fn slots_mut(&mut self) -> &mut [Slot] {
        self.slots.get_mut(..self.filled).unwrap_or(&mut [])
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.slots()).finish()
    }
}

/// What the I/O half knows about a datagram besides its octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// Who sent it.
    pub peer: SocketAddr,
    /// When it was received: T2.
    pub received: Timestamp,
    /// Whether it was sent to a broadcast or multicast address.
    pub group: bool,
    /// Whether it was longer than its room.
    pub truncated: bool,
}

/// One datagram and, once the responder is through, its answer, written over it.
#[derive(Clone)]
pub struct Slot {
    octets: [u8; ROOM],
    len: usize,
    /// 0 for none; never more than `len`, because only an [`Answer`] sets it.
    answer_len: usize,
    envelope: Envelope,
    awaited: Option<Awaited>,
}

impl Slot {
    const EMPTY: Self = Self {
        octets: [0; ROOM],
        len: 0,
        answer_len: 0,
        envelope: Envelope {
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            received: Timestamp::UNSET,
            group: false,
            truncated: false,
        },
        awaited: None,
    };

    fn arrive(&mut self, len: usize, envelope: Envelope) {
        (self.len, self.answer_len, self.envelope, self.awaited) = (len, 0, envelope, None);
    }

    /// Its envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The octets of the datagram; after the responder has answered, partly those of the answer.
    pub(crate) fn datagram(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or(&[])
    }

    pub(crate) fn datagram_mut(&mut self) -> &mut [u8] {
        self.octets.get_mut(..self.len).unwrap_or(&mut [])
    }

    /// Length of the request in octets.
    pub fn request_len(&self) -> usize {
        self.len
    }

    /// The answer, never longer than the request, or `None` for silence.
    pub fn answer(&self) -> Option<&[u8]> {
        if self.answer_len == 0 { None } else { self.octets.get(..self.answer_len.min(self.len)) }
    }

    /// What its answer is known by once it has left: there is one if [`Responder::departed`](crate::Responder::departed) wants to hear when that was.
    pub fn awaited(&self) -> Option<&Awaited> {
        self.awaited.as_ref()
    }

    pub(crate) fn await_departure(&mut self, awaited: Awaited) {
        self.awaited = Some(awaited);
    }

    pub(crate) fn answer_mut(&mut self) -> &mut [u8] {
        self.octets.get_mut(..self.answer_len.min(self.len)).unwrap_or(&mut [])
    }

    /// Room for the answer: the octets of the request. `None` if not even a header fits.
    pub(crate) fn reply(&mut self) -> Option<Answer<'_>> {
        let room = self.octets.get_mut(..self.len).filter(|room| room.len() >= HEADER_LEN)?;
        Some(Answer { room, len: &mut self.answer_len })
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("envelope", &self.envelope)
            .field("len", &self.len)
            .field("answer_len", &self.answer_len)
            .finish_non_exhaustive()
    }
}

/// An answer about to be written over its request. Its room is exactly the octets of the request, so it cannot become longer:
/// RFC 8915 §8.4, and no amplification for anybody.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    room: &'a mut [u8],
    len: &'a mut usize,
}

impl Answer<'_> {
    /// Writes a header and, if the request has one, its unique identifier: time or a kiss that proves nothing.
    pub(crate) fn write_plain(self, header: &Header, unique: Option<UniqueIdentifier>) {
        *self.len = match unique {
            Some(unique) => echo_unique(self.room, unique),
            None => HEADER_LEN,
        };
        self.write_header(header);
    }

    /// Writes a protected answer up to the cookies' contents and the tag, with fresh nonces.
    pub(crate) fn write_protected(
        self,
        header: &Header,
        plan: &AnswerPlan,
        random: &mut dyn Random,
    ) {
        plan.lay_out(self.room, random);
        *self.len = plan.len();
        self.write_header(header);
    }

    fn write_header(self, header: &Header) {
        if let Some(place) = self.room.first_chunk_mut() {
            header.write(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: Envelope = Envelope {
        peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1234),
        received: Timestamp::from_bits(7),
        group: false,
        truncated: false,
    };

    fn header() -> Header {
        Header::client(Timestamp::from_bits(1))
    }

    fn batch_of(len: usize) -> Batch {
        let mut batch = Batch::new();
        assert!(batch.push(&vec![0xee; len], ENVELOPE));
        batch
    }

    #[test]
    fn a_datagram_too_short_for_a_header_has_no_room_for_an_answer() {
        for len in [0, 1, 47] {
            assert!(batch_of(len).slots_mut()[0].reply().is_none(), "{len} octets");
        }
        let mut batch = batch_of(48);
        batch.slots_mut()[0].reply().unwrap().write_plain(&header(), None);
        assert_eq!(batch.slots()[0].answer(), Some(&header().to_octets()[..]));
    }

    #[test]
    fn an_answer_that_is_not_written_is_silence() {
        let mut batch = batch_of(48);
        assert!(batch.slots_mut()[0].reply().is_some());
        assert_eq!(batch.slots()[0].answer(), None);
    }

    #[test]
    fn a_batch_takes_64_and_forgets_old_answers() {
        let mut batch = Batch::new();
        for n in 0..BATCH {
            assert!(batch.push(&[n as u8; 48], ENVELOPE));
        }
        assert!(!batch.push(&[0; 48], ENVELOPE));
        let slot = &mut batch.slots_mut()[0];
        slot.reply().unwrap().write_plain(&header(), None);
        assert!(slot.answer().is_some());
        batch.received([(48, ENVELOPE), (ROOM + 1, ENVELOPE)]);
        assert_eq!(batch.slots().len(), 2);
        assert_eq!(batch.slots()[0].answer(), None);
        assert_eq!(batch.slots()[1].datagram().len(), ROOM);
        batch.clear();
        assert!(batch.slots().is_empty());
        batch.push(&[0; ROOM + 1], ENVELOPE);
        assert!(batch.slots()[0].envelope().truncated);
    }
}
