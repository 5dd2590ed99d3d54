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
        let (floors, excesses) = (error(Path::floor_s, floor_s), error(Path::excess_s, excess_s));
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
    // The longest of one-sided queues, 1 of 20, are taken for strange and count as no longer than what is not.
    check(2e-3, 1.6e-5, only(8), 64, 0.1);
    check(1.6e-5, 2e-3, only(0), 200, 0.1);
}

#[test]
fn a_longer_way_is_noticed_after_a_few_round_trips_and_a_shorter_one_at_once() {
    let check = |by_s: f64, within: std::ops::RangeInclusive<usize>| {
        for seed in 0..20 {
            let mut path = seen(0.02, 1e-4, 1e-4, 100, seed);
            let mut dice = Dice::new(seed + 1000);
            let mut queue_s = || dice.exponential(1e-4) + dice.exponential(1e-4);
            let noticed = (1..=30).find(|_| path.learn_delay(0.02 + by_s + queue_s()) == Way::New);
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
fn one_round_trip_that_took_forever_changes_little() {
    let mut path = seen(0.02, 1e-4, 1e-4, 100, 3);
    let before = (path.floor_s(), path.excess_s());
    assert_eq!(path.learn_delay(2.0), Way::Known);
    assert_eq!((path.floor_s(), path.excess_s()), before);
    // With the next ordinary one it counts as a long queue, no longer than others.
    assert_eq!(path.learn_delay(0.0202), Way::Known);
    assert!((path.floor_s() - before.0).abs() < 0.01 * before.1);
    assert!((path.excess_s() / before.1 - 1.0).abs() < 0.06, "{} {before:?}", path.excess_s());
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

/// Density of the error `e`, stamps included: an exponential between two ends, blurred by a Gaussian.
fn density(law: &ErrorLaw, e: f64) -> f64 {
    let sigma = law.stamp_s;
    let of = |((weight, k), h): ((&f64, f64), f64)| {
        let middle = e + k * sigma * sigma;
        let within = upper_tail((-h - middle) / sigma) - upper_tail((h - middle) / sigma);
        // k/(2·sinh kh)·exp(ke + k²σ²/2), without overflow.
        let scale = if (k * h).abs() < 1e-9 {
            1.0
        } else {
            k.abs() * 2.0 * h / (1.0 - (-2.0 * (k * h).abs()).exp())
        };
        weight * within * scale / (2.0 * h)
            * (k * e + k * k * sigma * sigma / 2.0 - (k * h).abs()).exp()
    };
    law.weights
        .iter()
        .zip(law.slopes)
        .zip(law.halves_s)
        .filter(|((weight, _), _)| **weight > 1e-4)
        .map(of)
        .sum()
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

#[test]
fn every_law_is_a_probability() {
    for (number, share) in SHARES.into_iter().enumerate() {
        for above in [0.0, 0.01, 0.3, 1.0, 4.0, 30.0] {
            let mut path = seen(0.02, 1e-3, 1e-3, 100, 5);
            path.believe(only(number));
            let law = path.law(path.least_s + above * 2e-3);
            // Where the Gaussian is narrow, evidence is the density at its middle.
            let narrow = law.stamp_s / 1e3;
            let evidence = |e: f64| law.product_with_gaussian(e, narrow).evidence;
            let reach = law.half_s + 10.0 * law.stamp_s;
            let mass = integral(-reach, reach, 40_000, evidence);
            let what = format!("share {share}, above {above}");
            assert!((mass - 1.0).abs() < 1e-3, "{what}: {mass}");
            for part in [-1.0, -0.9, -0.3, 0.0, 0.5, 0.99, 1.0] {
                let e = part * law.half_s;
                let (found, expected) = (evidence(e), density(&law, e));
                let most = 1e-5 * expected + 1e-6 / law.half_s.max(law.stamp_s);
                assert!((found - expected).abs() < most, "{what}, {part}: {found}, not {expected}");
            }
        }
    }
}

/// Where the prior is far from the box, or much wider or narrower than all of it, nothing is lost.
#[test]
fn the_product_of_a_queue_and_a_gaussian_is_what_brute_force_finds() {
    let check = |slope: f64, middle: f64, sigma: f64| {
        let queue = Queue { half_s: 1.0, slope };
        let found = queue.product(middle, sigma * sigma);
        let log = |e: f64| {
            let x = (e - middle) / sigma;
            slope * e - x * x / 2.0
        };
        let top = (middle + slope * sigma * sigma).clamp(-1.0, 1.0);
        // Much may happen near the top, so points are dense there: e = top ± (distance)·t⁴.
        let side = |end: f64, power: i32| {
            let span = end - top;
            integral(0.0, 1.0, 20_000, |t| {
                let e = top + span * t.powi(4);
                (log(e) - log(top)).exp() * (e - top).powi(power) * 4.0 * t.powi(3) * span.abs()
            })
        };
        let moment = |power| side(-1.0, power) + side(1.0, power);
        let mass = moment(0);
        let mean = moment(1) / mass;
        let variance = moment(2) / mass - mean * mean;
        let gauss = (-(top - middle).powi(2) / (2.0 * sigma * sigma)).exp() / (TAU.sqrt() * sigma);
        let evidence = mass * queue.density(top) * gauss;
        let what = format!("slope {slope}, {middle} ± {sigma}: {found:?}");
        assert!((found.mean - (top + mean)).abs() < 1e-4 * variance.sqrt(), "{what}, not {mean}");
        assert!((found.variance / variance - 1.0).abs() < 1e-4, "{what}, not {variance}");
        assert!(
            evidence < 1e-300 || (found.evidence / evidence - 1.0).abs() < 1e-4,
            "{what}, not {evidence}"
        );
    };
    for slope in [-60.0, -3.0, 0.0, 1e-7, 0.5, 60.0] {
        for (middle, sigma) in [
            (0.0, 1.0),
            (0.9, 0.05),
            (1.0, 1e-3),
            (1.5, 0.1),
            (-4.0, 1.0),
            (3.0, 100.0),
            (0.3, 1e4),
            (1.2, 0.01),
        ] {
            check(slope, middle, sigma);
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
        let mass = integral(-reach, reach, 40_000, |e| density(&law, e));
        let mean = integral(-reach, reach, 40_000, |e| e * density(&law, e)) / mass / law.half_s;
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
            let gauss =
                |x: f64, sigma: f64| (-x * x / (2.0 * sigma * sigma)).exp() / (TAU.sqrt() * sigma);
            let p = |e: f64| {
                gauss(e - ahead_s, sigma_s)
                    * ((1.0 - STRAYING) * density(&law, e) + STRAYING * gauss(e, law.stray_s))
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
    assert!(worst.iter().all(|error| *error < 1e-3), "{worst:?}");
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
            for value in [path.floor_s(), path.excess_s(), path.noise_s(), path.floor_sigma_s()] {
                assert!(value.is_finite() && value >= 0.0, "{start}, {n}: {path:?}");
            }
            assert!((0.0..=1.0).contains(&path.share_up()));
            for asked_s in absurd {
                let law = path.law(asked_s);
                assert!(law.reach_s() >= 0.0 && law.variance() > 0.0, "{law:?}");
                for (ahead_s, sigma_s) in
                    [(0.0, 1e-12), (1e9, 1e-9), (1e8, 2e-8), (-1e-3, 1e3), (0.0, 1e9)]
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
