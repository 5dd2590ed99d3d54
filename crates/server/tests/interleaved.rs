//! Interleaved mode (RFC 9769 §2): who is told when which answer left.

mod client;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use client::{ASKED, Client, Server, header, unique};
use noonmark_nts::Aead;
use noonmark_packet::{KissCode, Leap, Packet};
use noonmark_server::{
    Awaited, Batch, Counter, Envelope, Load, PastAnswers, Policy, RateLimit, RateTable,
};
use noonmark_units::{Mono, Span, Timestamp};
use proptest::prelude::*;

/// A server, and what its clients remember.
struct Lab {
    server: Server,
    batch: Batch,
    nts: Client,
}

/// A request as its client made it.
#[derive(Clone, Copy)]
struct Question {
    from: SocketAddr,
    origin: Timestamp,
    receive: Timestamp,
    transmit: Timestamp,
    is_proven: bool,
}

/// What came back, and what the server wants to hear of it.
#[derive(Clone, Copy, Debug)]
struct Told {
    origin: Timestamp,
    receive: Timestamp,
    transmit: Timestamp,
    reference_time: Timestamp,
    awaited: Option<Awaited>,
}

impl Lab {
    fn new(clients: usize) -> Self {
        let interleaved = Some(PastAnswers::new(clients, [7, 8]).expect("memory"));
        Self::with(Policy { interleaved, ..Policy::default() })
    }

    fn with(policy: Policy) -> Self {
        let (server, nts) = (Server::with(policy), Client::new(Aead::SivCmac256));
        Self { server, batch: Batch::new(), nts }
    }

    /// Asks, and gets time.
    fn ask(&mut self, question: Question) -> Told {
        let Question { from, origin, receive, transmit, is_proven } = question;
        let mut request = header(4, 3);
        request[24..32].copy_from_slice(&origin.to_octets());
        request[32..40].copy_from_slice(&receive.to_octets());
        request[40..48].copy_from_slice(&transmit.to_octets());
        if is_proven {
            request = self.nts.sealed([request, unique(32), self.nts.cookie_field()].concat());
        }
        self.batch.clear();
        let envelope = Envelope { peer: from, ..self.server.envelope("192.0.2.1:123") };
        assert!(self.batch.push(&request, envelope));
        self.server.respond(&mut self.batch);
        let slot = &self.batch.slots()[0];
        let answer = slot.answer().expect("an answer");
        if is_proven {
            self.nts.open(answer);
        }
        let packet = Packet::parse(answer).expect("a header");
        assert_eq!(slot.awaited().map(Awaited::mark).as_ref(), {
            let awaited = slot.awaited().is_some();
            awaited.then(|| answer[32..48].first_chunk().expect("16 octets"))
        });
        let told = Told {
            origin: packet.origin(),
            receive: packet.receive(),
            transmit: packet.transmit(),
            reference_time: packet.reference_time(),
            awaited: slot.awaited().copied(),
        };
        self.pass(Duration::from_millis(50));
        told
    }

    /// The kernel says when an answer left.
    fn departed(&mut self, awaited: &Awaited, left: Timestamp) {
        let Server { responder, state, mono, .. } = &mut self.server;
        responder.departed(awaited, left, state, *mono);
    }

    fn pass(&mut self, time: Duration) {
        self.server.time = self.server.time + Span::from_duration(time);
        self.server.mono = self.server.mono + time;
    }
}

const ONE: &str = "192.0.2.7:50123";
const PORT: &str = "192.0.2.7:50999";
const OTHER: &str = "192.0.2.8:50123";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Which stamp of an earlier answer a request has as its origin.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Zero,
    Receive(usize),
    Transmit(usize),
    Never,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Basic,
    /// It tells when that answer left.
    Interleaved(usize),
}

struct Step {
    from: &'static str,
    is_proven: bool,
    origin: Origin,
    /// The request's two stamps are equal.
    equal: bool,
    /// The kernel says when the answer left.
    stamped: bool,
    expected: Mode,
}

const fn step(origin: Origin, expected: Mode) -> Step {
    Step { from: ONE, is_proven: false, origin, equal: false, stamped: true, expected }
}

fn check(name: &str, steps: &[Step]) {
    let mut lab = Lab::new(64);
    let mut past: Vec<(Told, Timestamp)> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let origin = match step.origin {
            Origin::Zero => Timestamp::UNSET,
            Origin::Receive(of) => past[of].0.receive,
            Origin::Transmit(of) => past[of].0.transmit,
            Origin::Never => Timestamp::from_bits(0xe9ff_fff0_1234_5679),
        };
        let transmit = Timestamp::from_bits(ASKED.to_bits() + number as u64);
        let receive = if step.equal { transmit } else { Timestamp::from_bits(0x55 << number) };
        let Step { from, is_proven, .. } = *step;
        let told = lab.ask(Question { from: address(from), origin, receive, transmit, is_proven });
        let left = told.receive + Span::from_nanos(77_000 + number as i64);
        if step.stamped
            && let Some(awaited) = &told.awaited
        {
            lab.departed(awaited, left);
        }
        let true_time = Timestamp::from_bits(left.to_bits() & !1);
        past.push((told, true_time));
        let what = format!("{name}, step {number}: {told:?}");
        match step.expected {
            Mode::Basic => {
                assert_eq!(told.origin, transmit, "{what}");
                assert!(told.transmit - told.receive > Span::ZERO, "{what}");
            }
            Mode::Interleaved(of) => {
                assert_eq!((told.origin, told.transmit), (receive, past[of].1), "{what}");
                assert!(told.receive - told.transmit > Span::ZERO, "{what}");
            }
        }
        assert!((told.transmit - told.reference_time) >= Span::ZERO, "{what}");
        assert_ne!(told.receive, told.transmit, "{what}");
    }
}

#[test]
fn each_request_is_answered_in_the_mode_it_has_a_right_to() {
    use Mode::{Basic, Interleaved};
    use Origin::{Never, Receive, Transmit, Zero};
    // RFC 9769 §2: the first is basic. What the second names was not kept, since nothing said that it would be asked for.
    let begin = || vec![step(Zero, Basic), step(Receive(0), Basic)];
    let and = |mut steps: Vec<Step>, more: Vec<Step>| {
        steps.extend(more);
        steps
    };
    check(
        "a client that stays",
        &and(begin(), (1..9).map(|n| step(Receive(n), Interleaved(n))).collect()),
    );
    check(
        "the same twice",
        &and(begin(), vec![step(Receive(1), Interleaved(1)), step(Receive(1), Basic)]),
    );
    check(
        "named by both of its answers",
        &and(
            begin(),
            vec![
                step(Receive(1), Interleaved(1)),
                step(Receive(1), Basic),
                step(Receive(2), Interleaved(2)),
                step(Receive(3), Interleaved(3)),
            ],
        ),
    );
    check(
        "answers that were lost",
        &and(
            begin(),
            vec![
                step(Receive(1), Interleaved(1)),
                step(Receive(1), Basic),
                step(Receive(1), Basic),
                step(Receive(4), Interleaved(4)),
            ],
        ),
    );
    check(
        "back to basic and again",
        &and(
            begin(),
            vec![
                step(Receive(1), Interleaved(1)),
                step(Zero, Basic),
                step(Receive(3), Basic),
                step(Receive(4), Interleaved(4)),
            ],
        ),
    );
    check(
        "no stamp of the kernel's",
        &[
            step(Zero, Basic),
            Step { stamped: false, ..step(Receive(0), Basic) },
            step(Receive(1), Basic),
            step(Receive(2), Interleaved(2)),
        ],
    );
    check(
        "equal stamps",
        &and(
            begin(),
            vec![
                Step { equal: true, ..step(Receive(1), Basic) },
                step(Receive(1), Interleaved(1)),
                step(Receive(2), Basic),
            ],
        ),
    );
    check(
        "a transmit stamp, as clients of RFC 5905 have it",
        &[
            step(Zero, Basic),
            step(Transmit(0), Basic),
            step(Transmit(1), Basic),
            step(Receive(2), Basic),
            step(Transmit(3), Basic),
            step(Receive(3), Interleaved(3)),
        ],
    );
    check(
        "a stamp nobody gave out",
        &and(begin(), vec![step(Never, Basic), step(Receive(1), Interleaved(1))]),
    );
    check(
        "another port",
        &and(
            begin(),
            vec![
                Step { from: PORT, ..step(Receive(1), Interleaved(1)) },
                step(Receive(2), Interleaved(2)),
            ],
        ),
    );
    check(
        "another address",
        &and(
            begin(),
            vec![
                Step { from: OTHER, ..step(Receive(1), Basic) },
                step(Receive(1), Interleaved(1)),
                Step { from: OTHER, ..step(Receive(2), Interleaved(2)) },
            ],
        ),
    );
    let nts = |step: Step| Step { is_proven: true, ..step };
    check(
        "NTS",
        &[
            nts(step(Zero, Basic)),
            nts(step(Receive(0), Basic)),
            nts(step(Receive(1), Interleaved(1))),
            nts(step(Receive(2), Interleaved(2))),
        ],
    );
    check(
        "nobody without its keys uses up what an NTS client may have",
        &[
            nts(step(Zero, Basic)),
            nts(step(Receive(0), Basic)),
            step(Receive(1), Basic),
            nts(step(Receive(2), Basic)),
            nts(step(Receive(1), Interleaved(1))),
            step(Receive(2), Interleaved(2)),
        ],
    );
}

#[test]
fn who_does_not_ask_for_it_costs_neither_stamps_nor_memory() {
    let mut lab = Lab::new(64);
    let mut last = (Timestamp::UNSET, Timestamp::UNSET);
    for number in 0..20_u64 {
        let transmit = Timestamp::from_bits(ASKED.to_bits() + number);
        // Origin zero, as today's clients have it, or the last transmit stamp.
        let (origin, receive) =
            if number % 2 == 0 { (Timestamp::UNSET, Timestamp::UNSET) } else { last };
        let told = lab.ask(Question {
            from: address(ONE),
            origin,
            receive,
            transmit,
            is_proven: number > 10,
        });
        assert_eq!(told.awaited, None);
        last = (told.transmit, Timestamp::from_bits(number));
    }
    let count = |counter| lab.server.count(counter);
    assert_eq!([count(Counter::AnsweredInterleaved), count(Counter::DeparturesAwaited)], [0, 0]);
}

#[test]
fn switched_off_every_answer_is_basic() {
    let mut lab = Lab::with(Policy::default());
    let mut origin = Timestamp::UNSET;
    for number in 0..5_u64 {
        let (receive, transmit) =
            (Timestamp::from_bits(9 + number), Timestamp::from_bits(99 + number));
        let told =
            lab.ask(Question { from: address(ONE), origin, receive, transmit, is_proven: false });
        assert_eq!((told.origin, told.awaited), (transmit, None));
        origin = told.receive;
    }
}

#[test]
fn what_cannot_be_true_is_not_told() {
    for (left_after, expected) in [
        (5_000, true),
        (-1, false),
        (-3_000_000_000, false),
        (1_100_000_000, false),
        (900_000_000, true),
    ] {
        let mut lab = Lab::new(64);
        let (receive, transmit) = (Timestamp::from_bits(9), Timestamp::from_bits(99));
        let question = Question {
            from: address(ONE),
            origin: Timestamp::from_bits(1),
            receive,
            transmit,
            is_proven: false,
        };
        let told = lab.ask(question);
        // The clock was set between stamp and stamp, or the answer waited in a queue for more than a second.
        lab.departed(&told.awaited.expect("awaited"), told.receive + Span::from_nanos(left_after));
        let next = lab.ask(Question { origin: told.receive, ..question });
        assert_eq!(next.origin == receive, expected, "{left_after} ns");
    }
}

#[test]
fn a_kiss_is_never_interleaved_and_takes_nothing_away() {
    let limit = RateLimit {
        interval: Duration::from_secs(60),
        burst: 2,
        leak: 0,
        table_size: 64,
        ..RateLimit::default()
    };
    let interleaved = Some(PastAnswers::new(64, [7, 8]).expect("memory"));
    let rate = Some(RateTable::new(limit, [3, 4]));
    let mut lab = Lab::with(Policy { interleaved, rate, ..Policy::default() });
    let question = Question {
        from: address(ONE),
        origin: Timestamp::from_bits(1),
        receive: Timestamp::from_bits(9),
        transmit: Timestamp::from_bits(99),
        is_proven: false,
    };
    let told = lab.ask(question);
    lab.departed(&told.awaited.expect("awaited"), told.receive + Span::from_nanos(70_000));
    lab.ask(question);
    let question = Question { origin: told.receive, ..question };
    let kiss = lab.ask(question);
    assert_eq!((kiss.origin, kiss.awaited), (question.transmit, None));
    let answer = lab.batch.slots()[0].answer().expect("a kiss");
    let packet = Packet::parse(answer).expect("a header");
    assert_eq!((packet.kiss(), packet.leap()), (Some(KissCode::RATE), Leap::Unsynchronised));
    lab.pass(Duration::from_secs(600));
    assert_eq!(lab.ask(question).origin, question.receive, "it is still there");
}

#[test]
fn in_overload_the_kernel_stamps_for_those_who_prove_something() {
    let mut lab = Lab::new(64);
    let mut load = Load::new();
    let mut now = Mono(1 << 40);
    load.look(now);
    for _ in 0..1000 {
        now = now + Duration::from_micros(500);
        load.worked(64, 64);
        load.look(now);
    }
    assert!(load.pressure().is_on());
    lab.server.responder.set_pressure(load.pressure());
    let question = |is_proven| Question {
        from: address(ONE),
        origin: Timestamp::from_bits(1),
        receive: Timestamp::from_bits(9),
        transmit: Timestamp::from_bits(99),
        is_proven,
    };
    let proven = lab.ask(question(true));
    assert!(proven.awaited.is_some());
    let before = lab.server.count(Counter::DeparturesAwaited);
    // Nearly all plain requests are shed; of the rest none is stamped.
    let mut request = header(4, 3);
    request[31] = 1;
    for _ in 0..200 {
        lab.server.ask(&request);
    }
    assert_eq!(lab.server.count(Counter::DeparturesAwaited), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever clients ask, and whether the kernel tells or not: an answer is basic, or it tells this very client when the answer left that
    /// it named, once. The table is so small that most is forgotten, and the clock is set back now and then.
    #[test]
    fn every_answer_is_basic_or_tells_the_truth(
        clients in 1_usize..8,
        steps in proptest::collection::vec((0_usize..6, any::<bool>(), 0_u8..8, any::<prop::sample::Index>(), 0_u8..4), 1..150),
    ) {
        let mut lab = Lab::new(clients);
        let mut truths: HashMap<(IpAddr, bool, Timestamp), Timestamp> = HashMap::new();
        let mut stamps = vec![Timestamp::from_bits(1)];
        let mut interleaved = 0;
        for (number, (who, is_proven, kind, which, kernel)) in steps.into_iter().enumerate() {
            let number = number as u64;
            let from: SocketAddr = ([10, 0, 0, who as u8 % 3], 1000 + who as u16).into();
            let origin = match kind {
                0 => Timestamp::UNSET,
                1 => Timestamp::from_bits(stamps[which.index(stamps.len())].to_bits() ^ 2),
                _ => stamps[stamps.len() - 1 - which.index(stamps.len().min(12))],
            };
            let receive = Timestamp::from_bits(0x1000 + number);
            let transmit = Timestamp::from_bits(0xffff_0000 + number);
            let told = lab.ask(Question { from, origin, receive, transmit, is_proven });
            if told.origin == transmit {
                prop_assert!(told.transmit - told.receive > Span::ZERO);
            } else {
                prop_assert_eq!(told.origin, receive);
                let truth = truths.remove(&(from.ip(), is_proven, origin));
                prop_assert_eq!(Some(told.transmit), truth);
                interleaved += 1;
            }
            prop_assert_eq!((told.receive.to_bits() & 1, told.transmit.to_bits() & 1), (1, 0));
            stamps.push(told.receive);
            if let (Some(awaited), 1..) = (&told.awaited, kernel) {
                let left = told.receive + Span::from_nanos(20_000 + i64::from(kernel) * 1000);
                lab.departed(awaited, left);
                let true_time = Timestamp::from_bits(left.to_bits() & !1);
                // A stamp that is given out twice, which takes a clock that was set back, tells nothing.
                truths.insert((from.ip(), is_proven, told.receive), true_time);
            }
            if kind == 7 {
                lab.server.time = lab.server.time - Span::from_nanos(120_000_000);
            }
        }
        prop_assert_eq!(lab.server.count(Counter::AnsweredInterleaved), interleaved);
    }
}
