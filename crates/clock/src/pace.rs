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
const SAMPLES_BEFORE_GROWTH: f64 = 12.0;
const NOISY_S: f64 = 0.01;
const LEARNING_S: f64 = 10_800.0;
const LONGEST_WHILE_LEARNING_S: f64 = 440.0;
/// When to ask once more at the beginning, seconds after the first answer.
const EARLY: [f64; 7] = [12.0, 24.0, 44.0, 96.0, 160.0, 224.0, 288.0];
