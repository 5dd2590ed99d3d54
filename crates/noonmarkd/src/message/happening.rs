//! What happened to the machine or its clock without our doing.

use noonmark_units::{Mono, UnixTime};

use super::codec::{Reader, Writer};
use super::{MessageError, Text};

/// Something that happened. Body: what (1), zeros (3), count (4), time (12), monotonic ns (8), facts (text).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happening {
    /// What.
    pub event: Event,
    /// How often since the daemon started, this time included; the launcher counts, so 0 from the warden.
    pub count: u32,
    /// When, by the machine's clock, which may have been set since.
    pub time: UnixTime,
    /// When, on the monotonic clock, by which its age is told.
    pub at: Mono,
    /// What is known of it, as a sentence.
    pub facts: Text,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Event {
    /// The machine is a copy, was restored, or did not run for a while.
    Restored = 0,
    /// Somebody else set or steered the clock.
    Meddled = 1,
}

impl Happening {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let event = match from.u8()? {
            0 => Event::Restored,
            1 => Event::Meddled,
            _ => return Err(MessageError::Value { what: "event" }),
        };
        from.zeros::<3>()?;
        let (count, time, at) = (from.u32()?, from.time()?, Mono(from.u64()?));
        Ok(Self { event, count, time, at, facts: from.text()? })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.put(&[self.event as u8, 0, 0, 0]);
        to.u32(self.count);
        to.time(self.time);
        to.put(&self.at.0.to_be_bytes());
        to.text(&self.facts);
    }
}
