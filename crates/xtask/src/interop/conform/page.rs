//! `docs/conformance.md`: clause by implementation, and in words what is not kept.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use super::Report;
use crate::child;

const VERDICTS: [&str; 5] = ["pass", "deviates", "not-applicable", "inconclusive", "fail"];

/// The page.
///
/// # Errors
/// When no report is there, or the date cannot be told.
pub fn page(reports: &[(&str, Report)], versions: &[String]) -> Result<String, String> {
    let (_, first) = reports.first().ok_or("no report")?;
    let mut text = format!(
        "# Conformance\n\n\
         What the [prober](conformance-prober.md) found of four servers on {}: noonmarkd {} and {}. This page is made by\n\
         `cargo xtask conform`, which asks each of them in network namespaces of its own, configured as `cargo xtask test --only interop` configures it: stratum 1\n\
         from the machine's own clock, NTS, no limit on requests. A verdict may be about such a configuration and not about the program, as chronyd's reference id\n\
         of a clock that is nobody's is. The sentences are the prober's; `noonmark conform explain ID` says what was sent.\n\n",
        date(first.began_s)?,
        env!("CARGO_PKG_VERSION"),
        versions.join(", "),
    );
    text.push_str("## Counts\n\n| server | ");
    text.push_str(&VERDICTS.join(" | "));
    text.push_str(" | seconds |\n|---|---|---|---|---|---|---|\n");
    for (name, report) in reports {
        let counts = VERDICTS.map(|verdict| report.count(verdict).to_string());
        let _ = writeln!(text, "| {name} | {} | {:.0} |", counts.join(" | "), report.took_s);
    }
    text.push_str("\n## Clause by server\n\n| clause | level | source |");
    reports.iter().for_each(|(name, _)| {
        let _ = write!(text, " {name} |");
    });
    let _ = writeln!(text, "\n|---|---|---|{}", "---|".repeat(reports.len()));
    for finding in &first.clauses {
        let _ = write!(text, "| {} | {} | {} |", finding.id, finding.level, finding.rfc);
        for (_, report) in reports {
            let verdict = report.finding(&finding.id).map_or("", |finding| &finding.verdict);
            let _ = write!(text, " {} |", if verdict == "fail" { "**fail**" } else { verdict });
        }
        text.push('\n');
    }
    text.push_str("\n## What is not kept, in words\n");
    for (name, report) in reports {
        let _ = writeln!(text, "\n### {name}\n");
        for finding in &report.clauses {
            if matches!(&finding.verdict[..], "fail" | "deviates" | "inconclusive") {
                let says = finding.evidence.says.replace('|', "\\|").replace('`', "'");
                let _ = writeln!(
                    text,
                    "- {} ({}), {}: {says}",
                    finding.id, finding.level, finding.verdict
                );
            }
        }
    }
    text.push_str("\n## What no run from outside judges\n\n| clause | why |\n|---|---|\n");
    for unprobed in &first.not_probed {
        let _ = writeln!(text, "| {} | {} |", unprobed.id, unprobed.why);
    }
    Ok(text)
}

/// The day of this second since 1970, as `2026-11-22`.
fn date(second: u64) -> Result<String, String> {
    let mut date = Command::new("date");
    date.args(["-u", "+%F", "-d", &format!("@{second}")]);
    Ok(child::output(Duration::from_secs(10), &date)?.trim().to_owned())
}
