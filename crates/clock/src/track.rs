//! One source seen alone: which side of the way its queues are on.

use crate::gaussian::Gaussian;
use crate::path::{ErrorLaw, INITIAL_SHARES, SHARES};

/// One estimator for each opinion of how the queueing is shared between the two directions.
///
/// Each goes its own way from the first measurement on, so that an opinion cannot win by bending the estimate it is judged by. Their
/// estimates serve for nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    states: Vec<Gaussian>,
    /// Logs of the beliefs.
    weights: [f64; SHARES.len()],
    at_s: f64,
}

impl Track {
    /// Begins with a first measurement at `at_s`.
    pub(crate) fn new(
        measured_s: f64,
        law: &ErrorLaw,
        at_s: f64,
        frequency: f64,
        frequency_sigma: f64,
    ) -> Self {
        let state = Gaussian::new(
            vec![measured_s, frequency, 0.0],
            &[law.variance(), frequency_sigma * frequency_sigma, 0.0],
        );
        Self { states: vec![state; SHARES.len()], weights: INITIAL_SHARES.map(f64::ln), at_s }
    }

    /// Takes in a measurement; the oscillator is taken to wander as others found out.
    pub(crate) fn update(&mut self, measured_s: f64, law: &ErrorLaw, at_s: f64, wander: f64) {
        let elapsed_s = (at_s - self.at_s).max(0.0);
        self.at_s = self.at_s.max(at_s);
        for (share, (state, weight)) in self.states.iter_mut().zip(&mut self.weights).enumerate() {
            state.advance(elapsed_s, wander);
            let (mean, variance) = state.sum_of(0, NOTHING);
            let product =
                law.with_share(share).combine(measured_s - mean, variance.sqrt().max(1e-12));
            state.condition(0, NOTHING, measured_s - product.mean, product.variance);
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
    pub(crate) fn shift(&mut self, sigma_s: f64) {
        for state in &mut self.states {
            state.widen(0, sigma_s * sigma_s);
        }
    }

    /// How much each of [`SHARES`] is believed.
    pub(crate) fn shares(&self) -> [f64; SHARES.len()] {
        self.weights.map(f64::exp)
    }
}

/// A number that is zero and stays so.
const NOTHING: usize = 2;
/// How much of what was believed remains when one more measurement comes.
const MEMORY: f64 = 0.995;
const LEAST: f64 = -30.0;
