//! Asks a server, gently, and judges its answers clause by clause.
//!
//! [`Target`] is who is asked, [`Manner`] how; [`run`] asks. Each clause has a [`Probe`] in one of the modules of [`probes`], which works with a
//! [`Bench`]; what no run from outside can show stands in [`unprobed`].

pub mod answer;
pub mod bench;
pub mod establishment;
pub mod hello;
pub mod judgement;
pub mod pace;
pub mod probes;
pub mod session;
pub mod talk;
pub mod target;
pub mod unprobed;

use std::time::{Duration, Instant, SystemTime};

use crate::clause::{Clause, Look, Side, Way};
use crate::evidence::{Evidence, Passage};
use crate::report::{Finding, Report, Unprobed};
use crate::table::CLAUSES;
use crate::verdict::Verdict;

pub use bench::{Bench, Manner};
pub use judgement::{Judgement, Objection};
pub use target::{Target, TargetError};

use bench::Paces;
use pace::Pace;

/// What a probe needs of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Needs {
    /// Answers to plain NTP.
    Plain,
    /// Key establishment.
    Ke,
    /// Both, and NTS with what was established.
    Nts,
}

/// When a probe is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// In the order of the table.
    Usual,
    /// Behind the others and beside other slow ones: it waits long, and a server may serve nobody else meanwhile.
    Slow,
    /// At the very end: it looks at all that was answered before.
    Last,
}

/// One clause, and the questions that show whether a server keeps it.
#[derive(Clone, Copy)]
pub struct Probe {
    /// The clause, what is sent and what is expected.
    pub look: Look,
    /// What it needs.
    pub needs: Needs,
    /// When it is made.
    pub turn: Turn,
    /// Asks and judges.
    pub run: fn(&mut Bench<'_>) -> Judgement,
}

/// The outcome of a run, and what went over the wire for it.
#[derive(Debug)]
pub struct Outcome {
    /// The verdicts.
    pub report: Report,
    /// All datagrams, and the octets of all TLS connections, in the order of time.
    pub wire: Vec<Passage>,
}

/// What is done about each clause that binds servers, in no order.
#[must_use]
pub fn looks() -> Vec<Look> {
    let probed = probes::all().into_iter().map(|probe| probe.look);
    probed.chain(unprobed::LOOKS.iter().copied()).collect()
}

/// Asks all that the manner allows, or only the clauses named, and tells of each verdict as it is found.
#[must_use]
pub fn run(
    target: &Target,
    manner: Manner,
    only: &[String],
    mut tell: impl FnMut(&Finding),
) -> Outcome {
    let began = Instant::now();
    let began_s =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let paces = Paces { ntp: Pace::per_second(manner.rate), ke: Pace::per_second(manner.ke_rate) };
    let mut target = target.clone();
    let reach = reach(&mut target, manner, &paces);
    let (now, later) = wanted(manner, only);
    let mut wire = Vec::new();
    let mut found: Vec<Finding> = Vec::new();
    let limit = if manner.deep { Duration::from_secs(900) } else { Duration::from_secs(110) };

    let mut bench = Bench::new(&target, manner, &paces);
    for probe in now.iter().filter(|probe| probe.turn == Turn::Usual) {
        let finding = judge(probe, &mut bench, &reach, began + limit);
        tell(&finding);
        wire.extend(finding.evidence.passages.iter().cloned());
        found.push(finding);
    }
    let slow: Vec<&Probe> = now.iter().filter(|probe| probe.turn == Turn::Slow).collect();
    let slow = std::thread::scope(|threads| {
        let (target, paces, reach) = (&target, &paces, &reach);
        let running: Vec<_> = slow
            .into_iter()
            .map(|probe| {
                threads.spawn(move || {
                    // A server that serves one after the other lets each of these wait for the others.
                    let manner = Manner { patience: manner.patience * 4, ..manner };
                    let mut bench = Bench::new(target, manner, paces);
                    let finding = judge(probe, &mut bench, reach, began + limit);
                    (finding, bench.wire)
                })
            })
            .collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    for (finding, its_wire) in slow {
        tell(&finding);
        wire.extend(finding.evidence.passages.iter().cloned());
        wire.extend(its_wire);
        found.push(finding);
    }
    for probe in now.iter().filter(|probe| probe.turn == Turn::Last) {
        let finding = judge(probe, &mut bench, &reach, began + limit);
        tell(&finding);
        found.push(finding);
    }
    wire.append(&mut bench.wire);
    wire.retain(|passage| passage.carrier != crate::Carrier::Ke);
    wire.sort_by_key(|passage| passage.at_us);
    found.sort_by_key(|finding| CLAUSES.iter().position(|clause| clause.id == finding.id));
    let report = Report {
        format: 1,
        prober: env!("CARGO_PKG_VERSION").to_owned(),
        side: Side::Server,
        target: target.name.clone(),
        began_s,
        took_s: (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        clauses: found,
        not_probed: not_probed(only, &later),
    };
    Outcome { report, wire }
}

/// Why a kind of probe cannot be made at all.
#[derive(Debug, Default)]
struct Reach {
    plain: Option<Objection>,
    ke: Option<Objection>,
}

/// Whether anybody is there: a question or two, so that a run against nobody ends at once.
fn reach(target: &mut Target, manner: Manner, paces: &Paces) -> Reach {
    let mut reach = Reach::default();
    let demanded = target.ke.as_ref().is_some_and(|ke| ke.demanded);
    let mut bench = Bench::new(target, manner, paces);
    reach.plain = bench
        .control()
        .err()
        .map(|_| Objection::unclear(format!("plain NTP is not answered at {}", bench.target.ntp)));
    let ke = bench.connect().map(drop);
    if let Err(objection) = ke {
        reach.ke = Some(if demanded {
            objection
        } else {
            Objection::unbound(format!("no key establishment server: {}", objection.says))
        });
    } else if let Err(objection) = bench.ke_control() {
        reach.ke = Some(objection);
    }
    reach
}

fn judge(probe: &Probe, bench: &mut Bench<'_>, reach: &Reach, until: Instant) -> Finding {
    let unmet = match probe.needs {
        Needs::Plain => reach.plain.clone(),
        Needs::Ke => reach.ke.clone(),
        Needs::Nts => reach.ke.clone().or_else(|| reach.plain.clone()),
    };
    let judgement = match unmet {
        Some(objection) => Err(objection),
        None if Instant::now() > until => Err(Objection::unclear("the time of this run was over")),
        None => (probe.run)(bench),
    };
    let (verdict, says) = match judgement {
        Ok(says) => (Verdict::Pass, says),
        Err(Objection { verdict, says }) => (verdict, says),
    };
    finding(probe.look.id, verdict, bench.evidence(says))
}

fn finding(id: &str, verdict: Verdict, evidence: Evidence) -> Finding {
    let clause = Clause::find(id).expect("every probe has its clause");
    Finding {
        id: clause.id.to_owned(),
        rfc: clause.rfc.to_owned(),
        level: clause.level,
        verdict,
        evidence,
    }
}

/// The probes to make in the order of the table, and those that this manner leaves out.
fn wanted(manner: Manner, only: &[String]) -> (Vec<Probe>, Vec<Probe>) {
    let named = |probe: &Probe| {
        only.is_empty() || only.iter().any(|id| id.eq_ignore_ascii_case(probe.look.id))
    };
    let mut probes = probes::all();
    probes.retain(named);
    probes.sort_by_key(|probe| CLAUSES.iter().position(|clause| clause.id == probe.look.id));
    probes.into_iter().partition(|probe| manner.deep || probe.look.way == Way::Probed)
}

fn not_probed(only: &[String], later: &[Probe]) -> Vec<Unprobed> {
    if !only.is_empty() {
        return Vec::new();
    }
    let deep = later.iter().map(|probe| (probe.look.id, "deep: asked with --deep only".to_owned()));
    let others = unprobed::LOOKS.iter().map(|look| {
        let why = match look.way {
            Way::Inside(where_) => format!("inside: {where_}"),
            Way::Review(why) => format!("review: {why}"),
            Way::Probed | Way::Deep => String::new(),
        };
        (look.id, why)
    });
    let mut all: Vec<Unprobed> = deep
        .chain(others)
        .filter_map(|(id, why)| {
            let clause = Clause::find(id)?;
            Some(Unprobed {
                id: id.to_owned(),
                rfc: clause.rfc.to_owned(),
                level: clause.level,
                why,
            })
        })
        .collect();
    all.sort_by_key(|unprobed| CLAUSES.iter().position(|clause| clause.id == unprobed.id));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clause_that_binds_servers_is_looked_at_in_one_way() {
        let looks = looks();
        for clause in CLAUSES {
            let count = looks.iter().filter(|look| look.id == clause.id).count();
            let bound = usize::from(clause.target.binds(Side::Server));
            assert_eq!(count, bound, "{}", clause.id);
        }
        assert!(looks.iter().all(|look| Clause::find(look.id).is_some()));
    }

    #[test]
    fn what_is_probed_says_what_is_sent_and_expected() {
        for look in looks() {
            let probed = matches!(look.way, Way::Probed | Way::Deep);
            assert_eq!(probed, !look.sent.is_empty() && !look.expected.is_empty(), "{}", look.id);
        }
    }
}
