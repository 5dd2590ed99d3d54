//! A report as one page of HTML that needs nothing else.

use std::fmt::Write as _;

use super::{counts, decoded, headline, passages};
use crate::clause::{Clause, Look};
use crate::report::{Finding, Report};
use crate::verdict::Verdict;

/// The page: the counts, then each clause with what was sent and received, decoded.
#[must_use]
pub fn page(report: &Report, looks: &[Look]) -> String {
    let target = escaped(&report.target);
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Conformance of {target}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>Conformance of {} {target}</h1>\n<pre>{}</pre>\n",
        report.side.word(),
        escaped(&counts(report))
    );
    text.push_str("<table>\n<tr><th>clause<th>level<th>verdict<th>source<th>what is required, and what was seen</tr>\n");
    for finding in &report.clauses {
        row(&mut text, report, finding, looks);
    }
    text.push_str(
        "</table>\n<h2>Not probed</h2>\n<table>\n<tr><th>clause<th>level<th>source<th>why</tr>\n",
    );
    for unprobed in &report.not_probed {
        let _ = writeln!(
            text,
            "<tr><td>{}<td>{}<td>{}<td>{}</tr>",
            escaped(&unprobed.id),
            unprobed.level.word(),
            escaped(&unprobed.rfc),
            escaped(&unprobed.why)
        );
    }
    text.push_str("</table>\n</body>\n</html>\n");
    text
}

fn row(text: &mut String, report: &Report, finding: &Finding, looks: &[Look]) {
    let required = Clause::find(&finding.id).map_or("", |clause| clause.text);
    let look = looks.iter().find(|look| look.id == finding.id);
    let word = finding.verdict.word();
    let _ = write!(
        text,
        "<tr class=\"{word}\" id=\"{id}\"><td>{id}<td>{}<td>{} {word}<td>{}<td>{}<br><b>{}</b>",
        finding.level.word(),
        sign(finding.verdict),
        escaped(&finding.rfc),
        escaped(required),
        escaped(&finding.evidence.says),
        id = escaped(&finding.id),
    );
    let count = finding.evidence.passages.len();
    if count > 0 {
        let _ = write!(text, "<details><summary>{count} sent and received</summary>");
        if let Some(look) = look {
            let _ = write!(
                text,
                "<p>Sent: {}. Expected: {}.</p>",
                escaped(look.sent),
                escaped(look.expected)
            );
        }
        for passage in passages(&finding.evidence, true) {
            let decoded = decoded(report.side, passage, &finding.evidence);
            let lines = decoded.lines().join("\n");
            let _ = write!(
                text,
                "<h4>{}</h4><pre>{}</pre>",
                escaped(&headline(passage, &decoded)),
                escaped(&lines)
            );
        }
        text.push_str("</details>");
    }
    text.push_str("</tr>\n");
}

/// A sign that says the same as the colour.
fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::NotApplicable => "–",
        Verdict::Deviates => "≈",
        Verdict::Inconclusive => "?",
        Verdict::Fail => "✗",
    }
}

/// Text that HTML shows as it is; a server says some of it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(letter),
        }
    }
    out
}

const STYLE: &str = "\
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: 0.3em 0.8em; border-bottom: 1px solid #ccc; }
pre { font-size: 0.85em; overflow-x: auto; }
tr.pass > td:nth-child(3) { color: #060; }
tr.fail > td:nth-child(3) { color: #b00; font-weight: bold; }
tr.inconclusive > td:nth-child(3), tr.deviates > td:nth-child(3) { color: #850; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_stays_text() {
        assert_eq!(escaped("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
