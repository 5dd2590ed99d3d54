//! One source seen alone: which side of the way its queues are on.

use std::collections::VecDeque;

use crate::estimator::Measurement;
use crate::gaussian::Gaussian;
use crate::path::{Character, ErrorLaw, INITIAL_SHARES, Path, SHARES, Way};

/// One estimator for each opinion of how the queueing is shared between the two directions.
///
/// Each goes its own way from the first measurement on, so that an opinion cannot win by bending the estimate it is judged by. Their
/// estimates serve for nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// Where the oldest measurement kept found it.
    anchor: Option<Opinions>,
    window: VecDeque<Measurement>,
    opinions: Opinions,
    initial_frequency: (f64, f64),
    character: Character,
}

#[derive(Clone, Debug)]
struct Opinions {
    states: Vec<Gaussian>,
    /// Logs of the beliefs.
    weights: [f64; SHARES.len()],
    at_s: f64,
}

impl Track {
    /// Begins with a first measurement.
    pub(crate) fn new(measured: &Measurement, path: &Path, initial_frequency: (f64, f64)) -> Self {
        Self {
            anchor: None,
            window: VecDeque::from([*measured]),
            opinions: Opinions::new(measured, &path.law(measured.round_trip_s), initial_frequency),
            initial_frequency,
            character: path.character(),
        }
    }

    /// Takes in a measurement; the oscillator is taken to wander as others found out.
    pub(crate) fn update(&mut self, measured: &Measurement, path: &Path, wander: f64) {
        if measured.way == Way::New {
            self.opinions.shift(path.floor_s());
            self.anchor = Some(self.opinions.clone());
            self.window.clear();
        }
        self.opinions.update(measured, &path.law(measured.round_trip_s), wander);
        if self.window.len() == KEPT
            && let Some(oldest) = self.window.pop_front()
        {
            let law = path.law(oldest.round_trip_s);
            match &mut self.anchor {
                Some(anchor) => anchor.update(&oldest, &law, wander),
                None => self.anchor = Some(Opinions::new(&oldest, &law, self.initial_frequency)),
            }
        }
        self.window.push_back(*measured);
        let character = path.character();
        if character.differs_from(&self.character) {
            self.character = character;
            self.think_again(path, wander);
        }
    }

    /// How much each of [`SHARES`] is believed.
    pub(crate) fn shares(&self) -> [f64; SHARES.len()] {
        self.opinions.weights.map(f64::exp)
    }

    /// Weighs the measurements kept by what the way is now thought to be like.
    fn think_again(&mut self, path: &Path, wander: f64) {
        let mut opinions = self.anchor.clone();
        for measured in &self.window {
            let law = path.law(measured.round_trip_s);
            match &mut opinions {
                Some(opinions) => opinions.update(measured, &law, wander),
                None => opinions = Some(Opinions::new(measured, &law, self.initial_frequency)),
            }
        }
        if let Some(opinions) = opinions {
            self.opinions = opinions;
        }
    }
}

impl Opinions {
    fn new(measured: &Measurement, law: &ErrorLaw, (frequency, sigma): (f64, f64)) -> Self {
        let state = Gaussian::new(
            vec![measured.offset_s, frequency, 0.0],
            &[law.variance(), sigma * sigma, 0.0],
        );
        Self {
            states: vec![state; SHARES.len()],
            weights: INITIAL_SHARES.map(f64::ln),
            at_s: measured.at_s,
        }
    }

    fn update(&mut self, measured: &Measurement, law: &ErrorLaw, wander: f64) {
        let elapsed_s = (measured.at_s - self.at_s).max(0.0);
        self.at_s = self.at_s.max(measured.at_s);
        for (share, (state, weight)) in self.states.iter_mut().zip(&mut self.weights).enumerate() {
            state.advance(elapsed_s, wander);
            let (mean, variance) = state.sum_of(0, NOTHING);
            let product =
                law.with_share(share).combine(measured.offset_s - mean, variance.sqrt().max(1e-12));
            state.condition(0, NOTHING, measured.offset_s - product.mean, product.variance);
            *weight = *weight * MEMORY
                + INITIAL_SHARES[share].ln() * (1.0 - MEMORY)
                + product.evidence.max(1e-290).ln();
        }
        let most = self.weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.weights.iter().map(|weight| (weight - most).exp()).sum();
        for weight in &mut self.weights {
            *weight = (*weight - most - sum.ln()).max(LEAST);
        }
    }

    /// The way changed: where it leads is as uncertain as `sigma_s` says.
    fn shift(&mut self, sigma_s: f64) {
        for state in &mut self.states {
            state.widen(0, sigma_s * sigma_s);
        }
    }
}

/// A number that is zero and stays so.
const NOTHING: usize = 2;
/// How much of what was believed remains when one more measurement comes.
const MEMORY: f64 = 0.995;
const LEAST: f64 = -30.0;
/// Measurements kept.
const KEPT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    /// What share of the queueing is found on the way up after `count` measurements, 64 s apart, of an oscillator that hardly wanders.
    fn share_found(up_s: f64, down_s: f64, count: u32, seed: u64) -> f64 {
        let mut dice = Dice::new(seed);
        let (mut path, mut track) = (Path::new(), None::<Track>);
        for n in 0..count {
            let (up, down) = (dice.exponential(up_s), dice.exponential(down_s));
            let at_s = 64.0 * f64::from(n);
            let round_trip_s = 0.02 + up + down;
            let way = path.learn_delay(round_trip_s);
            let offset_s = 2e-5 * at_s + (up - down) / 2.0;
            let measured = Measurement { at_s, offset_s, round_trip_s, contradiction_s: 0.0, way };
            let track = match &mut track {
                Some(track) => {
                    track.update(&measured, &path, 1e-10);
                    track
                }
                None => track.insert(Track::new(&measured, &path, (0.0, 2e-4))),
            };
            let sum: f64 = track.shares().iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "{n}: {sum}");
            path.believe(track.shares());
            assert!(track.window.len() <= KEPT);
        }
        path.share_up()
    }

    #[test]
    fn the_side_of_the_queues_is_recognised() {
        let check = |up_s: f64, down_s: f64, expected: f64, slack: f64| {
            for seed in 0..4 {
                let found = share_found(up_s, down_s, 150, seed);
                let what = format!("up {up_s}, down {down_s}, seed {seed}");
                assert!((found - expected).abs() < slack, "{what}: {found}");
            }
        };
        check(1e-2, 1e-4, 1.0, 0.1);
        check(1e-4, 1e-2, 0.0, 0.1);
        check(1e-3, 1e-5, 1.0, 0.1);
        check(1e-5, 1e-3, 0.0, 0.1);
        check(1e-3, 1e-3, 0.5, 0.15);
        check(1e-4, 1e-4, 0.5, 0.15);
    }

    #[test]
    fn no_more_is_believed_than_was_seen() {
        assert!((share_found(1e-3, 1e-3, 1, 1) - 0.5).abs() < 1e-6);
        let after_few = share_found(1e-4, 1e-2, 4, 2);
        let after_many = share_found(1e-4, 1e-2, 100, 2);
        assert!(after_many < after_few, "{after_few}, then {after_many}");
    }
}
