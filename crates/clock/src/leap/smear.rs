use noonmark_units::{Span, UnixTime};

use super::LeapSecond;

/// How a clock gets past a leap second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Passage {
    /// At once, as the kernel does it: the last second of the day twice, or not at all.
    Step,
    /// A twelfth of a second each second, beginning with the leap: 12 s in which the clock is off by up to a second.
    Slew,
    /// Evenly from the noon before to the noon after, 11.6 ppm: what large providers do. Never off by more than half a second.
    LinearSmear,
    /// The same 24 hours, with a rate that rises to twice that and falls again, so that it never jumps.
    QuadraticSmear,
}

impl LeapSecond {
    /// What is to be added to a clock that goes on counting through the leap second as if it were none, when that clock shows
    /// `continuous`: zero long before, one second back or forth long after, and never a jump but for [`Passage::Step`].
    #[must_use]
    pub fn offset(self, passage: Passage, continuous: UnixTime) -> Span {
        // As many seconds, back if one is inserted.
        let whole = -self.change();
        let since = seconds(continuous - self.at);
        let passed = match passage {
            Passage::Step => f64::from(u8::from(since >= 0.0)),
            Passage::Slew => (since / SLEW_SECONDS).clamp(0.0, 1.0),
            Passage::LinearSmear => self.part(since),
            Passage::QuadraticSmear => {
                let part = self.part(since);
                if part < 0.5 { 2.0 * part * part } else { 1.0 - 2.0 * (1.0 - part) * (1.0 - part) }
            }
        };
        Span::from_seconds_f64(whole as f64 * passed)
    }

    /// What is to be added to UTC when UTC is `utc`, to get the time of a clock that passes the leap second so: zero but for a
    /// day at most. UTC repeats the last second of the day or leaves it out, and this jumps by as much the other way.
    ///
    /// Within a second that comes twice, `utc` is taken to mean the first.
    #[must_use]
    pub fn offset_from_utc(self, passage: Passage, utc: UnixTime) -> Span {
        let gone = if utc < self.at { 0 } else { self.change() };
        let gone = Span::from_seconds(gone);
        gone + self.offset(passage, utc + gone)
    }

    /// How much of the smear is over, 0..=1. It lasts from noon to noon by the smeared clock, 86 400 s, in which a second more,
    /// or less, goes by.
    fn part(self, since_leap: f64) -> f64 {
        let length = 86_400.0 + self.change() as f64;
        ((since_leap + 43_200.0) / length).clamp(0.0, 1.0)
    }

    /// Seconds that are inserted, negative if one is left out.
    fn change(self) -> i64 {
        if self.inserted { 1 } else { -1 }
    }
}

fn seconds(span: Span) -> f64 {
    span.as_seconds_f64()
}

/// As chrony takes them: 12 s at 83 333 ppm.
const SLEW_SECONDS: f64 = 12.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Passage; 4] =
        [Passage::Step, Passage::Slew, Passage::LinearSmear, Passage::QuadraticSmear];

    /// The end of 2016-12-31.
    const AT: UnixTime = UnixTime { seconds: 1_483_228_800, nanos: 0 };

    fn leap(inserted: bool) -> LeapSecond {
        LeapSecond { at: AT, inserted }
    }

    fn after(seconds: f64) -> UnixTime {
        AT + Span::from_seconds_f64(seconds)
    }

    #[test]
    fn clocks_are_put_back_by_an_inserted_second() {
        let check = |passage, since: f64, expected: f64| {
            let off = leap(true).offset(passage, after(since)).as_seconds_f64() - expected;
            assert!(off.abs() < 1e-9, "{passage:?} {since} s after: {off}");
            let other = leap(false).offset(passage, after(since)).as_seconds_f64();
            if since.abs() > 43_201.0 || matches!(passage, Passage::Step | Passage::Slew) {
                assert!((other + expected).abs() < 1e-9, "left out, it is put forward: {other}");
            }
        };
        check(Passage::Step, -1e-6, 0.0);
        check(Passage::Step, 0.0, -1.0);
        check(Passage::Slew, 0.0, 0.0);
        check(Passage::Slew, 6.0, -0.5);
        check(Passage::Slew, 13.0, -1.0);
        check(Passage::LinearSmear, -43_200.0, 0.0);
        check(Passage::LinearSmear, 0.0, -43_200.0 / 86_401.0);
        check(Passage::LinearSmear, 43_201.0, -1.0);
        check(Passage::QuadraticSmear, -43_200.0, 0.0);
        check(Passage::QuadraticSmear, -21_599.75, -0.125);
        check(Passage::QuadraticSmear, 0.5, -0.5);
        check(Passage::QuadraticSmear, 43_201.0, -1.0);
    }

    #[test]
    fn smeared_clocks_show_noon_at_noon() {
        for inserted in [true, false] {
            for passage in [Passage::LinearSmear, Passage::QuadraticSmear] {
                let noon = after(43_200.0);
                assert_eq!(leap(inserted).offset_from_utc(passage, noon), Span::ZERO);
                assert_eq!(leap(inserted).offset_from_utc(passage, after(-43_200.0)), Span::ZERO);
                let morning = leap(inserted).offset_from_utc(passage, after(43_100.0));
                assert_eq!(
                    morning.is_negative(),
                    !inserted,
                    "slow clocks lag, after UTC jumped back lead: {morning}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_but_a_step_jumps_and_time_never_goes_back(
            since in -50_000.0..50_000.0_f64, further in 0.0..10.0_f64, inserted: bool,
        ) {
            for passage in ALL {
                let leap = leap(inserted);
                let (early, late) = (after(since), after(since + further));
                let moved = (leap.offset(passage, late) - leap.offset(passage, early)).as_seconds_f64();
                let fastest = match passage {
                    Passage::Step => continue,
                    Passage::Slew => 1.0 / 12.0,
                    Passage::LinearSmear => 1.0 / 86_399.0,
                    Passage::QuadraticSmear => 2.0 / 86_399.0,
                };
                prop_assert!(moved.abs() <= further * fastest + 1e-8, "{passage:?} {moved}");
                let backwards = if inserted { moved } else { -moved };
                prop_assert!(backwards <= 1e-9, "{passage:?} {moved}");
            }
        }

        #[test]
        fn smears_are_never_half_a_second_off_and_over_after_a_day(since in -100_000.0..100_000.0_f64, inserted: bool) {
            for passage in [Passage::LinearSmear, Passage::QuadraticSmear] {
                let off = leap(inserted).offset_from_utc(passage, after(since));
                prop_assert!(off.abs() <= Span::from_seconds_f64(0.500_02));
                if since.abs() >= 43_201.0 {
                    prop_assert_eq!(off, Span::ZERO);
                }
            }
        }
    }
}
