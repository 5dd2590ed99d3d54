//! Runs scenarios over many seeds and prints how far the clock is off, beside chronyd's figures.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use noonmark_conformance::sim::report;
use noonmark_conformance::sim::trial::{Summary, Trial, run_all};
use noonmark_conformance::sim::{OUR_SCENARIOS, ScenarioFile};

#[derive(Parser)]
#[command(about = "Measures in simulation how well Noonmark keeps a clock")]
struct Arguments {
    /// Scenarios to run, in place of those of this repository
    #[arg(long, value_name = "FILE")]
    scenarios: Option<PathBuf>,
    /// Runs of each variant
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Only these scenarios or scenario/variants
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    only: Vec<String>,
    /// Print one JSON object per line and nothing else on standard output
    #[arg(long, conflicts_with_all = ["markdown", "svg"])]
    json: bool,
    /// Write the tables of docs/accuracy.md into this file, between its marks
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draw the first seed of each scenario into this folder
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("accuracy: {problem}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let text = match &arguments.scenarios {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?
        }
        None => OUR_SCENARIOS.to_owned(),
    };
    let file = ScenarioFile::parse(&text).map_err(|problem| match &arguments.scenarios {
        Some(path) => format!("{}: {problem}", path.display()),
        None => problem,
    })?;
    let trials = Trial::all(&file, &arguments.only);
    if trials.is_empty() {
        return Err(format!("no scenario is called {}", arguments.only.join(" or ")));
    }
    if !arguments.json {
        say(report::HEADING);
    }
    let results = run_all(&trials, arguments.seeds, |result| {
        say(&match arguments.json {
            true => serde_json::to_string(&result.row()).unwrap_or_default(),
            false => report::line(result),
        });
    });
    if arguments.json {
        say(&serde_json::to_string(&Summary::of(&results)).unwrap_or_default());
    } else {
        say(report::closing(&results).trim_end());
    }
    if let Some(path) = &arguments.markdown {
        report::write_markdown(path, &results)?;
    }
    if let Some(folder) = &arguments.svg {
        report::draw(folder, &trials)?;
    }
    Ok(())
}

/// A line at once; a reader that has left is no reason to fail.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
