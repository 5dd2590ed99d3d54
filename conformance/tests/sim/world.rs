//! The world is what it claims to be: a filter whose figures in the original are known reaches the same ones in it.

use std::time::Duration;

use noonmark_conformance::sim::figures::median;
use noonmark_conformance::sim::{
    ClockModel, Informed, Model, PathModel, Record, Seeded, ServerModel, World,
};
use noonmark_units::Precision;

/// Conditions of a row: wander, base delay, mean jitter, initial offset, poll, number of good servers.
struct Conditions {
    wander: f64,
    base: f64,
    exp: f64,
    offset: f64,
    poll_s: u64,
    servers: usize,
}

/// The known figures are medians of so many runs.
const BLOCK: usize = 20;
/// Ours are of so many, so that what differs is not our luck.
const RUNS: u64 = 1000;

/// One run: the RMS of the offset, and the mean of its square in parts of what the filter expects of it, both over the last 80 %.
fn run(bound: &Conditions, seed: u64) -> (f64, f64) {
    let path = PathModel { base: bound.base, exp: bound.exp, ..PathModel::default() };
    let server = ServerModel { up: path, down: path, ..ServerModel::default() };
    let model = Model {
        client: ClockModel {
            offset: bound.offset,
            freq: 1e-4,
            wander: bound.wander,
            ..ClockModel::default()
        },
        servers: vec![server; bound.servers],
    };
    let seconds = if bound.poll_s == 1 { 1_000 } else { 10_000 };
    let numbers: Vec<usize> = (0..bound.servers).collect();
    let mut world = World::new(&model, seed, Precision(-23));
    let mut filter = Informed::new(
        bound.wander,
        2.0 * bound.base,
        Duration::from_secs(bound.poll_s),
        &numbers,
        World::node_random(seed),
        world.reading(),
    );
    let (mut squares, mut parts) = (Vec::new(), Vec::new());
    world.run(&mut filter, seconds, |second, world, filter| {
        if second >= seconds / 5 {
            let square = world.offset().powi(2);
            squares.push(square);
            parts.push(square / filter.variance_s2(world.reading()).unwrap_or(f64::NAN));
        }
    });
    (mean(&squares).sqrt(), mean(&parts))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of medians of [`BLOCK`] of these values, how many are no greater than `limit`: of 2000 drawn with replacement.
fn medians_up_to(limit: f64, values: &[f64]) -> f64 {
    let mut random = Seeded::new(1, 0);
    let reached = (0..2000).filter(|_| {
        let block: Vec<f64> = (0..BLOCK).map(|_| values[random.below(values.len())]).collect();
        median(&block) <= limit
    });
    reached.count() as f64 / 2000.0
}

/// Known figures: the same filter in clknetsim of 2026-04-21, median of 20 runs.
///
/// Each row is judged twice. By theory, which needs no figure: given the round trips, the mean square of the error is what the filter
/// expects, whatever the poll. And by the known figures: ours are within 10 % of them, save at a poll of 1024 s. There a run has
/// eight samples that count and medians of 20 runs scatter by 10 to 13 % (one standard deviation), so that a known figure is itself
/// no better than that; it has to be one such as some medians of 20 of our runs are, and others exceed.
#[test]
fn the_informed_filter_reaches_its_known_figures() {
    #[rustfmt::skip]
    let rows = [
        ("a 64 s",    1e-9,  1e-4, 1e-4, 0.1, 64,   1, 12.3e-6),
        ("a 1024 s",  1e-9,  1e-4, 1e-4, 0.1, 1024, 1, 46e-6),
        ("b 64 s",    1e-9,  5e-5, 5e-6, 0.1, 64,   1, 1.8e-6),
        ("b2 64 s",   1e-10, 5e-5, 5e-6, 0.1, 64,   1, 800e-9),
        ("c 64 s",    1e-9,  2e-2, 2e-3, 0.1, 64,   1, 99.5e-6),
        ("c 1024 s",  1e-9,  2e-2, 2e-3, 0.1, 1024, 1, 584e-6),
        ("c2 64 s",   1e-9,  4e-2, 1e-2, 0.1, 64,   1, 469e-6),
        ("c2 1024 s", 1e-9,  4e-2, 1e-2, 0.1, 1024, 1, 2.81e-3),
        ("e1 64 s",   1e-8,  1e-4, 1e-4, 0.1, 64,   1, 26.9e-6),
        ("e2 64 s",   1e-7,  1e-4, 1e-4, 0.1, 64,   1, 69.7e-6),
        ("f 64 s",    1e-9,  1e-4, 1e-1, 1.0, 64,   1, 4.64e-3),
        ("k 64 s",    1e-9,  1e-4, 1e-4, 0.1, 64,   3, 7.05e-6),
        ("n 1 s",     1e-9,  5e-5, 5e-6, 0.1, 1,    1, 217e-9),
        ("o 1 s",     1e-9,  1e-5, 1e-7, 0.1, 1,    1, 14.5e-9),
    ];
    let mut off = Vec::new();
    for (name, wander, base, exp, offset, poll_s, servers, known) in rows {
        let bound = Conditions { wander, base, exp, offset, poll_s, servers };
        let (rms, expected): (Vec<f64>, Vec<f64>) = (0..RUNS).map(|seed| run(&bound, seed)).unzip();
        let (ratio, expected) = (median(&rms) / known, mean(&expected));
        let up_to = medians_up_to(known, &rms);
        println!(
            "{name:<10} {ratio:.3} of the known {known:.3e} s, {:.1} % of medians are no more; \
             mean square {expected:.3} of the expected",
            100.0 * up_to
        );
        let as_known = match poll_s {
            1024 => (0.02..=0.98).contains(&up_to),
            _ => (0.9..=1.1).contains(&ratio),
        };
        if !as_known || !(0.9..=1.1).contains(&expected) {
            off.push(format!("{name}: {ratio:.3} of the known, {expected:.3} of the expected"));
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}

/// The seed decides everything: two runs agree in every bit, another seed's does not.
#[test]
fn a_run_of_the_filter_repeats_bit_for_bit() {
    let run = |seed| {
        let path = PathModel { base: 1e-4, exp: 1e-4, loss: Some(0.1), ..PathModel::default() };
        let client = ClockModel { offset: 0.1, freq: 1e-4, wander: 1e-9, ..ClockModel::default() };
        let servers = vec![ServerModel { up: path, down: path, ..ServerModel::default() }];
        let mut world = World::new(&Model { client, servers }, seed, Precision(-23));
        let random: Seeded = World::node_random(seed);
        let mut filter =
            Informed::new(1e-9, 2e-4, Duration::from_secs(16), &[0], random, world.reading());
        Record::of(&mut world, &mut filter, 2_000).offsets
    };
    let bits = |offsets: Vec<f64>| offsets.into_iter().map(f64::to_bits).collect::<Vec<u64>>();
    assert_eq!(bits(run(1)), bits(run(1)));
    assert_ne!(bits(run(1)), bits(run(2)));
}
