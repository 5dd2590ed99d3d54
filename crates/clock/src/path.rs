//! What is known of the way to one server: its least delay, and how the queues on it behave.

use std::collections::VecDeque;

/// The delays seen on the way to a server and back, as a model of what they do to a measured offset.
///
/// A round trip takes `floor + u + d` seconds: `u` was lost on the way up, `d` on the way down, both never negative. The measured
/// offset is then wrong by `(u − d)/2`, which for a given excess `s = u + d` lies within `±s/2`. How the error is spread over that
/// interval depends on the share of the queueing that is on the way up, and the shares that explain the measurements best are
/// believed most.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// The least round trip since the way was last known to change.
    least_s: f64,
    /// How many round trips that is the least of.
    count: u32,
    /// The latest round trips, oldest first.
    recent_s: VecDeque<f64>,
    /// How much each of [`SHARES`] is believed; sums to one.
    shares: [f64; SHARES.len()],
    /// The latest round trips in a row that this way hardly explains.
    strange_s: Vec<f64>,
}

/// Where the error of one measurement may lie, given its round trip.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorLaw {
    /// Half the excess of the round trip: the error is within `±half_s`, but for the noise of the stamps.
    pub(crate) half_s: f64,
    /// Standard deviation of what the stamps add.
    pub(crate) stamp_s: f64,
    /// Standard deviation of an error that follows no law, for the few measurements that are simply wrong.
    pub(crate) stray_s: f64,
    /// Belief in each slope of [`Self::slopes`].
    weights: [f64; SHARES.len()],
    /// Growth of the error's log density towards the positive side, per second.
    slopes: [f64; SHARES.len()],
    /// Half the excess, had the queueing this share: it decides how far the floor is below the least round trip seen.
    halves_s: [f64; SHARES.len()],
}

/// What a path is thought to be like, to tell whether that has changed enough to think again about what was measured over it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Character {
    floor_s: f64,
    excess_s: f64,
    noise_s: f64,
    share_up: f64,
}

impl Character {
    /// Whether measurements would now be weighed differently.
    pub(crate) fn differs_from(&self, before: &Self) -> bool {
        (self.floor_s - before.floor_s).abs() > NOTICEABLE * before.noise_s
            || (self.share_up - before.share_up).abs() > NOTICEABLE
            || (self.excess_s / before.excess_s.max(STAMP_S)).ln().abs() > NOTICEABLE
    }
}

/// What a round trip says about the way it went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// The way we know.
    Known,
    /// A new way, of which this is the least round trip seen so far.
    New,
}

impl Path {
    /// A way of which nothing is known yet.
    pub(crate) fn new() -> Self {
        Self {
            least_s: f64::INFINITY,
            count: 0,
            recent_s: VecDeque::new(),
            shares: INITIAL_SHARES,
            strange_s: Vec::new(),
        }
    }

    /// The least round trip this way can have, as far as is known.
    pub(crate) fn floor_s(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.least_s - self.gap() * self.excess_s()).max(0.0) }
    }

    /// Mean of the excess of round trips over the floor.
    pub(crate) fn excess_s(&self) -> f64 {
        let n = f64::from(u32::try_from(self.recent_s.len()).unwrap_or(u32::MAX));
        let prior_s = PRIOR_EXCESS * self.least_s.min(1.0);
        if n < 2.0 {
            return prior_s;
        }
        let mean_s = self.recent_s.iter().sum::<f64>() / n;
        let seen_s = (mean_s - self.least_s) / (1.0 - self.gap());
        (seen_s * (n - 1.0) + prior_s * PRIOR_WEIGHT) / (n - 1.0 + PRIOR_WEIGHT)
    }

    /// Takes in one round trip and tells whether it went a new way.
    pub(crate) fn learn_delay(&mut self, round_trip_s: f64) -> Way {
        if self.count > 0 {
            let excess_s = round_trip_s - self.floor_s();
            let scale_s = (self.excess_s() / 2.0).max(STAMP_S);
            if excess_s < -SHORTER_BY * scale_s && self.count >= SETTLED {
                self.begin_again(&[round_trip_s]);
                return Way::New;
            }
            if excess_s > STRANGE_BEYOND * scale_s && self.count >= SETTLED {
                self.strange_s.push(round_trip_s);
                let least_s = self.strange_s.iter().copied().fold(f64::INFINITY, f64::min);
                // Gamma(2): the chance that all of them exceed this by queueing alone.
                let x = (least_s - self.floor_s()) / scale_s;
                let log_chance = (1.0 + x).ln() - x;
                let n = self.strange_s.len();
                if n >= FEWEST_STRANGE
                    && f64::from(u32::try_from(n).unwrap_or(u32::MAX)) * log_chance < NEW_WAY_BELOW
                {
                    let strange_s = std::mem::take(&mut self.strange_s);
                    self.begin_again(&strange_s);
                    return Way::New;
                }
                if n > MOST_STRANGE {
                    self.strange_s.remove(0);
                }
                return Way::Known;
            }
            self.strange_s.clear();
        }
        self.take(round_trip_s);
        Way::Known
    }

    /// What the error of a measurement with this round trip may be.
    pub(crate) fn law(&self, round_trip_s: f64) -> ErrorLaw {
        let mean_s = self.excess_s().max(STAMP_S);
        let above_s = (round_trip_s - self.least_s).max(0.0);
        let halves_s = self.gaps().map(|gap| (above_s + gap * mean_s).min(round_trip_s) / 2.0);
        // p(u | s) falls by exp(−u/a + u/b): a, b are the mean queueing up and down.
        let slopes = SHARES.map(|share| (1.0 / (1.0 - share) - 1.0 / share) / mean_s);
        let half_s =
            halves_s.iter().zip(self.shares).map(|(half_s, share)| half_s * share).sum::<f64>();
        let stamp_s = STAMP_S.hypot(STAMP_SHARE * mean_s);
        ErrorLaw {
            half_s,
            stamp_s,
            stray_s: half_s + 2.0 * mean_s + stamp_s,
            weights: self.shares,
            slopes,
            halves_s,
        }
    }

    /// Believes each share of the queueing on the way up as told.
    pub(crate) fn believe(&mut self, shares: [f64; SHARES.len()]) {
        self.shares = shares;
    }

    /// What it is like, in short.
    pub(crate) fn character(&self) -> Character {
        Character {
            floor_s: self.floor_s(),
            excess_s: self.excess_s(),
            noise_s: self.noise_s(),
            share_up: self.share_up(),
        }
    }

    /// How much of the queueing is believed to be on the way up, 0 to 1.
    pub(crate) fn share_up(&self) -> f64 {
        SHARES.iter().zip(self.shares).map(|(share, belief)| share * belief).sum()
    }

    /// How wrong one measurement is, typically, s. Queueing on one side only is seen through.
    pub(crate) fn noise_s(&self) -> f64 {
        let mean_s = self.excess_s().max(STAMP_S);
        let share = self.share_up();
        let slope = (1.0 / (1.0 - share) - 1.0 / share) / mean_s;
        1.0 / (1.0 / (NOISE_OF_EXCESS * mean_s)).hypot(slope)
    }

    /// How uncertain the floor is, s: the measurements with least delay are all wrong by as much as half of that.
    pub(crate) fn floor_sigma_s(&self) -> f64 {
        self.gap() * self.excess_s()
    }

    fn take(&mut self, round_trip_s: f64) {
        self.count = self.count.saturating_add(1);
        self.least_s = self.least_s.min(round_trip_s);
        if self.recent_s.len() == RECENT {
            self.recent_s.pop_front();
        }
        self.recent_s.push_back(round_trip_s);
    }

    fn begin_again(&mut self, round_trips_s: &[f64]) {
        // How the queues behave may well be as before; where the floor is may not.
        let excess_s: Vec<f64> = self.recent_s.iter().map(|s| s - self.least_s).collect();
        self.least_s = f64::INFINITY;
        self.count = 0;
        self.recent_s.clear();
        self.strange_s.clear();
        for &s in round_trips_s {
            self.take(s);
        }
        for s in excess_s.into_iter().rev().take(INHERITED) {
            self.recent_s.push_front(self.least_s + s);
        }
    }

    /// How far the least round trip seen is above the floor, on average, as a part of the mean excess.
    fn gap(&self) -> f64 {
        self.gaps().iter().zip(self.shares).map(|(gap, share)| gap * share).sum()
    }

    fn gaps(&self) -> [f64; SHARES.len()] {
        let seen = u32::try_from(self.recent_s.len()).unwrap_or(u32::MAX).max(self.count).max(1);
        SHARES.map(|share| least_of(f64::from(seen), share))
    }
}

/// The mean of the least of `n` sums of two exponentials, of mean `share` and `1 - share`.
fn least_of(n: f64, share: f64) -> f64 {
    let (a, b) = (share, 1.0 - share);
    let exceeds = |x: f64| {
        if (a - b).abs() < 1e-3 {
            (1.0 + 2.0 * x) * (-2.0 * x).exp()
        } else {
            (a * (-x / a).exp() - b * (-x / b).exp()) / (a - b)
        }
    };
    // The mean is the integral of the chance that all of them exceed x; it is near the greater of the two guesses.
    let reach = 5.0 * ((2.0 * a * b / n).sqrt() + a.max(b) / n);
    let step = reach / 40.0;
    let mut x = step / 2.0;
    let mut sum = 0.0;
    while x < reach {
        sum += exceeds(x).powf(n) * step;
        x += step;
    }
    sum.min(0.99)
}

/// A Gaussian multiplied by a density: the mass left, and mean and variance of what is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) evidence: f64,
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl ErrorLaw {
    /// The same when the share of the queueing on the way up is number `share` of [`SHARES`].
    pub(crate) fn with_share(&self, share: usize) -> Self {
        let mut weights = [0.0; SHARES.len()];
        weights[share] = 1.0;
        Self { weights, half_s: self.halves_s[share], ..*self }
    }

    /// What is known of the error when, before, it was `ahead_s` with standard deviation `sigma_s`, both in seconds: the product of
    /// that Gaussian with this law. Some measurements follow no law at all, which is part of the product.
    pub(crate) fn combine(&self, ahead_s: f64, sigma_s: f64) -> Product {
        let core = self.product_with_gaussian(ahead_s, sigma_s);
        let stray = self.stray_product(ahead_s, sigma_s);
        let (core_mass, stray_mass) = ((1.0 - STRAYING) * core.evidence, STRAYING * stray.evidence);
        let evidence = core_mass + stray_mass;
        if evidence <= 0.0 || evidence.is_nan() {
            return Product { evidence: f64::MIN_POSITIVE, ..stray };
        }
        let (c, s) = (core_mass / evidence, stray_mass / evidence);
        let mean = c * core.mean + s * stray.mean;
        let variance = c * (core.variance + (core.mean - mean).powi(2))
            + s * (stray.variance + (stray.mean - mean).powi(2));
        Product { evidence, mean, variance }
    }

    fn stray_product(&self, ahead_s: f64, sigma_s: f64) -> Product {
        let (prior, stray) = (sigma_s * sigma_s, self.stray_s * self.stray_s);
        let total = prior + stray;
        let gain = stray / total;
        Product {
            evidence: (-ahead_s * ahead_s / (2.0 * total)).exp() / (TAU * total).sqrt(),
            mean: ahead_s * gain,
            variance: prior * gain,
        }
    }

    /// How far the error can be without being a stray.
    pub(crate) fn reach_s(&self) -> f64 {
        self.half_s + 3.0 * self.stamp_s
    }

    /// Variance of the error before anything else is known.
    pub(crate) fn variance(&self) -> f64 {
        self.half_s * self.half_s / 3.0 + self.stamp_s * self.stamp_s
    }

    /// Density of the error `e` (seconds), per second.
    fn density(&self, e: f64) -> f64 {
        let believed = self.weights.iter().zip(self.slopes).zip(self.halves_s);
        believed
            .filter(|((weight, _), _)| **weight > 1e-4)
            .map(|((weight, slope), half_s)| weight * self.density_within(e, half_s, slope))
            .sum()
    }

    fn density_within(&self, e: f64, h: f64, slope: f64) -> f64 {
        let sigma = self.stamp_s;
        // The box ±h, softened by the stamps; a bare Gaussian where the box is narrower than they.
        let window = if h < sigma / 4.0 {
            (-e * e / (2.0 * sigma * sigma)).exp() / (TAU.sqrt() * sigma)
        } else {
            (upper_tail((e - h) / sigma) - upper_tail((e + h) / sigma)) / (2.0 * h)
        };
        let a = (slope * h).abs();
        if a < 1e-6 || window <= 0.0 {
            return window;
        }
        // Normalised over the box: kh/sinh(kh)·exp(slope·e), without overflow.
        window * 2.0 * a * (slope * e.clamp(-h, h) - a).exp() / (1.0 - (-2.0 * a).exp())
    }

    fn product_with_gaussian(&self, ahead_s: f64, sigma_s: f64) -> Product {
        let reach = self.halves_s.iter().copied().fold(self.half_s, f64::max) + 4.0 * self.stamp_s;
        let low = (-reach).max(ahead_s - 7.0 * sigma_s);
        let high = reach.min(ahead_s + 7.0 * sigma_s);
        if low >= high {
            return Product { evidence: 0.0, mean: ahead_s, variance: sigma_s * sigma_s };
        }
        let step = (high - low) / STEPS;
        let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
        let middle = f64::midpoint(low, high);
        let mut e = low + step / 2.0;
        while e < high {
            let x = (e - ahead_s) / sigma_s;
            let p = (-x * x / 2.0).exp() * self.density(e);
            mass += p;
            first += p * (e - middle);
            second += p * (e - middle) * (e - middle);
            e += step;
        }
        if mass <= 0.0 || mass.is_nan() {
            return Product { evidence: 0.0, mean: ahead_s, variance: sigma_s * sigma_s };
        }
        let mean = first / mass;
        Product {
            evidence: mass * step / (TAU.sqrt() * sigma_s),
            mean: middle + mean,
            variance: (second / mass - mean * mean).max(step * step / 12.0),
        }
    }
}

/// The chance that a standard Gaussian exceeds `x`; Abramowitz and Stegun 26.2.17, wrong by less than 7.5·10⁻⁸.
fn upper_tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - upper_tail(-x);
    }
    if x > 8.0 {
        return 0.0;
    }
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let polynomial = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-x * x / 2.0).exp() / TAU.sqrt() * polynomial
}

const TAU: f64 = core::f64::consts::TAU;
/// Shares of the queueing that may be on the way up.
pub(crate) const SHARES: [f64; 9] = [0.008, 0.03, 0.1, 0.28, 0.5, 0.72, 0.9, 0.97, 0.992];
pub(crate) const INITIAL_SHARES: [f64; 9] = [0.01, 0.02, 0.05, 0.12, 0.6, 0.12, 0.05, 0.02, 0.01];
/// Noise of kernel stamps that no delay shows, s.
const STAMP_S: f64 = 4e-9;
/// The same as a part of the mean excess: what the law leaves out.
const STAMP_SHARE: f64 = 0.01;
/// Standard deviation of the error of a measurement as a part of the mean excess, if the queues are alike both ways.
const NOISE_OF_EXCESS: f64 = 0.35;
/// A change by so much, of the noise or of one, is worth another look.
const NOTICEABLE: f64 = 0.15;
/// How many measurements follow no law.
const STRAYING: f64 = 0.01;
/// Points of the quadrature.
const STEPS: f64 = 48.0;
/// Round trips from which the scale of the queues is taken.
const RECENT: usize = 64;
/// Of these, how many lend their excess to a new way.
const INHERITED: usize = 16;
/// What the excess is before there is anything to compare, as a part of the round trip, and how many measurements that counts for.
const PRIOR_EXCESS: f64 = 0.2;
const PRIOR_WEIGHT: f64 = 0.5;
/// Measurements before a change of way can be told from the ordinary.
const SETTLED: u32 = 4;
/// A shorter way, in scales below the floor.
const SHORTER_BY: f64 = 3.0;
/// A round trip is strange beyond so many scales above the floor.
const STRANGE_BEYOND: f64 = 6.0;
const FEWEST_STRANGE: usize = 3;
const MOST_STRANGE: usize = 16;
/// Log of the chance below which strange round trips went another way.
const NEW_WAY_BELOW: f64 = -20.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    const SYMMETRIC: [f64; SHARES.len()] = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];

    /// A path that has seen `count` round trips of `floor_s` and queues of these means.
    fn seen(floor_s: f64, up_s: f64, down_s: f64, count: usize, seed: u64) -> Path {
        let mut dice = Dice::new(seed);
        let mut path = Path::new();
        for _ in 0..count {
            path.learn_delay(floor_s + dice.exponential(up_s) + dice.exponential(down_s));
        }
        path
    }

    fn only(share: usize) -> [f64; SHARES.len()] {
        let mut shares = [0.0; SHARES.len()];
        shares[share] = 1.0;
        shares
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    #[test]
    fn floor_and_excess_of_queues_are_found() {
        // Of 50 such paths the median is right, and each is so within a few standard errors.
        let check = |up_s: f64, down_s: f64, shares: [f64; SHARES.len()], count: usize, slack| {
            let excess_s = up_s + down_s;
            let floor_s = 3.0 * excess_s;
            let paths: Vec<Path> = (0..50)
                .map(|seed| {
                    let mut path = seen(floor_s, up_s, down_s, count, seed);
                    path.believe(shares);
                    path
                })
                .collect();
            let error = |of: fn(&Path) -> f64, truth_s: f64| -> Vec<f64> {
                paths.iter().map(|path| (of(path) - truth_s) / excess_s).collect()
            };
            let (floors, excesses) =
                (error(Path::floor_s, floor_s), error(Path::excess_s, excess_s));
            let what = format!("up {up_s} down {down_s}, {count} round trips");
            assert!(median(floors.clone()).abs() < 0.05, "{what}: {floors:?}");
            assert!(median(excesses.clone()).abs() < slack, "{what}: {excesses:?}");
            let worst = |of: &[f64]| of.iter().fold(0.0f64, |most, error| most.max(error.abs()));
            assert!(worst(&floors) < 0.45, "{what}: {floors:?}");
            assert!(worst(&excesses) < 0.65, "{what}: {excesses:?}");
        };
        check(1e-4, 1e-4, SYMMETRIC, 64, 0.1);
        check(1e-3, 1e-3, SYMMETRIC, 64, 0.1);
        check(1e-3, 1e-3, SYMMETRIC, 200, 0.1);
        check(1e-4, 1e-4, INITIAL_SHARES, 200, 0.1);
        // The longest of one-sided queues are taken for strange and left out.
        check(2e-3, 1.6e-5, only(8), 64, 0.3);
        check(1.6e-5, 2e-3, only(0), 200, 0.3);
    }

    #[test]
    fn a_longer_way_is_noticed_after_a_few_round_trips_and_a_shorter_one_at_once() {
        let check = |by_s: f64, within: std::ops::RangeInclusive<usize>| {
            for seed in 0..20 {
                let mut path = seen(0.02, 1e-4, 1e-4, 100, seed);
                let mut dice = Dice::new(seed + 1000);
                let mut queue_s = || dice.exponential(1e-4) + dice.exponential(1e-4);
                let noticed =
                    (1..=30).find(|_| path.learn_delay(0.02 + by_s + queue_s()) == Way::New);
                assert!(noticed.is_some_and(|n| within.contains(&n)), "{by_s}: {noticed:?}");
                let floor_s = path.floor_s();
                assert!((floor_s - 0.02 - by_s).abs() < 5e-4, "{by_s}: {floor_s}");
            }
        };
        check(0.01, 3..=8);
        check(0.1, 3..=8);
        check(3e-3, 3..=8);
        check(-0.01, 1..=1);
        check(-3e-3, 1..=1);
    }

    #[test]
    fn queues_alone_are_no_new_way() {
        for seed in 0..20 {
            let mut path = Path::new();
            let mut dice = Dice::new(seed);
            for n in 0..1000 {
                let way = path.learn_delay(0.01 + dice.exponential(1e-3) + dice.exponential(1e-3));
                // In the first few round trips the scale of the queues is hardly known.
                assert!(way == Way::Known || n < 30, "seed {seed}, round trip {n}");
            }
        }
    }

    #[test]
    fn one_round_trip_that_took_forever_changes_nothing() {
        let mut path = seen(0.02, 1e-4, 1e-4, 100, 3);
        let before = (path.floor_s(), path.excess_s());
        assert_eq!(path.learn_delay(2.0), Way::Known);
        assert_eq!((path.floor_s(), path.excess_s()), before);
    }

    #[test]
    fn memory_stays_bounded() {
        let mut path = seen(0.02, 1e-4, 1e-4, 10_000, 4);
        for n in 0..1000 {
            path.learn_delay(0.02 + f64::from(n % 97) * 1e-3);
        }
        assert!(path.recent_s.len() <= RECENT && path.strange_s.len() <= MOST_STRANGE + 1);
    }

    fn integral(from: f64, to: f64, points: u32, f: impl Fn(f64) -> f64) -> f64 {
        let step = (to - from) / f64::from(points);
        (0..points).map(|k| f(from + step * (f64::from(k) + 0.5)) * step).sum()
    }

    #[test]
    fn every_law_is_a_probability() {
        for (number, share) in SHARES.into_iter().enumerate() {
            for above in [0.0, 0.01, 0.3, 1.0, 4.0, 30.0] {
                let mut path = seen(0.02, 1e-3, 1e-3, 100, 5);
                path.believe(only(number));
                let law = path.law(path.least_s + above * 2e-3);
                let reach = law.half_s + 10.0 * law.stamp_s;
                let mass = integral(-reach, reach, 40_000, |e| law.density(e));
                // The stamps' noise beyond the ends of the box is as steep as the end itself: where all queueing is on one side, that
                // makes a little more than one.
                let slack = if share.min(1.0 - share) < 0.01 { 0.25 } else { 0.03 };
                assert!((mass - 1.0).abs() < slack, "share {share}, above {above}: {mass}");
            }
        }
    }

    /// Given the excess s, what was lost on the way up has the density e^(−u/a + u/b) on 0..s.
    #[test]
    fn an_error_leans_to_the_side_of_the_queue() {
        let check = |share: usize, side: f64| {
            let mut path = seen(0.02, 1e-3, 1e-3, 100, 6);
            path.believe(only(share));
            let law = path.law(path.least_s + 4e-3);
            let reach = law.half_s + 4.0 * law.stamp_s;
            let mass = integral(-reach, reach, 40_000, |e| law.density(e));
            let mean = integral(-reach, reach, 40_000, |e| e * law.density(e)) / mass / law.half_s;
            let a = SHARES[share] * path.excess_s();
            let b = (1.0 - SHARES[share]) * path.excess_s();
            let s = 2.0 * law.half_s;
            let lost = |u: f64| (-u / a + u / b - (s / b - s / a).max(0.0)).exp();
            let expected = integral(0.0, s, 40_000, |u| (u - s / 2.0) * lost(u))
                / integral(0.0, s, 40_000, lost)
                / law.half_s;
            assert!((mean - expected).abs() < 0.03, "share {share}: {mean}, not {expected}");
            assert!(mean * side >= 0.0, "share {share}: {mean}");
        };
        check(0, -1.0);
        check(2, -1.0);
        check(3, -1.0);
        check(5, 1.0);
        check(6, 1.0);
        check(8, 1.0);
        check(4, 0.0);
    }

    #[test]
    fn combining_agrees_with_adding_up_by_brute_force() {
        let mut worst = [0.0f64; 3];
        for (above, ahead, sigma) in [
            (1.0, 0.0, 1.0),
            (1.0, 0.5, 0.1),
            (1.0, 1.5, 0.3),
            (1.0, -2.0, 1.0),
            (0.0, 0.01, 0.01),
            (0.2, 0.0, 10.0),
            (5.0, 1.0, 0.05),
        ] {
            for shares in [SYMMETRIC, INITIAL_SHARES, only(1), only(7)] {
                let mut path = seen(0.02, 5e-4, 5e-4, 100, 7);
                path.believe(shares);
                let law = path.law(path.least_s + above * 1e-3);
                let (ahead_s, sigma_s) = (ahead * 1e-3, sigma * 1e-3);
                let found = law.combine(ahead_s, sigma_s);
                let gauss = |x: f64, sigma: f64| {
                    (-x * x / (2.0 * sigma * sigma)).exp() / (TAU.sqrt() * sigma)
                };
                let p = |e: f64| {
                    gauss(e - ahead_s, sigma_s)
                        * ((1.0 - STRAYING) * law.density(e) + STRAYING * gauss(e, law.stray_s))
                };
                let (low, high) = (ahead_s - 9.0 * sigma_s, ahead_s + 9.0 * sigma_s);
                let over = |f: &dyn Fn(f64) -> f64| integral(low, high, 20_000, f);
                let mass = over(&p);
                let mean = over(&|e| e * p(e)) / mass;
                let variance = over(&|e| (e - mean).powi(2) * p(e)) / mass;
                let errors = [
                    (found.evidence / mass).ln().abs(),
                    (found.mean - mean).abs() / variance.sqrt(),
                    (found.variance / variance).ln().abs() / 2.0,
                ];
                for (worst, error) in worst.iter_mut().zip(errors) {
                    *worst = worst.max(error);
                }
            }
        }
        assert!(worst.iter().all(|error| *error < 0.12), "{worst:?}");
    }

    #[test]
    fn a_stray_does_not_move_the_estimate() {
        let path = seen(0.02, 1e-4, 1e-4, 100, 8);
        let law = path.law(path.least_s + 1e-4);
        for ahead_s in [0.01, 0.1, 10.0, 1e6] {
            let sigma_s = 1e-5;
            let found = law.combine(ahead_s, sigma_s);
            let moved = (ahead_s - found.mean).abs();
            // A stray is taken for one: as far as the law of strays can see.
            assert!(moved < 0.02 * ahead_s, "{ahead_s}: {found:?}");
            assert!(found.evidence > 0.0 && found.variance > 0.0);
        }
        let usual = law.combine(2e-5, 1e-5);
        let stray = law.combine(3e-3, 1e-5);
        assert!(stray.variance > 0.9e-10, "nothing is learned from it: {stray:?}");
        assert!(usual.evidence > 1e6 * stray.evidence);
    }

    #[test]
    fn no_round_trip_makes_nonsense() {
        let absurd = [0.0, 1e-12, 1e-9, 1e-3, 1.0, 1e5, 2.1e9, 0.0, 2.1e9, 1e-9];
        for start in 0..absurd.len() {
            let mut path = Path::new();
            for n in 0..80 {
                let round_trip_s = absurd[(start + n * (1 + start)) % absurd.len()];
                path.learn_delay(round_trip_s);
                for value in [path.floor_s(), path.excess_s(), path.noise_s(), path.floor_sigma_s()]
                {
                    assert!(value.is_finite() && value >= 0.0, "{start}, {n}: {path:?}");
                }
                assert!((0.0..=1.0).contains(&path.share_up()));
                for asked_s in absurd {
                    let law = path.law(asked_s);
                    assert!(law.reach_s() >= 0.0 && law.variance() > 0.0, "{law:?}");
                    for (ahead_s, sigma_s) in [(0.0, 1e-12), (1e9, 1e-9), (-1e-3, 1e3), (0.0, 1e9)]
                    {
                        let found = law.combine(ahead_s, sigma_s);
                        let good = found.evidence > 0.0
                            && found.mean.is_finite()
                            && found.variance.is_finite()
                            && found.variance >= 0.0;
                        assert!(good, "{law:?} with {ahead_s} ± {sigma_s}: {found:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn before_anything_was_seen_nothing_is_claimed() {
        let path = Path::new();
        assert!(path.floor_s() == 0.0 && path.excess_s().is_finite());
        assert!((path.share_up() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_least_of_many_sums_is_what_simulation_finds() {
        for (n, share) in [(1.0, 0.5), (4.0, 0.5), (64.0, 0.5), (16.0, 0.9), (64.0, 0.992)] {
            let mut dice = Dice::new(9);
            let rounds = 4000;
            let sum: f64 = (0..rounds)
                .map(|_| {
                    (0..n as usize)
                        .map(|_| dice.exponential(share) + dice.exponential(1.0 - share))
                        .fold(f64::INFINITY, f64::min)
                })
                .sum();
            let simulated = (sum / f64::from(rounds)).min(0.99);
            let found = least_of(n, share);
            assert!((found / simulated - 1.0).abs() < 0.07, "{n}, {share}: {found} {simulated}");
        }
    }

    /// Tables of the standard normal distribution.
    #[test]
    fn tails_are_those_of_the_tables() {
        for (x, tail) in
            [(0.0, 0.5), (1.0, 0.158_655_3), (-1.0, 0.841_344_7), (3.0, 0.001_349_9), (9.0, 0.0)]
        {
            assert!((upper_tail(x) - tail).abs() < 1e-7, "{x}");
        }
    }
}
