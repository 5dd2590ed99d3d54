use noonmark_units::{Span, Timestamp};

use super::LeapSecond;

/// How time that is served gets past a leap second without a jump: for hours around it, it runs a little slow, or fast.
///
/// By the smeared time the smear begins half its length before the end of the UTC day and ends as long after it. With a day, the usual
/// length, that is from noon to noon, and smeared time shows noon at both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Smear {
    /// What is smeared.
    pub leap: LeapSecond,
    /// How fast.
    pub shape: Shape,
    /// How long, in seconds of the smeared time; a second more or less goes by meanwhile.
    pub seconds: u32,
}

/// How fast a smear goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// Evenly: 11.6 ppm over a day, as large providers of time do.
    Linear,
    /// With a rate that rises to twice that and falls again, so that it never jumps.
    Quadratic,
}

impl Smear {
    /// The usual length.
    pub const DAY: u32 = 86_400;

    /// What is to be added to a clock that goes on counting through the leap second as if it were none, when that clock shows
    /// `continuous`: zero before the smear, one second back or forth after it, and never a jump.
    #[must_use]
    pub fn offset(&self, continuous: Timestamp) -> Span {
        let part = self.part(continuous);
        let passed = match self.shape {
            Shape::Linear => part,
            Shape::Quadratic if part < 0.5 => 2.0 * part * part,
            Shape::Quadratic => 1.0 - 2.0 * (1.0 - part) * (1.0 - part),
        };
        Span::from_seconds_f64(self.leap.jump().as_seconds_f64() * passed)
    }

    /// Whether smeared time is on its way from UTC before the leap second to UTC after it, when a clock that goes on counting shows
    /// `continuous`.
    #[must_use]
    pub fn is_under_way(&self, continuous: Timestamp) -> bool {
        let part = self.part(continuous);
        0.0 < part && part < 1.0
    }

    /// Whether the leap second is a day away at most, or the length of a longer smear, by a clock that goes on counting or has passed it:
    /// all of the day at whose end others announce it, however short the smear.
    #[must_use]
    pub fn is_near(&self, now: Timestamp) -> bool {
        (now - self.leap.at_stamp()).abs() <= Span::from_seconds(self.seconds.max(Self::DAY).into())
    }

    /// How much of it is over, 0..=1.
    fn part(&self, continuous: Timestamp) -> f64 {
        let since_s = (continuous - self.leap.at_stamp()).as_seconds_f64();
        let length_s = f64::from(self.seconds) - self.leap.jump().as_seconds_f64();
        ((since_s + f64::from(self.seconds) / 2.0) / length_s).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_units::UnixTime;
    use proptest::prelude::*;

    /// The end of 2016-12-31.
    const AT: UnixTime = UnixTime { seconds: 1_483_228_800, nanos: 0 };
    const SHAPES: [Shape; 2] = [Shape::Linear, Shape::Quadratic];

    fn smear(shape: Shape, inserted: bool, seconds: u32) -> Smear {
        Smear { leap: LeapSecond { at: AT, inserted }, shape, seconds }
    }

    fn after(seconds: f64) -> Timestamp {
        Timestamp::from_unix(AT) + Span::from_seconds_f64(seconds)
    }

    #[test]
    fn clocks_are_put_back_by_an_inserted_second() {
        let check = |shape, since: f64, expected: f64| {
            let off = smear(shape, true, Smear::DAY).offset(after(since)).as_seconds_f64();
            assert!((off - expected).abs() < 1e-9, "{shape:?} {since} s after: {off}");
        };
        check(Shape::Linear, -43_200.0, 0.0);
        check(Shape::Linear, 0.0, -43_200.0 / 86_401.0);
        check(Shape::Linear, 43_201.0, -1.0);
        check(Shape::Quadratic, -43_200.0, 0.0);
        check(Shape::Quadratic, -21_599.75, -0.125);
        check(Shape::Quadratic, 0.5, -0.5);
        check(Shape::Quadratic, 43_201.0, -1.0);
    }

    #[test]
    fn smeared_clocks_show_noon_at_noon() {
        for (inserted, shape) in [true, false].into_iter().zip(SHAPES) {
            let smear = smear(shape, inserted, Smear::DAY);
            assert_eq!(smear.offset(after(-43_200.0)), Span::ZERO);
            // Noon after it: the clock that went on counting shows one second more, or less.
            let noon = after(43_200.0) - smear.leap.jump();
            assert_eq!(noon + smear.offset(noon), after(43_200.0));
            assert!(!smear.is_under_way(noon) && !smear.is_under_way(after(-43_200.0)));
            assert!(smear.is_under_way(after(-43_199.0)) && smear.is_under_way(after(43_198.0)));
        }
        for seconds in [1000, 8 * 3600, Smear::DAY] {
            let smear = smear(Shape::Linear, true, seconds);
            assert!(smear.is_near(after(-86_400.0)) && smear.is_near(after(86_400.0)), "{seconds}");
            assert!(!smear.is_near(after(-86_401.0)) && !smear.is_near(after(86_401.0)));
        }
    }

    proptest! {
        #[test]
        fn nothing_jumps_and_time_never_goes_back(
            since in -50_000.0..50_000.0_f64, further in 0.0..10.0_f64, inserted: bool, hours in 1_u32..=24,
        ) {
            for shape in SHAPES {
                let smear = smear(shape, inserted, hours * 3600);
                let (early, late) = (after(since), after(since + further));
                let moved = (smear.offset(late) - smear.offset(early)).as_seconds_f64();
                let fastest = 2.0 / f64::from(hours * 3600 - 1);
                prop_assert!(moved.abs() <= further * fastest + 1e-8, "{shape:?} {moved}");
                let backwards = if inserted { moved } else { -moved };
                prop_assert!(backwards <= 1e-9, "{shape:?} {moved}");
                prop_assert!(further == 0.0 || (late + smear.offset(late)) - (early + smear.offset(early)) > Span::ZERO || further < 1e-9);
            }
        }

        #[test]
        fn smears_are_never_half_a_second_off_utc(since in -100_000.0..100_000.0_f64, inserted: bool) {
            for shape in SHAPES {
                let smear = smear(shape, inserted, Smear::DAY);
                // UTC as computers count it, after the second that was inserted or left out.
                let utc = after(since) + if since < 0.0 { Span::ZERO } else { smear.leap.jump() };
                let off = (after(since) + smear.offset(after(since))) - utc;
                prop_assert!(off.abs() <= Span::from_seconds_f64(0.500_02), "{shape:?} {off}");
                if since.abs() >= 43_202.0 {
                    prop_assert_eq!(off, Span::ZERO);
                }
            }
        }
    }
}
