use std::f64::consts::TAU;

use super::random::Seeded;
use super::scenario::ClockModel;

/// How wrong an oscillator's frequency is, second by second.
#[derive(Clone, Debug)]
pub struct Oscillator {
    freq: f64,
    wander: f64,
    sine: Option<(f64, f64)>,
    step: Option<(f64, f64)>,
    random: Seeded,
    /// The random walk so far, s/s.
    walked: f64,
}

impl Oscillator {
    /// An oscillator that draws from `random`.
    #[must_use]
    pub fn new(model: &ClockModel, random: Seeded) -> Self {
        Self {
            freq: model.freq,
            wander: model.wander,
            sine: model.freq_sine,
            step: model.freq_step,
            random,
            walked: 0.0,
        }
    }

    /// The error from `second` until the next; to be asked once for each second, in order, from 0.
    pub fn error_in(&mut self, second: u64) -> f64 {
        let at = second as f64;
        self.walked += self.wander * self.random.normal();
        let sine =
            self.sine.map_or(0.0, |(amplitude, period)| amplitude * (TAU * at / period).sin());
        let step = self.step.filter(|(from, _)| at >= *from).map_or(0.0, |(_, by)| by);
        self.freq + self.walked + sine + step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(model: &ClockModel, seconds: u64) -> Vec<f64> {
        let mut oscillator = Oscillator::new(model, Seeded::new(1, 0));
        (0..seconds).map(|second| oscillator.error_in(second)).collect()
    }

    #[test]
    fn sine_and_step_follow_their_formulas() {
        let model = ClockModel {
            freq: 1e-4,
            freq_sine: Some((1e-6, 40.0)),
            freq_step: Some((20.0, 5e-6)),
            ..ClockModel::default()
        };
        let errors = errors(&model, 31);
        let check = |at: usize, expected: f64| {
            assert!((errors[at] - expected).abs() < 1e-15, "{at}: {}", errors[at]);
        };
        check(0, 1e-4);
        check(10, 1e-4 + 1e-6);
        check(19, 1e-4 + 1e-6 * (TAU * 19.0 / 40.0).sin());
        check(20, 1e-4 + 5e-6);
        check(30, 1e-4 + 5e-6 - 1e-6);
    }

    /// After T seconds the deviation of the walk is wander·√T; the first second takes a step too.
    #[test]
    fn the_walk_spreads_with_the_root_of_time() {
        let spread = |seconds: u64| {
            let model = ClockModel { wander: 1e-9, ..ClockModel::default() };
            let squares = (0..400).map(|seed| {
                let mut oscillator = Oscillator::new(&model, Seeded::new(seed, 0));
                let end = (0..seconds).map(|second| oscillator.error_in(second)).last().unwrap();
                end * end
            });
            (squares.sum::<f64>() / 400.0).sqrt()
        };
        for seconds in [1, 100] {
            let expected = 1e-9 * (seconds as f64).sqrt();
            let spread = spread(seconds);
            assert!((spread / expected - 1.0).abs() < 0.12, "{seconds} s: {spread}");
        }
    }
}
