//! The published interval where what is known changes: sources that come, go and turn, and crystals that are far off.

use noonmark_conformance::sim::daemon::{Setup, spec};
use noonmark_conformance::sim::trial::in_parallel;
use noonmark_conformance::sim::{
    ClockModel, Daemon, Model, Node, PathModel, ServerModel, Variant, World,
};
use noonmark_units::Precision;

use crate::settle;
use crate::turncoat::{Stage, Turncoat};

/// What happens. While most of those heard are honest, the interval must hold the truth in every second.
struct Story {
    name: String,
    /// The oscillator's error, s/s.
    freq: f64,
    options: &'static str,
    /// What each server does; one that ever tells a lie is a liar.
    servers: &'static [&'static [Stage]],
    reloads: &'static [Reload],
    seconds: u64,
}

/// What the configuration is from a second on: the options of every server, and which servers are asked, in order.
type Reload = (u64, &'static str, &'static [usize]);

const HONEST: &[Stage] = &[];

fn check(stories: &[Story]) {
    let verdicts = stories.iter().map(|story| {
        let runs = in_parallel(SEEDS, |seed| story.run(seed as u64));
        let outside: u64 = runs.iter().map(|run| run.outside).sum();
        let judged: u64 = runs.iter().map(|run| run.judged).sum();
        let wrong: Vec<usize> = (0..SEEDS).filter(|seed| runs[*seed].outside > 0).collect();
        let error_s = runs.iter().map(|run| run.error_s).fold(0.0, f64::max);
        let facts = format!("{outside} of {judged} s outside, {error_s:.2e} s off at the end");
        println!("{}: {facts}", story.name);
        let good = outside == 0 && judged > 0 && error_s < 5e-3;
        (story.name.clone(), if good { Ok(()) } else { Err(format!("{facts}, seeds {wrong:?}")) })
    });
    settle(verdicts.collect());
}

#[derive(Default)]
struct Found {
    /// Seconds in which most of those heard were honest, and those of them in which the interval missed the truth.
    judged: u64,
    outside: u64,
    /// How far the clock was off at the end.
    error_s: f64,
}

impl Story {
    fn run(&self, seed: u64) -> Found {
        let path = PathModel { base: 1e-3, exp: 2e-4, ..PathModel::default() };
        let server = ServerModel { up: path, down: path, ..ServerModel::default() };
        let client =
            ClockModel { offset: 0.1, freq: self.freq, wander: 1e-9, ..ClockModel::default() };
        let model = Model { client, servers: vec![server; self.servers.len()] };
        let mut world = World::new(&model, seed, Precision(-23));
        for (n, stages) in self.servers.iter().enumerate() {
            world.replace_host(n, Box::new(Turncoat::new(&model, n, stages)));
        }
        let first = setup(self.options, 0..self.servers.len());
        let mut daemon = Daemon::new(first, World::node_random(seed), world.reading());
        let mut found = Found::default();
        world.run(&mut daemon, self.seconds, |second, world, daemon| {
            let now = world.reading();
            for (_, options, servers) in self.reloads.iter().filter(|(at, ..)| *at == second) {
                daemon.reconfigure(setup(options, servers.iter().copied()), now);
            }
            let all = daemon.keeper().sources(now);
            let lies = |stages: &[Stage]| stages.iter().any(|(_, is)| is.is_some_and(|x| x != 0.0));
            let heard: Vec<&[Stage]> = (all.iter().filter(|source| source.reach != 0))
                .filter_map(|source| Some(self.servers[daemon.server_of(source.id)?]))
                .collect();
            let honest = heard.iter().filter(|stages| !lies(stages));
            if 2 * honest.count() <= heard.len() {
                return;
            }
            found.judged += 1;
            let (earliest, latest) = daemon.interval(now).expect("a daemon always has one");
            let truth = world.true_time();
            let inside = !(truth - earliest).is_negative() && !(latest - truth).is_negative();
            found.outside += u64::from(!inside);
        });
        found.error_s = world.offset().abs();
        found
    }
}

fn setup(options: &str, servers: impl Iterator<Item = usize>) -> Setup {
    let variant = Variant::read(options, &["makestep 1 3"], &[]).expect("options we know");
    let specs = servers.map(|server| spec(&variant, server)).collect();
    Setup { specs, ..Setup::new(&variant, 0) }
}

/// A liar is alone for a while, and followed. Once most of those heard are honest, what he said counts no more.
#[test]
fn a_liar_who_was_followed_alone_leaves_no_trace_in_the_interval() {
    const BACK: &[Stage] = &[(0.0, None), (2000.0, Some(0.0))];
    const AWAY: &[Stage] = &[(1000.0, None), (3000.0, Some(0.0))];
    let story = |name: &str, servers| Story {
        name: name.to_owned(),
        freq: 1e-4,
        options: "iburst",
        servers,
        reloads: &[],
        seconds: 8000,
    };
    check(&[
        story("a lone liar, 0.2 ms off", &[&[(0.0, Some(2e-4))], BACK, BACK, BACK]),
        story("a lone liar, 0.9 ms off", &[&[(0.0, Some(9e-4))], BACK, BACK, BACK]),
        story("a lone liar, 1.9 ms off", &[&[(0.0, Some(1.9e-3))], BACK, BACK, BACK]),
        story("a lone liar, 20 ms off", &[&[(0.0, Some(0.02))], BACK, BACK, BACK]),
        story("a lone liar, 0.5 s off", &[&[(0.0, Some(0.5))], BACK, BACK, BACK]),
        story(
            "a liar who turns when he is alone, 0.7 ms off",
            &[&[(1500.0, Some(7e-4))], AWAY, AWAY, AWAY],
        ),
        story(
            "a liar who turns when he is alone, 50 ms off",
            &[&[(1500.0, Some(0.05))], AWAY, AWAY, AWAY],
        ),
        story(
            "a liar who leaves and returns",
            &[
                &[(0.0, Some(1.5e-3)), (2500.0, None), (4500.0, Some(-1.2e-3))],
                BACK,
                BACK,
                &[(0.0, None), (2000.0, Some(0.0)), (3500.0, None), (5000.0, Some(0.0))],
            ],
        ),
    ]);
}

/// Nothing is known of a crystal before it is measured, so it may be the worst of them.
#[test]
fn the_interval_holds_the_truth_from_the_first_second_whatever_the_crystal() {
    let mut stories = Vec::new();
    for freq in [0.0, 2e-4, -1e-3, 3e-3, -0.01, 0.05, -0.05] {
        for (options, servers) in [
            ("iburst", &[HONEST][..]),
            ("", &[HONEST][..]),
            ("iburst", &[HONEST; 4][..]),
            ("", &[HONEST; 4][..]),
        ] {
            let count = servers.len();
            let name = format!("crystal off by {freq}, {count} servers, {options:?}");
            stories.push(Story { name, freq, options, servers, reloads: &[], seconds: 2000 });
        }
    }
    check(&stories);
}

/// Servers are taken out of the configuration and put into it, and what those said who are gone counts no more.
#[test]
fn the_interval_holds_the_truth_while_sources_come_and_go() {
    /// His interval and an honest one overlap, but not where the truth is.
    const LIAR: &[Stage] = &[(0.0, Some(1.7e-3))];
    const FAR: &[Stage] = &[(0.0, Some(0.05))];
    let story = |name: &str, servers, reloads| Story {
        name: name.to_owned(),
        freq: 1e-4,
        options: "iburst",
        servers,
        reloads,
        seconds: 6000,
    };
    check(&[
        story(
            "four become one, and one six",
            &[HONEST; 6],
            &[
                (0, "iburst", &[0, 1, 2, 3]),
                (1500, "iburst", &[3]),
                (3000, "iburst", &[3, 4, 5, 0, 1, 2]),
            ],
        ),
        story(
            "two are replaced by two others",
            &[HONEST; 4],
            &[(0, "iburst", &[0, 1]), (2000, "iburst", &[2, 3])],
        ),
        story(
            "a lone liar is replaced, 1.7 ms off",
            &[LIAR, HONEST],
            &[(0, "iburst", &[0]), (2000, "iburst", &[1])],
        ),
        story(
            "a lone liar is replaced, 50 ms off, by one not asked in a burst",
            &[FAR, HONEST],
            &[(0, "", &[0]), (2000, "", &[1])],
        ),
        story(
            "three outvote a lone liar who stays, 50 ms off",
            &[FAR, HONEST, HONEST, HONEST],
            &[(0, "iburst", &[0]), (2000, "iburst", &[0, 1, 2, 3])],
        ),
        story(
            "a liar comes and goes, 1.7 ms off",
            &[LIAR, HONEST, HONEST],
            &[(0, "iburst", &[1, 2]), (1500, "iburst", &[0, 1, 2]), (3000, "iburst", &[2, 1])],
        ),
        story(
            "nobody is left for a while",
            &[HONEST; 2],
            &[(1500, "iburst", &[]), (3500, "iburst", &[1])],
        ),
    ]);
}

/// What is known of sources that stay is kept over a reload, and stays true.
#[test]
fn the_interval_holds_the_truth_over_reloads() {
    let story = |name: &str, freq, reloads| Story {
        name: name.to_owned(),
        freq,
        options: "iburst",
        servers: &[HONEST; 3],
        reloads,
        seconds: 4000,
    };
    check(&[
        story(
            "in another order",
            1e-4,
            &[(500, "iburst", &[2, 1, 0]), (501, "iburst", &[1, 2, 0]), (1800, "", &[0, 2, 1])],
        ),
        story(
            "asked more often, and less",
            1e-4,
            &[(600, "minpoll 4 maxpoll 4", &[0, 1, 2]), (1500, "minpoll 9 maxpoll 10", &[0, 1, 2])],
        ),
        story(
            "of the worst crystal, in its first minute",
            0.05,
            &[(1, "iburst", &[2, 1, 0]), (7, "iburst", &[1, 0]), (30, "iburst", &[0, 1, 2])],
        ),
    ]);
}

const SEEDS: usize = 10;
