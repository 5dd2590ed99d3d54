//! A Gaussian over a handful of numbers: the state of one estimator.

/// Mean and covariance. Number 0 grows by number 1 as time passes; the others stay.
#[derive(Clone, Debug)]
pub(crate) struct Gaussian {
    mean: Vec<f64>,
    /// Row after row; symmetric.
    covariance: Vec<f64>,
}

impl Gaussian {
    /// Independent numbers with these means and variances.
    pub(crate) fn new(mean: Vec<f64>, variances: &[f64]) -> Self {
        let n = mean.len();
        let mut covariance = vec![0.0; n * n];
        for (i, variance) in variances.iter().enumerate() {
            covariance[i * n + i] = *variance;
        }
        Self { mean, covariance }
    }

    /// Sets the covariance of numbers `i` and `j`.
    pub(crate) fn correlate(&mut self, i: usize, j: usize, covariance: f64) {
        let n = self.mean.len();
        self.covariance[i * n + j] = covariance;
        self.covariance[j * n + i] = covariance;
    }

    /// Mean and variance of number `i`.
    pub(crate) fn at(&self, i: usize) -> (f64, f64) {
        (self.mean[i], self.cov(i, i))
    }

    /// Mean and variance of the sum of numbers `i` and `j`.
    pub(crate) fn sum_of(&self, i: usize, j: usize) -> (f64, f64) {
        let variance = self.cov(i, i) + self.cov(j, j) + 2.0 * self.cov(i, j);
        (self.mean[i] + self.mean[j], variance.max(0.0))
    }

    /// Appends an independent number and returns its place.
    pub(crate) fn push(&mut self, mean: f64, variance: f64) -> usize {
        let n = self.mean.len();
        let old = std::mem::take(&mut self.covariance);
        self.mean.push(mean);
        self.covariance = vec![0.0; (n + 1) * (n + 1)];
        for i in 0..n {
            for j in 0..n {
                self.covariance[i * (n + 1) + j] = old[i * n + j];
            }
        }
        self.covariance[n * (n + 1) + n] = variance;
        n
    }

    /// Takes number `at` out.
    pub(crate) fn remove(&mut self, at: usize) {
        let n = self.mean.len();
        let kept: Vec<usize> = (0..n).filter(|&i| i != at).collect();
        self.covariance = kept
            .iter()
            .flat_map(|&i| kept.iter().map(move |&j| (i, j)))
            .map(|(i, j)| self.cov(i, j))
            .collect();
        self.mean.remove(at);
    }

    /// Makes number `at` independent of all others, with this mean and variance.
    pub(crate) fn forget(&mut self, at: usize, mean: f64, variance: f64) {
        let n = self.mean.len();
        for i in 0..n {
            self.covariance[at * n + i] = 0.0;
            self.covariance[i * n + at] = 0.0;
        }
        self.covariance[at * n + at] = variance;
        self.mean[at] = mean;
    }

    /// Makes number `at` more uncertain.
    pub(crate) fn widen(&mut self, at: usize, variance: f64) {
        let n = self.mean.len();
        self.covariance[at * n + at] += variance;
    }

    /// Number 0 grows by number 1 times `t`, while number 1 walks at random with standard deviation `wander` in one unit of time.
    pub(crate) fn advance(&mut self, t: f64, wander: f64) {
        let n = self.mean.len();
        self.mean[0] += t * self.mean[1];
        for j in 0..n {
            self.covariance[j] += t * self.covariance[n + j];
        }
        for i in 0..n {
            self.covariance[i * n] += t * self.covariance[i * n + 1];
        }
        let q = wander * wander;
        self.covariance[0] += q * t * t * t / 3.0;
        self.covariance[1] += q * t * t / 2.0;
        self.covariance[n] += q * t * t / 2.0;
        self.covariance[n + 1] += q * t;
    }

    /// Learns that the sum of numbers `i` and `j` has this mean and variance.
    pub(crate) fn condition(&mut self, i: usize, j: usize, mean: f64, variance: f64) {
        let n = self.mean.len();
        let (before, prior) = self.sum_of(i, j);
        if prior <= 0.0 || prior.is_nan() {
            return;
        }
        let with_sum: Vec<f64> = (0..n).map(|k| self.cov(k, i) + self.cov(k, j)).collect();
        for (k, c) in with_sum.iter().enumerate() {
            self.mean[k] += c / prior * (mean - before);
        }
        let shrink = (variance - prior) / (prior * prior);
        for a in 0..n {
            for b in 0..n {
                self.covariance[a * n + b] += shrink * with_sum[a] * with_sum[b];
            }
        }
    }

    /// The Gaussian with the moments of a mixture. The weights sum to one.
    pub(crate) fn mixture(parts: &[Self], weights: &[f64]) -> Self {
        let n = parts[0].mean.len();
        let mut mean = vec![0.0; n];
        for (part, weight) in parts.iter().zip(weights) {
            for (m, own) in mean.iter_mut().zip(&part.mean) {
                *m += weight * own;
            }
        }
        let mut covariance = vec![0.0; n * n];
        for (part, weight) in parts.iter().zip(weights) {
            let away: Vec<f64> = part.mean.iter().zip(&mean).map(|(own, m)| own - m).collect();
            for a in 0..n {
                for b in 0..n {
                    covariance[a * n + b] += weight * (part.cov(a, b) + away[a] * away[b]);
                }
            }
        }
        Self { mean, covariance }
    }

    fn cov(&self, i: usize, j: usize) -> f64 {
        self.covariance[i * self.mean.len() + j]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn close(found: f64, expected: f64) {
        let slack = 1e-9 * expected.abs().max(1.0);
        assert!((found - expected).abs() <= slack, "{found}, not {expected}");
    }

    /// Compares all moments of numbers 0..n.
    fn check(found: &Gaussian, mean: &[f64], covariance: &[&[f64]]) {
        assert_eq!(found.mean.len(), mean.len());
        for (i, row) in covariance.iter().enumerate() {
            close(found.mean[i], mean[i]);
            for (j, expected) in row.iter().enumerate() {
                close(found.cov(i, j), *expected);
            }
        }
    }

    fn three() -> Gaussian {
        let mut state = Gaussian::new(vec![10.0, 4.0, -1.0], &[2.0, 3.0, 5.0]);
        state.correlate(0, 1, 0.5);
        state.correlate(0, 2, 0.7);
        state.correlate(1, 2, 0.2);
        state
    }

    #[test]
    fn time_carries_the_first_by_the_second_and_blurs_both() {
        let mut state = three();
        state.advance(2.0, 0.1);
        // 2 + 2·2·0.5 + 4·3 + 0.01·8/3; 0.5 + 2·3 + 0.01·4/2; 0.7 + 2·0.2; 3 + 0.01·2.
        let first = [16.0 + 0.08 / 3.0, 6.52, 1.1];
        check(&state, &[18.0, 4.0, -1.0], &[&first, &[6.52, 3.02, 0.2], &[1.1, 0.2, 5.0]]);
    }

    #[test]
    fn two_short_times_are_one_long_one() {
        let (mut whole, mut parts) = (three(), three());
        whole.advance(7.0, 0.3);
        parts.advance(2.0, 0.3);
        parts.advance(5.0, 0.3);
        let rows: Vec<Vec<f64>> =
            (0..3).map(|i| (0..3).map(|j| whole.cov(i, j)).collect()).collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        check(&parts, &whole.mean, &rows);
    }

    /// The same by adding up the product of prior and likelihood over a grid.
    #[test]
    fn a_measured_sum_teaches_what_bayes_says() {
        let (variances, correlation, mean) = ([4.0, 1.0], -1.2, [1.0, -2.0]);
        let (measured, noise) = (3.0, 2.0);
        let determinant = variances[0] * variances[1] - correlation * correlation;
        let mut sums = [0.0; 6];
        for a in -300..=300 {
            for b in -300..=300 {
                let (x, y) = (0.04 * f64::from(a), 0.02 * f64::from(b));
                let square = (variances[1] * x * x - 2.0 * correlation * x * y
                    + variances[0] * y * y)
                    / determinant;
                let (x, y) = (x + mean[0], y + mean[1]);
                let p = (-square / 2.0 - (measured - x - y).powi(2) / (2.0 * noise)).exp();
                for (sum, value) in sums.iter_mut().zip([1.0, x, y, x * x, x * y, y * y]) {
                    *sum += p * value;
                }
            }
        }
        let [mass, x, y, xx, xy, yy] = sums;
        let (x, y) = (x / mass, y / mass);
        let [xx, xy, yy] = [xx / mass - x * x, xy / mass - x * y, yy / mass - y * y];

        let mut state = Gaussian::new(mean.to_vec(), &variances);
        state.correlate(0, 1, correlation);
        let (sum, variance) = state.sum_of(0, 1);
        close(variance, 4.0 + 1.0 - 2.4);
        let gain = variance / (variance + noise);
        state.condition(0, 1, sum + gain * (measured - sum), variance * (1.0 - gain));
        for (found, expected) in [
            (state.at(0), (x, xx)),
            (state.at(1), (y, yy)),
            (state.sum_of(0, 1), (x + y, xx + 2.0 * xy + yy)),
        ] {
            assert!((found.0 - expected.0).abs() < 1e-6, "{found:?}, not {expected:?}");
            assert!((found.1 - expected.1).abs() < 1e-6, "{found:?}, not {expected:?}");
        }
    }

    #[test]
    fn nothing_is_learned_of_what_is_known_already() {
        let mut state = Gaussian::new(vec![1.0, 2.0], &[0.0, 0.0]);
        state.condition(0, 1, 100.0, 1.0);
        check(&state, &[1.0, 2.0], &[&[0.0, 0.0], &[0.0, 0.0]]);
    }

    #[test]
    fn a_mixture_has_the_moments_of_its_parts_and_of_their_distance() {
        let near = Gaussian::new(vec![0.0, 0.0], &[1.0, 2.0]);
        let mut far = Gaussian::new(vec![2.0, 4.0], &[2.0, 1.0]);
        far.correlate(0, 1, 0.4);
        let mixed = Gaussian::mixture(&[near.clone(), far.clone()], &[0.25, 0.75]);
        // 1/4·(1 + 1.5²) + 3/4·(2 + 0.5²); 1/4·1.5·3 + 3/4·(0.4 + 0.5·1); 1/4·(2 + 3²) + 3/4·(1 + 1).
        check(&mixed, &[1.5, 3.0], &[&[2.5, 1.8], &[1.8, 4.25]]);
        check(
            &Gaussian::mixture(&[near, far], &[0.0, 1.0]),
            &[2.0, 4.0],
            &[&[2.0, 0.4], &[0.4, 1.0]],
        );
    }

    #[test]
    fn numbers_come_and_go_and_leave_the_others_alone() {
        let mut state = three();
        assert_eq!(state.push(9.0, 11.0), 3);
        state.correlate(2, 3, 0.3);
        state.remove(1);
        let rows: [&[f64]; 3] = [&[2.0, 0.7, 0.0], &[0.7, 5.0, 0.3], &[0.0, 0.3, 11.0]];
        check(&state, &[10.0, -1.0, 9.0], &rows);
        state.forget(1, 0.0, 6.0);
        state.widen(0, 1.0);
        let rows: [&[f64]; 3] = [&[3.0, 0.0, 0.0], &[0.0, 6.0, 0.0], &[0.0, 0.0, 11.0]];
        check(&state, &[10.0, 0.0, 9.0], &rows);
    }

    /// Numbers as they occur: an oscillator measured every so often over four ways, for a long time.
    #[test]
    fn covariance_stays_symmetric_and_positive() {
        let mut dice = Dice::new(1);
        let mut state = Gaussian::new(vec![0.0; 6], &[1e-2, 4e-8, 1e-6, 1e-4, 1e-10, 1e-6]);
        let (mut skewed, mut least) = (0.0f64, 0.0f64);
        for round in 0..3000 {
            state.advance(2f64.powf(12.0 * dice.uniform() - 2.0), 1e-9);
            let way = 2 + (dice.uniform() * 4.0) as usize;
            let (mean, variance) = state.sum_of(0, way);
            assert!(variance > 0.0, "round {round}");
            let kept = dice.uniform();
            let surprise = dice.normal() * (variance * (1.0 - kept)).sqrt();
            state.condition(0, way, mean + surprise, variance * kept);
            if round % 500 == 499 {
                state.forget(way, 0.0, 1e-6);
            }
            let deviations: Vec<f64> = (0..6).map(|i| state.at(i).1.sqrt()).collect();
            assert!(deviations.iter().all(|d| d.is_finite()), "round {round}: {deviations:?}");
            let direction: Vec<f64> = deviations.iter().map(|d| dice.normal() / d).collect();
            let mut along = 0.0;
            for i in 0..6 {
                for j in 0..6 {
                    let scale = deviations[i] * deviations[j];
                    skewed = skewed.max((state.cov(i, j) - state.cov(j, i)).abs() / scale);
                    along += direction[i] * state.cov(i, j) * direction[j];
                }
            }
            least = least.min(along);
        }
        assert!(skewed < 1e-6 && least > -1e-6, "{skewed}, {least}");
    }
}
