//! What the role that asks the sources and the warden, which has the clock, say to each other.

use std::time::Duration;

use noonmark_clock::guard::Facts;
use noonmark_clock::{Adjusted, Adjustment, ClockState, Memory, NotAdjusted, Reading};
use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Frequency, Mono, Span, Timestamp, UnixTime};

use super::codec::{Reader, Writer};
use super::{MessageError, Text};

/// How the clock runs, said by the warden as soon as the two can hear each other. Body: whether there is a memory (1), zeros (3), its
/// frequency and skew (8, 8), the rate in effect (8), since when on the monotonic clock (8) and on the real one (8), the floor (12).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welcome {
    /// What is remembered of the oscillator.
    pub memory: Option<Memory>,
    /// The rate in effect.
    pub rate: Frequency,
    /// Since when at least.
    pub at: Reading,
    /// A time that is known to be over.
    pub floor: UnixTime,
}

/// Something that is to be done to the clock. Body: number (4), kind (1: 1 rate, 2 step), zeros (3), rate or step (8), how many sources agree
/// (4), updates so far (4), how long a rate holds in milliseconds (4; 0 until the next), zeros (4), the rate after that (8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Counted by who asks; the answer has it again.
    pub number: u32,
    /// What is to be done; never a status, which is the warden's to set.
    pub adjustment: Adjustment,
    /// Why it may be done.
    pub facts: Facts,
    /// For a rate that is not to last: after how long which one follows, should nothing else be said by then.
    pub then: Option<(Duration, Frequency)>,
}

/// What became of a [`Wish`]. Body: number (4), outcome (1: 1 rate, 2 step, 3 forbidden, 4 failed), zeros (3), rate or step in effect (8), the
/// clocks after it (8, 8), reason (text, empty where it was done).
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Of the wish; 0 for what the warden did by itself.
    pub number: u32,
    /// How it went.
    pub outcome: Result<Adjusted, NotAdjusted>,
}

/// Where the clock stands, by the sources. Body: state (1: 0 unsynchronised, 1 synchronised, 2 holdover), leap (1), stratum (1), whether there is
/// a memory (1), reference id (4), root delay, root dispersion and estimated error (8 each), when on the clock that counts sleep (8), when the
/// clock was last set (8), growth of the dispersion in ppb (4), how many sources agree (4), updates (4), zeros (4), frequency and skew (8, 8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Whether the clock follows anything.
    pub state: ClockState,
    /// What the sources say about the next leap second.
    pub leap: Leap,
    /// Ours.
    pub stratum: u8,
    /// What the clock follows, as our answers name it.
    pub reference_id: ReferenceId,
    /// Round trip to the primary source.
    pub root_delay: Span,
    /// Bound on the clock's error without half the root delay, at `as_of`.
    pub root_dispersion: Span,
    /// Standard deviation of the clock's error.
    pub estimated_error: Span,
    /// When this was so, by `CLOCK_BOOTTIME`.
    pub as_of: Mono,
    /// When the clock was last set or corrected.
    pub reference_time: Timestamp,
    /// How fast the bound grows without further answers.
    pub growth_ppb: u32,
    /// How many independent sources agree, and how often the clock was corrected.
    pub facts: Facts,
    /// What is known of the oscillator, if anything.
    pub memory: Option<Memory>,
}

impl Standing {
    /// Bound on the clock's error at `as_of`.
    #[must_use]
    pub fn error_bound(&self) -> Span {
        self.root_dispersion + self.root_delay.half()
    }
}

impl Welcome {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let has_memory = from.flag()?;
        from.zeros::<3>()?;
        let memory = memory(has_memory, from)?;
        let (rate, at, floor) = (from.frequency()?, reading(from)?, from.time()?);
        Ok(Self { memory, rate, at, floor })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.put(&[u8::from(self.memory.is_some()), 0, 0, 0]);
        write_memory(self.memory, to);
        to.frequency(self.rate);
        write_reading(self.at, to);
        to.time(self.floor);
    }
}

impl Wish {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (number, kind) = (from.u32()?, from.u8()?);
        from.zeros::<3>()?;
        let adjustment = match kind {
            RATE => Adjustment::Rate(from.frequency()?),
            STEP => Adjustment::Step(from.span()?),
            _ => return Err(MessageError::Value { what: "kind of adjustment" }),
        };
        let facts = Facts { agreeing: from.u32()?, updates: from.u32()? };
        let hold = from.u32()?;
        from.zeros::<4>()?;
        let after = from.frequency()?;
        let then = match (hold, adjustment) {
            (0, _) if after.as_ratio().to_bits() == 0 => None,
            (1.., Adjustment::Rate(_)) => Some((Duration::from_millis(hold.into()), after)),
            _ => return Err(MessageError::Value { what: "time to hold" }),
        };
        Ok(Self { number, adjustment, facts, then })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.u32(self.number);
        match self.adjustment {
            Adjustment::Rate(rate) => {
                to.put(&[RATE, 0, 0, 0]);
                to.frequency(rate);
            }
            Adjustment::Step(by) => {
                to.put(&[STEP, 0, 0, 0]);
                to.span(by);
            }
            // Nobody but the warden sets a status, so who reads this refuses it.
            Adjustment::Status(_) => to.put(&[0; 12]),
        }
        to.u32(self.facts.agreeing);
        to.u32(self.facts.updates);
        let (hold, after) = self.then.map_or((0, Frequency::ZERO), |(hold, after)| {
            (u32::try_from(hold.as_millis()).unwrap_or(u32::MAX).max(1), after)
        });
        to.u32(hold);
        to.u32(0);
        to.frequency(after);
    }
}

impl Answer {
    pub(super) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (number, kind) = (from.u32()?, from.u8()?);
        from.zeros::<3>()?;
        let value = from.u64()?;
        let (at, reason) = (reading(from)?, from.text()?);
        let is_empty = value == 0 && at == Reading { mono: Mono(0), real: Timestamp::UNSET };
        let done = |adjustment| Ok(Adjusted { adjustment, at });
        let outcome = match kind {
            RATE if reason == Text::default() => done(Adjustment::Rate(frequency(value)?)),
            STEP if reason == Text::default() => {
                done(Adjustment::Step(Span::from_bits(value.cast_signed())))
            }
            FORBIDDEN if is_empty => Err(NotAdjusted::Forbidden(reason.as_str().to_owned())),
            FAILED if is_empty => Err(NotAdjusted::Failed(reason.as_str().to_owned())),
            _ => return Err(MessageError::Value { what: "outcome" }),
        };
        Ok(Self { number, outcome })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        let nothing = Reading { mono: Mono(0), real: Timestamp::UNSET };
        let (kind, value, at, reason) = match &self.outcome {
            Ok(Adjusted { adjustment: Adjustment::Rate(rate), at }) => {
                (RATE, rate.as_ratio().to_bits(), *at, "")
            }
            Ok(Adjusted { adjustment: Adjustment::Step(by), at }) => {
                (STEP, by.to_bits().cast_unsigned(), *at, "")
            }
            // Nobody wishes for a status.
            Ok(Adjusted { adjustment: Adjustment::Status(_), .. }) => (FAILED, 0, nothing, ""),
            Err(NotAdjusted::Forbidden(reason)) => (FORBIDDEN, 0, nothing, reason.as_str()),
            Err(NotAdjusted::Failed(reason)) => (FAILED, 0, nothing, reason.as_str()),
        };
        to.u32(self.number);
        to.put(&[kind, 0, 0, 0]);
        to.put(&value.to_be_bytes());
        write_reading(at, to);
        to.text(&Text::new(reason));
    }
}

impl Standing {
    pub(crate) fn parse(from: &mut Reader<'_>) -> Result<Self, MessageError> {
        let state = match from.u8()? {
            0 => ClockState::Unsynchronised,
            1 => ClockState::Synchronised,
            2 => ClockState::Holdover,
            _ => return Err(MessageError::Value { what: "state of the clock" }),
        };
        let leap = from.u8()?;
        if leap > 3 {
            return Err(MessageError::Value { what: "leap" });
        }
        let stratum = from.u8()?;
        let has_memory = from.flag()?;
        let reference_id = ReferenceId(from.array()?);
        let (root_delay, root_dispersion) = (from.span()?, from.span()?);
        let estimated_error = from.span()?;
        let as_of = Mono(from.u64()?);
        let reference_time = Timestamp::from_bits(from.u64()?);
        let growth_ppb = from.u32()?;
        let facts = Facts { agreeing: from.u32()?, updates: from.u32()? };
        from.zeros::<4>()?;
        let memory = memory(has_memory, from)?;
        Ok(Self {
            state,
            leap: Leap::from_octet(leap << 6),
            stratum,
            reference_id,
            root_delay,
            root_dispersion,
            estimated_error,
            as_of,
            reference_time,
            growth_ppb,
            facts,
            memory,
        })
    }

    pub(crate) fn write(&self, to: &mut Writer) {
        let state = match self.state {
            ClockState::Unsynchronised => 0,
            ClockState::Synchronised => 1,
            ClockState::Holdover => 2,
        };
        to.put(&[state, self.leap.number(), self.stratum, u8::from(self.memory.is_some())]);
        to.put(&self.reference_id.0);
        to.span(self.root_delay);
        to.span(self.root_dispersion);
        to.span(self.estimated_error);
        to.put(&self.as_of.0.to_be_bytes());
        to.put(&self.reference_time.to_bits().to_be_bytes());
        to.u32(self.growth_ppb);
        to.u32(self.facts.agreeing);
        to.u32(self.facts.updates);
        to.u32(0);
        write_memory(self.memory, to);
    }
}

fn memory(is_there: bool, from: &mut Reader<'_>) -> Result<Option<Memory>, MessageError> {
    let memory = Memory { frequency: from.frequency()?, skew: from.frequency()? };
    let is_zero =
        [memory.frequency, memory.skew].iter().all(|value| value.as_ratio().to_bits() == 0);
    match (is_there, is_zero) {
        (true, _) => Ok(Some(memory)),
        (false, true) => Ok(None),
        (false, false) => Err(MessageError::Value { what: "memory" }),
    }
}

fn write_memory(memory: Option<Memory>, to: &mut Writer) {
    let memory = memory.unwrap_or(Memory { frequency: Frequency::ZERO, skew: Frequency::ZERO });
    to.frequency(memory.frequency);
    to.frequency(memory.skew);
}

fn reading(from: &mut Reader<'_>) -> Result<Reading, MessageError> {
    Ok(Reading { mono: Mono(from.u64()?), real: Timestamp::from_bits(from.u64()?) })
}

fn write_reading(at: Reading, to: &mut Writer) {
    to.put(&at.mono.0.to_be_bytes());
    to.put(&at.real.to_bits().to_be_bytes());
}

fn frequency(bits: u64) -> Result<Frequency, MessageError> {
    let ratio = f64::from_bits(bits);
    if ratio.is_finite() {
        Ok(Frequency::from_ratio(ratio))
    } else {
        Err(MessageError::Value { what: "frequency" })
    }
}

const RATE: u8 = 1;
const STEP: u8 = 2;
const FORBIDDEN: u8 = 3;
const FAILED: u8 = 4;

impl Reader<'_> {
    pub(crate) fn span(&mut self) -> Result<Span, MessageError> {
        self.u64().map(|bits| Span::from_bits(bits.cast_signed()))
    }

    pub(crate) fn frequency(&mut self) -> Result<Frequency, MessageError> {
        self.u64().and_then(frequency)
    }
}

impl Writer {
    pub(crate) fn span(&mut self, span: Span) {
        self.put(&span.to_bits().to_be_bytes());
    }

    pub(crate) fn frequency(&mut self, frequency: Frequency) {
        self.put(&frequency.as_ratio().to_be_bytes());
    }
}
