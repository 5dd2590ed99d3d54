//! Results as people read them: rows while they come, what was missed, tables and drawings for `docs/`.

use std::fmt::Write;
use std::path::Path;

use super::figures::{bootstrap_of_median, median};
use super::svg::Drawing;
use super::trial::{Result as TrialResult, Summary, Trial, in_parallel};

/// The heading over what [`line()`] makes.
pub const HEADING: &str = "scenario   variant        rms      p90  chronyd      p90  ratio  95 % of cases  < 1 ms, s  chronyd      max  packets  chronyd  outside  half-width";

/// One row, aligned under [`HEADING`].
#[must_use]
pub fn line(result: &TrialResult) -> String {
    let row = result.row();
    let interval = result.ratio_interval();
    let marks = [
        (result.ratio().is_some_and(|ratio| ratio > MOST_RATIO), " RMS"),
        (result.syncs_later(), " LATE"),
        (result.exceeds_packets(), " PACKETS"),
        (row.outside_interval > 0, " OUTSIDE"),
    ];
    let marks: String = marks.iter().filter(|(on, _)| *on).map(|(_, mark)| *mark).collect();
    format!(
        "{:<10} {:<10} {:>8} {:>8} {:>8} {:>8} {:>6} {:>14} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8} {:>11}{marks}",
        row.id,
        row.variant,
        seconds(Some(row.rms)),
        seconds(row.rms_p90),
        seconds(row.rms_chronyd),
        seconds(result.chronyd.p90("rms")),
        row.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
        interval.map_or("-".into(), |(low, high)| format!("{low:.2} to {high:.2}")),
        whole(row.sync_1ms),
        if result.chronyd.has("sync_1ms") {
            whole(result.chronyd.median("sync_1ms"))
        } else {
            "-".into()
        },
        seconds(Some(row.max)),
        row.packets,
        result.chronyd.median("packets").map_or("-".into(), |packets| packets.to_string()),
        row.outside_interval,
        seconds(Some(median(&result.each(|run| run.half_width)))),
    )
}

/// What all rows together come to, and which of them miss what.
#[must_use]
pub fn closing(results: &[TrialResult]) -> String {
    let mut text = String::new();
    let summary = Summary::of(results);
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    let _ = writeln!(
        text,
        "\ngeometric mean of the ratios, each at least 0.3: {}",
        number(summary.geomean_ratio)
    );
    let _ = writeln!(text, "largest ratio: {}", number(summary.worst_ratio));
    let ordinary: Vec<f64> = results
        .iter()
        .filter(|result| is_ordinary(&result.id))
        .filter_map(TrialResult::ratio)
        .collect();
    if !ordinary.is_empty() {
        let _ = writeln!(
            text,
            "median ratio of scenarios a to g, k, n and o: {:.3}",
            median(&ordinary)
        );
    }
    for result in results.iter().filter(|result| result.has_event) {
        let (middle, late) = result.middle_and_late(|run| run.resync_1ms);
        let _ = writeln!(
            text,
            "{}/{}: under 1 ms for good {} s after the event (p90 {})",
            result.id,
            result.variant,
            whole(middle),
            whole(late)
        );
    }
    let mut misses = |what: &str, missed: &dyn Fn(&TrialResult) -> bool| {
        let rows: Vec<String> = results
            .iter()
            .filter(|result| missed(result))
            .map(|result| format!("{}/{}", result.id, result.variant))
            .collect();
        let rows = if rows.is_empty() { "none".to_owned() } else { rows.join(", ") };
        let _ = writeln!(text, "{what}: {rows}");
    };
    misses("ratio above 1.05", &|result| result.ratio().is_some_and(|ratio| ratio > MOST_RATIO));
    misses("later than chronyd under 1 ms", &TrialResult::syncs_later);
    misses("more packets than chronyd", &TrialResult::exceeds_packets);
    misses("true time outside the published interval", &|result| {
        result.outcomes.iter().any(|run| run.outside > 0)
    });
    text
}

/// Writes the table into a document, between its two marks.
///
/// # Errors
/// What the file system says, or that the marks are not there.
pub fn write_markdown(path: &Path, results: &[TrialResult]) -> Result<(), String> {
    let complain = |what: String| format!("{}: {what}", path.display());
    let before = std::fs::read_to_string(path).map_err(|e| complain(e.to_string()))?;
    let (head, rest) =
        before.split_once(BEGIN).ok_or_else(|| complain(format!("lacks {BEGIN}")))?;
    let (_, tail) = rest.split_once(END).ok_or_else(|| complain(format!("lacks {END}")))?;
    let text = format!("{head}{BEGIN}\n\n{}\n{END}{tail}", table(results));
    std::fs::write(path, text).map_err(|e| complain(e.to_string()))
}

/// Draws the first seed of each scenario, one line for each variant, into `folder`.
///
/// # Errors
/// What the file system says.
pub fn draw(folder: &Path, trials: &[Trial<'_>]) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut ids: Vec<&str> = trials.iter().map(|trial| trial.scenario.id.as_str()).collect();
    ids.dedup();
    let drawings = in_parallel(ids.len(), |number| {
        let id = ids.get(number).copied().unwrap_or_default();
        let of_it: Vec<&Trial<'_>> =
            trials.iter().filter(|trial| trial.scenario.id == id).collect();
        let title = of_it.first().map_or("", |trial| trial.scenario.title.as_str());
        let mut drawing = Drawing::new(format!("{id}: {title}"));
        for trial in of_it {
            let theirs = trial.scenario.chronyd.get(trial.name).and_then(|f| f.median("rms"));
            drawing.add(trial.name, &trial.record(0).offsets, theirs);
        }
        (id.to_owned(), drawing.write())
    });
    for (id, text) in drawings {
        let path = folder.join(format!("{id}.svg"));
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// The table of `docs/accuracy.md`, with what all rows come to.
fn table(results: &[TrialResult]) -> String {
    let mut text = String::from(
        "| scenario | variant | RMS (p90) | chronyd (p90) | ratio, 95 % of cases | stays < 1 ms from, s | chronyd | largest | chronyd | packets | chronyd | seconds outside |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for result in results {
        let row = result.row();
        let (low, high) = result.ratio_interval().unwrap_or((f64::NAN, f64::NAN));
        let _ = writeln!(
            text,
            "| {} | {} | {} ({}) | {} ({}) | {}, {low:.2} to {high:.2} | {} | {} | {} | {} | {} | {} | {} |",
            row.id,
            row.variant,
            seconds(Some(row.rms)),
            seconds(row.rms_p90),
            seconds(row.rms_chronyd),
            seconds(result.chronyd.p90("rms")),
            row.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
            whole(row.sync_1ms),
            whole(result.chronyd.median("sync_1ms")),
            seconds(Some(row.max)),
            seconds(result.chronyd.median("max")),
            row.packets,
            result.chronyd.median("packets").unwrap_or(f64::NAN),
            row.outside_interval,
        );
    }
    let lines = closing(results);
    for line in lines.trim().lines() {
        let _ = write!(text, "\n- {line}");
    }
    text.push('\n');
    let seeds = results.iter().map(|result| result.outcomes.len()).max().unwrap_or(0);
    let pairs: Vec<f64> = results.iter().filter_map(TrialResult::ratio).collect();
    let (low, high) = bootstrap_of_median(&pairs);
    let _ = writeln!(
        text,
        "- median of all {} ratios: {:.3}, and {low:.3} to {high:.3} if other such scenarios had been chosen; {seeds} seeds each",
        pairs.len(),
        median(&pairs)
    );
    text
}

/// Scenarios in which nothing goes wrong but noise, loss and liars.
fn is_ordinary(id: &str) -> bool {
    id.starts_with(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'k', 'n', 'o'])
}

/// A length of time with three digits and its unit.
fn seconds(value: Option<f64>) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else { return "-".into() };
    let (scaled, unit) = match value.abs() {
        big if big >= 1.0 => (value, "s"),
        big if big >= 1e-3 => (value * 1e3, "ms"),
        big if big >= 1e-6 => (value * 1e6, "µs"),
        _ => (value * 1e9, "ns"),
    };
    let places = match scaled.abs() {
        big if big >= 99.95 => 0,
        big if big >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.places$} {unit}")
}

fn whole(value: Option<f64>) -> String {
    value.map_or("never".into(), |value| format!("{value:.0}"))
}

/// What is above this is worse than chronyd, chance apart.
const MOST_RATIO: f64 = 1.05;
const BEGIN: &str = "<!-- figures: cargo xtask bench accuracy --write -->";
const END: &str = "<!-- end of figures -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_three_digits_and_a_unit() {
        let check = |value: f64, text: &str| assert_eq!(seconds(Some(value)), text);
        check(1.234e-8, "12.3 ns");
        check(2.4e-5, "24.0 µs");
        check(6.9e-4, "690 µs");
        check(1.0e-3, "1.00 ms");
        check(21.63, "21.6 s");
        check(f64::NAN, "-");
    }
}
