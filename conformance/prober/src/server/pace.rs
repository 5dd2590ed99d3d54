//! How fast a run may ask.

use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Spreads requests out, over all threads of a run.
#[derive(Debug)]
pub struct Pace {
    next: Mutex<Lane>,
}

#[derive(Debug)]
struct Lane {
    /// From one to the next.
    gap: Duration,
    /// When the next may go.
    at: Instant,
}

impl Pace {
    /// At most so many a second.
    ///
    /// # Panics
    /// For a rate of zero or less.
    #[must_use]
    pub fn per_second(rate: f64) -> Self {
        let gap = Duration::from_secs_f64(1.0 / rate);
        Self { next: Mutex::new(Lane { gap, at: Instant::now() }) }
    }

    /// Waits until the next may go.
    pub fn wait(&self) {
        let until = {
            let mut lane = self.lane();
            let at = lane.at.max(Instant::now());
            lane.at = at + lane.gap;
            at
        };
        sleep(until.saturating_duration_since(Instant::now()));
    }

    /// Goes half as fast from now on, down to two a second.
    pub fn slow_down(&self) {
        let mut lane = self.lane();
        lane.gap = (lane.gap * 2).min(Duration::from_millis(500));
    }

    fn lane(&self) -> std::sync::MutexGuard<'_, Lane> {
        self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
