//! One serving thread.

use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use noonmark_os::clock;
use noonmark_os::page::CounterPage;
use noonmark_os::pulse::{BEAT_EVERY, Pulse};
use noonmark_os::udp::{self, Arrival, Bell, Departures, Outgoing, Ring, Watch};
use noonmark_units::{Mono, Timestamp};

use super::awaited::Unconfirmed;
use super::gate::Gate;
use super::{ClockSource, Pages, Shared};
use crate::{BATCH, Batch, ClockState, Counter, Envelope, Load, Probe, Responder, STEP, Share};

/// What one thread owns.
pub(super) struct Worker {
    number: usize,
    sockets: Vec<OwnedFd>,
    bell: Arc<Bell>,
    pulse: Option<Arc<Pulse>>,
    desk: Desk,
}

/// What one thread works with, apart from its sockets.
struct Desk {
    shared: Arc<Shared>,
    /// The number of the change of the service that is in use here.
    generation: Option<u64>,
    /// The gate does not know whom the policy spares yet.
    policy_is_new: bool,
    source: ClockSource,
    state: ClockState,
    responder: Responder,
    load: Load,
    gate: Gate,
    batch: Batch,
    ring: Ring,
    departures: Departures,
    /// For each socket, answers that have been sent and whose departure is awaited; empty while the kernel is not asked for any.
    unconfirmed: Vec<Unconfirmed>,
    counters: Option<(Arc<CounterPage>, std::ops::Range<usize>)>,
}

impl Worker {
    pub(super) fn new(
        number: usize,
        sockets: Vec<OwnedFd>,
        bell: Arc<Bell>,
        shared: Arc<Shared>,
        responder: Responder,
        pages: Pages,
    ) -> Self {
        let words = number * Counter::COUNT..(number + 1) * Counter::COUNT;
        let desk = Desk {
            shared,
            generation: None,
            policy_is_new: true,
            source: ClockSource::Fixed(ClockState::UNSYNCHRONISED),
            state: ClockState::UNSYNCHRONISED,
            responder,
            load: Load::new(),
            gate: Gate::open(&sockets),
            batch: Batch::new(),
            ring: Ring::new(BATCH),
            departures: Departures::new(BATCH),
            unconfirmed: Vec::new(),
            counters: pages.counters.map(|page| (page, words)),
        };
        Self { number, sockets, bell, pulse: pages.pulse, desk }
    }

    /// Serves until told to stop.
    pub(super) fn run(self) {
        let Self { number, sockets, bell, pulse, mut desk } = self;
        let descriptors = sockets.iter().map(AsFd::as_fd).chain([bell.as_fd()]);
        let mut watch = Watch::new(descriptors);
        desk.look_into_service();
        desk.tend_sockets(&sockets);
        loop {
            if let Some(pulse) = &pulse {
                pulse.beat(number + 1);
            }
            let patience = if desk.is_overloaded() { STEP } else { BEAT_EVERY };
            if let Err(error) = watch.wait(Some(patience)) {
                tracing::warn!(thread = number, %error, "cannot wait for requests");
                std::thread::sleep(PAUSE);
                continue;
            }
            if watch.is_ready(sockets.len()) {
                bell.silence();
                desk.look_into_service();
            }
            let stopping = desk.shared.stopping.load(Ordering::Acquire);
            let mut is_drained = true;
            for (place, socket) in sockets.iter().enumerate() {
                let socket = socket.as_fd();
                if watch.has_error(place) {
                    desk.learn_departures(place, socket);
                }
                if stopping {
                    desk.serve(place, socket, LAST_ROUNDS, 1);
                } else if watch.is_ready(place) {
                    is_drained &= desk.serve(place, socket, ROUNDS, EAGER);
                }
            }
            if stopping {
                desk.gate.set(Share::ALL, &sockets);
                return;
            }
            if is_drained {
                desk.pause();
            }
            desk.tend_sockets(&sockets);
        }
    }
}

impl Desk {
    /// Answers what is waiting in a socket: for at most so many batches, so that other sockets get their turn, and no further
    /// once a batch had fewer than `eager` datagrams, because then most likely nothing is left. Returns whether it came to that.
    fn serve(&mut self, place: usize, socket: BorrowedFd<'_>, rounds: u32, eager: usize) -> bool {
        (0..rounds).any(|_| self.serve_batch(place, socket) < eager)
    }

    /// Nothing is left to be answered for now.
    fn pause(&mut self) {
        if self.is_overloaded() {
            // Up to now was work, what comes is rest.
            self.look_at_load(clock::boot_time());
            self.publish();
        }
        self.load.idle();
    }

    /// Has the kernel do what the policy wants of it: stamp answers, and drop what is shed first, as far as it can tell, so that it costs no
    /// time here.
    fn tend_sockets(&mut self, sockets: &[OwnedFd]) {
        if self.policy_is_new {
            self.gate.spare(self.responder.policy().shedding.priority(), sockets);
            self.ask_for_departures(sockets);
            self.policy_is_new = false;
        }
        self.gate.set(self.load.pressure().sieve(), sockets);
        let dropped = self.gate.dropped(sockets, self.load.looked());
        self.responder.count(Counter::Unread, dropped);
    }

    /// Whoever had the sockets before may have left them otherwise. Without stamps of the kernel's all answers are in basic mode.
    fn ask_for_departures(&mut self, sockets: &[OwnedFd]) {
        let is_wanted = self.responder.policy().interleaved.is_some();
        let stamped = sockets.iter().try_for_each(|socket| udp::stamp(socket, is_wanted));
        if let Err(error) = &stamped {
            tracing::warn!(%error, "the kernel does not say when answers leave");
        }
        self.unconfirmed.clear();
        if is_wanted && stamped.is_ok() {
            self.unconfirmed.extend(sockets.iter().map(|_| Unconfirmed::new()));
        }
    }

    /// Takes what the kernel tells of answers that have left.
    fn learn_departures(&mut self, place: usize, socket: BorrowedFd<'_>) {
        let now = clock::boot_time();
        for _ in 0..ROUNDS {
            // An error is one of the socket, which the next receive has, too.
            let count = self.departures.take(socket).unwrap_or(0);
            for (packet, at) in self.departures.each() {
                let left = Timestamp::from_unix(at);
                // A probe may be awaited as well.
                self.responder.has_left(packet, left);
                let unconfirmed = self.unconfirmed.get_mut(place);
                let unconfirmed = unconfirmed.filter(|awaited| awaited.is_any());
                if let Some(awaited) = unconfirmed.and_then(|awaited| awaited.find(packet)) {
                    self.responder.departed(&awaited, left, &self.state, now);
                }
            }
            if count < BATCH {
                return;
            }
        }
    }

    fn is_overloaded(&self) -> bool {
        self.load.pressure().is_on()
    }

    /// Adjusts what is shed, and counts when that begins and ends.
    fn look_at_load(&mut self, now: Mono) {
        let was_overloaded = self.is_overloaded();
        let pressure = self.load.look(now);
        match (was_overloaded, pressure.is_on()) {
            (false, true) => self.responder.count(Counter::Overloads, 1),
            (true, false) => self.responder.count(Counter::OverloadsEnded, 1),
            (false, false) => return,
            (true, true) => {}
        }
        self.responder.set_pressure(pressure.behind(self.gate.share()));
    }

    /// Receives a batch, answers it, sends the answers. Returns how many datagrams it had.
    fn serve_batch(&mut self, place: usize, socket: BorrowedFd<'_>) -> usize {
        let received = self.ring.receive(socket, &mut self.batch.rooms());
        let arrivals = match received {
            Ok([]) => return 0,
            Ok(arrivals) => arrivals,
            Err(_) => {
                // Without an interface or memory there is nothing to do but try again, not too fast.
                self.responder.count(Counter::ReceiveFailed, 1);
                self.publish();
                std::thread::sleep(PAUSE);
                return 0;
            }
        };
        let count = arrivals.len();
        let mut unstamped = 0;
        self.batch.received(arrivals.iter().map(|arrival| {
            unstamped += u64::from(arrival.stamp.is_none());
            (arrival.len, envelope(arrival))
        }));
        self.look_into_service();
        self.source.read(&mut self.state);
        self.responder.count(Counter::Unstamped, unstamped);
        if count == BATCH {
            self.load.behind();
        }
        let at = clock::boot_time();
        self.look_at_load(at);
        let authentic = |responder: &Responder| responder.counters().get(Counter::AnsweredNts);
        let before = authentic(&self.responder);
        self.responder.examine(&mut self.batch, at);
        // In parts, so that no answer leaves long after the clock was read for it, whatever keeps the thread from its processor.
        let mut is_any_stamped = false;
        for first in (0..count).step_by(PART) {
            let part = first..(first + PART).min(count);
            self.responder.answer(&mut self.batch, part.clone(), &self.state, &mut now, at);
            is_any_stamped |= self.send(place, socket, part);
        }
        self.load.worked(count as u64, authentic(&self.responder).wrapping_sub(before));
        if is_any_stamped {
            self.learn_departures(place, socket);
        }
        self.publish();
        count
    }

    /// Sends the answers of a part. True if the departure of any is awaited; most drivers have taken it by now.
    fn send(&mut self, place: usize, socket: BorrowedFd<'_>, part: Range<usize>) -> bool {
        let nothing = Outgoing { to: 0, octets: IoSlice::new(&[]), stamped: false };
        let mut answers = [nothing; PART];
        let (mut count, mut is_any_stamped) = (0, false);
        let mut unconfirmed = self.unconfirmed.get_mut(place);
        // Where nothing is awaited the kernel does not say when answers leave.
        let probe = self.responder.probe().filter(|_| unconfirmed.is_some()).map(Probe::slot);
        is_any_stamped |= probe.is_some();
        let slots = self.batch.slots().get(part.clone()).unwrap_or_default();
        for (to, slot) in part.zip(slots) {
            if let (Some(answer), Some(outgoing)) = (slot.answer(), answers.get_mut(count)) {
                let octets = IoSlice::new(answer);
                *outgoing = Outgoing { to, octets, stamped: probe == Some(to) };
                if let (Some(awaited), Some(unconfirmed)) = (slot.awaited(), &mut unconfirmed) {
                    unconfirmed.keep(awaited);
                    outgoing.stamped = true;
                    is_any_stamped = true;
                }
                count += 1;
            }
        }
        if count > 0 {
            let sent = self.ring.send(socket, answers.get(..count).unwrap_or(&[]));
            self.responder.sent(sent.sent, sent.failed, now());
        }
        is_any_stamped
    }

    /// Takes over what has changed in the service. One load if nothing has.
    fn look_into_service(&mut self) {
        let generation = self.shared.generation.load(Ordering::Acquire);
        if self.generation == Some(generation) {
            return;
        }
        let service = self.shared.service().clone();
        self.responder.set_policy(service.policy);
        self.policy_is_new = true;
        self.responder.set_cookie_keys(service.cookies);
        self.source = service.clock;
        self.generation = Some(generation);
    }

    fn publish(&self) {
        let Some((page, words)) = &self.counters else { return };
        let words: &[AtomicU64] = page.words().get(words.clone()).unwrap_or(&[]);
        self.responder.counters().publish(words);
    }
}

fn envelope(arrival: &Arrival) -> Envelope {
    Envelope {
        peer: arrival.peer,
        received: arrival.stamp.map_or_else(now, Timestamp::from_unix),
        group: arrival.local.is_some_and(|local| local.group),
        truncated: arrival.truncated,
    }
}

/// The clock that is served: the machine's.
fn now() -> Timestamp {
    Timestamp::from_unix(clock::realtime())
}

/// Answers that leave together, after one reading of the clock: as many as are sealed side by side.
const PART: usize = 8;
/// Batches from one socket before the others are looked at.
const ROUNDS: u32 = 16;
/// Batches from one socket when stopping: more than any receive queue holds.
const LAST_ROUNDS: u32 = 256;
/// A batch of fewer than this many datagrams most likely emptied the socket.
const EAGER: usize = 4;
/// Pause after an error of the system.
const PAUSE: Duration = Duration::from_millis(20);
