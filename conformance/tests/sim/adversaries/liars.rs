//! Servers that lie, as long as they are a minority.

use noonmark_conformance::sim::daemon::Setup;
use noonmark_conformance::sim::trial::in_parallel;
use noonmark_conformance::sim::{Daemon, Record, World};
use noonmark_units::Precision;

use super::{Attack, Conditions, FOUR, attack, check, model, seeds, variant};
use crate::turncoat::Turncoat;

/// A minority that drifts away slowly, each step below any threshold, is left.
#[test]
fn a_minority_that_drifts_away_does_not_take_the_clock_along() {
    check(&[
        Attack {
            server: |n, server| {
                if n == 0 {
                    server.freq_step = Some((1000.0, 1e-5));
                }
            },
            ..attack("A-11 one of four drifts by 10 µs a second")
        },
        two_of_five_drift(),
        Attack {
            conditions: Conditions { servers: 5, ..FOUR },
            server: |n, server| {
                if n < 2 {
                    server.freq_step = Some((1000.0, 4e-4));
                }
            },
            ..attack("A-11 two of five drift together by 0.4 ms a second")
        },
    ]);
}

fn two_of_five_drift() -> Attack {
    Attack {
        conditions: Conditions { servers: 5, ..FOUR },
        server: |n, server| {
            if n < 2 {
                server.freq_step = Some((1000.0, 1e-6));
            }
        },
        ..attack("A-11 two of five drift together by 1 µs a second")
    }
}

/// With this seed the estimate takes the oscillator to gain 16 ppm when the liars are left, and bounds that moved by that alone would leave
/// the truth behind.
#[test]
fn a_rate_bent_by_liars_does_not_take_the_interval_along() {
    let run = two_of_five_drift().run(696, 1);
    assert_eq!(run.record.outside, 0);
}

/// However many servers the attacker has, those of one operator have one voice; and fast servers have no more than others.
#[test]
fn a_minority_of_liars_does_not_move_the_clock() {
    check(&[
        Attack {
            conditions: Conditions { servers: 10, ..FOUR },
            server: |n, server| {
                if n < 3 {
                    server.offset = 0.1;
                    (server.up.base, server.up.exp) = (1e-4, 1e-6);
                    (server.down.base, server.down.exp) = (1e-4, 1e-6);
                }
            },
            ..attack("A-40 three fast liars of ten")
        },
        Attack {
            conditions: Conditions { servers: 7, ..FOUR },
            server: |n, server| {
                if n < 3 {
                    server.offset = 1e-3;
                }
            },
            ..attack("A-40 three of seven lie by 1 ms, within the others' intervals")
        },
        Attack {
            world: |world, model| {
                for n in 0..2 {
                    world
                        .replace_host(n, Box::new(Turncoat::new(model, n, &[(1500.0, Some(0.2))])));
                }
            },
            ..attack("A-40 two of four honest until 1500 s, then they lie by 200 ms")
        },
        Attack {
            conditions: Conditions { servers: 9, of_one_operator: 6, ..FOUR },
            server: |n, server| server.offset = if n < 6 { 0.1 } else { 0.0 },
            ..attack("A-40 six liars of one operator among nine")
        },
    ]);
}

/// One of four is 900 s ahead, and the daemon is started again and again: no start is worth more to the liar than the first.
#[test]
fn a_liar_gains_nothing_by_starts_anew() {
    let seeds = seeds();
    let found = in_parallel(seeds, |seed| {
        let mut model = model(4);
        model.servers[seed % 4].offset = 900.0;
        let mut world = World::new(&model, seed as u64, Precision(-23));
        let (mut memory, mut outside, mut worst_s) = (None, 0, 0.0_f64);
        for life in 0..20 {
            let setup = Setup { memory, ..Setup::new(&variant(), 4) };
            let random = World::node_random(seed as u64 + 1000 * life);
            let mut daemon = Daemon::new(setup, random, world.reading());
            let record = Record::of(&mut world, &mut daemon, 200);
            outside += record.outside;
            if life > 0 {
                worst_s = record.offsets.iter().fold(worst_s, |worst, x| worst.max(x.abs()));
            }
            memory = daemon.keeper().memory();
        }
        (outside, worst_s)
    });
    let outside: u64 = found.iter().map(|(outside, _)| outside).sum();
    let worst_s = found.iter().map(|(_, worst_s)| *worst_s).fold(0.0, f64::max);
    println!(
        "A-11 twenty starts: {seeds} seeds: {outside} s outside, largest error {worst_s:.2e} s"
    );
    assert!(outside == 0 && worst_s < 5e-3, "{outside} s outside, {worst_s} s off");
}

/// The harness can see harm: where a majority lies, true time is outside.
#[test]
fn a_lying_majority_is_seen_outside() {
    let majority = Attack {
        server: |n, server| server.offset = if n < 3 { 0.1 } else { 0.0 },
        ..attack("majority")
    };
    let run = majority.run(1, 1);
    assert!(run.record.outside > 3_000, "{} s outside", run.record.outside);
}
