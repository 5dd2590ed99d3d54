//! What the warden tells the role that asks the sources about the next leap second.

use noonmark_clock::leap::{Handling, LeapSecond};
use noonmark_units::UnixTime;

use super::MessageError;
use super::codec::{Reader, Writer};

/// The leap second at the end of this day, and what becomes of the clock then. Body: handling (1: 0 kernel, 1 step, 2 slew, 3 ignore), kind
/// (1: 0 none, 1 inserted, 2 left out), zeros (2), the start of the next day (12; 1970 without one).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlannedLeap {
    /// Which one, if there is one.
    pub leap: Option<LeapSecond>,
    /// What becomes of the clock.
    pub handling: Handling,
}

impl PlannedLeap {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let handling = match from.u8()? {
            0 => Handling::Kernel,
            1 => Handling::Step,
            2 => Handling::Slew,
            3 => Handling::Ignore,
            _ => return Err(MessageError::Value { what: "handling of leap seconds" }),
        };
        let kind = from.u8()?;
        from.zeros::<2>()?;
        let at = from.time()?;
        let leap = match kind {
            0 if at == UnixTime::EPOCH => None,
            1 => Some(LeapSecond { at, inserted: true }),
            2 => Some(LeapSecond { at, inserted: false }),
            _ => return Err(MessageError::Value { what: "kind of leap second" }),
        };
        Ok(Self { leap, handling })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        let handling = match self.handling {
            Handling::Kernel => 0,
            Handling::Step => 1,
            Handling::Slew => 2,
            Handling::Ignore => 3,
        };
        let (kind, at) = match self.leap {
            None => (0, UnixTime::EPOCH),
            Some(LeapSecond { at, inserted: true }) => (1, at),
            Some(LeapSecond { at, inserted: false }) => (2, at),
        };
        to.put(&[handling, kind, 0, 0]);
        to.time(at);
    }
}
