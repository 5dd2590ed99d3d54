//! `noonmark conform explain`.

use std::path::Path;

use noonmark_prober::report::Report;
use noonmark_prober::table::CLAUSES;
use noonmark_prober::{Clause, Finding, Level, Look, Side, Way, client, output, server};
use serde::Serialize;

use super::arguments::ExplainArguments;
use crate::Verdict;
use crate::output::{complain, deliver, write_json, write_text};

/// Prints what a clause asks and what a report has to show for it; without an id, all clauses in a line each.
#[must_use]
pub fn run(arguments: &ExplainArguments) -> Verdict {
    let Some(id) = &arguments.id else { return list(arguments.json) };
    let Some(clause) = Clause::find(id) else {
        complain(format_args!(
            "no clause has the id {id}; `noonmark conform explain` lists them all"
        ));
        return Verdict::Usage;
    };
    let report = match arguments.report.as_deref().map(read).transpose() {
        Ok(report) => report,
        Err(error) => {
            complain(error);
            return Verdict::Critical;
        }
    };
    let found = report.as_ref().and_then(|report| Some((report.side, report.finding(id)?)));
    if let (Some(report), None) = (&report, &found) {
        complain(format_args!("the report on {} has nothing on {}", report.target, clause.id));
    }
    let looks = looks(clause);
    let written = if arguments.json {
        write_json(&Explained::new(clause, &looks, found.map(|(_, finding)| finding)))
    } else {
        write_text(&output::explain(clause, &looks, found, arguments.controls))
    };
    deliver(Verdict::Good, written)
}

fn read(file: &Path) -> Result<Report, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("{shown} is no report of `noonmark conform --json`: {error}"))
}

/// What is done about a clause on each side it binds.
fn looks(clause: &Clause) -> Vec<(Side, Look)> {
    let of_servers = server::looks().into_iter().map(|look| (Side::Server, look));
    let of_clients = client::looks().into_iter().map(|look| (Side::Client, look));
    of_servers.chain(of_clients).filter(|(_, look)| look.id == clause.id).collect()
}

fn list(json: bool) -> Verdict {
    if json {
        let all: Vec<_> =
            CLAUSES.iter().map(|clause| Explained::new(clause, &looks(clause), None)).collect();
        return deliver(Verdict::Good, write_json(&all));
    }
    let line = |clause: &Clause| {
        format!("{:6}  {:9}  {:30}  {}\n", clause.id, clause.level.word(), clause.rfc, clause.text)
    };
    deliver(Verdict::Good, write_text(&CLAUSES.iter().map(line).collect::<String>()))
}

/// The same for programs.
#[derive(Serialize)]
struct Explained<'a> {
    id: &'static str,
    rfc: &'static str,
    level: Level,
    text: &'static str,
    looks: Vec<Looked>,
    finding: Option<&'a Finding>,
}

#[derive(Serialize)]
struct Looked {
    side: Side,
    way: &'static str,
    reason: &'static str,
    sent: &'static str,
    expected: &'static str,
}

impl<'a> Explained<'a> {
    fn new(clause: &'static Clause, looks: &[(Side, Look)], finding: Option<&'a Finding>) -> Self {
        let looks = looks.iter().map(|(side, look)| {
            let (way, reason) = match look.way {
                Way::Probed => ("probed", ""),
                Way::Deep => ("deep", ""),
                Way::Inside(test) => ("inside", test),
                Way::Review(why) => ("review", why),
            };
            Looked { side: *side, way, reason, sent: look.sent, expected: look.expected }
        });
        let Clause { id, level, rfc, text, .. } = *clause;
        Self { id, rfc, level, text, looks: looks.collect(), finding }
    }
}
