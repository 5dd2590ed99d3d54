//! What an attacker can do to the clock, and that what is published about its error stays true meanwhile.
//!
//! Two kinds. Packets that prove nothing must change nothing: a run with the attacker equals the run without, to 10 ns. Lying
//! servers in the minority, and somebody on a path who delays packets, can do harm within bounds: in every run true time stays
//! inside the published interval, and the interval stays short. The numbers A-… are those of the list of threats.

mod delay;
mod forgers;
mod leap;
mod liars;
mod stripping;

use std::collections::BTreeMap;

use noonmark_conformance::check::Effort;
use noonmark_conformance::sim::daemon::Setup;
use noonmark_conformance::sim::figures::median;
use noonmark_conformance::sim::trial::in_parallel;
use noonmark_conformance::sim::{
    ClockModel, Daemon, Delivery, Model, Passing, PathModel, Record, ServerModel, Variant, World,
};
use noonmark_units::Precision;

use crate::nts::{self, NtsServer};
use crate::settle;

fn model(servers: usize) -> Model {
    let path = PathModel { base: 1e-3, exp: 2e-4, ..PathModel::default() };
    Model {
        client: ClockModel { offset: 0.1, freq: 1e-4, wander: 1e-9, ..ClockModel::default() },
        servers: vec![ServerModel { up: path, down: path, ..ServerModel::default() }; servers],
    }
}

fn variant() -> Variant {
    Variant::read("iburst", &["makestep 1 3"], &[]).expect("options we know")
}

/// A world under attack.
struct Attack {
    name: &'static str,
    conditions: Conditions,
    seconds: u64,
    /// Changes one server by its number.
    server: fn(usize, &mut ServerModel),
    world: fn(&mut World, &Model),
    /// By how much the published half-width may exceed its 1.5 times that of a run without the attack, s.
    more_s: f64,
}

/// In which an attack takes place, and with which it is compared.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Conditions {
    servers: usize,
    nts: bool,
    /// So many of the servers are known to be one operator's.
    of_one_operator: usize,
}

const FOUR: Conditions = Conditions { servers: 4, nts: false, of_one_operator: 0 };
const ONE: Conditions = Conditions { servers: 1, ..FOUR };

fn attack(name: &'static str) -> Attack {
    Attack {
        name,
        conditions: FOUR,
        seconds: 4_000,
        server: |_, _| {},
        world: |_, _| {},
        more_s: 0.0,
    }
}

/// Nobody attacks.
fn calm(conditions: Conditions) -> Attack {
    Attack { conditions, ..attack("calm") }
}

impl Attack {
    fn run(&self, seed: u64, stride: u64) -> Run {
        let Conditions { servers, nts, of_one_operator } = self.conditions;
        let mut model = model(servers);
        model.servers.iter_mut().enumerate().for_each(|(n, server)| (self.server)(n, server));
        let mut world = World::new(&model, seed, Precision(-23));
        let mut setup = match nts {
            true => nts::setup(&variant(), servers),
            false => Setup::new(&variant(), servers),
        };
        if nts {
            (0..servers)
                .for_each(|n| world.replace_host(n, Box::new(NtsServer::new(seed + n as u64))));
        }
        (self.world)(&mut world, &model);
        for spec in setup.specs.iter_mut().take(of_one_operator) {
            spec.options.operator = Some("one".into());
        }
        let mut daemon = Daemon::new(setup, World::node_random(seed), world.reading());
        if nts {
            daemon.set_key_exchange(Box::new(move |server| Some(nts::agreement(server as u64))));
        }
        let record = Record::watched(&mut world, &mut daemon, self.seconds, stride);
        let half_widths = record.half_widths.get(record.half_widths.len() / 5..);
        let tracking = daemon.keeper().tracking(world.reading());
        Run {
            half_width_s: median(half_widths.unwrap_or_default()),
            distance_s: (tracking.root_delay.half() + tracking.root_dispersion).as_seconds_f64(),
            record,
        }
    }
}

struct Run {
    record: Record,
    /// Median half-width of the published interval, over the last 80 %.
    half_width_s: f64,
    /// Half the root delay and the root dispersion at the end.
    distance_s: f64,
}

/// How many seeds: CI's, or as many as asked for with `--long`.
fn seeds() -> usize {
    if Effort::from_environment() == Effort::Long { 1000 } else { 10 }
}

/// Runs every attack with every seed, and compares it with runs in the same conditions in which nobody attacks.
fn check(attacks: &[Attack]) {
    let seeds = seeds();
    let mut honest_s: BTreeMap<Conditions, f64> = BTreeMap::new();
    let mut verdicts = Vec::new();
    for attack in attacks {
        // A median needs fewer runs than a claim about every run.
        let honest_s = *honest_s.entry(attack.conditions).or_insert_with_key(|conditions| {
            let calm = calm(*conditions);
            median(&in_parallel(seeds.min(100), |seed| calm.run(seed as u64, RARELY).distance_s))
        });
        let runs = in_parallel(seeds, |seed| {
            let run = attack.run(seed as u64, OFTEN);
            (run.record.outside, run.record.max(), run.half_width_s)
        });
        let outside: u64 = runs.iter().map(|run| run.0).sum();
        let wrong: Vec<usize> = (0..seeds).filter(|seed| runs[*seed].0 > 0).collect();
        let worst = runs.iter().map(|run| run.1).fold(0.0, f64::max);
        let width = median(&runs.iter().map(|run| run.2).collect::<Vec<f64>>());
        let facts = format!(
            "{seeds} seeds: {outside} s outside, largest error {worst:.2e} s, half-width {width:.2e} s, without attack {honest_s:.2e} s"
        );
        println!("{}: {facts}", attack.name);
        let good = outside == 0 && width <= 1.5 * honest_s + attack.more_s;
        let verdict = if good { Ok(()) } else { Err(format!("{facts}; seeds {wrong:?}")) };
        verdicts.push((attack.name.to_owned(), verdict));
    }
    settle(verdicts);
}

/// The interval is looked at every so many seconds, and every second once it was wrong.
const OFTEN: u64 = 8;
/// The same where only the clock matters.
const RARELY: u64 = 512;

/// The packet as the path would have delivered it, and `more_s` later.
fn pass(packet: &Passing<'_>, more_s: f64) -> Option<Delivery> {
    packet.delay_s.map(|delay_s| Delivery {
        direction: packet.direction,
        delay_s: delay_s + more_s,
        datagram: packet.datagram.to_vec(),
    })
}
