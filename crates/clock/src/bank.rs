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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::dice::Dice;
    use crate::path::Path;

    const QUEUE_S: f64 = 1e-4;

    /// A way whose queues are alike in both directions.
    static PATH: LazyLock<Path> = LazyLock::new(|| {
        let mut dice = Dice::new(77);
        let mut path = Path::new();
        for _ in 0..64 {
            path.learn_delay(0.01 + dice.exponential(QUEUE_S) + dice.exponential(QUEUE_S));
        }
        path
    });

    fn fresh() -> Bank {
        Bank::new(0.0, QUEUE_S, 1.5e-3, 0.0, 2e-4)
    }

    /// Measures the offset `truth_s` over a way of this bias.
    fn measure(bank: &mut Bank, dice: &mut Dice, bias: usize, truth_s: f64) {
        let (up, down) = (dice.exponential(QUEUE_S), dice.exponential(QUEUE_S));
        bank.update(bias, truth_s + (up - down) / 2.0, &PATH.law(0.01 + up + down));
    }

    /// Lets `count` intervals of 64 s pass at this frequency; the offset at the end.
    fn run(bank: &mut Bank, dice: &mut Dice, count: u32, start_s: f64, frequency: f64) -> f64 {
        let mut truth_s = start_s;
        for _ in 0..count {
            bank.predict(64.0);
            truth_s += 64.0 * frequency;
            measure(bank, dice, FIRST_BIAS, truth_s);
        }
        truth_s
    }

    fn belief(bank: &Bank) -> f64 {
        bank.models.iter().map(|model| model.weight.exp()).sum()
    }

    #[test]
    fn a_constant_frequency_is_learned_and_so_is_how_well() {
        for (seed, frequency) in [(1, 0.0), (2, 3.7e-5), (3, -2.5e-4), (4, 5e-4)] {
            let (mut bank, mut dice) = (fresh(), Dice::new(seed));
            run(&mut bank, &mut dice, 100, 0.0, frequency);
            let found = bank.estimate();
            let error = (found.frequency - frequency).abs();
            assert!(error < 4.0 * found.frequency_sigma, "{frequency}: {found:?}");
            assert!(found.frequency_sigma < 5e-8, "{frequency}: {found:?}");
            assert!(found.likely_wander < 1e-9 && found.wander < 3e-8, "{found:?}");
        }
    }

    #[test]
    fn the_bias_of_a_single_way_stays_unknown() {
        let (mut bank, mut dice) = (fresh(), Dice::new(5));
        let truth_s = run(&mut bank, &mut dice, 100, 0.0, 1e-5);
        let found = bank.estimate();
        assert!((0.8e-3..1.6e-3).contains(&found.offset_sigma_s), "{found:?}");
        let (expected_s, sigma_s) = bank.expect(FIRST_BIAS);
        assert!((expected_s - truth_s).abs() < 5e-5 && sigma_s < 5e-5, "{expected_s} ± {sigma_s}");
    }

    #[test]
    fn a_step_of_frequency_is_believed_after_a_few_measurements() {
        for seed in 0..10 {
            let (mut bank, mut dice) = (fresh(), Dice::new(seed));
            let turn_s = run(&mut bank, &mut dice, 100, 0.0, 1e-5);
            run(&mut bank, &mut dice, 6, turn_s, 1.5e-5);
            let found = bank.estimate();
            assert!((found.frequency - 1.5e-5).abs() < 2e-6, "seed {seed}: {found:?}");
            let back_s = run(&mut bank, &mut dice, 200, turn_s + 6.0 * 64.0 * 1.5e-5, 1.5e-5);
            let calm = bank.estimate();
            assert!(calm.frequency_sigma < 1e-7, "seed {seed}: {calm:?} at {back_s}");
        }
    }

    #[test]
    fn of_several_ways_each_bias_but_their_mean_is_learned() {
        let (mut bank, mut dice) = (fresh(), Dice::new(6));
        let other = bank.add_bias(1.5e-3);
        for n in 0..200 {
            bank.predict(32.0);
            let (bias, by_s) = if n % 2 == 0 { (FIRST_BIAS, 1e-3) } else { (other, -1e-3) };
            measure(&mut bank, &mut dice, bias, by_s);
        }
        let (first_s, _) = bank.expect(FIRST_BIAS);
        let (other_s, _) = bank.expect(other);
        assert!((first_s - 1e-3).abs() < 5e-5 && (other_s + 1e-3).abs() < 5e-5);
        // Alike uncertain before, they share the difference.
        let found = bank.estimate();
        assert!(found.offset_s.abs() < 2e-4, "{found:?}");
        assert!(found.offset_sigma_s < 1.2e-3, "two know more than one: {found:?}");
    }

    #[test]
    fn a_bias_that_is_reset_takes_nothing_else_with_it() {
        let (mut bank, mut dice) = (fresh(), Dice::new(7));
        let truth_s = run(&mut bank, &mut dice, 50, 0.0, 1e-5);
        let before = bank.estimate();
        bank.reset_bias(FIRST_BIAS, 5e-3);
        let after = bank.estimate();
        assert!((after.offset_s - before.offset_s).abs() < 1e-12);
        assert!((after.frequency - before.frequency).abs() < 1e-15);
        assert!((bank.expect(FIRST_BIAS).1 - before.offset_sigma_s.hypot(5e-3)).abs() < 1e-6);
        // The new way adds 4 ms: it is taken for its bias, mostly, and not for an error of the clock.
        for _ in 0..20 {
            measure(&mut bank, &mut dice, FIRST_BIAS, truth_s + 4e-3);
        }
        let moved_s = bank.estimate().offset_s - before.offset_s;
        assert!(moved_s.abs() < 1e-3, "{moved_s}");
    }

    #[test]
    fn sources_that_leave_take_their_bias_along() {
        let (mut bank, mut dice) = (fresh(), Dice::new(8));
        let second = bank.add_bias(1e-3);
        let third = bank.add_bias(2e-3);
        measure(&mut bank, &mut dice, third, 3e-3);
        let (expected, whole) = (bank.expect(third), bank.estimate());
        bank.remove_bias(second);
        assert_eq!(bank.expect(third - 1), expected);
        assert_eq!(bank.estimate().offset_s, whole.offset_s);
    }

    #[test]
    fn beliefs_sum_to_one_and_none_dies_out() {
        let (mut bank, mut dice) = (fresh(), Dice::new(9));
        let mut truth_s = 0.0;
        for n in 0..300 {
            bank.predict(64.0);
            // Now and then something absurd.
            truth_s += if n % 50 == 49 { 1e3 } else { 1e-3 * dice.normal() };
            measure(&mut bank, &mut dice, FIRST_BIAS, truth_s);
            assert!((belief(&bank) - 1.0).abs() < 1e-6, "{n}: {}", belief(&bank));
            let found = bank.estimate();
            assert!(found.offset_s.is_finite() && found.frequency_sigma.is_finite(), "{found:?}");
            assert!(bank.models.iter().all(|model| model.weight >= LEAST_WEIGHT));
        }
    }

    #[test]
    fn turning_from_one_model_to_any_is_a_probability() {
        for from in 0..WANDERS.len() {
            let sum: f64 = (0..WANDERS.len()).map(|to| transition(from, to, WANDERS.len())).sum();
            assert!((sum - 1.0).abs() < 0.01, "{from}: {sum}");
        }
    }
}
