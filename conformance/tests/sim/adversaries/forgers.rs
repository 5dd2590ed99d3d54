//! Packets that prove nothing.

use noonmark_conformance::sim::daemon::Setup;
use noonmark_conformance::sim::trial::in_parallel;
use noonmark_conformance::sim::{
    Daemon, Delivery, Direction, Meddler, Model, Passing, Record, START, World,
};
use noonmark_packet::{Header, KissCode, Mode, Packet, ReferenceId};
use noonmark_units::{Precision, Span, Timestamp};

use super::{Attack, Conditions, FOUR, RARELY, Run, attack, calm, model, pass, seeds, variant};
use crate::settle;

const PLAIN: Conditions = Conditions { servers: 2, ..FOUR };
const NTS: Conditions = Conditions { nts: true, ..PLAIN };

/// Compares runs with and without the packets, second by second.
#[test]
fn packets_that_prove_nothing_change_nothing() {
    let attacks = [
        // Kisses from somebody who does not see the question; under NTS even from one who does.
        Attack { conditions: PLAIN, world: blind_kisses, ..attack("A-01 forged kisses") },
        Attack { conditions: NTS, world: blind_kisses, ..attack("A-01 forged kisses, NTS") },
        Attack { conditions: NTS, world: seeing_kisses, ..attack("A-01 seen questions, NTS") },
        // Answers with an origin of zero, of another question, or of nothing.
        Attack { conditions: PLAIN, world: wrong_origins, ..attack("A-02 wrong origins") },
        Attack { conditions: NTS, world: wrong_origins, ..attack("A-02 wrong origins, NTS") },
        // A crypto-NAK, even from somebody who sees the question.
        Attack { conditions: PLAIN, world: crypto_naks, ..attack("A-07 crypto-NAKs") },
        Attack { conditions: NTS, world: crypto_naks, ..attack("A-07 crypto-NAKs, NTS") },
        // The last answers are said again along with each new one, before it comes.
        Attack { conditions: PLAIN, world: repeat, ..attack("A-24 answers said again") },
        Attack { conditions: NTS, world: repeat, ..attack("A-24 answers said again, NTS") },
    ];
    let course = |run: Run| -> Vec<f64> {
        let Record { offsets, half_widths, .. } = run.record;
        offsets.into_iter().chain(half_widths).collect()
    };
    let moved = in_parallel(seeds(), |seed| {
        let seed = seed as u64;
        let [plain, nts] =
            [PLAIN, NTS].map(|conditions| course(calm(conditions).run(seed, RARELY)));
        attacks.each_ref().map(|attack| {
            let calm = if attack.conditions.nts { &nts } else { &plain };
            let attacked = course(attack.run(seed, RARELY));
            let apart = |(a, b): (&f64, &f64)| (a - b).abs() > ROUNDING_S;
            attacked.len() != calm.len() || attacked.iter().zip(calm).any(apart)
        })
    });
    let verdict = |number: usize, attack: &Attack| {
        let moved: Vec<usize> = (0..moved.len()).filter(|seed| moved[*seed][number]).collect();
        let problem = || format!("the clock went another way with seeds {moved:?}");
        (attack.name.to_owned(), if moved.is_empty() { Ok(()) } else { Err(problem()) })
    };
    settle(attacks.iter().enumerate().map(|(number, attack)| verdict(number, attack)).collect());
}

/// The simulated clock is read to the nanosecond, and a packet more divides its stretches otherwise.
const ROUNDING_S: f64 = 1e-8;

const CODES: [[u8; 4]; 6] = [*b"RATE", *b"DENY", *b"RSTR", *b"NTSN", *b"ACST", *b"XXXX"];

fn kiss(code: [u8; 4], question: &Header, origin: Timestamp) -> Vec<u8> {
    let reference_id = ReferenceId(KissCode(code).0);
    let header = Header { stratum: 0, reference_id, origin, ..answer_to(question) };
    header.to_octets().to_vec()
}

fn blind_kisses(world: &mut World, _: &Model) {
    world.set_meddler(Box::new(Forger::new(|question| {
        let origin = Timestamp::from_bits(!question.transmit.to_bits());
        CODES.map(|code| kiss(code, question, origin)).to_vec()
    })));
}

fn seeing_kisses(world: &mut World, _: &Model) {
    world.set_meddler(Box::new(Forger::new(|question| {
        CODES.map(|code| kiss(code, question, question.transmit)).to_vec()
    })));
}

fn wrong_origins(world: &mut World, _: &Model) {
    world.set_meddler(Box::new(Forger::new(|question| {
        let asked = question.transmit.to_bits();
        [0, 1, asked + 1, asked.swap_bytes()]
            .map(|origin| Header { origin: Timestamp::from_bits(origin), ..answer_to(question) })
            .map(|header| header.to_octets().to_vec())
            .to_vec()
    })));
}

fn crypto_naks(world: &mut World, _: &Model) {
    world.set_meddler(Box::new(Forger::new(|question| {
        let mut nak = answer_to(question).to_octets().to_vec();
        nak.extend([0; 4]);
        vec![nak]
    })));
}

fn repeat(world: &mut World, _: &Model) {
    world.set_meddler(Box::new(Parrot::default()));
}

/// Somebody sees plain questions and kisses before the server answers. RATE slows the questions down, DENY and RSTR may end them, which
/// nobody can prevent without proof of origin; the interval is right all the time.
#[test]
fn kisses_to_plain_questions_that_are_seen_do_not_stop_the_clock() {
    for code in CODES {
        let found = in_parallel(seeds().min(100), |seed| {
            let mut world = World::new(&model(2), seed as u64, Precision(-23));
            world.set_meddler(Box::new(Forger::new(move |question| {
                vec![kiss(code, question, question.transmit)]
            })));
            let setup = Setup::new(&variant(), 2);
            let random = World::node_random(seed as u64);
            let mut daemon = Daemon::new(setup, random, world.reading());
            let record = Record::of(&mut world, &mut daemon, 40_000);
            (record.outside, record.packets)
        });
        println!("{}: {:?}", String::from_utf8_lossy(&code), found.first());
        for (outside, packets) in found {
            assert_eq!(outside, 0, "{code:?}");
            // Two servers, and no more often than agreed.
            assert!((2..2 * 40_000 / 60).contains(&packets), "{code:?}: {packets} questions");
        }
    }
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
pub(super) fn answer_to(question: &Header) -> Header {
    let when = START + Span::from_seconds(10);
    Header {
        mode: Mode::Server,
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
