use noonmark_units::Frequency;

/// A rate as Linux can run its clock: microseconds per kernel tick, and a fine correction on top (`adjtimex(2)`).
///
/// The two add up exactly: 100 ppm for each microsecond of `tick` above 10 000, and `frequency` in 2⁻¹⁶ ppm. The kernel takes
/// `tick` within 10 % and `frequency` within 500 ppm. As long as `frequency` alone can do it, `tick` stays as the kernel
/// started with, so that what other programs read as "the frequency" is the whole of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Microseconds the clock advances per tick, of which there are 100 a second: 9 000..=11 000.
    pub tick: i64,
    /// 2⁻¹⁶ ppm on top: within ±500 ppm, so within ±32 768 000.
    pub frequency: i64,
}

impl Rate {
    /// The nearest rate the kernel can run at: within 2⁻¹⁷ ppm of `wanted`, and at most 10 % and 500 ppm off the oscillator's own.
    #[must_use]
    pub fn nearest(wanted: Frequency) -> Self {
        let wanted = wanted.as_ppm().clamp(-MAX_PPM, MAX_PPM);
        let coarse = if wanted.abs() <= MAX_FINE_PPM {
            0.0
        } else {
            (wanted / PPM_PER_TICK).round().clamp(-MAX_TICKS, MAX_TICKS)
        };
        let fine = ((wanted - coarse * PPM_PER_TICK) * UNITS_PER_PPM).round();
        // Both are whole numbers far below 2⁵³.
        Self { tick: NOMINAL_TICK + coarse as i64, frequency: fine as i64 }
    }

    /// How much faster than by itself the clock runs so.
    #[must_use]
    pub fn effective(self) -> Frequency {
        let coarse = (self.tick - NOMINAL_TICK) as f64 * PPM_PER_TICK;
        Frequency::from_ppm(coarse + self.frequency as f64 / UNITS_PER_PPM)
    }
}

/// Microseconds per tick when nobody has touched the clock: `USER_HZ` is 100 on every architecture Rust builds Linux programs for.
const NOMINAL_TICK: i64 = 10_000;
const PPM_PER_TICK: f64 = 100.0;
const MAX_TICKS: f64 = 1000.0;
const MAX_FINE_PPM: f64 = 500.0;
const MAX_PPM: f64 = MAX_TICKS * PPM_PER_TICK + MAX_FINE_PPM;
const UNITS_PER_PPM: f64 = 65_536.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_split_into_tick_and_frequency() {
        let check = |ppm, tick, frequency| {
            let rate = Rate::nearest(Frequency::from_ppm(ppm));
            assert_eq!(rate, Rate { tick, frequency }, "{ppm} ppm");
        };
        check(0.0, 10_000, 0);
        check(1.0, 10_000, 65_536);
        check(-12.5, 10_000, -819_200);
        check(500.0, 10_000, 32_768_000);
        check(501.0, 10_005, 65_536);
        check(-551.0, 9_994, 49 * 65_536);
        check(83_333.0, 10_833, 33 * 65_536);
        check(-50_000.0, 9_500, 0);
        check(100_400.0, 11_000, 400 * 65_536);
        check(1e6, 11_000, 32_768_000);
        check(-1e6, 9_000, -32_768_000);
        check(f64::INFINITY, 11_000, 32_768_000);
    }

    proptest! {
        #[test]
        fn effective_rate_is_within_half_a_quantum(ppm in -100_500.0..100_500.0_f64) {
            let rate = Rate::nearest(Frequency::from_ppm(ppm));
            prop_assert!((rate.effective().as_ppm() - ppm).abs() <= 0.5 / 65_536.0 + 1e-9);
        }

        #[test]
        fn kernel_takes_whatever_comes_out(ratio in proptest::num::f64::ANY) {
            let rate = Rate::nearest(Frequency::from_ratio(ratio));
            prop_assert!((9_000..=11_000).contains(&rate.tick));
            prop_assert!(rate.frequency.abs() <= 32_768_000);
        }

        #[test]
        fn a_rate_in_effect_asked_for_again_is_itself(ppm in -100_500.0..100_500.0_f64) {
            let rate = Rate::nearest(Frequency::from_ppm(ppm));
            prop_assert_eq!(Rate::nearest(rate.effective()).effective(), rate.effective());
        }
    }
}
