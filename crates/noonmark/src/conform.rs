//! `noonmark conform`: judges servers and clients by the clauses of their RFCs, with the prober's judgement and none of our code.

pub mod arguments;
pub mod client;
pub mod explain;
pub mod server;

use std::path::Path;

use arguments::{ConformArguments, ConformCommand};
use noonmark_prober::report::Report;
use noonmark_prober::{Level, Verdict as Found};

use crate::Verdict;
use crate::output::complain;
use crate::paint::Paint;

/// Runs the command.
#[must_use]
pub fn run(arguments: &ConformArguments) -> Verdict {
    match &arguments.command {
        ConformCommand::Server(arguments) => server::run(arguments),
        ConformCommand::Client(arguments) => client::run(arguments),
        ConformCommand::Explain(arguments) => explain::run(arguments),
    }
}

/// The exit status of a report: 2 if something that MUST be is not, 1 if anything else is not as it should be or could not be told, 3 if
/// nothing could be told at all.
#[must_use]
pub fn verdict_of(report: &Report) -> Verdict {
    let failed = |binding: bool| {
        report.clauses.iter().any(|finding| {
            let is_binding = matches!(finding.level, Level::Must | Level::Derived);
            finding.verdict == Found::Fail && is_binding == binding
        })
    };
    if failed(true) {
        Verdict::Critical
    } else if report.count(Found::Pass) == 0 {
        Verdict::Unknown
    } else if failed(false) || report.count(Found::Inconclusive) > 0 {
        Verdict::Warning
    } else {
        Verdict::Good
    }
}

/// Writes a file that was asked for; the verdict is at least critical if that cannot be done.
fn write_file(file: &Path, octets: &[u8], verdict: Verdict) -> Verdict {
    match std::fs::write(file, octets) {
        Ok(()) => verdict,
        Err(error) => {
            complain(format_args!("{} cannot be written: {error}", file.display()));
            verdict.max(Verdict::Critical)
        }
    }
}

/// Words in their colours on standard output, if it has any.
fn painter() -> fn(Found, &str) -> String {
    if Paint::for_stream(&std::io::stdout()) == Paint::PLAIN {
        return noonmark_prober::output::plain;
    }
    |verdict, text| {
        let paint = Paint::for_stream(&std::io::stdout());
        match verdict {
            Found::Pass => paint.good(text),
            Found::Fail => paint.bad(text),
            Found::Deviates | Found::Inconclusive => paint.warning(text),
            Found::NotApplicable => text.to_owned(),
        }
    }
}
