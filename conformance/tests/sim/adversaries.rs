//! What an attacker can do to the clock, and that what is published about its error stays true meanwhile.
//!
//! Two kinds. Packets that prove nothing must change nothing: a run with the attacker equals the run without, bit for bit. Lying
//! servers in the minority, and somebody on a path who delays packets, can do harm within bounds: in every run true time stays
//! inside the published interval, and the interval stays short.

use noonmark_conformance::check::Effort;
use noonmark_conformance::sim::daemon::Setup;
use noonmark_conformance::sim::figures::median;
use noonmark_conformance::sim::trial::in_parallel;
use noonmark_conformance::sim::{
    ClockModel, Daemon, Delivery, Direction, Intention, Meddler, Model, Node, Passing, PathModel,
    Record, START, ServerModel, TimeServer, Variant, World,
};
use noonmark_packet::{Header, KissCode, Leap, Packet, ReferenceId};
use noonmark_units::{Precision, Span, Timestamp};

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
    servers: usize,
    nts: bool,
    seconds: u64,
    /// Changes one server by its number.
    server: fn(usize, &mut ServerModel),
    world: fn(&mut World, &Model),
    setup: fn(&mut Setup),
    /// By how much the published half-width may exceed its 1.5 times that of a run without the attack, s.
    more_s: f64,
}

fn attack(name: &'static str) -> Attack {
    Attack {
        name,
        servers: 4,
        nts: false,
        seconds: 4_000,
        server: |_, _| {},
        world: |_, _| {},
        setup: |_| {},
        more_s: 0.0,
    }
}

impl Attack {
    fn run(&self, seed: u64, attacked: bool) -> Run {
        let mut model = model(self.servers);
        if attacked {
            model.servers.iter_mut().enumerate().for_each(|(n, server)| (self.server)(n, server));
        }
        let mut world = World::new(&model, seed, Precision(-23));
        let mut setup = match self.nts {
            true => nts::setup(&variant(), self.servers),
            false => Setup::new(&variant(), self.servers),
        };
        if self.nts {
            (0..self.servers)
                .for_each(|n| world.replace_host(n, Box::new(NtsServer::new(seed + n as u64))));
        }
        if attacked {
            (self.world)(&mut world, &model);
        }
        (self.setup)(&mut setup);
        let mut daemon = Daemon::new(setup, World::node_random(seed), world.reading());
        if self.nts {
            daemon.set_key_exchange(Box::new(move |server| Some(nts::agreement(server as u64))));
        }
        let stride = if attacked { 1 } else { 64 };
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

/// Runs every attack with every seed, beside the same run without it.
fn check(attacks: &[Attack]) {
    let seeds = seeds();
    let runs = in_parallel(attacks.len() * seeds, |job| {
        let (attack, seed) = (&attacks[job / seeds], (job % seeds) as u64);
        (attack.run(seed, true), attack.run(seed, false))
    });
    let mut verdicts = Vec::new();
    for (attack, runs) in attacks.iter().zip(runs.chunks(seeds)) {
        let outside: u64 = runs.iter().map(|(run, _)| run.record.outside).sum();
        let worst = runs.iter().map(|(run, _)| run.record.max()).fold(0.0, f64::max);
        let widths: Vec<f64> = runs.iter().map(|(run, _)| run.half_width_s).collect();
        let honest: Vec<f64> = runs.iter().map(|(_, calm)| calm.distance_s).collect();
        let (width, honest) = (median(&widths), median(&honest));
        let facts = format!(
            "{outside} s outside, largest error {worst:.2e} s, half-width {width:.2e} s, without attack {honest:.2e} s"
        );
        println!("{}: {facts}", attack.name);
        let good = outside == 0 && width <= 1.5 * honest + attack.more_s;
        verdicts.push((attack.name.to_owned(), if good { Ok(()) } else { Err(facts) }));
    }
    settle(verdicts);
}

// --- Liars and delays: harm within bounds. ---

/// Half the delay that is put in on one way is all the error it can make, and the interval knows it.
#[test]
fn a_delay_on_one_path_stays_within_the_interval() {
    check(&[
        Attack {
            servers: 1,
            server: |_, server| server.up.change = Some((2000.0, 1e-3)),
            more_s: 0.5e-3,
            ..attack("A-10 the only server, 1 ms more from 2000 s")
        },
        Attack {
            servers: 1,
            server: |_, server| server.up.change = Some((2000.0, 0.1)),
            more_s: 0.05,
            ..attack("A-10 the only server, 100 ms more from 2000 s")
        },
        Attack {
            servers: 1,
            server: |_, server| server.up.base += 0.1,
            more_s: 0.05,
            ..attack("A-10 the only server, 100 ms more from the start")
        },
        Attack {
            servers: 1,
            server: |_, server| server.down.change = Some((2000.0, 1.0)),
            more_s: 0.5,
            ..attack("A-10 the only server, 1 s more on the way down")
        },
        Attack {
            servers: 1,
            world: |world, _| world.set_meddler(Box::new(Ramp { per_second: 1e-6 })),
            more_s: 1e-3,
            ..attack("A-10 the only server, 1 µs a second more and more")
        },
        Attack {
            server: |n, server| {
                if n == 0 {
                    server.up.change = Some((2000.0, 0.1));
                }
            },
            ..attack("A-10 one path of four, 100 ms more from 2000 s")
        },
        Attack {
            server: |n, server| {
                if n == 0 {
                    server.up.base += 0.1;
                }
            },
            ..attack("A-10 one path of four, 100 ms more from the start")
        },
    ]);
}

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
        Attack {
            servers: 5,
            server: |n, server| {
                if n < 2 {
                    server.freq_step = Some((1000.0, 1e-6));
                }
            },
            ..attack("A-11 two of five drift together by 1 µs a second")
        },
        Attack {
            servers: 5,
            server: |n, server| {
                if n < 2 {
                    server.freq_step = Some((1000.0, 4e-4));
                }
            },
            ..attack("A-11 two of five drift together by 0.4 ms a second")
        },
    ]);
}

/// However many servers the attacker has, those of one operator have one voice; and fast servers have no more than others.
#[test]
fn a_minority_of_liars_does_not_move_the_clock() {
    check(&[
        Attack {
            servers: 10,
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
            servers: 7,
            server: |n, server| {
                if n < 3 {
                    server.offset = 1e-3;
                }
            },
            ..attack("A-40 three of seven lie by 1 ms, within the others' intervals")
        },
        Attack {
            servers: 9,
            server: |n, server| server.offset = if n < 6 { 0.1 } else { 0.0 },
            setup: |setup| {
                for spec in &mut setup.specs[..6] {
                    spec.options.operator = Some("one".into());
                }
            },
            ..attack("A-40 six liars of one operator among nine")
        },
    ]);
}

/// Delays more and more on the way up.
struct Ramp {
    per_second: f64,
}

impl Meddler for Ramp {
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery> {
        let more_s = match packet.direction {
            Direction::Up => self.per_second * (packet.at_s - 2000.0).max(0.0),
            Direction::Down => 0.0,
        };
        pass(&packet, more_s).into_iter().collect()
    }
}

// --- Packets that prove nothing: no harm at all. ---

/// Compares runs bit for bit.
fn check_unmoved(name: &str, attack: &Attack) {
    let bits = |run: Run| run.record.offsets.into_iter().map(f64::to_bits).collect::<Vec<u64>>();
    let same = in_parallel(seeds().min(50), |seed| {
        let seed = seed as u64;
        bits(attack.run(seed, true)) == bits(attack.run(seed, false))
    });
    let moved: Vec<usize> = (0..same.len()).filter(|seed| !same[*seed]).collect();
    assert!(moved.is_empty(), "{name}: the clock went another way with seeds {moved:?}");
}

/// Kisses from somebody who does not see the question.
#[test]
fn forged_kisses_change_nothing() {
    for nts in [false, true] {
        let world = |world: &mut World, _: &Model| {
            world.set_meddler(Box::new(Forger::new(|question| {
                [*b"RATE", *b"DENY", *b"RSTR", *b"NTSN", *b"ACST", *b"XXXX"]
                    .map(|code| Header {
                        stratum: 0,
                        reference_id: ReferenceId(KissCode(code).0),
                        origin: Timestamp::from_bits(!question.transmit.to_bits()),
                        ..answer_to(question)
                    })
                    .map(|header| header.to_octets().to_vec())
                    .to_vec()
            })));
        };
        check_unmoved("A-01", &Attack { nts, world, servers: 2, ..attack("A-01") });
    }
}

/// Answers with an origin of zero, of another question, or of nothing.
#[test]
fn answers_to_no_question_of_ours_change_nothing() {
    for nts in [false, true] {
        let world = |world: &mut World, _: &Model| {
            world.set_meddler(Box::new(Forger::new(|question| {
                [0, 1, question.transmit.to_bits() + 1, question.transmit.to_bits().swap_bytes()]
                    .map(|origin| Header {
                        origin: Timestamp::from_bits(origin),
                        ..answer_to(question)
                    })
                    .map(|header| header.to_octets().to_vec())
                    .to_vec()
            })));
        };
        check_unmoved("A-02", &Attack { nts, world, servers: 2, ..attack("A-02") });
    }
}

/// A crypto-NAK, even from somebody who sees the question.
#[test]
fn a_crypto_nak_changes_nothing() {
    for nts in [false, true] {
        let world = |world: &mut World, _: &Model| {
            world.set_meddler(Box::new(Forger::new(|question| {
                let mut nak = answer_to(question).to_octets().to_vec();
                nak.extend([0; 4]);
                vec![nak]
            })));
        };
        check_unmoved("A-07", &Attack { nts, world, servers: 2, ..attack("A-07") });
    }
}

/// The last answers are said again along with each new one, before it comes. A question said again brings nothing else.
#[test]
fn what_is_said_again_changes_nothing() {
    let world = |world: &mut World, _: &Model| world.set_meddler(Box::new(Parrot::default()));
    check_unmoved("A-24", &Attack { nts: true, world, servers: 2, ..attack("A-24") });
    check_unmoved("A-24", &Attack { nts: false, world, servers: 2, ..attack("A-24") });
}

/// Sends answers of its own invention just after each question has left.
struct Forger<F> {
    invent: F,
}

impl<F: FnMut(&Header) -> Vec<Vec<u8>>> Forger<F> {
    fn new(invent: F) -> Self {
        Self { invent }
    }
}

impl<F: FnMut(&Header) -> Vec<Vec<u8>>> Meddler for Forger<F> {
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery> {
        let mut deliveries: Vec<Delivery> = pass(&packet, 0.0).into_iter().collect();
        if let (Direction::Up, Ok(question)) = (packet.direction, Packet::parse(packet.datagram)) {
            let forged = (self.invent)(&question.header());
            deliveries.extend(forged.into_iter().map(|datagram| Delivery {
                direction: Direction::Down,
                delay_s: 1e-5,
                datagram,
            }));
        }
        deliveries
    }
}

/// An answer by somebody who read the question: 10 s off, and believable otherwise.
fn answer_to(question: &Header) -> Header {
    let when = START + Span::from_seconds(10);
    Header {
        mode: noonmark_packet::Mode::Server,
        stratum: 1,
        origin: question.transmit,
        receive: when,
        transmit: when,
        reference_time: when,
        reference_id: ReferenceId(*b"GPS\0"),
        ..Header::client(when)
    }
}

/// Repeats the last answers along with each, some before it and some after.
#[derive(Default)]
struct Parrot {
    heard: Vec<Vec<u8>>,
}

impl Meddler for Parrot {
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery> {
        let mut deliveries: Vec<Delivery> = pass(&packet, 0.0).into_iter().collect();
        if packet.direction == Direction::Up {
            return deliveries;
        }
        self.heard.push(packet.datagram.to_vec());
        // The answer itself is repeated after it came: before, the repetition would be the answer, and a fast one.
        deliveries.extend(self.heard.iter().zip([1e-5, 0.1].into_iter().cycle()).map(
            |(datagram, delay_s)| Delivery {
                direction: Direction::Down,
                delay_s: if datagram == packet.datagram { 0.1 } else { delay_s },
                datagram: datagram.clone(),
            },
        ));
        if self.heard.len() > 8 {
            self.heard.remove(0);
        }
        deliveries
    }
}

/// The packet as the path would have delivered it, and `more_s` later.
fn pass(packet: &Passing<'_>, more_s: f64) -> Option<Delivery> {
    packet.delay_s.map(|delay_s| Delivery {
        direction: packet.direction,
        delay_s: delay_s + more_s,
        datagram: packet.datagram.to_vec(),
    })
}

// --- Leap seconds, NTS stripped, cookies run out. ---

/// A leap second announced by a minority is not believed; by all, it is.
#[test]
fn a_leap_second_needs_a_majority() {
    let announced_by = |liars: usize| {
        let model = model(4);
        let mut world = World::new(&model, 1, Precision(-23));
        for n in 0..liars {
            let mut server = TimeServer::new(&model.servers[n], START, Precision(-23));
            server.leap = Leap::InsertSecond;
            world.replace_host(n, Box::new(server));
        }
        let setup = Setup::new(&variant(), 4);
        let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
        let mut announced = false;
        world.run(&mut daemon, 2_000, |_, world, daemon| {
            announced |= daemon.keeper().tracking(world.reading()).leap == Leap::InsertSecond;
        });
        announced
    };
    let rows = [
        ("A-12 announced by one of four", 1, false),
        ("A-12 announced by two of four", 2, false),
        ("A-12 announced by all four", 4, true),
    ];
    let verdicts = rows.map(|(name, liars, believed)| {
        let good = announced_by(liars) == believed;
        let problem = if believed { "it is not believed" } else { "it is believed" };
        (name.to_owned(), if good { Ok(()) } else { Err(problem.to_owned()) })
    });
    settle(verdicts.into());
}

/// While key establishment is blocked and plain answers are offered, nothing is asked without NTS and nothing is believed.
#[test]
fn a_source_with_nts_is_never_asked_without() {
    let model = model(2);
    let mut world = World::new(&model, 1, Precision(-23));
    let setup = nts::setup(&variant(), 2);
    let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
    world.run(&mut daemon, 20_000, |_, _, _| {});
    assert_eq!(world.questions(), 0, "it asked without keys");
    assert_eq!(daemon.keeper().tracking(world.reading()).updates, 0);
    assert!(daemon.key_exchanges() >= 2, "it did not even try");
    assert!(daemon.key_exchanges() <= 60, "{} attempts in 20000 s", daemon.key_exchanges());
}

/// NTSN from somebody who sees the questions brings new keys now and then, and never plain questions.
#[test]
fn forged_naks_do_not_strip_nts() {
    let model = model(1);
    let mut world = World::new(&model, 1, Precision(-23));
    world.replace_host(0, Box::new(NtsServer::new(1)));
    world.set_meddler(Box::new(Stripper { plain_questions: 0 }));
    let setup = nts::setup(&variant(), 1);
    let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
    daemon.set_key_exchange(Box::new(|server| Some(nts::agreement(server as u64))));
    let mut watched = Watched { daemon, plain: 0 };
    world.run(&mut watched, 20_000, |_, _, _| {});
    assert_eq!(watched.plain, 0, "plain questions left");
    let exchanges = watched.daemon.key_exchanges();
    assert!((1..=60).contains(&exchanges), "{exchanges} key exchanges in 20000 s");
}

/// Under loss for a day, cookies run out and are renewed within bounds; the clock is kept and no question goes without NTS.
#[test]
fn loss_for_a_day_neither_strips_nts_nor_storms_the_key_server() {
    for (loss, most) in [(0.3, 4), (0.6, 30), (0.9, 120)] {
        let mut model = model(1);
        model.servers[0].up.loss = Some(1.0 - (1.0f64 - loss).sqrt());
        model.servers[0].down.loss = Some(1.0 - (1.0f64 - loss).sqrt());
        let mut world = World::new(&model, 1, Precision(-23));
        world.replace_host(0, Box::new(NtsServer::new(1)));
        let setup = nts::setup(&variant(), 1);
        let mut daemon = Daemon::new(setup, World::node_random(1), world.reading());
        daemon.set_key_exchange(Box::new(|server| Some(nts::agreement(server as u64))));
        let mut watched = Watched { daemon, plain: 0 };
        let mut late_s: f64 = 0.0;
        world.run(&mut watched, 86_400, |second, world, _| {
            if second > 40_000 {
                late_s = late_s.max(world.offset().abs());
            }
        });
        let exchanges = watched.daemon.key_exchanges();
        println!("{loss} lost: {exchanges} key exchanges, largest late error {late_s:.2e} s");
        assert_eq!(watched.plain, 0, "plain questions left");
        assert!((1..=most).contains(&exchanges), "{loss}: {exchanges} key exchanges in a day");
        assert!(late_s < 0.05, "{loss}: {late_s} s off");
    }
}

/// Drops what the server says and says NTSN or DENY in its place.
struct Stripper {
    plain_questions: u32,
}

impl Meddler for Stripper {
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery> {
        if packet.direction == Direction::Down {
            return Vec::new();
        }
        let Ok(question) = Packet::parse(packet.datagram) else { return Vec::new() };
        self.plain_questions += 1;
        let code = if self.plain_questions.is_multiple_of(2) { *b"NTSN" } else { *b"DENY" };
        let header = Header {
            stratum: 0,
            reference_id: ReferenceId(KissCode(code).0),
            ..answer_to(&question.header())
        };
        // The identifier is in the clear, so it can be returned; a tag cannot.
        let mut datagram = header.to_octets().to_vec();
        datagram.extend_from_slice(packet.datagram.get(48..84).unwrap_or_default());
        let kiss = Delivery { direction: Direction::Down, delay_s: 1e-3, datagram };
        vec![kiss]
    }
}

/// A daemon whose questions are looked at as they leave.
struct Watched {
    daemon: Daemon,
    plain: u32,
}

impl Node for Watched {
    fn handle_timeout(&mut self, now: noonmark_clock::Reading) {
        self.daemon.handle_timeout(now);
    }

    fn handle_sent(&mut self, server: usize, sent: Timestamp) {
        self.daemon.handle_sent(server, sent);
    }

    fn handle_datagram(
        &mut self,
        server: usize,
        datagram: &[u8],
        received: Timestamp,
        now: noonmark_clock::Reading,
    ) {
        self.daemon.handle_datagram(server, datagram, received, now);
    }

    fn handle_adjusted(
        &mut self,
        outcome: Result<noonmark_clock::Adjusted, noonmark_clock::NotAdjusted>,
        now: noonmark_clock::Reading,
    ) {
        self.daemon.handle_adjusted(outcome, now);
    }

    fn handle_step(&mut self, by: Span, now: noonmark_clock::Reading) {
        self.daemon.handle_step(by, now);
    }

    fn handle_errand(&mut self, number: u64, now: noonmark_clock::Reading) {
        self.daemon.handle_errand(number, now);
    }

    fn poll_output(&mut self) -> Option<Intention> {
        let output = self.daemon.poll_output();
        if let Some(Intention::Transmit { datagram, .. }) = &output {
            // 48 octets of header, then identifier, cookie and authenticator.
            self.plain += u32::from(datagram.len() < 200);
        }
        output
    }

    fn deadline(&self) -> noonmark_units::Mono {
        self.daemon.deadline()
    }
}

/// The harness can see harm: where a majority lies, true time is outside.
#[test]
fn a_lying_majority_is_seen_outside() {
    let majority = Attack {
        server: |n, server| server.offset = if n < 3 { 0.1 } else { 0.0 },
        ..attack("majority")
    };
    let run = majority.run(1, true);
    assert!(run.record.outside > 3_000, "{} s outside", run.record.outside);
}
