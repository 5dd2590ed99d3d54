//! The I/O half: plain threads and UDP sockets around the responder.
//!
//! [`Sockets`] are opened apart, so that a process that may bind port 123 can do it and hand them to one that may not;
//! [`Frontend::start`] serves on them. Each thread has its own socket for every listening address (`SO_REUSEPORT`: the kernel spreads
//! the clients), its own responder, its own random generator and its own counters. Per batch it makes one system call to receive
//! and one to send each eight answers, and one to learn when answers left if that is awaited of any; it waits only when little is coming in.
//!
//! Policy, cookie keys and the source of the clock's state can be exchanged while it runs: a number is compared once per batch, and
//! only when it has changed is a lock taken.

mod awaited;
mod gate;
mod sockets;
mod worker;

pub use sockets::{Listening, Sockets};

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use noonmark_nts::CookieKeys;
use noonmark_os::page::{CounterPage, StateReader};
use noonmark_os::pulse::Pulse;
use noonmark_os::random::RandomPool;
use noonmark_os::schedule;
use noonmark_os::udp::{Bell, preferred_processor};

use self::worker::Worker;
use crate::{CLOCK_WORDS, ClockState, Policy, Responder};

/// Where the state of the clock that is served comes from.
#[derive(Clone)]
pub enum ClockSource {
    /// It never changes.
    Fixed(ClockState),
    /// A page that another process publishes in the words of [`ClockState::to_words`].
    Page(Arc<StateReader>),
}

impl ClockSource {
    /// The state now. If the page's writer stopped half-way, what was read before goes on being true, with growing dispersion.
    fn read(&self, last: &mut ClockState) {
        match self {
            Self::Fixed(state) => *last = *state,
            Self::Page(page) => {
                let mut words = [0; CLOCK_WORDS];
                if page.read(&mut words) {
                    *last = ClockState::from_words(&words);
                }
            }
        }
    }
}

/// What a server answers with; every part can be exchanged while it runs.
#[derive(Clone)]
pub struct Service {
    /// Whom to answer, and how often.
    pub policy: Arc<Policy>,
    /// Keys for cookies; without them NTS requests get silence.
    pub cookies: Option<Arc<CookieKeys>>,
    /// The clock to speak for.
    pub clock: ClockSource,
}

/// What threads show of themselves in shared pages; by default nothing.
#[derive(Clone, Default)]
pub struct Pages {
    /// Thread `n` publishes its [`Counters`](crate::Counters) from word `n` times [`Counter::COUNT`](crate::Counter::COUNT) on,
    /// after every batch.
    pub counters: Option<Arc<CounterPage>>,
    /// Thread `n` beats in the place `n` + 1, every [`BEAT_EVERY`](noonmark_os::pulse::BEAT_EVERY) when nothing comes; place 0 is the caller's.
    pub pulse: Option<Arc<Pulse>>,
}

/// Threads that serve.
pub struct Frontend {
    shared: Arc<Shared>,
    threads: Vec<(JoinHandle<()>, Arc<Bell>)>,
}

impl Frontend {
    /// Starts `threads` threads on `sockets`, the [`Sockets::descriptors`] of as many.
    ///
    /// # Errors
    /// What the kernel answers to a new thread or descriptor; `Other` if it gives no random octets. Threads started before are stopped.
    pub fn start(
        sockets: Vec<OwnedFd>,
        threads: usize,
        service: Service,
        pages: Pages,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            service: Mutex::new(service),
        });
        let mut frontend = Self { shared, threads: Vec::new() };
        for (number, sockets) in sockets::deal(sockets, threads).into_iter().enumerate() {
            if let Err(error) = frontend.start_thread(number, sockets, pages.clone()) {
                frontend.stop();
                return Err(error);
            }
        }
        Ok(frontend)
    }

    fn start_thread(
        &mut self,
        number: usize,
        sockets: Vec<OwnedFd>,
        pages: Pages,
    ) -> io::Result<()> {
        let processor = sockets.first().and_then(preferred_processor);
        let bell = Arc::new(Bell::new()?);
        let mut pool = RandomPool::new().map_err(io::Error::other)?;
        let random = Box::new(move |out: &mut [u8]| pool.fill(out));
        let responder = Responder::new(self.shared.service().policy.clone(), random);
        let worker =
            Worker::new(number, sockets, bell.clone(), self.shared.clone(), responder, pages);
        let thread =
            std::thread::Builder::new().name(format!("ntp-{number}")).spawn(move || {
                // What comes in there is answered there. Where it may not, the kernel moves it about, which costs time and nothing else.
                let _ = processor.map(schedule::stay_on);
                worker.run();
            })?;
        self.threads.push((thread, bell));
        Ok(())
    }

    /// Exchanges what is answered with. Batches that are received later see all of the change; threads that have nothing to do are
    /// woken, so that old keys are not kept longer than the batch in hand.
    pub fn update(&self, change: impl FnOnce(&mut Service)) {
        change(&mut self.shared.service());
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.ring();
    }

    /// Answers what has already arrived, then ends all threads and waits for them. The sockets are closed; if somebody holds
    /// duplicates, what arrives later waits there.
    pub fn stop(self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.ring();
        for (thread, _) in self.threads {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }

    /// Whether a thread has ended without being told to, which only a defect can cause.
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(|(thread, _)| thread.is_finished())
    }

    fn ring(&self) {
        for (_, bell) in &self.threads {
            bell.ring();
        }
    }
}

/// What the threads have in common.
struct Shared {
    stopping: AtomicBool,
    /// Counts the changes of `service`.
    generation: AtomicU64,
    service: Mutex<Service>,
}

impl Shared {
    fn service(&self) -> MutexGuard<'_, Service> {
        // Whoever panicked while holding it left one of its parts old or new, both of which are whole.
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
