//! What one program costs beside another: quotients over rounds, and how they are printed.

use std::fmt::Write;

use serde::Serialize;

use super::target;

/// A figure with its name, over all rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Such as `plain_over_chrony`.
    pub figure: String,
    /// `ours` through `other`; where a figure is one of turns, the median of the rounds' quotients.
    pub value: f64,
    /// In how many rounds both were measured.
    pub rounds: usize,
    /// Largest less smallest quotient of one round: how far the machine let the rounds agree.
    pub spread: f64,
    /// Our figure, in the unit of the samples.
    pub ours: f64,
    /// The other's.
    pub other: f64,
    /// What `ours` and `other` count; for people only.
    #[serde(skip)]
    pub unit: &'static str,
}

/// Which sample of many stands for a program: what disturbs only ever makes it slower.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Best {
    /// The least, for a cost.
    Least,
    /// The most, for a rate.
    Most,
}

impl Figure {
    /// Compares samples of the same rounds; `None` if there are none. A round in which either is not a number does not count.
    pub fn new(
        figure: String,
        unit: &'static str,
        best: Best,
        ours: &[f64],
        other: &[f64],
    ) -> Option<Self> {
        let (ours, other): (Vec<f64>, Vec<f64>) =
            ours.iter().zip(other).filter(|(a, b)| !a.is_nan() && !b.is_nan()).unzip();
        let pick = |samples: &[f64]| match best {
            Best::Least => samples.iter().copied().reduce(f64::min),
            Best::Most => samples.iter().copied().reduce(f64::max),
        };
        let quotients: Vec<f64> = ours.iter().zip(&other).map(|(a, b)| a / b).collect();
        let most = quotients.iter().copied().reduce(f64::max)?;
        let least = quotients.iter().copied().reduce(f64::min)?;
        let (ours, other) = (pick(&ours)?, pick(&other)?);
        Some(Self {
            figure,
            value: ours / other,
            rounds: quotients.len(),
            spread: most - least,
            ours,
            other,
            unit,
        })
    }
}

impl Figure {
    /// Compares what was measured by turns: the median of the rounds' quotients; `None` if there are none.
    pub fn of_turns(
        figure: String,
        unit: &'static str,
        ours: &[f64],
        other: &[f64],
    ) -> Option<Self> {
        let quotients: Vec<f64> = ours.iter().zip(other).map(|(a, b)| a / b).collect();
        let (value, ours, other) = (median(&quotients)?, median(ours)?, median(other)?);
        let most = quotients.iter().copied().reduce(f64::max)?;
        let least = quotients.iter().copied().reduce(f64::min)?;
        Some(Self {
            figure,
            value,
            rounds: quotients.len(),
            spread: most - least,
            ours,
            other,
            unit,
        })
    }
}

/// The one in the middle; of an even number, the mean of the two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) =
        (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

/// One object per line.
pub fn as_json(figures: &[Figure]) -> Result<String, String> {
    let line = |figure| serde_json::to_string(&rounded(figure)).map(|line| line + "\n");
    figures.iter().map(line).collect::<Result<_, _>>().map_err(|e| e.to_string())
}

/// A table with its units.
pub fn as_table(figures: &[Figure]) -> String {
    let mut text = format!(
        "{:<30} {:>7} {:>7} {:>7} {:>7} {:>12} {:>12}  {}\n",
        "figure", "value", "at most", "", "spread", "ours", "other", "unit"
    );
    for figure in figures.iter().map(rounded) {
        let Figure { figure, value, spread, ours, other, unit, .. } = figure;
        let (most, verdict) = match target::most(&figure) {
            Some(most) if value > most => (format!("{most:.2}"), "missed"),
            Some(most) => (format!("{most:.2}"), "reached"),
            None => (String::new(), ""),
        };
        let _ = writeln!(
            text,
            "{figure:<30} {value:>7.3} {most:>7} {verdict:>7} {spread:>7.3} {ours:>12} {other:>12}  {unit}"
        );
    }
    text
}

/// Digits that mean something: three behind the point for quotients, none for nanoseconds and rates.
fn rounded(figure: &Figure) -> Figure {
    let thousandths = |x: f64| (x * 1000.0).round() / 1000.0;
    Figure {
        figure: figure.figure.clone(),
        value: thousandths(figure.value),
        rounds: figure.rounds,
        spread: thousandths(figure.spread),
        ours: figure.ours.round(),
        other: figure.other.round(),
        unit: figure.unit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_all_rounds_are_compared() {
        let check = |best, expected: (f64, f64, f64)| {
            let figure =
                Figure::new("x".into(), "ns", best, &[6.0, 4.0, 8.0], &[4.0, 5.0, 8.0]).unwrap();
            assert_eq!((figure.ours, figure.other, figure.value), expected);
            assert_eq!((figure.rounds, figure.spread), (3, 1.5 - 0.8));
        };
        check(Best::Least, (4.0, 4.0, 1.0));
        check(Best::Most, (8.0, 8.0, 1.0));
        assert!(Figure::new("x".into(), "ns", Best::Least, &[], &[]).is_none());
    }

    #[test]
    fn turns_are_judged_by_the_median_of_their_quotients() {
        let check = |ours: &[f64], other: &[f64], expected: Option<(f64, f64)>| {
            let figure = Figure::of_turns("x".into(), "ns", ours, other);
            assert_eq!(figure.map(|figure| (figure.value, figure.spread)), expected);
        };
        // Quotients 0.5, 1 and 9: one bad round is not what is told.
        check(&[1.0, 2.0, 9.0], &[2.0, 2.0, 1.0], Some((1.0, 8.5)));
        check(&[1.0, 3.0], &[1.0, 2.0], Some((1.25, 0.5)));
        check(&[], &[], None);
    }

    #[test]
    fn a_row_of_json_has_the_fields_it_is_documented_with() {
        let figures = [Figure::new("x".into(), "ns", Best::Least, &[1234.56], &[1000.0]).unwrap()];
        let expected =
            r#"{"figure":"x","value":1.235,"rounds":1,"spread":0.0,"ours":1235.0,"other":1000.0}"#;
        assert_eq!(as_json(&figures).unwrap().trim_end(), expected);
    }
}
