//! Runs other ways of filtering in the simulator, beside ours: the figures of `docs/decisions/0007-estimator.md`.
//!
//! All ask each server every 64 s from the start, and nothing but the filter differs: the rivals' corrections are made at once and whole,
//! so they lose nothing to slewing.

mod asker;
mod kalman;
mod regression;

use std::process::ExitCode;

use asker::{Asker, Filter};
use clap::Parser;
use kalman::Kalman;
use noonmark_conformance::sim::figures::median;
use noonmark_conformance::sim::trial::{Trial, in_parallel};
use noonmark_conformance::sim::{OUR_SCENARIOS, Record, ScenarioFile, World};
use regression::Regression;

#[derive(Parser)]
#[command(about = "Measures other filters in the simulator, beside ours")]
struct Arguments {
    /// Runs of each scenario
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// These scenarios
    #[arg(long, value_delimiter = ',', value_name = "ID", default_value = USUAL)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let file = match ScenarioFile::parse(OUR_SCENARIOS) {
        Ok(file) => file,
        Err(problem) => {
            eprintln!("rivals: {problem}");
            return ExitCode::from(2);
        }
    };
    let seeds = usize::try_from(arguments.seeds).unwrap_or(usize::MAX);
    println!("| scenario | ours | regression | Kalman | chronyd |\n|---|---|---|---|---|");
    for trial in Trial::all(&file, &arguments.only).iter().filter(|trial| trial.name == VARIANT) {
        let figures = in_parallel(seeds, |seed| {
            let seed = seed as u64;
            [
                trial.record(seed).rms(),
                run::<Regression>(trial, seed).rms(),
                run::<Kalman>(trial, seed).rms(),
            ]
        });
        let of = |place: usize| {
            let each: Vec<f64> = figures.iter().filter_map(|row| row.get(place).copied()).collect();
            microseconds(median(&each))
        };
        let chronyd = trial.scenario.chronyd.get(VARIANT).and_then(|figures| figures.median("rms"));
        println!(
            "| {} | {} | {} | {} | {} |",
            trial.scenario.id,
            of(0),
            of(1),
            of(2),
            chronyd.map_or_else(String::new, microseconds)
        );
    }
    ExitCode::SUCCESS
}

fn run<F: Filter>(trial: &Trial<'_>, seed: u64) -> Record {
    let model = &trial.scenario.model;
    let mut world = World::new(model, seed, trial.variant.server_precision);
    let random = World::node_random(seed);
    let mut asker = Asker::<F>::new(model.servers.len(), random, world.reading());
    Record::of(&mut world, &mut asker, trial.seconds)
}

/// Three digits, in µs.
fn microseconds(seconds: f64) -> String {
    let micros = seconds * 1e6;
    let digits = (2.0 - micros.abs().max(1e-3).log10().floor()).clamp(0.0, 3.0) as usize;
    format!("{micros:.digits$}")
}

/// The variant that asks every 64 s.
const VARIANT: &str = "fixed6";
const USUAL: &str = "a,b,c,d,e1,e2,f,g,i1,i2,j1,k1";

#[cfg(test)]
mod tests {
    use super::*;

    /// Rivals with a fault would flatter us: on quiet paths both land where their kind does.
    #[test]
    fn both_rivals_keep_a_clock_as_their_kind_does() {
        let file = ScenarioFile::parse(OUR_SCENARIOS).unwrap();
        let check = |id: &str, most_s: [f64; 2]| {
            let only = [format!("{id}/{VARIANT}")];
            let trials = Trial::all(&file, &only);
            let trial = trials.first().unwrap();
            let figures = in_parallel(5, |seed| {
                let seed = seed as u64;
                [run::<Regression>(trial, seed).rms(), run::<Kalman>(trial, seed).rms()]
            });
            for (place, (name, most_s)) in
                ["regression", "Kalman"].into_iter().zip(most_s).enumerate()
            {
                let each: Vec<f64> = figures.iter().map(|row| row[place]).collect();
                let found_s = median(&each);
                assert!(found_s < most_s, "{name} in {id}: {found_s} s");
            }
        };
        check("a", [26e-6, 40e-6]);
        check("b", [4e-6, 5e-6]);
        check("e1", [70e-6, 70e-6]);
    }

    #[test]
    fn figures_have_three_digits() {
        let check = |seconds, text| assert_eq!(microseconds(seconds), text);
        check(12.34e-6, "12.3");
        check(1.234e-6, "1.23");
        check(0.1234e-6, "0.123");
        check(4.567e-3, "4567");
    }
}
