//! A report as people read it: a table, a page, and one clause explained octet by octet.

pub mod page;

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::clause::{Clause, Level, Look, Side, Way};
use crate::decode::{self, Context, Decoded, KeySet, Speaker};
use crate::evidence::{Carrier, Direction, Evidence, Passage};
use crate::report::{Finding, Report};
use crate::verdict::Verdict;

/// How a verdict is painted; the word stands there in any case.
pub type Painter = fn(Verdict, &str) -> String;

/// No paint at all.
#[must_use]
pub fn plain(_: Verdict, text: &str) -> String {
    text.to_owned()
}

/// All verdicts, a line each, and the counts.
#[must_use]
pub fn table(report: &Report, paint: Painter) -> String {
    let mut text = String::new();
    let heading = ["clause", "level", "verdict", "source", "what was seen"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading)
        .chain(report.clauses.iter().map(|finding| {
            let word = finding.verdict.word();
            let seen = finding.evidence.says.clone();
            [
                finding.id.clone(),
                finding.level.word().to_owned(),
                word.to_owned(),
                finding.rfc.clone(),
                seen,
            ]
        }))
        .collect();
    let widths: Vec<usize> = (0..4)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for (place, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate().take(4) {
            let pad = " ".repeat(widths[column] + 2 - cell.chars().count());
            let shown = match place.checked_sub(1).and_then(|place| report.clauses.get(place)) {
                Some(finding) if column == 2 => paint(finding.verdict, cell),
                _ => cell.clone(),
            };
            let _ = write!(text, "{shown}{pad}");
        }
        let _ = writeln!(text, "{}", row[4]);
    }
    let _ = write!(text, "\n{}", counts(report));
    text
}

/// How many clauses of each level got which verdict, and how many were not looked at.
#[must_use]
pub fn counts(report: &Report) -> String {
    let mut text = format!("{:12}", "");
    for verdict in Verdict::ALL {
        let _ = write!(text, "{:>16}", verdict.word());
    }
    let _ = writeln!(text, "{:>16}", "not probed");
    let mut line = |name: &str, of: &dyn Fn(Level) -> bool| {
        let _ = write!(text, "{name:12}");
        for verdict in Verdict::ALL {
            let count = report
                .clauses
                .iter()
                .filter(|finding| of(finding.level) && finding.verdict == verdict)
                .count();
            let _ = write!(text, "{count:>16}");
        }
        let unprobed = report.not_probed.iter().filter(|unprobed| of(unprobed.level)).count();
        let _ = writeln!(text, "{unprobed:>16}");
    };
    for level in Level::ALL {
        line(level.word(), &|found| found == level);
    }
    line("all", &|_| true);
    let _ = writeln!(
        text,
        "\n{} {} judged in {:.1} s",
        report.side.word(),
        report.target,
        report.took_s
    );
    text
}

/// What a clause asks, what the prober does about it, and, with a finding, all that passed for it.
#[must_use]
pub fn explain(
    clause: &Clause,
    looks: &[(Side, Look)],
    found: Option<(Side, &Finding)>,
    controls: bool,
) -> String {
    let mut text =
        format!("{}  {}  {}\n{}\n", clause.id, clause.level.word(), clause.rfc, clause.text);
    for (side, look) in looks {
        let side = side.word();
        let _ = match look.way {
            Way::Probed => writeln!(
                text,
                "\nof a {side}, in every run\n  sent      {}\n  expected  {}",
                look.sent, look.expected
            ),
            Way::Deep => writeln!(
                text,
                "\nof a {side}, with --deep\n  sent      {}\n  expected  {}",
                look.sent, look.expected
            ),
            Way::Inside(test) => writeln!(text, "\nof a {side}: not from outside; {test}"),
            Way::Review(why) => writeln!(text, "\nof a {side}: by review; {why}"),
        };
    }
    if looks.is_empty() {
        text.push_str("\nby review: it binds whoever configures a server or client, and does not show on the wire\n");
    }
    if let Some((side, finding)) = found {
        let _ = writeln!(text, "\n{}: {}", finding.verdict.word(), finding.evidence.says);
        for passage in passages(&finding.evidence, controls) {
            let decoded = decoded(side, passage, &finding.evidence);
            let _ = writeln!(text, "\n{}", headline(passage, &decoded));
            for line in decoded.lines() {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

/// What passed, with or without control requests and their answers; what passed between the same two ports stands together.
fn passages(evidence: &Evidence, controls: bool) -> Vec<&Passage> {
    let mut conversations: Vec<((SocketAddr, SocketAddr), Vec<&Passage>)> = Vec::new();
    for passage in &evidence.passages {
        // An answer from elsewhere belongs to the port that heard it.
        let ends = (passage.here, passage.there);
        let known = conversations.iter_mut().rev().find(|(others, _)| match passage.direction {
            Direction::Sent => *others == ends,
            Direction::Received => others.0 == ends.0,
        });
        match known {
            Some((_, passages)) => passages.push(passage),
            None => conversations.push((ends, vec![passage])),
        }
    }
    let is_control = |passages: &[&Passage]| {
        passages.first().is_some_and(|passage| passage.meaning.starts_with("control"))
    };
    conversations.retain(|(_, passages)| controls || !is_control(passages));
    conversations.into_iter().flat_map(|(_, passages)| passages).collect()
}

/// When, which way, from where to where, and what it is.
fn headline(passage: &Passage, decoded: &Decoded) -> String {
    let (way, arrow) = match passage.direction {
        Direction::Sent => ("sent", "to"),
        Direction::Received => ("received", "from"),
    };
    let meaning =
        if passage.meaning.is_empty() { String::new() } else { format!(" ({})", passage.meaning) };
    let second = passage.at_us % 86_400_000_000;
    let (hour, minute, micros) =
        (second / 3_600_000_000, second / 60_000_000 % 60, second % 60_000_000);
    format!(
        "{hour:02}:{minute:02}:{:02}.{:06}Z {way}{meaning} {arrow} {}: {}",
        micros / 1_000_000,
        micros % 1_000_000,
        passage.there,
        decoded.summary
    )
}

fn decoded(side: Side, passage: &Passage, evidence: &Evidence) -> Decoded {
    let keys: Vec<KeySet> =
        evidence.keys.iter().filter_map(|keys| KeySet::try_from(keys).ok()).collect();
    let near_s = i64::try_from(passage.at_us / 1_000_000).unwrap_or(0);
    match passage.carrier {
        Carrier::Ntp => decode::datagram(&passage.octets, Context { keys: &keys, near_s }),
        Carrier::Ke => {
            // The prober stands on the other side of whom it judges.
            let is_client = (side == Side::Server) == (passage.direction == Direction::Sent);
            let speaker = if is_client { Speaker::Client } else { Speaker::Server };
            decode::message(&passage.octets, speaker)
        }
        Carrier::Tls => Decoded {
            summary: "octets of TLS".to_owned(),
            length: passage.octets.len(),
            parts: Vec::new(),
            remarks: Vec::new(),
        },
    }
}
