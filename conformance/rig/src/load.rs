//! The generator's loop: requests go out at a rate that does not wait for answers, answers are counted as they come.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::conversation::Conversations;
use crate::frame::{self, HEADERS, Route};
use crate::material::Material;
use crate::spent;
use crate::tap::{Receiver, Sender};
use crate::times::{self, Spread, Times};

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The interface at our end.
    pub interface: String,
    /// Where requests go.
    pub route: Route,
    /// The first client's address; the others follow it.
    pub first_client: Ipv4Addr,
    /// How many clients take turns, at least 1.
    pub clients: u32,
    /// Requests offered per second.
    pub rate: f64,
    /// What comes before the part that is measured.
    pub warm_up: Duration,
    /// The part that is measured.
    pub steady: Duration,
    /// The server's processes, whose time on a processor is measured.
    pub processes: Vec<u32>,
    /// The processor the server is pinned to.
    pub server_processor: usize,
    /// Whether it is noted when each answer came, which costs the generator some of its rate.
    pub times: bool,
}

/// What was seen in the steady part of a run. Rates are per second of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Requests sent per second.
    pub offered_per_s: f64,
    /// Good answers per second.
    pub answered_per_s: f64,
    /// Answers of the right length, mode 4, and no kiss.
    pub good: u64,
    /// Any other answers.
    pub bad: u64,
    /// Answers looked at closely: origin, and under NTS that the tag verifies with the session's key.
    pub checked: u64,
    /// What was wrong with the first few of those, if anything was.
    pub complaints: Vec<String>,
    /// Answers this program was too slow to see: not in the figures above.
    pub missed: u32,
    /// Nanoseconds on a processor that the server's processes spent for each good answer.
    pub ns_per_answer: f64,
    /// Nanoseconds the kernel's packet thread of the server's processor spent for each good answer; not in the above.
    pub softirq_ns_per_answer: f64,
    /// Part of the steady time that the server's processes were running: 1 is one processor saturated.
    pub busy: f64,
    /// Good answers in interleaved mode.
    pub interleaved: u64,
    /// Clients whose last answer was in interleaved mode.
    pub interleaved_clients: usize,
    /// By how much answers left after the transmit time in them, if that was wished for.
    pub late: Option<Spread>,
    /// How long answers took, if that was wished for.
    pub delay: Option<Spread>,
}

/// Runs `plan` with requests of `material`.
///
/// # Errors
/// What the kernel said about the sockets, or that a server process is no more.
pub fn run(plan: &Plan, material: &Material) -> std::io::Result<Outcome> {
    let mut sender = Sender::open(&plan.interface, BATCH)?;
    let mut receiver = Receiver::open(&plan.interface, plan.route.port, frame::Family::V4)?;
    let mut count = Count::default();
    let mut schedule = Schedule::new(plan.rate);
    let fronts = Fronts::new(plan, material.request_len());
    let mut times = plan.times.then(|| {
        let expected = plan.rate * (plan.warm_up + plan.steady).as_secs_f64();
        Times::new((expected as usize).min(MOST_READINGS))
    });
    if let Material::Interleaved(conversations) = material {
        schedule.sent = introduce(conversations, plan, &fronts, &mut sender, &mut receiver)?;
        schedule.before = schedule.sent;
    }
    let begun = Instant::now();
    let mut start = None;
    let mut room = [[0; 48]; BATCH];
    loop {
        let elapsed = begun.elapsed();
        if start.is_none() && elapsed >= plan.warm_up {
            receiver.missed()?;
            times.as_mut().map(Times::forget);
            start = Some(Reading::now(plan, &schedule, &count)?);
        }
        if elapsed >= plan.warm_up + plan.steady {
            break;
        }
        let due = schedule.due(elapsed).min(BATCH);
        if due > 0 {
            let mut frames = [([0; HEADERS], &[][..]); BATCH];
            for (n, (frame, room)) in
                (schedule.sent..).zip(frames.iter_mut().zip(&mut room)).take(due)
            {
                *frame = (fronts.of(n), material.request(n, room));
            }
            if let Some(times) = &mut times {
                times.sending(schedule.sent, due, times::now());
            }
            schedule.sent += sender.send(&frames[..due])? as u64;
        }
        let sent = schedule.sent;
        receiver.drain_stamped(|frame, stamp| {
            let answer = count.take(material, plan.route.port, frame, sent);
            if let (Some(times), Some(answer)) = (&mut times, answer) {
                times.take(material, answer, stamp, sent);
            }
        });
    }
    let end = Reading::now(plan, &schedule, &count)?;
    let Some(start) = start else {
        return Err(std::io::Error::other("the run had no steady part"));
    };
    let mut outcome = start.until(&end, &count, receiver.missed()?);
    if let Some(times) = &mut times {
        (outcome.late, outcome.delay) = (times.late(), times.delay());
    }
    if let Material::Interleaved(conversations) = material {
        outcome.interleaved_clients = conversations.interleaved();
    }
    Ok(outcome)
}

/// Lets clients that have not had an answer in interleaved mode ask, slowly enough for any server, until all have had one or it cannot be helped.
/// Returns the number of the next request.
fn introduce(
    conversations: &Conversations,
    plan: &Plan,
    fronts: &Fronts,
    sender: &mut Sender,
    receiver: &mut Receiver,
) -> std::io::Result<u64> {
    let (begun, mut n, mut schedule) = (Instant::now(), 0, Schedule::new(INTRODUCTIONS));
    while conversations.interleaved() < conversations.clients() && begun.elapsed() < PATIENCE {
        let pass = n + conversations.clients() as u64;
        while n < pass {
            receiver.drain(|frame| {
                if let (Some(answer), Some((to, _))) =
                    (frame::payload(frame, plan.route.port), frame::destination(frame))
                {
                    // What is wrong with one is said when it is counted.
                    let _ = conversations.hear(answer, to);
                }
            });
            if conversations.is_settled(n) {
                n += 1;
            } else if schedule.due(begun.elapsed()) > 0 {
                let request = conversations.request(n).to_octets();
                schedule.sent += 1;
                n += sender.send(&[(fronts.of(n), &request)])? as u64;
            }
        }
        // The last answers of a pass come before the next one begins.
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(n)
}

/// Requests per second at which clients introduce themselves.
const INTRODUCTIONS: f64 = 40_000.0;
/// How long they may take.
const PATIENCE: Duration = Duration::from_secs(25);
/// Answers whose times are noted, at most.
const MOST_READINGS: usize = 4_000_000;

/// Frames given to the kernel at a time, at most.
pub(crate) const BATCH: usize = 64;

/// When the next request is due.
pub(crate) struct Schedule {
    rate: f64,
    /// Requests that went out, those before the schedule began included.
    pub(crate) sent: u64,
    /// Requests that went out before the schedule began.
    before: u64,
    /// Requests that were due and never sent, because the machine did not let us.
    forgiven: u64,
}

impl Schedule {
    pub(crate) fn new(rate: f64) -> Self {
        Self { rate, sent: 0, before: 0, forgiven: 0 }
    }

    /// Requests due by now. After a stall of more than [`Self::PATIENCE`] the older ones are forgiven: a burst would
    /// measure the server's queue.
    pub(crate) fn due(&mut self, elapsed: Duration) -> usize {
        let wanted = (elapsed.as_secs_f64() * self.rate) as u64;
        let mut due = wanted.saturating_sub(self.sent - self.before + self.forgiven);
        let most = (self.rate * Self::PATIENCE.as_secs_f64()) as u64 + 1;
        if due > most {
            self.forgiven += due - most;
            due = most;
        }
        due as usize
    }

    const PATIENCE: Duration = Duration::from_millis(2);
}

/// The headers of every client's frame, made once.
struct Fronts(Vec<[u8; HEADERS]>);

impl Fronts {
    fn new(plan: &Plan, request_len: usize) -> Self {
        let first = u32::from(plan.first_client);
        let front = |client: u32| {
            let address = Ipv4Addr::from(first.wrapping_add(client));
            // A few ports per address would do for a hash over both; each client keeps its own.
            frame::headers(&plan.route, address, 32_768 + (client % 28_000) as u16, request_len)
        };
        Self((0..plan.clients.max(1)).map(front).collect())
    }

    fn of(&self, n: u64) -> [u8; HEADERS] {
        self.0[(n % self.0.len() as u64) as usize]
    }
}

/// Answers so far.
#[derive(Clone, Default)]
struct Count {
    good: u64,
    bad: u64,
    checked: u64,
    interleaved: u64,
    complaints: Vec<String>,
}

impl Count {
    /// Every answer is looked at, one in [`Self::SAMPLE`] closely. Returns it if it is good.
    fn take<'a>(
        &mut self,
        material: &Material,
        port: u16,
        frame: &'a [u8],
        sent: u64,
    ) -> Option<&'a [u8]> {
        let Some(answer) = frame::payload(frame, port) else {
            self.complain("not a whole datagram".to_owned());
            return None;
        };
        let to = || frame::destination(frame).map(|(address, _)| address);
        let heard = material.glance(answer).and_then(|()| material.hear(answer, to()));
        match heard {
            Ok(is_interleaved) => self.interleaved += u64::from(is_interleaved),
            Err(what) => {
                self.complain(what);
                return None;
            }
        }
        self.good += 1;
        if self.good % Self::SAMPLE == 1 {
            self.checked += 1;
            if let Err(what) = material.examine(answer, sent) {
                self.good -= 1;
                self.complain(what);
                return None;
            }
        }
        Some(answer)
    }

    fn complain(&mut self, what: String) {
        self.bad += 1;
        if self.complaints.len() < 5 {
            self.complaints.push(what);
        }
    }

    const SAMPLE: u64 = 256;
}

/// All accounts at one moment.
struct Reading {
    at: Instant,
    sent: u64,
    good: u64,
    bad: u64,
    checked: u64,
    interleaved: u64,
    spent: u64,
    softirq: u64,
}

impl Reading {
    fn now(plan: &Plan, schedule: &Schedule, count: &Count) -> std::io::Result<Self> {
        Ok(Self {
            spent: spent::by_processes(&plan.processes)?,
            softirq: spent::by_softirq(plan.server_processor),
            at: Instant::now(),
            sent: schedule.sent,
            good: count.good,
            bad: count.bad,
            checked: count.checked,
            interleaved: count.interleaved,
        })
    }

    fn until(&self, end: &Self, count: &Count, missed: u32) -> Outcome {
        let seconds = (end.at - self.at).as_secs_f64();
        let good = end.good - self.good;
        let each = |spent: u64| spent as f64 / good.max(1) as f64;
        Outcome {
            offered_per_s: (end.sent - self.sent) as f64 / seconds,
            answered_per_s: good as f64 / seconds,
            good,
            bad: end.bad - self.bad,
            checked: end.checked - self.checked,
            complaints: count.complaints.clone(),
            missed,
            ns_per_answer: each(end.spent - self.spent),
            softirq_ns_per_answer: each(end.softirq.saturating_sub(self.softirq)),
            busy: (end.spent - self.spent) as f64 / 1e9 / seconds,
            interleaved: end.interleaved - self.interleaved,
            interleaved_clients: 0,
            late: None,
            delay: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_by_the_clock_and_a_stall_is_forgiven() {
        let mut schedule = Schedule::new(100_000.0);
        assert_eq!(schedule.due(Duration::ZERO), 0);
        assert_eq!(schedule.due(Duration::from_micros(105)), 10);
        schedule.sent = 10;
        assert_eq!(schedule.due(Duration::from_micros(105)), 0);
        // A second late: two milliseconds' worth is due, and no more comes later.
        assert_eq!(schedule.due(Duration::from_secs(1)), 201);
        schedule.sent += 201;
        assert_eq!(schedule.due(Duration::from_secs(1)), 0);
        assert_eq!(schedule.due(Duration::from_micros(1_000_100)), 10);
    }
}
