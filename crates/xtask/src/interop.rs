//! Stage `interop`: other people's programs and ours, together over NTS in network namespaces.
//!
//! Each cell pairs one client with one server in two namespaces of its own and tells figures; all cells run at the
//! same time, most of them waiting. `target/interop.json` has the rows once more, for programs.

pub(crate) mod authority;
mod cells;
mod client;
pub mod conform;
mod credentials;
mod demo;
mod follower;
mod interleaved;
mod journal;
mod lab;
mod logging;
mod network;
mod room;
mod server;
mod service;
mod variant;
mod ways;
mod xdp;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::netns;
use crate::peers::Peers;
use crate::report::Tally;
use crate::test::Wish;
use crate::workspace::Metadata;
use cells::{Cell, Figures, Miss};
use lab::{Lab, Place};
use variant::Variant;

/// Cells that run at the same time. Most of a cell's time is waiting.
const AT_ONCE: usize = 12;

/// Runs every cell.
pub fn run(wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    let is_chosen =
        |cell: &Cell| wish.cell.as_ref().is_none_or(|text| cell.name.contains(text.as_str()));
    let cells_of = |variant: &Variant| -> Vec<Cell> {
        variant.cells(wish.long).into_iter().filter(is_chosen).collect()
    };
    let mut tried: Vec<(Variant, Vec<Cell>)> =
        Variant::all(wish.long).iter().map(|variant| (*variant, cells_of(variant))).collect();
    tried.retain(|(_, cells)| !cells.is_empty());
    let metadata = match Metadata::read() {
        Ok(metadata) => metadata,
        Err(problem) => {
            tally.record("lock file", Err(problem));
            return tally;
        }
    };
    let target = &metadata.target_directory;
    let peers = match Peers::prepare(target, wish.consent) {
        Ok(peers) => peers,
        Err(reason) => {
            for cell in tried.iter().flat_map(|(_, cells)| cells) {
                tally.record_not_run(&cell.name, &reason);
            }
            return tally;
        }
    };
    println!("peers: {}", peers.versions().join(", "));
    netns::sweep();
    let mut twin = Vec::new();
    for (variant, cells) in tried {
        match furnish(variant, target, &peers, wish) {
            Ok(lab) => {
                for row in run_cells(&lab, cells) {
                    twin.push(as_json(&row));
                    record(&mut tally, row);
                }
            }
            // What this machine lacks for a variant is no fault of the tree.
            Err(reason) if variant != Variant::AsBuilt => {
                for cell in &cells {
                    tally.record_not_run(&cell.name, &reason);
                }
            }
            Err(problem) => tally.record("the laboratory", Err(problem)),
        }
    }
    tally.record("the rows as JSON", write_twin(&target.join("interop.json"), &twin));
    tally
}

/// The laboratory of a variant: its programs are built, and can be started by who is to start them.
fn furnish(variant: Variant, target: &Path, peers: &Peers, wish: &Wish) -> Result<Lab, String> {
    let programs = variant.programs(target, wish.consent)?;
    let lab = Lab::new(peers.clone(), programs, target.join("debug"), variant.account())?;
    lab.is_reachable().map(|()| lab)
}

fn record(tally: &mut Tally, (name, _, result): Row) {
    match result {
        Ok(figures) => tally.record(&format!("{name}{}", show(&figures)), Ok(())),
        Err(Miss::Failed(what)) => tally.record(&name, Err(what)),
        Err(Miss::NotRun(reason)) => tally.record_not_run(&name, &reason),
    }
}

type Row = (String, Duration, Result<Figures, Miss>);

fn run_cells(lab: &Lab, cells: Vec<Cell>) -> Vec<Row> {
    let count = cells.len();
    let queue = Mutex::new(cells.into_iter().enumerate());
    let rows = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count) {
            scope.spawn(|| {
                while let Some((number, cell)) = next(&queue) {
                    let started = Instant::now();
                    let result = Place::new(lab, number, &cell.name)
                        .map_err(Miss::from)
                        .and_then(|place| (cell.run)(lab, &place));
                    let row = (cell.name, started.elapsed(), result);
                    rows.lock().expect("no other cell panicked").push((number, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no cell panicked");
    rows.sort_by_key(|(number, _)| *number);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn next(queue: &Mutex<std::iter::Enumerate<std::vec::IntoIter<Cell>>>) -> Option<(usize, Cell)> {
    queue.lock().expect("no other cell panicked").next()
}

fn show(figures: &Figures) -> String {
    let words: Vec<String> =
        figures.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
}

fn as_json((name, took, result): &Row) -> Value {
    let (verdict, figures, reason) = match result {
        Ok(figures) => ("passed", figures.clone(), None),
        Err(Miss::Failed(reason)) => ("failed", Figures::new(), Some(reason)),
        Err(Miss::NotRun(reason)) => ("not run", Figures::new(), Some(reason)),
    };
    json!({ "cell": name, "verdict": verdict, "seconds": took.as_secs(), "figures": figures, "reason": reason })
}

fn write_twin(path: &Path, rows: &[Value]) -> Result<(), String> {
    let text = serde_json::to_string_pretty(rows).map_err(|e| e.to_string())?;
    std::fs::write(path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))
}
