//! Clients as numbers: all that are alike are one crowd, and chance is what happens on average.

use super::storm::{ATTEMPTS, Course, HORIZON_S, POLLS, Storm, wait_s};

/// The course of a storm over so many clients and a service that does so many key establishments per second.
pub fn run(storm: &Storm, clients: f64, service: f64) -> Course {
    let affected = clients * storm.share;
    let mut course = Course::of(affected);
    // Who begins which attempt in which second.
    let mut due = vec![[0.0; ATTEMPTS]; HORIZON_S];
    for (poll, share) in POLLS {
        spread(&mut due, affected * share, poll, storm.over_s);
    }
    for second in 0..HORIZON_S {
        let crowds = due[second];
        let attempts: f64 = crowds.iter().sum();
        // Everybody of one second has the same chance.
        let chance = if attempts > service { service / attempts } else { 1.0 };
        course.attempts[second] = attempts;
        course.served[second] = attempts * chance;
        for (attempt, crowd) in crowds.iter().enumerate() {
            let refused = crowd * (1.0 - chance);
            let next = (attempt + 1).min(ATTEMPTS - 1);
            let at = second as f64 + wait_s(attempt);
            // A wait that is not of whole seconds takes part of the crowd into the next one.
            let (whole, part) = (at as usize, at.fract());
            for (place, share) in [(whole, 1.0 - part), (whole + 1, part)] {
                if let Some(place) = due.get_mut(place) {
                    place[next] += refused * share;
                }
            }
        }
    }
    course
}

/// First attempts: of clients that come back evenly over `over` seconds and then ask after a part of their poll, any part being as likely.
fn spread(due: &mut [[f64; ATTEMPTS]], clients: f64, poll: u32, over: u32) {
    let (poll, over) = (f64::from(poll), f64::from(over.max(1)));
    // Two even spreads added: a trapezium, whose area up to a moment is known.
    let (short, long) = if poll < over { (poll, over) } else { (over, poll) };
    let by = |t: f64| {
        let t = t.clamp(0.0, short + long);
        let rising = |x: f64| x * x / (2.0 * short * long);
        match t {
            t if t < short => rising(t),
            t if t < long => rising(short) + (t - short) / long,
            t => 1.0 - rising(short + long - t),
        }
    };
    for (second, due) in due.iter_mut().enumerate() {
        let second = second as f64;
        due[0] += clients * (by(second + 1.0) - by(second));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_lost() {
        for (poll, over) in [(64, 0), (1024, 0), (64, 3600), (1024, 3600)] {
            let mut due = vec![[0.0; ATTEMPTS]; HORIZON_S];
            spread(&mut due, 1e6, poll, over);
            let all: f64 = due.iter().map(|crowds| crowds[0]).sum();
            assert!((all - 1e6).abs() < 1e-3, "{poll} {over}: {all}");
        }
        let storm = Storm { name: "x", share: 0.5, over_s: 0 };
        let course = run(&storm, 1e6, 1e9);
        assert_eq!(course.refused().round(), 0.0);
        assert!((course.served.iter().sum::<f64>() - 5e5).abs() < 1e-3);
        // A service of a tenth of what comes is never idle until nearly all have been served.
        let course = run(&storm, 1e6, 300.0);
        assert!(course.served.iter().all(|served| *served <= 300.0 + 1e-9));
        assert!(course.served_by(0.5).is_some_and(|second| second >= 800));
    }
}
