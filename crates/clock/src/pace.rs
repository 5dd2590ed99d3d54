//! How often a source is worth asking.

use core::time::Duration;

use crate::SourceOptions;
use crate::bank::Estimate;
use crate::path::Path;

/// From one question to the next; and, while the frequency is hardly known, how soon to ask once more before that.
///
/// The oscillator's wander makes old measurements worthless after the time in which it strays as far as one measurement is wrong; asking
/// much more often than that gains little, asking less often loses accuracy. While the wander itself is still being learned, at the
/// beginning, questions are not let become rare.
pub(crate) fn advise(
    path: &Path,
    estimate: &Estimate,
    before: Duration,
    since_start_s: f64,
    samples: u64,
    options: &SourceOptions,
) -> (Duration, Option<Duration>) {
    let noise_s = path.noise_s();
    let shortest_s = options.min_poll.as_span().as_seconds_f64();
    let longest_s = options.max_poll.as_span().as_seconds_f64().max(shortest_s);
    let wander_s = SHARE_OF_WANDER_TIME * (noise_s / estimate.likely_wander).powf(2.0 / 3.0);
    let learning_s =
        if since_start_s < LEARNING_S { LONGEST_WHILE_LEARNING_S } else { f64::INFINITY };
    let wanted_s = wander_s.min(learning_s).clamp(shortest_s, longest_s);
    // As long as the frequency alone makes more of an error than one measurement has, until the next one.
    let before_s = before.as_secs_f64().max(shortest_s);
    let strays = estimate.frequency_sigma * before_s > noise_s;
    let floor_unknown = path.floor_sigma_s() > 3.5 * noise_s;
    // The noisier, the more there is to average first.
    let wanted_samples = SAMPLES_BEFORE_GROWTH + 3.0 * (noise_s / NOISY_S).log2().max(0.0);
    let grows = samples as f64 >= wanted_samples && !strays && !floor_unknown && !before.is_zero();
    let interval_s = wanted_s.min(if grows { before_s * 2.0 } else { before_s });
    let soon_s = EARLY.iter().copied().find(|soon_s| *soon_s > since_start_s + 1.0);
    let burst = soon_s.filter(|soon_s| strays && *soon_s - since_start_s < 0.75 * shortest_s);
    (
        Duration::from_secs_f64(interval_s),
        burst.map(|soon_s| Duration::from_secs_f64(soon_s - since_start_s)),
    )
}

/// The interval as a part of the time in which the wander strays as far as a measurement.
const SHARE_OF_WANDER_TIME: f64 = 0.72;
/// The interval does not grow before so many answers, and more where one is worse than [`NOISY_S`].
const SAMPLES_BEFORE_GROWTH: f64 = 14.0;
const NOISY_S: f64 = 0.01;
const LEARNING_S: f64 = 10_800.0;
const LONGEST_WHILE_LEARNING_S: f64 = 460.0;
/// When to ask once more at the beginning, seconds after the first answer.
const EARLY: [f64; 9] = [12.0, 24.0, 44.0, 76.0, 108.0, 140.0, 172.0, 204.0, 236.0];

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_units::PollExponent;

    const LATE_S: f64 = 1e6;

    fn path(excess_s: f64) -> Path {
        let mut path = Path::new();
        for n in 0..64 {
            path.learn_delay(0.02 + f64::from(n % 8) / 3.5 * excess_s);
        }
        path
    }

    fn estimate(frequency_sigma: f64, wander: f64) -> Estimate {
        Estimate {
            offset_s: 0.0,
            frequency: 1e-5,
            offset_sigma_s: 1e-5,
            frequency_sigma,
            wander,
            likely_wander: wander,
        }
    }

    fn options(min_poll: i8, max_poll: i8) -> SourceOptions {
        SourceOptions {
            min_poll: PollExponent(min_poll),
            max_poll: PollExponent(max_poll),
            ..SourceOptions::default()
        }
    }

    #[test]
    fn whatever_is_found_the_limits_hold() {
        for (min_poll, max_poll) in [(6, 10), (6, 6), (-4, 3), (0, 17), (10, 10), (10, 6)] {
            let options = options(min_poll, max_poll);
            let shortest_s = 2f64.powi(min_poll.into());
            let longest_s = 2f64.powi(max_poll.into()).max(shortest_s);
            for excess_s in [0.0, 1e-9, 1e-5, 1e-2, 10.0] {
                for (sigma, wander) in [(2e-4, 1e-8), (1e-10, 1e-10), (1e-9, 1e-6), (0.0, 0.0)] {
                    for (before, since_start_s, samples) in
                        [(0.0, 0.0, 1), (64.0, 600.0, 10), (1e5, LATE_S, 1000), (1.0, 90.0, 50)]
                    {
                        let (interval, burst) = advise(
                            &path(excess_s),
                            &estimate(sigma, wander),
                            Duration::from_secs_f64(before),
                            since_start_s,
                            samples,
                            &options,
                        );
                        let interval_s = interval.as_secs_f64();
                        let within = shortest_s - 1e-6..=longest_s + 1e-6;
                        let what = format!("{min_poll}..{max_poll}, {excess_s}, {before}");
                        assert!(within.contains(&interval_s), "{what}: {interval_s}");
                        assert!(burst.is_none_or(|soon| soon < interval), "{what}: {burst:?}");
                    }
                }
            }
        }
    }

    /// The interval after one more answer.
    fn next_s(sigma: f64, before_s: f64, since_start_s: f64, samples: u64) -> f64 {
        let (interval, _) = advise(
            &path(1e-4),
            &estimate(sigma, 1e-9),
            Duration::from_secs_f64(before_s),
            since_start_s,
            samples,
            &options(6, 10),
        );
        interval.as_secs_f64()
    }

    #[test]
    fn questions_become_rare_only_after_enough_answers_and_step_by_step() {
        let check = |sigma, before_s, since_start_s, samples, expected_s: f64| {
            let found_s: f64 = next_s(sigma, before_s, since_start_s, samples);
            assert!((found_s - expected_s).abs() < 1e-6, "{samples} answers: {found_s}");
        };
        check(1e-9, 64.0, LATE_S, 2, 64.0);
        check(1e-9, 64.0, LATE_S, 5, 64.0);
        check(1e-9, 64.0, LATE_S, 100, 128.0);
        check(1e-9, 128.0, LATE_S, 100, 256.0);
        // As long as the frequency is not known well, however many there were.
        check(1e-4, 64.0, LATE_S, 100, 64.0);
        check(1e-4, 0.0, 2.0, 1, 64.0);
    }

    #[test]
    fn a_wild_oscillator_is_watched_more_closely_than_a_calm_one() {
        let settled_s = |wander: f64| {
            let mut interval = Duration::from_secs(64);
            for _ in 0..10 {
                let estimate = estimate(1e-10, wander);
                let (path, options) = (path(1e-3), options(4, 12));
                (interval, _) = advise(&path, &estimate, interval, LATE_S, 1000, &options);
            }
            interval.as_secs_f64()
        };
        let intervals = [1e-10, 1e-9, 1e-8, 1e-7, 1e-6].map(settled_s);
        assert!(intervals.is_sorted_by(|calm, wild| calm >= wild), "{intervals:?}");
        assert!(intervals[0] > 10.0 * intervals[4], "{intervals:?}");
    }

    #[test]
    fn what_strays_soon_is_asked_once_more_soon() {
        let burst = |sigma, since_start_s| {
            let (estimate, options) = (estimate(sigma, 1e-9), options(6, 10));
            advise(&path(1e-4), &estimate, Duration::ZERO, since_start_s, 2, &options).1
        };
        assert!(burst(2e-4, 4.0).is_some());
        assert_eq!(burst(1e-9, 4.0), None);
        assert_eq!(burst(2e-4, LATE_S), None);
    }
}
