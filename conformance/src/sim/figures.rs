//! What many runs have in common.

use super::random::Seeded;

/// Root of the mean of the squares; 0 of nothing.
#[must_use]
pub fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// The value at `share` (0.5: median, 0.9: p90) by nearest rank; a value never reached is `None` and sorts last.
#[must_use]
pub fn ranked(values: &[Option<f64>], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| value.unwrap_or(f64::INFINITY)).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().filter(|value| value.is_finite())
}

/// The median by nearest rank; NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let some: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
    ranked(&some, 0.5).unwrap_or(f64::NAN)
}

/// Geometric mean; NaN of nothing.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Where the median of as many such values lies in 95 of 100 cases: percentile bootstrap with 2000 resamplings.
#[must_use]
pub fn bootstrap_of_median(values: &[f64]) -> (f64, f64) {
    let mut random = Seeded::new(values.len() as u64, 0);
    let mut medians: Vec<f64> = (0..2000)
        .map(|_| {
            let sample: Vec<f64> = values
                .iter()
                .filter_map(|_| values.get(random.below(values.len())).copied())
                .collect();
            median(&sample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |index: usize| medians.get(index).copied().unwrap_or(f64::NAN);
    (at(49), at(1949))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_of_values_that_occurred() {
        let values: Vec<Option<f64>> = (1..=10).map(|n| Some(f64::from(n))).collect();
        assert_eq!(ranked(&values, 0.5), Some(5.0));
        assert_eq!(ranked(&values, 0.9), Some(9.0));
        assert_eq!(ranked(&[None, Some(1.0), None], 0.5), None);
        assert_eq!(ranked(&[None, Some(1.0), Some(2.0)], 0.5), Some(2.0));
        assert_eq!(ranked(&[], 0.5), None);
    }

    #[test]
    fn means_are_as_defined() {
        assert!((root_mean_square(&[3.0, -4.0]) - 12.5f64.sqrt()).abs() < 1e-12);
        assert!((geometric_mean(&[0.25, 4.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_bootstrap_interval_holds_the_median_and_shrinks_with_more_values() {
        let mut random = Seeded::new(5, 5);
        let mut width = |count: usize| {
            let values: Vec<f64> = (0..count).map(|_| random.normal()).collect();
            let (low, high) = bootstrap_of_median(&values);
            assert!(low <= median(&values) && median(&values) <= high);
            high - low
        };
        assert!(width(400) < width(25));
    }
}
