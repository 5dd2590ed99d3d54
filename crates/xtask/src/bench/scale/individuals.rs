//! Clients one by one, with chance: what the numbers are checked against.

use super::storm::{ATTEMPTS, Course, HORIZON_S, POLLS, Storm, wait_s};

/// The course of a storm over so many clients, with chance from `seed`.
pub fn run(storm: &Storm, clients: u32, service: f64, seed: u64) -> Course {
    let mut chance = Chance(seed);
    let affected = (f64::from(clients) * storm.share).round();
    let mut course = Course::of(affected);
    // Which attempt of somebody begins when within which second.
    let mut due: Vec<Vec<(f64, usize)>> = vec![Vec::new(); HORIZON_S];
    for _ in 0..affected as u32 {
        let back = chance.below(f64::from(storm.over_s.max(1)));
        let poll = poll(chance.below(1.0));
        let at = back + chance.below(poll.into());
        note(&mut due, at, 0);
    }
    // What is left of a service that does not do a whole number in a second is kept for the next.
    let mut credit = 0.0;
    for second in 0..HORIZON_S {
        let mut asking = std::mem::take(&mut due[second]);
        credit = f64::min(credit, 1.0) + service;
        let room = (credit as usize).min(asking.len());
        course.attempts[second] = asking.len() as f64;
        course.served[second] = room as f64;
        credit -= room as f64;
        // Whoever is lucky stands in front.
        for place in 0..room {
            let other = place + chance.below((asking.len() - place) as f64) as usize;
            asking.swap(place, other);
        }
        for (at, attempt) in asking.split_off(room) {
            note(&mut due, at + wait_s(attempt), (attempt + 1).min(ATTEMPTS - 1));
        }
    }
    course
}

fn note(due: &mut [Vec<(f64, usize)>], at: f64, attempt: usize) {
    if let Some(second) = due.get_mut(at as usize) {
        second.push((at, attempt));
    }
}

/// The poll interval of a client, given a number from 0 to 1.
fn poll(number: f64) -> u32 {
    let mut sum = 0.0;
    let found = POLLS.iter().find(|(_, share)| {
        sum += share;
        number < sum
    });
    found.unwrap_or(&POLLS[POLLS.len() - 1]).0
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same on every machine, for good.
struct Chance(u64);

impl Chance {
    /// From 0 to less than `bound`.
    fn below(&mut self, bound: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // 53 bits, as many as fit.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64 * bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_even_and_repeats() {
        let draw = |seed| {
            let mut chance = Chance(seed);
            (0..10_000).map(|_| chance.below(2.0)).collect::<Vec<f64>>()
        };
        let drawn = draw(3);
        assert_eq!(drawn, draw(3));
        assert!(drawn != draw(4) && drawn.iter().all(|x| (0.0..2.0).contains(x)));
        assert!((drawn.iter().sum::<f64>() / 10_000.0 - 1.0).abs() < 0.03);
    }

    #[test]
    fn everybody_gets_keys_where_there_is_room() {
        let storm = Storm { name: "x", share: 1.0, over_s: 0 };
        let course = run(&storm, 5_000, 1e6, 1);
        assert_eq!((course.served.iter().sum::<f64>(), course.refused()), (5_000.0, 0.0));
        assert!(course.served_by(1.0).is_some_and(|second| second <= 1024));
    }
}
