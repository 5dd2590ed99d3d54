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
    /// For each of [`SHARES`], how far the least of so many round trips is above the floor, as a part of the mean excess.
    gaps: [f64; SHARES.len()],
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
            gaps: SHARES.map(|share| least_of(1.0, share)),
        }
    }

    /// The least round trip this way can have, as far as is known.
    pub(crate) fn floor_s(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.least_s - self.gap() * self.excess_s()).max(0.0) }
    }

    /// The least round trip seen since the way was last known to change; 0 before there was any.
    pub(crate) fn least_s(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.least_s }
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
        let known = n.max(f64::from(self.count)) - 1.0;
        (seen_s * known + prior_s * PRIOR_WEIGHT) / (known + PRIOR_WEIGHT)
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
            // They were queueing after all, which is part of the scale; but a few that took forever shall not decide it.
            let longest_s = self.floor_s() + STRANGE_BEYOND * scale_s;
            for strange_s in std::mem::take(&mut self.strange_s) {
                self.take(strange_s.min(longest_s));
            }
        }
        self.take(round_trip_s);
        Way::Known
    }

    /// What the error of a measurement with this round trip may be.
    pub(crate) fn law(&self, round_trip_s: f64) -> ErrorLaw {
        let mean_s = self.excess_s().max(STAMP_S);
        let above_s = (round_trip_s - self.least_s).max(0.0);
        let halves_s = self.gaps.map(|gap| (above_s + gap * mean_s).min(round_trip_s) / 2.0);
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
        self.think_of_gaps();
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
        self.think_of_gaps();
    }

    /// How far the least round trip seen is above the floor, on average, as a part of the mean excess.
    fn gap(&self) -> f64 {
        self.gaps.iter().zip(self.shares).map(|(gap, share)| gap * share).sum()
    }

    fn think_of_gaps(&mut self) {
        let seen = u32::try_from(self.recent_s.len()).unwrap_or(u32::MAX).max(self.count).max(1);
        // Among so many one more changes nothing.
        if seen < 64 || seen.is_multiple_of(16) {
            self.gaps = SHARES.map(|share| least_of(f64::from(seen), share));
        }
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

    /// The law without strays, times the Gaussian. Given a share of the queueing, the error without its stamps is within a box, where its
    /// log density is a straight line, and the stamps only widen the Gaussian: what is left is a truncated Gaussian.
    fn product_with_gaussian(&self, ahead_s: f64, sigma_s: f64) -> Product {
        let (prior, stamp) = (sigma_s * sigma_s, self.stamp_s * self.stamp_s);
        let total = prior + stamp;
        let (mut evidence, mut first, mut second) = (0.0, 0.0, 0.0);
        let believed = self.weights.iter().zip(self.slopes).zip(self.halves_s);
        for ((weight, slope), half_s) in believed.filter(|((weight, _), _)| **weight > 1e-4) {
            let queue = Queue { half_s: half_s.max(LEAST_HALF_S), slope };
            let cut = queue.product(ahead_s, total);
            // What the queue does not explain is shared between the stamps and what was foreseen.
            let moved = (cut.mean - ahead_s) * (prior / total);
            let variance = prior * (stamp / total) + cut.variance * (prior / total).powi(2);
            let mass = weight * cut.evidence;
            evidence += mass;
            first += mass * moved;
            second += mass * (variance + moved * moved);
        }
        if evidence <= 0.0 || evidence.is_nan() {
            return Product { evidence: 0.0, mean: ahead_s, variance: prior };
        }
        let moved = first / evidence;
        Product {
            evidence,
            mean: ahead_s + moved,
            variance: (second / evidence - moved * moved).max(prior * LEAST_VARIANCE),
        }
    }
}

/// The error that queues make, if their share is known: an exponential density between `±half_s`.
#[derive(Clone, Copy, Debug)]
struct Queue {
    half_s: f64,
    /// Growth of the log density towards the positive side, per second.
    slope: f64,
}

impl Queue {
    /// Density of the error `e_s`, which is within the ends, per second: k/(2·sinh kh)·exp(k·e), without overflow.
    fn density(&self, e_s: f64) -> f64 {
        let steep = self.slope.abs();
        let spent = -(-2.0 * steep * self.half_s).exp_m1();
        if spent < 1e-9 {
            return 1.0 / (2.0 * self.half_s);
        }
        steep / spent * (-steep * (self.half_s - e_s * self.slope.signum())).exp()
    }

    /// Its product with a Gaussian of this mean and variance. A Gaussian times an exponential is a Gaussian elsewhere, of which the part
    /// between the ends is added up from its highest point on; so nothing is lost where only its tail is between them.
    fn product(&self, middle_s: f64, variance: f64) -> Product {
        let peak_s = middle_s + self.slope * variance;
        let top_s = peak_s.clamp(-self.half_s, self.half_s);
        // From the top on the log density falls by this for each second, and by half a square.
        let fall = (peak_s - top_s).abs() / variance;
        let reach_s =
            2.0 * NEGLIGIBLE / (fall + (fall * fall + 2.0 * NEGLIGIBLE / variance).sqrt());
        let low_s = -reach_s.min(top_s + self.half_s);
        let high_s = reach_s.min(self.half_s - top_s);
        let (centre_s, scale_s) = (f64::midpoint(low_s, high_s), (high_s - low_s) / 2.0);
        let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
        for (node, weight) in GAUSS_NODES.iter().zip(GAUSS_WEIGHTS) {
            for at in [-node, *node] {
                let u = centre_s + at * scale_s;
                let p = weight * (-fall * u.abs() - u * u / (2.0 * variance)).exp();
                mass += p;
                first += p * at;
                second += p * at * at;
            }
        }
        let mean = first / mass;
        let off = top_s - middle_s;
        let gauss = (-off * off / (2.0 * variance)).exp() / (TAU * variance).sqrt();
        Product {
            evidence: mass * scale_s * self.density(top_s) * gauss,
            mean: top_s + centre_s + mean * scale_s,
            variance: (second / mass - mean * mean) * scale_s * scale_s,
        }
    }
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
/// A box narrower than this is a point, s.
const LEAST_HALF_S: f64 = 1e-15;
/// What is smaller than e to the minus this, against the top, is left out.
const NEGLIGIBLE: f64 = 24.0;
/// No measurement leaves less than this of the variance.
const LEAST_VARIANCE: f64 = 1e-12;
/// The positive nodes of Gauss and Legendre's rule of 24 points, and their weights.
const GAUSS_NODES: [f64; 12] = [
    0.995_187_219_997_021,
    0.974_728_555_971_309,
    0.938_274_552_002_733,
    0.886_415_527_004_401,
    0.820_001_985_973_903,
    0.740_124_191_578_554,
    0.648_093_651_936_976,
    0.545_421_471_388_840,
    0.433_793_507_626_045,
    0.315_042_679_696_163,
    0.191_118_867_473_616,
    0.064_056_892_862_606,
];
const GAUSS_WEIGHTS: [f64; 12] = [
    0.012_341_229_799_987,
    0.028_531_388_628_934,
    0.044_277_438_817_420,
    0.059_298_584_915_437,
    0.073_346_481_411_080,
    0.086_190_161_531_953,
    0.097_618_652_104_114,
    0.107_444_270_115_966,
    0.115_505_668_053_726,
    0.121_670_472_927_803,
    0.125_837_456_346_828,
    0.127_938_195_346_752,
];
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
mod tests;
