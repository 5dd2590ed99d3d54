//! A leap second in the life of a keeper: UTC jumps, and the clock with it or not.

use noonmark_units::{Mono, Span, Timestamp};

use super::Keeper;
use crate::leap::{Handling, LeapSecond};
use crate::{Reading, Sample};

/// A leap second that is known to come, or has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    leap: LeapSecond,
    handling: Handling,
    /// What the clock would show at monotonic zero if it went on counting through the leap second.
    zero: Timestamp,
    /// When UTC jumped.
    passed: Option<Mono>,
    /// The clock was set at that instant, as it was to be; and somebody who watches it has said so.
    was_set: bool,
    was_told: bool,
}

impl Keeper {
    /// Says what leap second comes at the end of this UTC day, if one does, and what becomes of the clock then. Under
    /// [`Handling::Kernel`] and [`Handling::Step`] somebody sets the clock at that instant; should nobody have done so two seconds
    /// later, it is led where UTC is by the usual rules. Under [`Handling::Slew`] it is slewed there, and not stepped, from the
    /// instant on. May be said again and again.
    pub fn plan_leap(&mut self, leap: Option<LeapSecond>, handling: Handling, now: Reading) {
        self.notice_leap(now);
        let leap = leap.filter(|_| handling != Handling::Ignore);
        let known = self.leap.as_ref();
        match (leap, known) {
            (Some(leap), Some(known)) if known.leap == leap && known.passed.is_some() => {}
            (Some(leap), Some(known)) if known.leap == leap && known.handling == handling => {}
            // The day is over for whoever says so, and the clock may not have been set yet.
            (None, Some(known)) if known.since(now.mono) >= Span::ZERO => {}
            (None, _) => self.leap = None,
            (Some(leap), _) => {
                let coming = Passing {
                    leap,
                    handling,
                    zero: zero(now),
                    passed: None,
                    was_set: false,
                    was_told: false,
                };
                // What is over by the clock is not waited for.
                self.leap = (coming.since(now.mono) < Span::ZERO).then_some(coming).or(self.leap);
            }
        }
    }

    /// Whether UTC has jumped, or does at `now`: then everything that was learned of it is moved along.
    pub(super) fn notice_leap(&mut self, now: Reading) {
        let Some(passing) = self.leap.as_mut().filter(|passing| passing.passed.is_none()) else {
            return;
        };
        let is_set = passing.is_set(now);
        if !is_set && now.mono < passing.deadline() {
            return;
        }
        (passing.passed, passing.was_set) = (Some(now.mono), is_set);
        self.base += passing.leap.jump();
        if is_set {
            self.stepped_at = Some(now.mono);
        } else {
            self.may_step = true;
            self.steer(now);
        }
    }

    /// By how much UTC has jumped though nobody has noticed yet: the clock has been set, and no input came since.
    pub(super) fn unnoticed_jump(&self, now: Reading) -> Span {
        match &self.leap {
            Some(passing) if passing.passed.is_none() && passing.is_set(now) => passing.leap.jump(),
            _ => Span::ZERO,
        }
    }

    /// Whether a step of the clock that is told is the leap second, which needs no answer.
    pub(super) fn is_leap(&mut self, by: Span, now: Reading) -> bool {
        let Some(passing) = &mut self.leap else { return false };
        let is_it = passing.was_set && !passing.was_told && is_near(by, passing.leap.jump());
        passing.was_told |= is_it;
        is_it && passing.since(now.mono) < NEAR
    }

    /// The clock was set for another reason, or the machine slept.
    pub(super) fn note_step(&mut self, now: Reading) {
        if let Some(passing) = self.leap.as_mut().filter(|passing| passing.passed.is_none()) {
            passing.zero = zero(now);
        }
    }

    /// Whether an answer was measured so near to a leap second, or before it, that nobody can say which of the two clocks had jumped.
    pub(super) fn is_spoilt(&self, sample: &Sample) -> bool {
        let Some(passing) = &self.leap else { return false };
        let at = passing.leap.at_stamp();
        let is_close = |stamp: Timestamp| (stamp - at).abs() <= CLOSE;
        is_close(sample.destination)
            || is_close(sample.receive)
            || passing.passed.is_some() && (sample.destination - at) < CLOSE
    }

    /// Whether the second is being worked off, which is done by slewing alone, and as fast as may be.
    pub(super) fn slews_leap(&self, now: Reading) -> bool {
        self.leap.as_ref().is_some_and(|passing| {
            passing.handling == Handling::Slew
                && !passing.was_set
                && passing.passed.is_some_and(|at| now.mono.since(at) < LONGEST_SLEW)
        })
    }

    /// When [`notice_leap`](Self::notice_leap) has something to do even if nothing happens.
    pub(super) fn leap_deadline(&self) -> Mono {
        self.leap
            .as_ref()
            .filter(|passing| passing.passed.is_none())
            .map_or(Mono::NEVER, Passing::deadline)
    }
}

impl Passing {
    /// How long ago UTC jumped; negative before.
    fn since(&self, now: Mono) -> Span {
        let continuous = self.zero + nanos(now);
        continuous - Timestamp::from_unix(self.leap.instant())
    }

    /// Whether the clock has been set by the second that is due: the two clocks are apart by so much more, or less, than before.
    fn is_set(&self, now: Reading) -> bool {
        let since = self.since(now.mono);
        -NEAR < since && since < NEAR && is_near(zero(now) - self.zero, self.leap.jump())
    }

    /// When it has come, whatever the clock shows.
    fn deadline(&self) -> Mono {
        let instant = Timestamp::from_unix(self.leap.instant()) - self.zero;
        let patience = if self.handling == Handling::Slew { Span::ZERO } else { PATIENCE };
        Mono(0) + (instant + patience).max(Span::ZERO).to_duration()
    }
}

fn zero(now: Reading) -> Timestamp {
    now.real - nanos(now.mono)
}

fn nanos(mono: Mono) -> Span {
    Span::from_nanos(i64::try_from(mono.0).unwrap_or(i64::MAX))
}

fn is_near(by: Span, jump: Span) -> bool {
    (by - jump).abs() < ALIKE
}

/// Answers measured within this of a leap second are not used: servers do not all jump at the same instant.
const CLOSE: Span = Span::from_seconds(6);
/// A step of a second within this of the instant is the leap second.
const NEAR: Span = Span::from_seconds(10);
/// Nobody else steps a clock by so nearly a second just then.
const ALIKE: Span = Span::from_nanos(100_000_000);
/// How long somebody who was to set the clock may take.
const PATIENCE: Span = Span::from_seconds(2);
/// Longer than working off a second takes at any slew that is allowed; what is left is like any other error.
const LONGEST_SLEW: core::time::Duration = core::time::Duration::from_secs(3600);
