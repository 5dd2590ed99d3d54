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
