use std::collections::VecDeque;

use crate::asker::{Estimate, Filter, Measured};

/// The Kalman filter of offset and frequency with noise learned on the way, as ntpd-rs 1.x has it.
///
/// A measurement is taken to be as wrong as round trips differ, and the oscillator to wander more or less as the measurements
/// surprise the filter.
pub struct Kalman {
    /// Offset at `at_s`, and frequency.
    state: Option<(f64, f64)>,
    covariance: [f64; 3],
    at_s: f64,
    delays_s: VecDeque<f64>,
    /// The measurements before there is a state.
    first: Vec<Measured>,
    /// Growth of the variance of the frequency in one second.
    wander: f64,
    counter: i32,
}

impl Default for Kalman {
    fn default() -> Self {
        Self {
            state: None,
            covariance: [0.0; 3],
            at_s: 0.0,
            delays_s: VecDeque::new(),
            first: Vec::new(),
            wander: INITIAL_WANDER * INITIAL_WANDER,
            counter: 0,
        }
    }
}

impl Filter for Kalman {
    fn take_in(&mut self, measured: &Measured) {
        if self.delays_s.len() == DELAYS {
            self.delays_s.pop_front();
        }
        self.delays_s.push_back(measured.delay_s.max(LEAST_DELAY_S));
        let Some((offset_s, frequency)) = self.state else {
            self.begin(measured);
            return;
        };
        let t = measured.at_s - self.at_s;
        let noise = self.delay_variance() / 4.0;
        let (offset_s, [xx, xf, ff]) = (offset_s + t * frequency, self.predicted(t));
        let surprise_s = measured.offset_s - offset_s;
        let total = xx + noise;
        let (gain_x, gain_f) = (xx / total, xf / total);
        self.state = Some((offset_s + gain_x * surprise_s, frequency + gain_f * surprise_s));
        self.covariance = [xx * (1.0 - gain_x), xf * (1.0 - gain_x), ff - gain_f * xf];
        self.at_s = measured.at_s;
        self.adapt(chance_beyond(surprise_s.abs() / total.sqrt()), gain_x);
    }

    fn estimate(&self, at_s: f64) -> Option<Estimate> {
        let (offset_s, frequency) = self.state?;
        let t = at_s - self.at_s;
        let covariance = self.predicted(t);
        Some(Estimate {
            offset_s: offset_s + t * frequency,
            frequency,
            covariance,
            radius_s: 2.0 * covariance[0].max(0.0).sqrt() + self.mean_delay_s() / 4.0,
        })
    }

    /// Each by the inverse of its covariance.
    fn combine(agreeing: &[Estimate]) -> (f64, f64) {
        let (mut aa, mut ab, mut bb, mut a, mut b) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for one in agreeing {
            let [xx, xf, ff] = one.covariance;
            let determinant = (xx * ff - xf * xf).max(1e-60);
            let (ix, ixf, iff) = (ff / determinant, -xf / determinant, xx / determinant);
            aa += ix;
            ab += ixf;
            bb += iff;
            a += ix * one.offset_s + ixf * one.frequency;
            b += ixf * one.offset_s + iff * one.frequency;
        }
        let determinant = aa * bb - ab * ab;
        ((a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant)
    }
}

impl Kalman {
    /// The first eight measurements make the first state: their mean, with their variance, and a frequency nobody knows.
    fn begin(&mut self, measured: &Measured) {
        self.first.push(*measured);
        let n = self.first.len() as f64;
        if self.first.len() < BEGINNING {
            return;
        }
        let mean_s = self.first.iter().map(|one| one.offset_s).sum::<f64>() / n;
        let squares = self.first.iter().map(|one| (one.offset_s - mean_s).powi(2)).sum::<f64>();
        self.state = Some((mean_s, 0.0));
        self.covariance = [squares / (n - 1.0), 0.0, INITIAL_FREQUENCY * INITIAL_FREQUENCY];
        self.at_s = measured.at_s;
        self.first = Vec::new();
    }

    fn predicted(&self, t: f64) -> [f64; 3] {
        let [xx, xf, ff] = self.covariance;
        let q = self.wander;
        [
            xx + 2.0 * t * xf + t * t * ff + q * t.powi(3) / 3.0,
            xf + t * ff + q * t * t / 2.0,
            ff + q * t,
        ]
    }

    /// `chance`: how likely a greater surprise was. Many great ones in a row let it wander more, many small ones less.
    fn adapt(&mut self, chance: f64, weight: f64) {
        if chance < LIKELY.0 {
            self.counter += 1;
        } else if chance > LIKELY.1 {
            self.counter -= 1;
        } else {
            self.counter -= self.counter.signum();
        }
        if self.counter >= PATIENCE {
            self.wander *= 4.0;
            self.counter = 0;
        } else if self.counter <= -PATIENCE {
            if weight > LEAST_WEIGHT {
                self.wander /= 4.0;
            }
            self.counter = 0;
        }
    }

    fn mean_delay_s(&self) -> f64 {
        self.delays_s.iter().sum::<f64>() / self.delays_s.len().max(1) as f64
    }

    fn delay_variance(&self) -> f64 {
        let mean_s = self.mean_delay_s();
        let squares = self.delays_s.iter().map(|delay_s| (delay_s - mean_s).powi(2)).sum::<f64>();
        (squares / (self.delays_s.len() as f64 - 1.0).max(1.0)).max(1e-24)
    }
}

/// The chance that a standard Gaussian is further from 0 than `x`, either way: Simpson's rule, to 10⁻⁶.
fn chance_beyond(x: f64) -> f64 {
    let x = x.min(8.0);
    let density = |x: f64| (-x * x / 2.0).exp() * std::f64::consts::FRAC_2_SQRT_PI / 8f64.sqrt();
    let step = x / 64.0;
    let inner: f64 =
        (1..64).map(|k| density(step * f64::from(k)) * if k % 2 == 1 { 4.0 } else { 2.0 }).sum();
    1.0 - 2.0 * step / 3.0 * (density(0.0) + inner + density(x))
}

/// Standard deviation of the frequency's change in one second, and of the frequency.
const INITIAL_WANDER: f64 = 1e-8;
const INITIAL_FREQUENCY: f64 = 1e-4;
const BEGINNING: usize = 8;
/// Round trips from which the noise is taken, and the least one believed: 2⁻¹⁸ s.
const DELAYS: usize = 8;
const LEAST_DELAY_S: f64 = 3.8e-6;
/// Surprises likelier than the second are small, less likely than the first great; so many more of one kind change the wander.
const LIKELY: (f64, f64) = (1.0 / 3.0, 2.0 / 3.0);
const PATIENCE: i32 = 16;
/// Where measurements weigh less than this, their surprises do not show how little the oscillator wanders.
const LEAST_WEIGHT: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two-sided tails of the standard normal distribution, from tables.
    #[test]
    fn chances_are_those_of_the_tables() {
        for (x, expected) in [(0.0, 1.0), (0.6745, 0.5), (1.0, 0.317_311), (1.96, 0.049_996)] {
            assert!((chance_beyond(x) - expected).abs() < 1e-5, "{x}");
        }
    }

    #[test]
    fn two_that_know_the_same_are_averaged_and_the_surer_weighs_more() {
        let one = |offset_s, variance| Estimate {
            offset_s,
            frequency: offset_s / 10.0,
            covariance: [variance, variance / 2.0, variance],
            radius_s: 1.0,
        };
        let (offset_s, frequency) = Kalman::combine(&[one(1.0, 1.0), one(2.0, 3.0)]);
        assert!((offset_s - 1.25).abs() < 1e-12 && (frequency - 0.125).abs() < 1e-12);
    }

    #[test]
    fn a_steady_frequency_is_learned() {
        let mut filter = Kalman::default();
        for k in 0..100 {
            let at_s = 64.0 * f64::from(k);
            let delay_s = 1e-3 + f64::from(k * 7 % 5) * 1e-6;
            filter.take_in(&Measured { at_s, offset_s: 1e-4 * at_s, delay_s });
        }
        let found = filter.estimate(64.0 * 99.0).unwrap();
        assert!((found.frequency - 1e-4).abs() < 1e-9, "{found:?}");
    }
}
