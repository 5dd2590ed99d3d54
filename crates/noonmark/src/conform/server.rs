//! `noonmark conform server`.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use noonmark_prober::output::{page, table};
use noonmark_prober::server::{self, Manner, Target, target};
use noonmark_prober::{Clause, pcap};

use super::arguments::ServerArguments;
use super::{painter, verdict_of, write_file};
use crate::Verdict;
use crate::output::{complain, deliver, write_json, write_text};

/// Asks the server, prints the verdicts and writes the files asked for.
#[must_use]
pub fn run(arguments: &ServerArguments) -> Verdict {
    if let Some(unknown) = arguments.only.iter().find(|id| Clause::find(id).is_none()) {
        complain(format_args!(
            "no clause has the id {unknown}; `noonmark conform explain` lists them all"
        ));
        return Verdict::Usage;
    }
    let target = target::roots(arguments.ca.as_deref()).and_then(|roots| {
        Target::new(&arguments.host, arguments.ke.as_deref(), roots, arguments.allowed)
    });
    let target = match target {
        Ok(target) => target,
        Err(error) => {
            complain(error);
            return Verdict::Usage;
        }
    };
    let manner = Manner {
        deep: arguments.deep,
        rate: arguments.rate,
        ke_rate: (arguments.rate / 2.5).max(1.0),
        patience: Duration::from_secs(1),
    };
    let mut progress = Progress::new();
    let outcome =
        server::run(&target, manner, &arguments.only, |finding| progress.tell(&finding.id));
    progress.clear();

    let report = outcome.report;
    let mut verdict = verdict_of(&report);
    if let Some(file) = &arguments.pcap {
        verdict = write_file(file, &pcap::recording(&outcome.wire), verdict);
    }
    if let Some(file) = &arguments.html {
        verdict = write_file(file, page::page(&report, &server::looks()).as_bytes(), verdict);
    }
    let written =
        if arguments.json { write_json(&report) } else { write_text(&table(&report, painter())) };
    deliver(verdict, written)
}

/// A line on the terminal that says how far it is.
struct Progress {
    shown: bool,
    done: usize,
    all: usize,
}

impl Progress {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), done: 0, all: server::looks().len() }
    }

    fn tell(&mut self, id: &str) {
        self.done += 1;
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{} of at most {}: {id}   ", self.done, self.all);
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{:40}\r", "");
        }
    }
}
