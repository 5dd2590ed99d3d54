//! Stage `conform`: the prober asks our server and other people's, each in namespaces of its own, and every verdict on ours has to be good.
//!
//! `cargo xtask conform` does the same and writes `docs/conformance.md`, clause by implementation.

mod page;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::authority::Authority;
use super::cells::{Cell, Figures, Miss};
use super::lab::{Family, Lab, Place};
use super::server::{Kind, Server};
use super::variant::Variant;
use super::{furnish, record, run_cells};
use crate::apt::Consent;
use crate::child::transplant;
use crate::netns;
use crate::peers::Peers;
use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::Metadata;

/// Whom the prober asks.
const KINDS: [Kind; 4] = [Kind::Noonmarkd, Kind::Chrony, Kind::Ntpsec, Kind::NtpdRs];

/// What is known of these versions from their sources and from other measurements, and has to be seen again: a judge that overlooks
/// it would overlook more. The verdict is anything but a pass.
const KNOWN: &[(Kind, &[&str])] = &[
    // Fields behind the authenticator drop the packet; AEAD 30 exports as 15; modes 1 and, in version 1, 0 are answered; both of two
    // identifiers come back.
    (Kind::Chrony, &["NS-13", "KX-05", "WS-13", "WS-14", "EF-17"]),
    // No NTSN; fields on plain requests are dropped; nothing encrypted in requests; nonces of 16 octets only; identifiers up to 64; more
    // than eight cookies; an answer without identifier.
    (Kind::Ntpsec, &["NS-14", "EF-10", "NS-09", "NS-11", "NS-13", "NS-01", "NS-30", "NS-20"]),
    // NTSN with leap 0; MACs nobody can check and other tails are passed over; an answer without identifier.
    (Kind::NtpdRs, &["NS-16", "WS-19", "EF-07", "NS-20"]),
];

/// A report of the prober, as far as it is read here.
#[derive(Debug, Deserialize)]
struct Report {
    began_s: u64,
    took_s: f64,
    clauses: Vec<Finding>,
    not_probed: Vec<Unprobed>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    rfc: String,
    level: String,
    verdict: String,
    evidence: Evidence,
}

#[derive(Debug, Deserialize)]
struct Evidence {
    says: String,
}

#[derive(Debug, Deserialize)]
struct Unprobed {
    id: String,
    why: String,
}

impl Report {
    fn count(&self, verdict: &str) -> usize {
        self.clauses.iter().filter(|finding| finding.verdict == verdict).count()
    }

    fn finding(&self, id: &str) -> Option<&Finding> {
        self.clauses.iter().find(|finding| finding.id == id)
    }
}

/// Asks every server.
pub fn run(wish: &Wish) -> Tally {
    match ask_all(wish) {
        Ok((tally, _)) => tally,
        Err(reason) => {
            let mut tally = Tally::default();
            for kind in KINDS {
                tally.record_not_run(&name(kind), &reason);
            }
            tally
        }
    }
}

/// Asks every server and writes the document.
///
/// # Errors
/// A sentence, when a server could not be asked or the document cannot be written.
pub fn write() -> Result<ExitCode, String> {
    let wish = Wish { consent: Consent { given: false }, long: false, cell: None };
    let (tally, peers) = ask_all(&wish)?;
    let target = Metadata::read()?.target_directory;
    let mut reports = Vec::new();
    for kind in KINDS {
        reports.push((kind.label(), Report::read(&file(&target, kind))?));
    }
    let path = crate::workspace::root().join("docs/conformance.md");
    std::fs::write(&path, page::page(&reports, &peers.versions())?)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{} is written", path.display());
    Ok(if tally.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ask_all(wish: &Wish) -> Result<(Tally, Peers), String> {
    let target = Metadata::read()?.target_directory;
    let peers = Peers::prepare(&target, wish.consent)?;
    println!("peers: {}", peers.versions().join(", "));
    netns::sweep();
    let folder = target.join("conform");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let is_chosen =
        |cell: &Cell| wish.cell.as_ref().is_none_or(|text| cell.name.contains(text.as_str()));
    let cells: Vec<Cell> =
        KINDS.into_iter().map(|kind| cell(&target, kind)).filter(is_chosen).collect();
    let lab = furnish(Variant::AsBuilt, &target, &peers, wish)?;
    let mut tally = Tally::default();
    for row in run_cells(&lab, cells) {
        record(&mut tally, row);
    }
    Ok((tally, peers))
}

fn name(kind: Kind) -> String {
    format!("prober asks {}", kind.label())
}

/// Where the report on a server is left.
fn file(target: &Path, kind: Kind) -> PathBuf {
    target.join("conform").join(format!("{}.json", kind.label()))
}

fn cell(target: &Path, kind: Kind) -> Cell {
    let file = file(target, kind);
    Cell { name: name(kind), run: Box::new(move |lab, place| ask(lab, place, kind, &file)) }
}

/// A run is over in a minute; a busy machine takes longer.
const LIMIT: Duration = Duration::from_secs(150);

fn ask(lab: &Lab, place: &Place, kind: Kind, file: &Path) -> Result<Figures, Miss> {
    let _server = Server::start(kind, lab, place, &[])?;
    let mut prober = lab.program_with_names("noonmark");
    prober.args(["conform", "server", Family::V4.server_name(), "--json"]);
    prober.arg("--ca").arg(place.path(Authority::CA));
    // The exit status says how good the server is, which is judged here.
    let mut saved = Command::new("sh");
    saved.args(["-c", "out=$0; \"$@\" > \"$out\" || test $? -lt 4"]).arg(file);
    transplant(&prober, &mut saved);
    place.pair.client.output(LIMIT, &saved)?;
    let report = Report::read(file)?;
    judge(kind, &report)?;
    let figures = ["pass", "deviates", "not-applicable", "inconclusive", "fail"]
        .map(|verdict| (verdict.to_owned(), json!(report.count(verdict))));
    Ok(figures.into_iter().chain([("seconds".to_owned(), json!(report.took_s))]).collect())
}

impl Report {
    fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"))
    }
}

/// Ours keeps what binds it and leaves nothing open; of the others, what is known is found.
fn judge(kind: Kind, report: &Report) -> Result<(), String> {
    let with = |verdict: &str| {
        let found = report.clauses.iter().filter(|finding| finding.verdict == verdict);
        found
            .map(|finding| format!("{}: {}", finding.id, finding.evidence.says))
            .collect::<Vec<_>>()
    };
    if report.count("pass") < 50 {
        return Err(format!("only {} clauses pass", report.count("pass")));
    }
    if kind == Kind::Noonmarkd {
        let wrong = [with("fail"), with("inconclusive")].concat();
        return if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) };
    }
    let known = KNOWN.iter().find(|(of, _)| *of == kind).map_or(&[][..], |(_, ids)| ids);
    let overlooked: Vec<&str> = known
        .iter()
        .copied()
        .filter(|id| {
            let verdict = report.finding(id).map(|finding| &finding.verdict[..]);
            !matches!(verdict, Some("fail" | "deviates"))
        })
        .collect();
    if overlooked.is_empty() {
        Ok(())
    } else {
        Err(format!("known, and not found: {}", overlooked.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[(&str, &str)]) -> Report {
        let finding = |id: &str, verdict: &str| Finding {
            id: id.to_owned(),
            rfc: "RFC 8915 §4".to_owned(),
            level: "MUST".to_owned(),
            verdict: verdict.to_owned(),
            evidence: Evidence { says: "seen".to_owned() },
        };
        let mut clauses: Vec<Finding> =
            (0..60).map(|number| finding(&format!("XX-{number}"), "pass")).collect();
        clauses.extend(verdicts.iter().map(|(id, verdict)| finding(id, verdict)));
        Report { began_s: 0, took_s: 1.0, clauses, not_probed: Vec::new() }
    }

    #[test]
    fn ours_may_fail_nothing_and_others_must_show_what_is_known() {
        let check = |kind: Kind, verdicts: &[(&str, &str)], good: bool| {
            assert_eq!(judge(kind, &report(verdicts)).is_ok(), good, "{kind:?} {verdicts:?}");
        };
        check(Kind::Noonmarkd, &[("NS-14", "deviates"), ("IL-03", "not-applicable")], true);
        check(Kind::Noonmarkd, &[("NS-14", "fail")], false);
        check(Kind::Noonmarkd, &[("NS-14", "inconclusive")], false);
        let known = [("NS-16", "deviates"), ("WS-19", "fail"), ("EF-07", "deviates")];
        check(Kind::NtpdRs, &[&known[..], &[("NS-20", "deviates")]].concat(), true);
        check(Kind::NtpdRs, &[&known[..], &[("NS-20", "pass")]].concat(), false);
        check(Kind::NtpdRs, &known, false);
    }
}
