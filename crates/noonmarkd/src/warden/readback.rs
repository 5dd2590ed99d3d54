//! What the kernel is found doing to the clock, against what it was told: whoever else steers the clock shows in the difference.

use std::fmt;

use noonmark_clock::KernelStatus;
use noonmark_os::clock::{Discipline, Rate};
use noonmark_packet::Leap;

/// What was set, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// The rate.
    pub rate: Rate,
    /// The status; `None` after the kernel has forgotten it.
    pub status: Option<KernelStatus>,
}

/// Something that is not as it was set, with both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Difference {
    /// Tick or frequency.
    Rate {
        /// What was set.
        set: Rate,
        /// What is in effect.
        found: Rate,
    },
    /// One of the kernel's own loops is on, which we never use: these bits of the status.
    Loop(i32),
    /// A leap second is armed that we did not ask for: these bits of the status.
    Leap(i32),
    /// Whether the clock is called synchronised: what was found, which is not what was told.
    Synchronised(bool),
    /// TAI − UTC in seconds.
    Tai {
        /// What was set.
        set: i32,
        /// What is in effect.
        found: i32,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { set, found } => write!(
                f,
                "the rate was set to {} (tick {}, frequency {}) and is {} (tick {}, frequency {})",
                set.effective(),
                set.tick,
                set.frequency,
                found.effective(),
                found.tick,
                found.frequency
            ),
            Self::Loop(bits) => {
                write!(f, "the kernel's own loop was off and is on (status bits {bits:#x})")
            }
            Self::Leap(bits) => {
                let what = if bits & INSERT != 0 { "insert" } else { "delete" };
                write!(f, "no leap second was armed and one is (to {what} a second)")
            }
            Self::Synchronised(true) => {
                f.write_str("the clock was called unsynchronised and is called synchronised")
            }
            Self::Synchronised(false) => {
                f.write_str("the clock was called synchronised and is called unsynchronised")
            }
            Self::Tai { set, found } => write!(f, "TAI - UTC was set to {set} s and is {found} s"),
        }
    }
}

/// Everything in `found` that is not as it was `set` and that the kernel does not do by itself.
#[must_use]
pub fn differences(set: &Set, found: &Discipline) -> Vec<Difference> {
    let mut all = Vec::new();
    let rate = Rate { tick: found.tick, frequency: found.frequency };
    // The kernel keeps the frequency more finely and may tell it one unit lower.
    if rate.tick != set.rate.tick || (rate.frequency - set.rate.frequency).abs() > 1 {
        all.push(Difference::Rate { set: set.rate, found: rate });
    }
    if found.status & LOOPS != 0 {
        all.push(Difference::Loop(found.status & LOOPS));
    }
    let Some(told) = set.status else { return all };
    let armed = match told.leap {
        Leap::InsertSecond => INSERT,
        Leap::DeleteSecond => DELETE,
        Leap::None | Leap::Unsynchronised => 0,
    };
    // One that is to be armed may still wait for the kernel to forget the one before.
    let foreign = found.status & (INSERT | DELETE) & !armed;
    if foreign != 0 {
        all.push(Difference::Leap(foreign));
    }
    // The kernel calls a clock unsynchronised that nobody vouched for in hours.
    let has_aged = !found.is_synchronised() && found.max_error_us >= OLDEST_US;
    if found.is_synchronised() != told.synchronised && !has_aged {
        all.push(Difference::Synchronised(found.is_synchronised()));
    }
    if let Some(offset) = told.tai_offset {
        // With the leap second the kernel changes it, too.
        let by_itself = i32::from(armed != 0);
        if (found.tai_offset - offset).abs() > by_itself {
            all.push(Difference::Tai { set: offset, found: found.tai_offset });
        }
    }
    all
}

/// `STA_INS` and `STA_DEL` of linux/timex.h.
const INSERT: i32 = 0x10;
const DELETE: i32 = 0x20;
/// `STA_PLL`, `STA_PPSFREQ`, `STA_PPSTIME`, `STA_FLL` and `STA_FREQHOLD`.
const LOOPS: i32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x80;
/// `NTP_PHASE_LIMIT` of the kernel: 16 s.
const OLDEST_US: i64 = 16_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_units::Span;

    const STATUS: KernelStatus = KernelStatus {
        synchronised: true,
        max_error: Span::from_nanos(1_000_000),
        estimated_error: Span::from_nanos(1_000),
        leap: Leap::None,
        tai_offset: Some(37),
    };
    const RATE: Rate = Rate { tick: 10_000, frequency: 65_536 };
    const FOUND: Discipline = Discipline {
        frequency: 65_536,
        tick: 10_000,
        status: 0,
        max_error_us: 1_500,
        estimated_error_us: 1,
        tai_offset: 37,
    };
    /// `STA_UNSYNC`, and bits that the kernel sets and nobody else can: `STA_NANO`, `STA_CLOCKERR`.
    const UNSYNC: i32 = 0x40;
    const READ_ONLY: i32 = 0x2000 | 0x1000;

    fn check(status: Option<KernelStatus>, found: Discipline, expected: &[Difference]) {
        let all = differences(&Set { rate: RATE, status }, &found);
        assert_eq!(all, expected, "{status:?} {found:?}");
    }

    #[test]
    fn clock_left_alone_is_as_it_was_set() {
        check(Some(STATUS), FOUND, &[]);
        check(Some(STATUS), Discipline { frequency: 65_535, status: READ_ONLY, ..FOUND }, &[]);
        check(None, Discipline { status: UNSYNC, tai_offset: 0, ..FOUND }, &[]);
        let old = Discipline { status: UNSYNC, max_error_us: 16_000_000, ..FOUND };
        check(Some(STATUS), old, &[]);
        check(
            Some(KernelStatus { tai_offset: None, ..STATUS }),
            Discipline { tai_offset: 5, ..FOUND },
            &[],
        );
    }

    #[test]
    fn kernels_own_part_in_a_leap_second_is_nobodys_hand() {
        let leap = Some(KernelStatus { leap: Leap::InsertSecond, ..STATUS });
        check(leap, FOUND, &[]);
        check(leap, Discipline { status: INSERT, ..FOUND }, &[]);
        check(leap, Discipline { status: INSERT, tai_offset: 38, ..FOUND }, &[]);
        check(leap, Discipline { status: DELETE, ..FOUND }, &[Difference::Leap(DELETE)]);
        let tai = Difference::Tai { set: 37, found: 39 };
        check(leap, Discipline { tai_offset: 39, ..FOUND }, &[tai]);
    }

    #[test]
    fn other_hands_show_with_both_values() {
        let rate =
            |tick, frequency| Difference::Rate { set: RATE, found: Rate { tick, frequency } };
        check(Some(STATUS), Discipline { frequency: 0, ..FOUND }, &[rate(10_000, 0)]);
        check(None, Discipline { tick: 10_001, ..FOUND }, &[rate(10_001, 65_536)]);
        check(
            Some(STATUS),
            Discipline { status: 0x41, ..FOUND },
            &[Difference::Loop(1), Difference::Synchronised(false)],
        );
        check(Some(STATUS), Discipline { status: INSERT, ..FOUND }, &[Difference::Leap(INSERT)]);
        let unsynchronised = KernelStatus { synchronised: false, ..STATUS };
        check(Some(unsynchronised), FOUND, &[Difference::Synchronised(true)]);
        check(
            Some(STATUS),
            Discipline { tai_offset: 36, ..FOUND },
            &[Difference::Tai { set: 37, found: 36 }],
        );
        let said = rate(10_000, 6_553_600).to_string();
        assert_eq!(
            said,
            "the rate was set to +1.000 ppm (tick 10000, frequency 65536) and is +100.000 ppm (tick 10000, frequency 6553600)"
        );
    }
}
