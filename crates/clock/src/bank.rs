//! The oscillator's offset and frequency, estimated under several opinions of how much it wanders.

use crate::gaussian::Gaussian;
use crate::path::ErrorLaw;

/// Several estimators side by side, alike but for how fast the oscillator's frequency wanders; each is believed by how well it
/// foresaw the measurements.
///
/// All estimate the same: `offset`, true time minus the oscillator's, in seconds; `frequency`, its growth in seconds per oscillator
/// second; and for each way to a server a constant bias, half of what the way up takes longer than the way down, which no
/// measurement over that way alone can show.
#[derive(Clone, Debug)]
pub(crate) struct Bank {
    models: Vec<Model>,
}

#[derive(Clone, Debug)]
struct Model {
    /// Standard deviation of the frequency's change in one second.
    wander: f64,
    /// Log of the belief in this model.
    weight: f64,
    state: Gaussian,
}

/// What the bank believes as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) offset_s: f64,
    pub(crate) frequency: f64,
    /// Standard deviations.
    pub(crate) offset_sigma_s: f64,
    pub(crate) frequency_sigma: f64,
    /// The wander believed in: standard deviation of the frequency's change in one second, root mean square.
    pub(crate) wander: f64,
    /// The same, geometric mean: what is most likely, rather than what must be reckoned with.
    pub(crate) likely_wander: f64,
}

impl Bank {
    /// Begins with an offset measured once, with this standard deviation, over a way whose bias (number [`FIRST_BIAS`]) has that one,
    /// and a frequency that may be known from before.
    pub(crate) fn new(
        offset_s: f64,
        measured_sigma_s: f64,
        bias_sigma_s: f64,
        frequency: f64,
        frequency_sigma: f64,
    ) -> Self {
        let bias = bias_sigma_s * bias_sigma_s;
        let models = WANDERS
            .iter()
            .zip(PRIOR)
            .map(|(&wander, prior)| {
                let variances = [
                    measured_sigma_s * measured_sigma_s + bias,
                    frequency_sigma * frequency_sigma,
                    bias,
                ];
                let mut state = Gaussian::new(vec![offset_s, frequency, 0.0], &variances);
                // Measured was the sum: what the bias has, the offset lacks.
                state.correlate(OFFSET, FIRST_BIAS, -bias);
                Model { wander, weight: prior, state }
            })
            .collect();
        Self { models }
    }

    /// Adds a bias nobody knows anything of but its standard deviation; returns its number.
    pub(crate) fn add_bias(&mut self, sigma_s: f64) -> usize {
        let mut index = 0;
        for model in &mut self.models {
            index = model.state.push(0.0, sigma_s * sigma_s);
        }
        index
    }

    /// Forgets the bias `index`; the ones after it move down.
    pub(crate) fn remove_bias(&mut self, index: usize) {
        for model in &mut self.models {
            model.state.remove(index);
        }
    }

    /// Forgets what the bias `index` is, all but this standard deviation.
    pub(crate) fn reset_bias(&mut self, index: usize, sigma_s: f64) {
        for model in &mut self.models {
            model.state.forget(index, 0.0, sigma_s * sigma_s);
        }
    }

    /// Lets `elapsed_s` oscillator seconds pass.
    pub(crate) fn predict(&mut self, elapsed_s: f64) {
        for model in &mut self.models {
            model.state.advance(elapsed_s, model.wander);
        }
    }

    /// What a measurement over the way with this bias is expected to be: mean and standard deviation.
    pub(crate) fn expect(&self, bias: usize) -> (f64, f64) {
        self.moments(|state| state.sum_of(OFFSET, bias))
    }

    /// Takes in one measurement of the offset over the way with bias `bias`.
    pub(crate) fn update(&mut self, bias: usize, measured_s: f64, law: &ErrorLaw) {
        self.mix();
        for model in &mut self.models {
            let (mean, variance) = model.state.sum_of(OFFSET, bias);
            let sigma = variance.sqrt().max(1e-12);
            // The law speaks of the error, measured − true.
            let product = law.combine(measured_s - mean, sigma);
            model.weight += product.evidence.max(1e-290).ln();
            model.state.condition(OFFSET, bias, measured_s - product.mean, product.variance);
        }
        self.normalise();
    }

    /// What is believed now.
    pub(crate) fn estimate(&self) -> Estimate {
        let (offset_s, offset_sigma_s) = self.moments(|state| state.at(OFFSET));
        let (frequency, frequency_sigma) = self.moments(|state| state.at(FREQUENCY));
        let wander = self
            .models
            .iter()
            .map(|model| model.weight.exp() * model.wander * model.wander)
            .sum::<f64>()
            .sqrt();
        let likely_wander = self
            .models
            .iter()
            .map(|model| model.weight.exp() * model.wander.ln())
            .sum::<f64>()
            .exp();
        Estimate { offset_s, frequency, offset_sigma_s, frequency_sigma, wander, likely_wander }
    }

    fn moments(&self, of: impl Fn(&Gaussian) -> (f64, f64)) -> (f64, f64) {
        let mean: f64 = self.models.iter().map(|m| m.weight.exp() * of(&m.state).0).sum();
        let variance: f64 = self
            .models
            .iter()
            .map(|m| {
                let (own, variance) = of(&m.state);
                m.weight.exp() * (variance + (own - mean).powi(2))
            })
            .sum();
        (mean, variance.max(0.0).sqrt())
    }

    /// Lets each model begin anew from its neighbours a little, so that one that fell behind comes back when its time has come
    /// (the interacting multiple model of Blom and Bar-Shalom, 1988).
    fn mix(&mut self) {
        let n = self.models.len();
        let weights: Vec<f64> = self.models.iter().map(|model| model.weight.exp()).collect();
        let states: Vec<Gaussian> = self.models.iter().map(|model| model.state.clone()).collect();
        for (to, model) in self.models.iter_mut().enumerate() {
            let mut shares: Vec<f64> =
                (0..n).map(|from| transition(from, to, n) * weights[from]).collect();
            let sum: f64 = shares.iter().sum();
            for share in &mut shares {
                *share /= sum;
            }
            model.weight = sum.ln();
            model.state = Gaussian::mixture(&states, &shares);
        }
    }

    fn normalise(&mut self) {
        let most = self.models.iter().map(|model| model.weight).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.models.iter().map(|model| (model.weight - most).exp()).sum();
        for model in &mut self.models {
            model.weight = (model.weight - most - sum.ln()).max(LEAST_WEIGHT);
        }
    }
}

/// How likely the oscillator turns from one model to another between two measurements.
fn transition(from: usize, to: usize, n: usize) -> f64 {
    let others = f64::from(u32::try_from(n - 1).unwrap_or(1));
    match from.abs_diff(to) {
        0 => 1.0 - 2.0 * TO_NEIGHBOUR - TO_ANY,
        1 => TO_NEIGHBOUR + TO_ANY / others,
        _ => TO_ANY / others,
    }
}

/// The number of the bias a bank begins with.
pub(crate) const FIRST_BIAS: usize = 2;
const OFFSET: usize = 0;
const FREQUENCY: usize = 1;

/// From an oven's to a crystal's in a draught.
const WANDERS: [f64; 9] = [1e-10, 3e-10, 1e-9, 3e-9, 1e-8, 3e-8, 1e-7, 3e-7, 1e-6];
/// Log of what is believed of each before anything was measured.
const PRIOR: [f64; 9] = [-2.5, -1.6, -1.2, -1.6, -2.4, -3.2, -4.0, -5.0, -6.0];
const TO_NEIGHBOUR: f64 = 0.004;
const TO_ANY: f64 = 0.0004;
/// Log of the least belief in a model.
const LEAST_WEIGHT: f64 = -23.0;
