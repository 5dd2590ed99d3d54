//! The loop of `ntp-flood`: several crowds ask at their own rates, none waits for answers.
//!
//! First honest crowds ask alone, then everybody does, then honest ones alone again. Requests of honest crowds go first into
//! every batch, so that what they do not get was lost at the server.

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::crowd::{Crowd, Fate, Phase};
use crate::frame::{self, Family, HEADERS, Route};
use crate::load::BATCH;
use crate::spent;
use crate::tap::{Receiver, Sender};

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The interface at our end.
    pub interface: String,
    /// Where requests go.
    pub route: Route,
    /// Time before the flood.
    pub calm: Duration,
    /// Time it takes.
    pub flood: Duration,
    /// Time after it.
    pub after: Duration,
    /// The server's processes, whose time on a processor during the flood is measured.
    pub processes: Vec<u32>,
    /// How long to sleep between two looks; none to look all the time, which takes a whole processor.
    pub pause: Duration,
}

/// What was seen.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Requests of all crowds per second of the flood.
    pub offered_per_s: f64,
    /// Good answers to them per second.
    pub answered_per_s: f64,
    /// Part of the flood that the server's processes were running: 0.3 if they are held to it.
    pub busy: f64,
    /// Answers that were wrong.
    pub bad: u64,
    /// What was wrong with the first few of those.
    pub complaints: Vec<String>,
    /// Answers this program was too slow to see.
    pub missed: u32,
    /// Frames that the machine lost on the wire, whoever's they were: a processor's queue was full.
    pub lost_on_the_wire: u64,
    /// What each crowd got.
    pub crowds: Vec<Fate>,
}

/// Lets `crowds` ask as planned.
///
/// # Errors
/// What the kernel said about the sockets, or that a server process is no more.
pub fn run(plan: &Plan, mut crowds: Vec<Crowd>) -> std::io::Result<Outcome> {
    let mut sender = Sender::open(&plan.interface, BATCH)?;
    let mut receiver = Receiver::open(&plan.interface, plan.route.port, Family::V4)?;
    receiver.missed()?;
    // Honest crowds first in every batch.
    crowds.sort_by_key(|crowd| !crowd.is_honest());
    let mut faults = Faults::default();
    let lost = spent::lost_frames();
    let (flood_from, flood_until) = (plan.calm, plan.calm + plan.flood);
    let until = flood_until + plan.after;
    let (mut before, mut flood_spent) = (None, None);
    let begun = Instant::now();
    // Answers are stamped by the kernel, by the machine's clock, so it does not matter when we look.
    let begun_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    loop {
        let elapsed = begun.elapsed();
        let phase = match elapsed {
            elapsed if elapsed < flood_from => Phase::Calm,
            elapsed if elapsed < flood_until => Phase::Flood,
            _ => Phase::After,
        };
        if phase != Phase::Calm && before.is_none() {
            before = Some(spent::by_processes(&plan.processes)?);
        }
        if let (Phase::After, Some(before), None) = (phase, before, flood_spent) {
            flood_spent = Some(spent::by_processes(&plan.processes)? - before);
        }
        if elapsed >= until + LAST_ANSWERS {
            break;
        }
        if elapsed < until {
            offer(&mut crowds, &mut sender, phase, elapsed, flood_from)?;
        }
        receiver.drain_stamped(|frame, stamp| {
            let at = stamp.saturating_sub(begun_at);
            faults.note(take(&mut crowds, plan.route.port, frame, at));
        });
        if !plan.pause.is_zero() {
            std::thread::sleep(plan.pause);
        }
    }
    // Without a flood there is nothing to count, and nothing to divide by.
    let seconds = plan.flood.max(Duration::from_millis(1)).as_secs_f64();
    let all = |count: fn(&Crowd, Phase) -> u64| {
        let sum: u64 = crowds.iter().map(|crowd| count(crowd, Phase::Flood)).sum();
        sum as f64 / seconds
    };
    Ok(Outcome {
        offered_per_s: all(Crowd::sent),
        answered_per_s: all(Crowd::good),
        busy: flood_spent.unwrap_or(0) as f64 / 1e9 / seconds,
        bad: faults.bad,
        complaints: faults.complaints,
        missed: receiver.missed()?,
        lost_on_the_wire: spent::lost_frames().saturating_sub(lost),
        crowds: crowds.into_iter().map(|crowd| crowd.fate(flood_until)).collect(),
    })
}

/// Sends what is due, at most a batch.
fn offer(
    crowds: &mut [Crowd],
    sender: &mut Sender,
    phase: Phase,
    elapsed: Duration,
    flood_from: Duration,
) -> std::io::Result<()> {
    let shares = deal(crowds.iter_mut().map(|crowd| match (crowd.is_honest(), phase) {
        (true, _) => (true, crowd.schedule.due(elapsed)),
        (false, Phase::Flood) => (false, crowd.schedule.due(elapsed - flood_from)),
        (false, _) => (false, 0),
    }));
    let mut rooms = [[0; 48]; BATCH];
    let mut frames = [([0; HEADERS], &[][..]); BATCH];
    let mut places = frames.iter_mut().zip(&mut rooms);
    for (crowd, share) in crowds.iter().zip(&shares) {
        let numbers = crowd.schedule.sent..crowd.schedule.sent + *share as u64;
        for (n, (frame, room)) in numbers.zip(&mut places) {
            *frame = crowd.frame(n, room);
        }
    }
    drop(places);
    let due: usize = shares.iter().sum();
    let mut taken = match due {
        0 => 0,
        due => sender.send(&frames[..due])?,
    };
    for (crowd, share) in crowds.iter_mut().zip(shares) {
        let went = share.min(taken);
        (0..went).for_each(|_| crowd.note_sent(phase, elapsed));
        taken -= went;
    }
    Ok(())
}

/// How many requests of each crowd go into a batch, given whether each is honest and what it has due. Honest ones come first;
/// the rest is dealt among the others in proportion.
fn deal(wishes: impl Iterator<Item = (bool, usize)>) -> Vec<usize> {
    let wishes: Vec<(bool, usize)> = wishes.collect();
    let mut room = BATCH;
    let mut give = |wish: usize| {
        let share = wish.min(room);
        room -= share;
        share
    };
    let mut shares: Vec<usize> =
        wishes.iter().map(|(honest, due)| if *honest { give(*due) } else { 0 }).collect();
    let all: usize = wishes.iter().filter(|(honest, _)| !honest).map(|(_, due)| due).sum();
    let left = room;
    for (share, (honest, due)) in shares.iter_mut().zip(&wishes) {
        if !honest && all > 0 {
            let part = if all > left { (due * left).div_ceil(all) } else { *due };
            *share = part.min(room);
            room -= *share;
        }
    }
    shares
}

/// Gives an answer to the crowd it is for.
fn take(crowds: &mut [Crowd], port: u16, frame: &[u8], at: Duration) -> Result<(), String> {
    let answer = frame::payload(frame, port).ok_or("not a whole datagram")?;
    let (to, to_port) = frame::destination(frame).ok_or("not a whole datagram")?;
    let crowd = crowds.iter_mut().find(|crowd| crowd.port() == to_port);
    crowd.ok_or("a port of nobody")?.take(answer, to, at)
}

#[derive(Default)]
struct Faults {
    bad: u64,
    complaints: Vec<String>,
}

impl Faults {
    fn note(&mut self, taken: Result<(), String>) {
        if let Err(what) = taken {
            self.bad += 1;
            if self.complaints.len() < 5 && !self.complaints.contains(&what) {
                self.complaints.push(what);
            }
        }
    }
}

/// How long answers are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_crowds_go_first_and_attackers_share_the_rest() {
        let check = |wishes: &[(bool, usize)], expected: &[usize]| {
            assert_eq!(deal(wishes.iter().copied()), expected, "{wishes:?}");
        };
        check(&[(true, 2), (false, 3)], &[2, 3]);
        check(&[(true, 4), (false, 300), (false, 100)], &[4, 45, 15]);
        check(&[(true, 70), (false, 3)], &[64, 0]);
        check(&[(true, 63), (false, 5), (false, 5)], &[63, 1, 0]);
        check(&[(false, 0)], &[0]);
    }
}
