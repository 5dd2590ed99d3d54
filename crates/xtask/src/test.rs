//! `cargo xtask test`: the stages in order, what each needs, and the closing lines.

use std::process::ExitCode;
use std::time::Instant;

use crate::apt::Consent;
use crate::report::{Row, Tally, closing};
use crate::safety::Watch;
use crate::{build, fuzz, guests, interop, lint, reliability, sim, unit};

/// What the test command takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// Install missing Debian packages without asking
    #[arg(long)]
    yes: bool,
    /// Also run what takes longer than a person waits
    #[arg(long)]
    long: bool,
    /// Run only these stages
    #[arg(long, value_name = "STAGE", num_args = 1..)]
    only: Vec<String>,
    /// Of the stages interop, reliability and guests, run only cells whose name has this text
    #[arg(long, value_name = "TEXT")]
    cell: Option<String>,
    /// List the stages and run nothing
    #[arg(long)]
    list: bool,
}

/// What every stage is told.
pub struct Wish {
    /// Whether apt may be used without asking.
    pub consent: Consent,
    /// Whether `--long` was given.
    pub long: bool,
    /// Text that names of cells must have.
    pub cell: Option<String>,
}

/// A part of the test command that can be run alone.
struct Stage {
    name: &'static str,
    /// Minutes on two cores with a cold cache.
    budget: u32,
    about: &'static str,
    run: fn(&Wish) -> Tally,
}

const STAGES: &[Stage] = &[
    Stage { name: "build", budget: 12, about: "every target of the workspace", run: build::run },
    Stage {
        name: "lint",
        budget: 4,
        about: "format, clippy, documentation, rules of the tree",
        run: lint::run,
    },
    Stage {
        name: "unit",
        // 4 for unit and property tests, 4 for the requirements with their faults: one run of cargo builds both.
        budget: 8,
        about: "unit, property and requirement tests",
        run: unit::run,
    },
    Stage {
        name: "sim",
        budget: 5,
        about: "a clock kept in virtual time, against limits and attackers",
        run: sim::run,
    },
    Stage { name: "fuzz", budget: 4, about: "fuzz targets, each for a while", run: fuzz::run },
    // The attempts are in test builds alone, and this program with them.
    #[cfg(debug_assertions)]
    Stage {
        name: "contain",
        budget: 3,
        about: "forbidden calls from inside every role",
        run: crate::contain::run,
    },
    Stage {
        name: "interop",
        budget: 6,
        about: "other implementations over NTS, in namespaces",
        run: interop::run,
    },
    Stage {
        name: "conform",
        budget: 4,
        about: "the prober asks our server and other people's, clause by clause",
        run: interop::conform::run,
    },
    Stage {
        name: "reliability",
        budget: 3,
        about: "faults brought upon the daemon, and a soak",
        run: reliability::run,
    },
    Stage {
        name: "guests",
        budget: 5,
        about: "what sets a clock, in machines with a clock of their own",
        run: guests::run,
    },
];

/// Runs the chosen stages.
///
/// # Errors
/// A sentence, when a stage is asked for that does not exist.
pub fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.list {
        for stage in STAGES {
            println!("{:<12} {}", stage.name, stage.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) =
        arguments.only.iter().find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        let known: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        return Err(format!("no stage {unknown}; there are {}", known.join(", ")));
    }
    let wish = Wish {
        consent: Consent { given: arguments.yes },
        long: arguments.long,
        cell: arguments.cell.clone(),
    };
    let watch = Watch::start();
    let mut rows = Vec::new();
    for stage in STAGES {
        let chosen =
            arguments.only.is_empty() || arguments.only.iter().any(|name| name == stage.name);
        if !chosen {
            continue;
        }
        println!("\n== {}: {}", stage.name, stage.about);
        let started = Instant::now();
        let tally = (stage.run)(&wish);
        let broken = stage.name == "build" && !tally.failed.is_empty();
        rows.push(Row { stage: stage.name, took: started.elapsed(), budget: stage.budget, tally });
        if broken {
            break;
        }
    }
    println!("\n== safety: the machine's clock was left alone");
    let (started, mut tally) = (Instant::now(), Tally::default());
    watch.finish(&mut tally);
    rows.push(Row { stage: "safety", took: started.elapsed(), budget: 1, tally });
    let good = rows.iter().all(|row| row.tally.failed.is_empty());
    rows.extend(not_reached(arguments, &rows));
    print!("{}", closing(&rows));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// After a broken build the other stages have nothing to run; they are named all the same.
fn not_reached(arguments: &Arguments, rows: &[Row]) -> Vec<Row> {
    let asked = |stage: &&Stage| {
        arguments.only.is_empty() || arguments.only.iter().any(|n| n == stage.name)
    };
    let reached = |stage: &&Stage| rows.iter().any(|row| row.stage == stage.name);
    let left = STAGES.iter().filter(asked).filter(|stage| !reached(stage));
    left.map(|stage| {
        let tally =
            Tally { not_run: vec!["the whole stage: the build failed".into()], ..Tally::default() };
        Row { stage: stage.name, took: std::time::Duration::ZERO, budget: stage.budget, tally }
    })
    .collect()
}
