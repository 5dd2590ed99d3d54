//! The scenarios of chrony's own simulation tests that concern an NTP client, with its limits or tighter ones.
//!
//! Numbers are those of chrony's test scripts (development tree of 2026-06-09). Which of them are not reproduced here, and why, is
//! in `docs/accuracy.md`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::settle;
use noonmark_clock::Memory;
use noonmark_conformance::sim::daemon::Setup;
use noonmark_conformance::sim::trial::in_parallel;
use noonmark_conformance::sim::{
    ClockModel, Daemon, Delivery, Host, Meddler, Model, Passing, PathModel, Record, START,
    ServerModel, TimeServer, Variant, World,
};
use noonmark_units::{Frequency, PollExponent, Precision, Short, Span, Timestamp};

/// What a run has to keep to. chrony's defaults; offsets in s, frequencies in s/s.
#[derive(Clone, Copy)]
struct Limits {
    /// The clock is in time, and stays so, from no later than this second on; the others hold from here on.
    sync: u64,
    max: f64,
    rms: f64,
    freq_max: f64,
    freq_rms: f64,
}

const DEFAULT: Limits = Limits { sync: 210, max: 1e-3, rms: 3e-4, freq_max: 5e-4, freq_rms: 1e-5 };

/// Conditions and what is expected in them. What a row does not say is as in chrony's tests.
struct Scenario {
    name: &'static str,
    client: ClockModel,
    path: PathModel,
    servers: usize,
    options: &'static str,
    conf: &'static [&'static str],
    seconds: u64,
    start: Timestamp,
    /// Changes one server by its number.
    server: fn(usize, &mut ServerModel),
    /// Changes the world.
    world: fn(&mut World, &Model),
    /// Changes what the daemon starts with.
    setup: fn(&mut Setup),
    /// `None`: nothing may be followed.
    limits: Option<Limits>,
}

fn usual(name: &'static str) -> Scenario {
    Scenario {
        name,
        client: ClockModel { offset: 0.1, freq: 1e-4, wander: 1e-9, ..ClockModel::default() },
        path: PathModel { base: 1e-4, exp: 1e-4, ..PathModel::default() },
        servers: 1,
        options: "",
        conf: &[],
        seconds: 10_000,
        start: START,
        server: |_, _| {},
        world: |_, _| {},
        setup: |_| {},
        limits: Some(DEFAULT),
    }
}

impl Scenario {
    fn run(&self, seed: u64) -> (Record, Daemon) {
        let servers = (0..self.servers).map(|number| {
            let mut server =
                ServerModel { up: self.path, down: self.path, ..ServerModel::default() };
            (self.server)(number, &mut server);
            server
        });
        let model = Model { client: self.client.clone(), servers: servers.collect() };
        let variant = Variant::read(self.options, self.conf, &[]).expect("options of the table");
        let mut world = World::starting_at(self.start, &model, seed, variant.server_precision);
        (self.world)(&mut world, &model);
        let mut setup = Setup::new(&variant, self.servers);
        (self.setup)(&mut setup);
        let mut daemon = Daemon::new(setup, World::node_random(seed), world.reading());
        let record = Record::of(&mut world, &mut daemon, self.seconds);
        (record, daemon)
    }

    fn judge(&self, seed: u64) -> Result<(), String> {
        let (record, daemon) = self.run(seed);
        let Some(limits) = self.limits else {
            let updates = daemon.keeper().tracking(last_reading()).updates;
            return if updates == 0 {
                Ok(())
            } else {
                Err(format!("{updates} updates of the clock"))
            };
        };
        let bad = record
            .offsets
            .iter()
            .zip(&record.frequencies)
            .rposition(|(o, f)| o.abs() > limits.max || f.abs() > limits.freq_max);
        let sync = bad.map_or(0, |last| last as u64 + 1);
        let end = self.seconds;
        let (freq_max, freq_rms) = record.freq_between(limits.sync, end);
        let figures = [
            ("seconds until in time", sync as f64, limits.sync as f64),
            ("largest offset", record.max_between(limits.sync, end), limits.max),
            ("RMS of the offset", record.rms_between(limits.sync, end), limits.rms),
            ("largest frequency error", freq_max, limits.freq_max),
            ("RMS of the frequency error", freq_rms, limits.freq_rms),
        ];
        let over: Vec<String> = figures
            .iter()
            .filter(|(_, reached, limit)| reached > limit)
            .map(|(what, reached, limit)| format!("{what} {reached:.3e}, limit {limit:.3e}"))
            .collect();
        if over.is_empty() { Ok(()) } else { Err(over.join("; ")) }
    }
}

fn scenarios() -> Vec<Scenario> {
    let mut all = vec![usual("001 as it comes")];
    let mut add = |scenario: Scenario| all.push(scenario);

    for (name, freq) in [
        ("003 +5000 ppm", 5e-3),
        ("003 -5000 ppm", -5e-3),
        ("003 +50000 ppm", 5e-2),
        ("003 -50000 ppm", -5e-2),
    ] {
        add(Scenario {
            client: ClockModel { offset: -130.0 * freq, freq, ..usual("").client },
            limits: Some(Limits { sync: 1000, ..DEFAULT }),
            ..usual(name)
        });
    }
    for (name, offset) in [("004 100 s ahead, slewed", 100.0), ("004 100 s behind, slewed", -100.0)]
    {
        add(Scenario {
            client: ClockModel { offset, ..usual("").client },
            limits: Some(Limits { sync: 1400, ..DEFAULT }),
            ..usual(name)
        });
    }
    for (name, by) in [("005a stepped by +100 s", 100.0), ("005a stepped by -100 s", -100.0)] {
        add(Scenario {
            client: ClockModel { time_steps: vec![(150.0, by)], ..usual("").client },
            limits: Some(Limits { sync: 1550, ..DEFAULT }),
            ..usual(name)
        });
    }
    for (name, by) in [
        ("005b stepped by +1e5 s", 1e5),
        ("005b stepped by -1e5 s", -1e5),
        ("005b stepped by +1e8 s", 1e8),
        ("005b stepped by -1e8 s", -1e8),
    ] {
        add(Scenario {
            client: ClockModel { time_steps: vec![(5000.0, by)], ..usual("").client },
            conf: &["makestep 1 -1"],
            limits: Some(Limits { sync: 5120, ..DEFAULT }),
            ..usual(name)
        });
    }
    add(Scenario {
        client: ClockModel {
            time_steps: (1..20u32)
                .map(|n| (f64::from(n) * 500.0, if n % 2 == 0 { 1e4 } else { -1e4 }))
                .collect(),
            ..usual("").client
        },
        conf: &["makestep 1 -1"],
        limits: Some(Limits { max: 2e4, rms: 8e3, ..DEFAULT }),
        ..usual("005c stepped by 10000 s again and again")
    });
    add(Scenario {
        client: ClockModel { offset: 1.0, ..usual("").client },
        path: PathModel { base: 1e-4, exp: 0.1, ..PathModel::default() },
        limits: Some(Limits { sync: 210, max: 0.5, rms: 0.1, freq_max: 0.2, freq_rms: 5e-3 }),
        ..usual("006 jitter of 0.1 s")
    });
    add(Scenario {
        client: ClockModel { wander: 1e-7, ..usual("").client },
        limits: Some(Limits { sync: 210, max: 5e-3, rms: 1e-3, freq_max: 5e-3, freq_rms: 1e-4 }),
        ..usual("007 wander 1e-7")
    });
    for (name, seconds_since_1900) in [
        ("008 over the end of the era in 2036", (1u64 << 32) - 1000),
        ("008 in the first second of the second era", 1 << 32),
        ("008 in 2010", 3_471_292_800),
        ("008 in 2100", 6_311_433_600),
    ] {
        add(Scenario { start: Timestamp::from_bits(seconds_since_1900 << 32), ..usual(name) });
    }

    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = if number == 0 { 1.0 } else { 0.0 },
        ..usual("009a one of five lies")
    });
    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = [1.0, -1.0, 0.0, 0.0, 0.0][number],
        ..usual("009a two of five lie")
    });
    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = [1.0, 2.0, 3.0, 0.0, 0.0][number],
        limits: None,
        ..usual("009b three of five lie, each otherwise")
    });
    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = [1.0, 2.0, 3.0, 4.0, 0.0][number],
        limits: None,
        ..usual("009b four of five lie, each otherwise")
    });
    add(Scenario {
        servers: 3,
        server: |number, server| {
            if number > 0 {
                server.up.base += 1.0;
            }
        },
        ..usual("009c two of three are 0.5 s off by their way")
    });
    add(Scenario {
        world: |world, model| {
            let mut server = TimeServer::new(&model.servers[0], START, Precision(-23));
            server.root_dispersion = Short::from_span_ceil(Span::from_seconds(4));
            world.replace_host(0, Box::new(server));
        },
        limits: None,
        ..usual("009d root distance over 3 s")
    });
    add(Scenario {
        world: |world, model| {
            let server = TimeServer::new(&model.servers[0], START, Precision(-23));
            world.replace_host(0, Box::new(Jumping(server)));
        },
        limits: None,
        ..usual("009e a server that steps every 64 s")
    });

    add(Scenario {
        world: |world, _| world.set_meddler(Box::new(Repeating)),
        seconds: 50_000,
        ..usual("010 every packet four times")
    });
    add(Scenario {
        server: |_, server| {
            server.up.exp = 3e-5;
            server.down.exp = 9.7e-4;
        },
        seconds: 100_000,
        limits: Some(Limits { sync: 2000, ..DEFAULT }),
        ..usual("011 jitter almost all on the way down")
    });
    add(Scenario {
        path: PathModel { open_first: Some((1200.0, 10_000.0)), ..usual("").path },
        seconds: 100_000,
        limits: Some(Limits { sync: 210, max: 0.1, rms: 2e-3, freq_max: 1e-2, freq_rms: 2e-5 }),
        ..usual("014a link up for 1200 s of each 10000 s")
    });
    add(Scenario {
        server: |_, server| server.up.pass_every = Some(20),
        seconds: 50_000,
        limits: Some(Limits { sync: 22_000, max: 1e-2, rms: 5e-3, freq_max: 1e-4, freq_rms: 1e-5 }),
        ..usual("014b one question of twenty is answered")
    });

    for (name, options, poll) in [
        ("101a poll 1", "minpoll 1 maxpoll 1", 1u32),
        ("101a poll 2", "minpoll 2 maxpoll 2", 2),
        ("101a poll 3", "minpoll 3 maxpoll 3", 3),
        ("101a poll 4", "minpoll 4 maxpoll 4", 4),
        ("101a poll 6", "minpoll 6 maxpoll 6", 6),
        ("101a poll 8", "minpoll 8 maxpoll 8", 8),
        ("101a poll 10", "minpoll 10 maxpoll 10", 10),
        ("101a poll 12", "minpoll 12 maxpoll 12", 12),
        ("101a poll 14", "minpoll 14 maxpoll 14", 14),
    ] {
        let polls = |count: u64| count << poll;
        add(Scenario {
            client: ClockModel { wander: 0.0, ..usual("").client },
            path: PathModel { base: 1e-4, exp: 1e-6, ..PathModel::default() },
            options,
            seconds: polls(10),
            limits: Some(Limits {
                sync: polls(21) / 10 + 2,
                max: 1e-5,
                rms: 5e-6,
                freq_max: 1e-5,
                freq_rms: 5e-6,
            }),
            ..usual(name)
        });
    }
    add(Scenario {
        options: "iburst",
        limits: Some(Limits { sync: 6, ..DEFAULT }),
        ..usual("102 a burst at the start")
    });
    for (name, offset, conf, sync) in [
        ("109 always stepped, 0.1 s", 0.1, &["makestep 0 -1"][..], 150),
        ("109 always stepped, -1 s", -1.0, &["makestep 0 -1"], 150),
        ("109 always stepped, 1e8 s", 1e8, &["makestep 0 -1"], 150),
        ("109 slewed below the threshold, 1 s", 1.0, &["makestep 2 1"], 150),
        ("109 slewed below the threshold, -0.1 s", -0.1, &["makestep 2 1"], 150),
        ("109 stepped above the threshold, -100 s", -100.0, &["makestep 2 1"], 140),
        ("109 stepped above the threshold, 1e8 s", 1e8, &["makestep 2 1"], 140),
    ] {
        add(Scenario {
            client: ClockModel { offset, ..usual("").client },
            conf,
            limits: Some(Limits { sync, ..DEFAULT }),
            ..usual(name)
        });
    }
    add(Scenario {
        setup: |setup| setup.settings.min_sources = 3,
        limits: None,
        ..usual("116 three sources wanted, one there")
    });
    add(Scenario {
        servers: 3,
        setup: |setup| setup.settings.min_sources = 3,
        ..usual("116 three sources wanted, three there")
    });

    add(Scenario {
        setup: |setup| setup.specs[0].options.noselect = true,
        limits: None,
        ..usual("120 the only server is not to be selected")
    });
    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = if number < 3 { 1.0 } else { 0.0 },
        setup: |setup| {
            setup.specs[..3].iter_mut().for_each(|spec| spec.options.noselect = true);
        },
        ..usual("120 a majority lies and is not to be selected")
    });
    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = if number < 3 { 1.0 } else { 0.0 },
        setup: |setup| setup.specs[3..].iter_mut().for_each(|spec| spec.options.trust = true),
        ..usual("120 a majority lies, the others are trusted")
    });
    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = if number == 0 { 1.0 } else { 0.0 },
        setup: |setup| setup.specs[0].options.require = true,
        limits: None,
        ..usual("120 one lies, and nothing goes without it")
    });
    add(Scenario {
        servers: 5,
        server: |number, server| server.offset = if number == 0 { 1.0 } else { 0.0 },
        setup: |setup| setup.specs[0].options.prefer = true,
        ..usual("120 one lies and is preferred")
    });
    for (name, options) in
        [("125 a third is lost", ""), ("125 a third is lost, interleaved", "xleave")]
    {
        add(Scenario {
            path: PathModel { loss: Some(0.33), ..usual("").path },
            options,
            limits: Some(Limits { sync: 1000, ..DEFAULT }),
            ..usual(name)
        });
    }
    all
}

/// A server whose clock alternates between right and 2 s ahead, 64 s each.
struct Jumping(TimeServer);

impl Host for Jumping {
    fn answer(&mut self, request: &[u8], at_s: f64) -> Option<Vec<u8>> {
        self.0.offset_s = if ((at_s / 64.0) as u64).is_multiple_of(2) { 0.0 } else { 2.0 };
        self.0.answer(request, at_s)
    }
}

/// Delivers each packet four times.
struct Repeating;

impl Meddler for Repeating {
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery> {
        let Some(delay_s) = packet.delay_s else { return Vec::new() };
        let again = |n: i32| Delivery {
            direction: packet.direction,
            delay_s: delay_s * (1.0 + 0.3 * f64::from(n)),
            datagram: packet.datagram.to_vec(),
        };
        (0..4).map(again).collect()
    }
}

/// An instant at which only counts are asked for.
fn last_reading() -> noonmark_clock::Reading {
    noonmark_clock::Reading { mono: noonmark_units::Mono(u64::MAX / 2), real: START }
}

const SEEDS: usize = 2;

#[test]
fn the_clock_is_kept_within_the_limits_of_chrony_s_tests() {
    let scenarios = scenarios();
    let verdicts = in_parallel(scenarios.len() * SEEDS, |job| {
        let scenario = &scenarios[job / SEEDS];
        let judged = catch_unwind(AssertUnwindSafe(|| scenario.judge((job % SEEDS) as u64)));
        judged.unwrap_or_else(|_| Err("it panicked".into()))
    });
    let named = scenarios.iter().zip(verdicts.chunks(SEEDS)).map(|(scenario, verdicts)| {
        let bad: Vec<String> = verdicts.iter().filter_map(|v| v.clone().err()).collect();
        let verdict = if bad.is_empty() { Ok(()) } else { Err(bad.join("; ")) };
        (scenario.name.to_owned(), verdict)
    });
    settle(named.collect());
}

/// With a drift file the frequency is right at once, before any server has answered.
#[test]
fn a_remembered_frequency_is_in_effect_within_a_second() {
    for freq in [5e-6, -5e-6, 5e-4, -5e-4, 5e-2, -5e-2] {
        let model = Model {
            client: ClockModel { freq, ..ClockModel::default() },
            servers: vec![ServerModel::default()],
        };
        let mut world = World::new(&model, 0, Precision(-23));
        let mut setup = Setup::new(&Variant::default(), 0);
        let correction = Frequency::from_ratio(1.0 / (1.0 + freq) - 1.0);
        setup.memory = Some(Memory { frequency: correction, skew: Frequency::from_ppm(0.01) });
        let mut daemon = Daemon::new(setup, World::node_random(0), world.reading());
        let record = Record::of(&mut world, &mut daemon, 3);
        assert!(record.frequencies[1].abs() < 1e-9, "{freq}: {:?}", record.frequencies);
    }
}

/// Below one question a second the packets have to be as many as asked for where the round trip is short, and no more than one a
/// second where it is not.
#[test]
fn polls_below_a_second_are_kept_on_short_ways_only() {
    for exponent in -4..=-1i8 {
        let packets = |base: f64| {
            let scenario = Scenario {
                path: PathModel { base, exp: base / 100.0, ..PathModel::default() },
                setup: match exponent {
                    -4 => |setup| polls(setup, -4),
                    -3 => |setup| polls(setup, -3),
                    -2 => |setup| polls(setup, -2),
                    _ => |setup| polls(setup, -1),
                },
                seconds: 100,
                ..usual("101b")
            };
            scenario.run(1).0.packets as f64
        };
        let wanted = 100.0 / f64::from(exponent).exp2();
        let (short, long) = (packets(1e-4), packets(0.02));
        assert!((0.9 * wanted..=1.1 * wanted).contains(&short), "{exponent}: {short} of {wanted}");
        assert!(long <= 110.0, "{exponent}: {long} packets in 100 s on a long way");
    }
}

fn polls(setup: &mut Setup, exponent: i8) {
    for spec in &mut setup.specs {
        spec.options.min_poll = PollExponent(exponent);
        spec.options.max_poll = PollExponent(exponent);
    }
}

/// The whole daemon repeats bit for bit, too.
#[test]
fn a_run_of_the_daemon_repeats_bit_for_bit() {
    let bits = |seed| {
        let scenario = Scenario { servers: 3, options: "iburst", seconds: 3000, ..usual("") };
        let record = scenario.run(seed).0;
        record.offsets.into_iter().map(f64::to_bits).collect::<Vec<u64>>()
    };
    assert_eq!(bits(1), bits(1));
    assert_ne!(bits(1), bits(2));
}
