use crate::asker::{Estimate, Filter, Measured};

/// A straight line through the latest measurements, as chrony draws it: each weighs less the longer its round trip took, and the line goes
/// back as far as the signs of its residuals look random.
///
/// One-sided queueing shows as a dependence of the offset on the delay; where that lasts, it is taken out.
#[derive(Default)]
pub struct Regression {
    /// Oldest first; those before `start` serve the test of runs only.
    samples: Vec<Measured>,
    start: usize,
    line: Option<Line>,
    /// How much of a delay is in the offset, and for how many measurements in a row that had the same sign.
    asymmetry: f64,
    asymmetry_run: i32,
}

#[derive(Clone, Copy)]
struct Line {
    /// At the time of the latest sample.
    offset_s: f64,
    frequency: f64,
    at_s: f64,
    covariance: [f64; 3],
    skew: f64,
}

impl Filter for Regression {
    fn take_in(&mut self, measured: &Measured) {
        self.samples.push(*measured);
        if self.samples.len() - self.start > MOST {
            self.start += 1;
        }
        let superfluous = self.start.saturating_sub(self.samples.len() - self.start);
        self.samples.drain(..superfluous);
        self.start -= superfluous;
        self.learn_asymmetry();
        self.line = None;
        while self.samples.len() - self.start >= FEWEST {
            let (line, random) = self.fit();
            self.line = Some(line);
            if random || self.samples.len() - self.start == FEWEST {
                break;
            }
            self.start += 1;
        }
    }

    fn estimate(&self, at_s: f64) -> Option<Estimate> {
        let line = self.line?;
        let t = at_s - line.at_s;
        let [xx, xf, ff] = line.covariance;
        let radius_s = self.used().iter().map(|sample| {
            let age_s = at_s - sample.at_s;
            sample.delay_s / 2.0 + PRECISION_S + line.skew * age_s
        });
        Some(Estimate {
            offset_s: line.offset_s + t * line.frequency,
            frequency: line.frequency,
            covariance: [xx + 2.0 * t * xf + t * t * ff, xf + t * ff, ff],
            radius_s: radius_s.fold(f64::INFINITY, f64::min),
        })
    }

    /// Offsets by the inverse of the distance, frequencies by that of the variance.
    fn combine(agreeing: &[Estimate]) -> (f64, f64) {
        let mean = |value: fn(&Estimate) -> f64, weight: fn(&Estimate) -> f64| {
            agreeing.iter().map(|one| value(one) * weight(one)).sum::<f64>()
                / agreeing.iter().map(weight).sum::<f64>()
        };
        (
            mean(|one| one.offset_s, |one| 1.0 / one.radius_s),
            mean(|one| one.frequency, |one| 1.0 / one.covariance[2].max(1e-24)),
        )
    }
}

impl Regression {
    fn used(&self) -> &[Measured] {
        &self.samples[self.start..]
    }

    /// The offset of a sample, less what its delay is believed to add.
    fn offset_s(&self, sample: &Measured, least_s: f64) -> f64 {
        if self.asymmetry_run.abs() < LASTING {
            return sample.offset_s;
        }
        sample.offset_s - self.asymmetry.clamp(-0.5, 0.5) * (sample.delay_s - least_s)
    }

    /// The weighted line through the samples used, and whether the signs of its residuals change often enough to be random.
    fn fit(&self) -> (Line, bool) {
        let used = self.used();
        let n = used.len() as f64;
        let at_s = used[used.len() - 1].at_s;
        let least_s = used.iter().map(|s| s.delay_s).fold(f64::INFINITY, f64::min);
        let weights = weights(used);
        let points: Vec<[f64; 3]> = used
            .iter()
            .zip(&weights)
            .map(|(s, weight)| [*weight, s.at_s - at_s, self.offset_s(s, least_s)])
            .collect();
        let sum = |f: &dyn Fn(&[f64; 3]) -> f64| points.iter().map(f).sum::<f64>();
        let total = sum(&|p| p[0]);
        let (t, x) = (sum(&|p| p[0] * p[1]) / total, sum(&|p| p[0] * p[2]) / total);
        let spread = sum(&|p| p[0] * (p[1] - t).powi(2));
        let frequency = sum(&|p| p[0] * (p[1] - t) * (p[2] - x)) / spread;
        let offset_s = x - t * frequency;
        let squares = sum(&|p| p[0] * (p[2] - offset_s - frequency * p[1]).powi(2));
        let variance = (squares / (n - 2.0)).max(1e-18);
        let ff = variance / spread;
        let line = Line {
            offset_s,
            frequency,
            at_s,
            covariance: [variance / total + t * t * ff, -t * ff, ff],
            skew: ff.sqrt() * student(used.len() - 2),
        };
        // As many older ones as are used take part in this test.
        let from = self.start.saturating_sub(used.len());
        let tested = &self.samples[from..];
        let signs = tested
            .iter()
            .map(|s| self.offset_s(s, least_s) - offset_s - frequency * (s.at_s - at_s) > 0.0);
        let signs: Vec<bool> = signs.collect();
        let runs = 1 + signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
        (line, runs > critical_runs(signs.len()))
    }

    /// How the offset depends on time and delay together (least squares of two variables).
    fn learn_asymmetry(&mut self) {
        let used = &self.samples[self.start..];
        let n = used.len() as f64;
        let mean = |f: &dyn Fn(&Measured) -> f64| used.iter().map(f).sum::<f64>() / n;
        let (t, d, x) = (mean(&|s| s.at_s), mean(&|s| s.delay_s), mean(&|s| s.offset_s));
        let both = |f: &dyn Fn(&Measured) -> f64, g: &dyn Fn(&Measured) -> f64| {
            used.iter().map(|s| f(s) * g(s)).sum::<f64>()
        };
        let (of_t, of_d, of_x) = (
            |s: &Measured| s.at_s - t,
            |s: &Measured| s.delay_s - d,
            |s: &Measured| s.offset_s - x,
        );
        let (tt, td, dd) = (both(&of_t, &of_t), both(&of_t, &of_d), both(&of_d, &of_d));
        let determinant = tt * dd - td * td;
        if used.len() <= FEWEST || determinant <= 1e-9 * tt * dd {
            self.asymmetry_run = 0;
            return;
        }
        let slope = (both(&of_d, &of_x) * tt - both(&of_t, &of_x) * td) / determinant;
        self.asymmetry = slope;
        if slope.abs() < ASYMMETRIC {
            self.asymmetry_run = 0;
        } else if slope > 0.0 {
            self.asymmetry_run = self.asymmetry_run.max(0) + 1;
        } else {
            self.asymmetry_run = self.asymmetry_run.min(0) - 1;
        }
    }
}

/// 1 for the least distance, falling with the square of what is above it.
fn weights(used: &[Measured]) -> Vec<f64> {
    let mut sorted: Vec<f64> = used.iter().map(|s| s.delay_s / 2.0 + PRECISION_S).collect();
    sorted.sort_by(f64::total_cmp);
    let (least_s, median_s) = (sorted[0], sorted[sorted.len() / 2]);
    let scale_s = ((median_s - least_s) / 0.7).clamp(PRECISION_S, least_s.max(PRECISION_S));
    used.iter()
        .map(|s| {
            let above_s = s.delay_s / 2.0 - least_s;
            (1.0 + above_s.max(0.0) / scale_s).powi(-2)
        })
        .collect()
}

/// So few runs of signs, or fewer, are seen in at most 5 % of rows of `n` random signs: each of the n − 1 places between two of them is a
/// change or not, like the throws of a coin.
fn critical_runs(n: usize) -> usize {
    let places = n.saturating_sub(1) as f64;
    let mut chance = 0.5f64.powf(places);
    let (mut below, mut changes) = (0.0, 0);
    loop {
        below += chance;
        if below > 0.05 || changes >= n {
            // `changes` changes make one run more; that number is already likely enough.
            return changes;
        }
        chance *= (places - changes as f64) / (changes as f64 + 1.0);
        changes += 1;
    }
}

/// Student's t for 99.95 %, one-sided, by degrees of freedom; exact for those listed, the next listed one's below it.
fn student(degrees: usize) -> f64 {
    const TABLE: [(usize, f64); 9] = [
        (1, 636.62),
        (2, 31.599),
        (3, 12.924),
        (4, 8.610),
        (5, 6.869),
        (8, 5.041),
        (12, 4.318),
        (20, 3.850),
        (40, 3.551),
    ];
    TABLE.iter().rev().find(|(from, _)| *from <= degrees).map_or(636.62, |(_, t)| *t)
}

const FEWEST: usize = 3;
const MOST: usize = 64;
/// What reading the clocks costs, 2⁻²³ s.
const PRECISION_S: f64 = 1.2e-7;
/// The dependence of the offset on the delay that counts (½ is all of the queueing on one side), and for how long it must last.
const ASYMMETRIC: f64 = 0.45;
const LASTING: i32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of n signs, P(runs ≤ c) = Σ_{k<c} C(n−1, k)/2^(n−1): for 10 signs 1 and 2 runs make 10/512, 3 make 46/512.
    #[test]
    fn few_runs_are_told_from_chance() {
        let check = |n, critical| assert_eq!(critical_runs(n), critical, "{n}");
        check(4, 0);
        check(6, 1);
        check(10, 2);
        check(64, 25);
    }

    #[test]
    fn a_straight_line_is_found_and_a_bend_forgotten() {
        let mut filter = Regression::default();
        let noise = |k: i32| f64::from((k * 7919) % 13 - 6) * 1e-7;
        let offset_s = |k: i32| if k < 50 { 0.0 } else { 1e-4 * 64.0 * f64::from(k - 50) };
        for k in 0..70 {
            let at_s = 64.0 * f64::from(k);
            let offset_s = offset_s(k) + noise(k);
            filter.take_in(&Measured { at_s, offset_s, delay_s: 1e-3 });
        }
        let found = filter.estimate(64.0 * 69.0).unwrap();
        assert!((found.frequency - 1e-4).abs() < 1e-8, "{found:?}");
        assert!((found.offset_s - offset_s(69)).abs() < 1e-6, "{found:?}");
        assert!(filter.used().len() <= 22, "{}", filter.used().len());
    }
}
