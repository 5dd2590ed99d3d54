//! Somebody who goes on asking while a fault is brought, and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Client, Outcome};

/// A thread that asks a server without NTS, some thirty times a second.
pub struct Onlooker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

/// What it saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Questions asked.
    pub asked: u32,
    /// Answered from a clock that is known.
    pub good: u32,
    /// Answered from one that is not.
    pub unsynchronised: u32,
    /// The longest time from one answer to the next.
    pub longest_silence: Duration,
}

impl Onlooker {
    /// Begins to ask.
    ///
    /// # Errors
    /// What the socket says.
    pub fn of(server: SocketAddr) -> Result<Self, String> {
        let mut client = Client::new(server)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut seen, mut last) = (Seen::default(), Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                seen.asked += 1;
                let outcome = client.ask(PATIENCE);
                match outcome {
                    Outcome::Good => seen.good += 1,
                    Outcome::Unsynchronised => seen.unsynchronised += 1,
                    Outcome::Silence => {}
                }
                seen.longest_silence = seen.longest_silence.max(last.elapsed());
                if outcome != Outcome::Silence {
                    last = Instant::now();
                }
                std::thread::sleep(PAUSE);
            }
            seen
        });
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops asking.
    ///
    /// # Errors
    /// That the thread came to grief.
    pub fn finish(mut self) -> Result<Seen, String> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("asked twice")?;
        thread.join().map_err(|_| "the onlooker panicked".to_owned())
    }
}

impl Seen {
    /// Questions without an answer.
    pub fn lost(&self) -> u32 {
        self.asked - self.good - self.unsynchronised
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How long an answer may take on a busy machine before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(30);
