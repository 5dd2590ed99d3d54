use std::cmp::Ordering;
use std::collections::BinaryHeap;

use noonmark_clock::leap::LeapSecond;
use noonmark_clock::{Adjusted, Adjustment, NotAdjusted, Reading, SystemClock};
use noonmark_units::{Mono, Precision, Span, Timestamp};

use super::clock::SimClock;
use super::host::{Host, TimeServer};
use super::oscillator::Oscillator;
use super::path::Path;
use super::random::Seeded;
use super::scenario::Model;

/// A program on the simulated machine: its whole life is to be told what happens, and to say what it wants done.
pub trait Node {
    /// Its deadline is here.
    fn handle_timeout(&mut self, now: Reading);

    /// Its datagram to a server left when the system clock showed `sent`.
    fn handle_sent(&mut self, server: usize, sent: Timestamp);

    /// A datagram came from a server, or from somebody who says so, when the system clock showed `received`.
    fn handle_datagram(
        &mut self,
        server: usize,
        datagram: &[u8],
        received: Timestamp,
        now: Reading,
    );

    /// What became of an adjustment it wanted.
    fn handle_adjusted(&mut self, outcome: Result<Adjusted, NotAdjusted>, now: Reading);

    /// Somebody else moved the system clock.
    fn handle_step(&mut self, by: Span, now: Reading);

    /// An errand is done.
    fn handle_errand(&mut self, _number: u64, _now: Reading) {}

    /// The next thing it wants done, to be asked for until there is none.
    fn poll_output(&mut self) -> Option<Intention>;

    /// When it wants to be woken if nothing else happens.
    fn deadline(&self) -> Mono;

    /// Between which two instants true time lies, as it says.
    fn interval(&self, _now: Reading) -> Option<(Timestamp, Timestamp)> {
        None
    }
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Intention {
    /// Send a datagram to a server, by its number in the model.
    Transmit {
        /// To which.
        server: usize,
        /// What.
        datagram: Vec<u8>,
    },
    /// Adjust the clock.
    Adjust(Adjustment),
    /// Something that takes a while and is none of the network's business here, such as key establishment.
    Errand {
        /// By which the node knows it again.
        number: u64,
        /// How many true seconds it takes.
        takes_s: f64,
    },
}

/// Somebody who can touch packets on their way, or add some.
pub trait Meddler {
    /// What becomes of one packet: any number of deliveries in its place.
    fn meddle(&mut self, packet: Passing<'_>) -> Vec<Delivery>;
}

/// A packet on its way, as whoever sits on the path sees it.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// Between the client and which server.
    pub server: usize,
    /// Towards which of the two.
    pub direction: Direction,
    /// The datagram.
    pub datagram: &'a [u8],
    /// True time, seconds since the start.
    pub at_s: f64,
    /// How long the path would take; `None` if it loses it.
    pub delay_s: Option<f64>,
}

/// A packet to be delivered after so many true seconds, in the direction of the one it comes from or the other.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// To which end.
    pub direction: Direction,
    /// When, from now.
    pub delay_s: f64,
    /// What.
    pub datagram: Vec<u8>,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// To the server.
    Up,
    /// To the client.
    Down,
}

/// One machine with its clock, the servers it can reach, and the network between, in virtual time.
///
/// True time is a number of seconds since the start. The next event is the earliest of the next whole second, the next delivery
/// and the node's deadline (a reading of its monotonic clock, which comes when it comes); at one instant they go in that
/// order. Programs run infinitely fast. In each whole second, the first included: time passes, then the oscillator changes, then
/// somebody's steps of the clock take place, then the second is observed, then the node is told.
pub struct World {
    start: Timestamp,
    now_s: f64,
    /// The next whole second.
    second: u64,
    clock: SimClock,
    oscillator: Oscillator,
    time_steps: Vec<(f64, f64)>,
    servers: Vec<Server>,
    meddler: Option<Box<dyn Meddler>>,
    /// When true time, as computers count it, jumps for a leap second, s, and by how much.
    jump: Option<(f64, Span)>,
    pending: BinaryHeap<Pending>,
    sequence: u64,
    questions: u64,
}

struct Server {
    up: Path,
    down: Path,
    host: Box<dyn Host>,
}

impl World {
    /// The world of a model; everything random in it comes from the seed.
    #[must_use]
    pub fn new(model: &Model, seed: u64, server_precision: Precision) -> Self {
        Self::starting_at(START, model, seed, server_precision)
    }

    /// The same, at another date.
    #[must_use]
    pub fn starting_at(
        start: Timestamp,
        model: &Model,
        seed: u64,
        server_precision: Precision,
    ) -> Self {
        let servers = model.servers.iter().zip(0..).map(|(server, number): (_, u64)| Server {
            up: Path::new(server.up, Seeded::new(seed, FIRST_PATH_STREAM + 2 * number)),
            down: Path::new(server.down, Seeded::new(seed, FIRST_PATH_STREAM + 2 * number + 1)),
            host: Box::new(TimeServer::new(server, start, server_precision)),
        });
        Self {
            start,
            now_s: 0.0,
            second: 0,
            clock: SimClock::new(start, model.client.offset),
            oscillator: Oscillator::new(&model.client, Seeded::new(seed, OSCILLATOR_STREAM)),
            time_steps: model.client.time_steps.clone(),
            servers: servers.collect(),
            meddler: None,
            jump: None,
            pending: BinaryHeap::new(),
            sequence: 0,
            questions: 0,
        }
    }

    /// Puts something else in the place of a server.
    pub fn replace_host(&mut self, server: usize, host: Box<dyn Host>) {
        if let Some(server) = self.servers.get_mut(server) {
            server.host = host;
        }
    }

    /// Lets somebody at the packets of all paths.
    pub fn set_meddler(&mut self, meddler: Box<dyn Meddler>) {
        self.meddler = Some(meddler);
    }

    /// Lets true time have a leap second at the end of a day, and the kernel carry it out if the node tells it to. Servers are told
    /// by their own [`TimeServer::jump`], which is returned: when it happens, s, and by how much.
    pub fn set_leap(&mut self, leap: LeapSecond) -> (f64, Span) {
        self.clock.set_day_end(leap.at_stamp());
        let at_s = (Timestamp::from_unix(leap.instant()) - self.start).as_seconds_f64();
        self.jump = Some((at_s, leap.jump()));
        (at_s, leap.jump())
    }

    /// The random numbers the node shall use.
    #[must_use]
    pub fn node_random(seed: u64) -> Seeded {
        Seeded::new(seed, NODE_STREAM)
    }

    /// The node's clocks now.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.clock.reading()
    }

    /// The node's clock, for observers.
    #[must_use]
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// True time in seconds since the start.
    #[must_use]
    pub fn now_s(&self) -> f64 {
        self.now_s
    }

    /// True date.
    #[must_use]
    pub fn true_time(&self) -> Timestamp {
        self.start + Span::from_nanos((self.now_s * 1e9).round() as i64) + self.jumped()
    }

    fn jumped(&self) -> Span {
        self.jump.filter(|(at_s, _)| self.now_s >= *at_s).map_or(Span::ZERO, |(_, by)| by)
    }

    /// The node's clock less true time, in seconds.
    #[must_use]
    pub fn offset(&self) -> f64 {
        self.clock.offset() - self.jumped().as_seconds_f64()
    }

    /// How many datagrams the node has sent.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.questions
    }

    /// Lets `seconds` of true time pass for the node, and shows every whole second to `observe`, with its number.
    ///
    /// # Panics
    /// If the node has ever more to do at one instant: that is a fault of the node.
    pub fn run<N: Node>(
        &mut self,
        node: &mut N,
        seconds: u64,
        mut observe: impl FnMut(u64, &Self, &mut N),
    ) {
        let end = self.second + seconds;
        let mut wakes_at_this_instant = 0;
        loop {
            self.settle(node);
            let second_s = self.second as f64;
            let arrival_s = self.pending.peek().map_or(f64::INFINITY, |first| first.at_s);
            let timer_s = self.now_s + self.clock.until(node.deadline());
            let leap_s = self.now_s + self.clock.until_leap();
            let next_s = second_s.min(arrival_s).min(timer_s).min(leap_s);
            if next_s > self.now_s {
                self.clock.advance_to(next_s);
                self.now_s = next_s;
                wakes_at_this_instant = 0;
            }
            if next_s == leap_s {
                let by = self.clock.leap();
                node.handle_step(by, self.clock.reading());
            } else if next_s == second_s {
                if self.second == end {
                    return;
                }
                self.pass_second(node, &mut observe);
            } else if next_s == arrival_s {
                self.deliver(node);
            } else {
                wakes_at_this_instant += 1;
                assert!(
                    wakes_at_this_instant < 10_000,
                    "the node is never satisfied at {next_s} s"
                );
                node.handle_timeout(self.clock.reading());
            }
        }
    }

    fn pass_second<N: Node>(&mut self, node: &mut N, observe: &mut impl FnMut(u64, &Self, &mut N)) {
        let second = self.second;
        self.second += 1;
        self.clock.set_error(self.oscillator.error_in(second));
        let at = second as f64;
        let by_s: f64 =
            self.time_steps.iter().filter(|(when, _)| *when == at).map(|(_, by)| by).sum();
        let moved = (by_s != 0.0).then(|| self.clock.step_from_outside(by_s));
        observe(second, self, node);
        if let Some(by) = moved {
            node.handle_step(by, self.clock.reading());
        }
    }

    /// Does what the node wants, until it wants nothing more.
    fn settle<N: Node>(&mut self, node: &mut N) {
        for turn in 0.. {
            let Some(intention) = node.poll_output() else { return };
            assert!(
                turn < 10_000,
                "the node wants more and more at {} s: {intention:?}",
                self.now_s
            );
            match intention {
                Intention::Transmit { server, datagram } => {
                    self.questions += 1;
                    node.handle_sent(server, self.clock.reading().real);
                    self.send(server, Direction::Up, datagram);
                }
                Intention::Adjust(adjustment) => {
                    let outcome = self.clock.adjust(&adjustment);
                    node.handle_adjusted(outcome, self.clock.reading());
                }
                Intention::Errand { number, takes_s } => {
                    self.push(takes_s, Happening::Errand(number));
                }
            }
        }
    }

    fn send(&mut self, server: usize, direction: Direction, datagram: Vec<u8>) {
        let now_s = self.now_s;
        let Some(end) = self.servers.get_mut(server) else { return };
        let path = match direction {
            Direction::Up => &mut end.up,
            Direction::Down => &mut end.down,
        };
        let delay_s = path.delay(now_s);
        let Some(meddler) = &mut self.meddler else {
            if let Some(delay_s) = delay_s {
                self.push(delay_s, Happening::Arrival { server, direction, datagram });
            }
            return;
        };
        let passing = Passing { server, direction, datagram: &datagram, at_s: now_s, delay_s };
        for Delivery { direction, delay_s, datagram } in meddler.meddle(passing) {
            self.push(delay_s, Happening::Arrival { server, direction, datagram });
        }
    }

    fn push(&mut self, after_s: f64, happening: Happening) {
        self.sequence += 1;
        let at_s = self.now_s + after_s.max(0.0);
        self.pending.push(Pending { at_s, sequence: self.sequence, happening });
    }

    fn deliver<N: Node>(&mut self, node: &mut N) {
        let Some(Pending { happening, .. }) = self.pending.pop() else { return };
        match happening {
            Happening::Errand(number) => node.handle_errand(number, self.clock.reading()),
            Happening::Arrival { server, direction: Direction::Down, datagram } => {
                let now = self.clock.reading();
                node.handle_datagram(server, &datagram, now.real, now);
            }
            Happening::Arrival { server, direction: Direction::Up, datagram } => {
                let now_s = self.now_s;
                let host = self.servers.get_mut(server).map(|end| &mut end.host);
                if let Some(answer) = host.and_then(|host| host.answer(&datagram, now_s)) {
                    self.send(server, Direction::Down, answer);
                }
            }
        }
    }
}

enum Happening {
    Arrival { server: usize, direction: Direction, datagram: Vec<u8> },
    Errand(u64),
}

/// Something that will happen; the earliest is the greatest, and of two at one instant the one decided first.
struct Pending {
    at_s: f64,
    sequence: u64,
    happening: Happening,
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_s.total_cmp(&self.at_s).then(other.sequence.cmp(&self.sequence))
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pending {}

/// 2030-01-01T00:00:00Z: no leap second, and six years from the end of the era.
pub const START: Timestamp = Timestamp::from_bits((1_893_456_000 + 2_208_988_800) << 32);

const OSCILLATOR_STREAM: u64 = 0;
const NODE_STREAM: u64 = 1;
const FIRST_PATH_STREAM: u64 = 2;
