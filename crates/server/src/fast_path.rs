//! The fast path: a program in the kernel that answers plain requests before they reach a socket.
//!
//! `bpf/fast-path.c` is the program, `bpf/fast-path.o` what the compiler made of it. This module knows the layout of the memory the two sides share and
//! fills it: [`FastPath`] is for who loads the program and decides for it, [`FastClock`] for who knows the clock, [`FastCounters`] for who
//! tells what was done. All of it are arrays mapped by both sides, so once the program is loaded nobody needs a right or a system call for it.
//!
//! The program answers what is certainly a plain request of 48 octets, version 3 or 4, to an address of ours on the device it came from, by the same rules and
//! with the same octets as [`Responder`](crate::Responder). Everything else passes up to the sockets: other lengths, versions and modes, IP
//! options, fragments, wrong checksums, and all there is while the clock is not synchronised, is smeared, or has not been spoken for in
//! five seconds.

mod clock;
mod counter;
mod desk;
mod places;
mod rules;

pub use clock::FastClock;
pub use counter::{Counter as FastCounter, FastCounters};
pub use desk::Decisions;
pub use places::{Bound, Place, places};

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use noonmark_os::bpf::object::{Object, ObjectError, with_function};
use noonmark_os::bpf::{self, Array, Attachment, LoadError, Mode, Program, Shared};
use noonmark_os::clock::Timescale;

use crate::RateLimit;

/// The program as it was compiled.
pub const OBJECT: &[u8] = include_bytes!("../bpf/fast-path.o");
/// The same with its clocks and its chance taken from an array `script`, for tests: boot clock, clock at receiving, clock at sending (ns each),
/// chance, noise.
pub const SCRIPTED: &[u8] = include_bytes!("../bpf/fast-path-scripted.o");

/// The program in the kernel, the arrays it uses, and the devices it is attached to; dropped, it is attached to none.
pub struct FastPath {
    program: Program,
    arrays: Vec<(String, Array)>,
    timescale: Timescale,
    lines: usize,
    desk: Shared,
    places: Shared,
    rules4: Shared,
    rules6: Shared,
    key: [u64; 2],
    placed: Vec<Place>,
    attachments: Vec<Attachment>,
}

impl FastPath {
    /// Loads a program, [`OBJECT`] but in tests, with room for the table of `limit`. It passes everything up until it is
    /// [told](Self::decide) otherwise. `key` keys the hash of its table and must be unknown to clients.
    ///
    /// # Errors
    /// [`FastPathError`]; it takes CAP_BPF and CAP_NET_ADMIN.
    pub fn load(
        object: &[u8],
        limit: Option<&RateLimit>,
        key: [u64; 2],
    ) -> Result<Self, FastPathError> {
        Self::load_reading(Timescale::Tai, object, limit, key).or_else(|error| {
            // Before Linux 6.1 programs have no CLOCK_TAI.
            Self::load_reading(Timescale::Monotonic, object, limit, key).map_err(|_| error)
        })
    }

    /// The same with a clock of choice.
    ///
    /// # Errors
    /// As [`FastPath::load`], and if the kernel has no such clock for programs.
    pub fn load_reading(
        timescale: Timescale,
        object: &[u8],
        limit: Option<&RateLimit>,
        key: [u64; 2],
    ) -> Result<Self, FastPathError> {
        if cfg!(target_endian = "big") {
            return Err(FastPathError::Machine);
        }
        let object = Object::parse(object)?;
        let lines = limit.map_or(1, RateLimit::lines);
        let mut arrays = Vec::new();
        for wanted in object.arrays() {
            let entries = match wanted.name.as_str() {
                "lines" => u32::try_from(lines).unwrap_or(u32::MAX),
                "lanes" => bpf::processors(),
                _ => wanted.entries,
            };
            let array = Array::new(c"noonmark", wanted.value_len / 8, entries);
            arrays.push((wanted.name.clone(), array.map_err(FastPathError::Memory)?));
        }
        let fds: Vec<_> = arrays.iter().map(|(_, array)| array.descriptor()).collect();
        let mut instructions = object.instructions(&fds)?;
        if timescale == Timescale::Monotonic {
            instructions = with_function(&instructions, TAI, MONOTONIC);
        }
        let program = Program::load(c"noonmark", object.license(), &instructions);
        let program = program.map_err(FastPathError::Refused)?;
        let share = |name: &str| {
            let array = array(&arrays, name)?;
            array.share().map_err(FastPathError::Memory)
        };
        Ok(Self {
            desk: share("desk")?,
            places: share("places")?,
            rules4: share("rules4")?,
            rules6: share("rules6")?,
            program,
            arrays,
            timescale,
            lines,
            key,
            placed: Vec::new(),
            attachments: Vec::new(),
        })
    }

    /// Attaches it to a device: in the driver if that can, else behind it.
    ///
    /// # Errors
    /// What the kernel answers to the second; somebody else's program on the device is `ResourceBusy`.
    pub fn attach(&mut self, device: u32) -> io::Result<Mode> {
        let attached = self.program.attach(device, Mode::Native).or_else(|error| {
            let is_taken = error.kind() == io::ErrorKind::ResourceBusy;
            if is_taken { Err(error) } else { self.program.attach(device, Mode::Generic) }
        })?;
        let mode = attached.mode();
        self.attachments.push(attached);
        Ok(mode)
    }

    /// Where it is attached, and how.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// The clock it reads.
    #[must_use]
    pub fn timescale(&self) -> Timescale {
        self.timescale
    }

    /// Takes decisions about clients in the place of those before, and answers from now on. While they are exchanged, everything passes up.
    ///
    /// # Errors
    /// [`FastPathError::Room`], and it passes everything up, if there are more rules than it has room for, or a larger table is wanted than it was
    /// loaded with.
    pub fn decide(&mut self, decisions: &Decisions<'_>) -> Result<(), FastPathError> {
        self.stop();
        let rules =
            rules::Rules::new(decisions.access).ok_or(FastPathError::Room("rules of access"))?;
        if decisions.limit.is_some_and(|limit| limit.lines() > self.lines) {
            return Err(FastPathError::Room("clients with a rate limit"));
        }
        rules.write(&self.rules4, &self.rules6);
        let words = desk::words(decisions, &rules, self.key);
        for (place, word) in self.desk.words().iter().zip(words).skip(1) {
            place.store(word, Ordering::Relaxed);
        }
        self.enable();
        Ok(())
    }

    /// Listens there and nowhere else from now on. Returns how many places found no room, which the sockets serve.
    pub fn listen(&mut self, wanted: &[Place]) -> usize {
        if self.placed == wanted {
            return 0;
        }
        let was_enabled = self.is_enabled();
        self.stop();
        let (words, left_out) = places::table(wanted);
        for (place, word) in self.places.words().iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        wanted.clone_into(&mut self.placed);
        if was_enabled {
            self.enable();
        }
        left_out
    }

    /// Where it listens.
    #[must_use]
    pub fn placed(&self) -> &[Place] {
        &self.placed
    }

    /// Passes everything up from now on.
    pub fn stop(&mut self) {
        if self.is_enabled() {
            self.enabled().store(0, Ordering::Release);
            // A run takes some microseconds and is not interrupted by processes.
            std::thread::sleep(RUNS_OUT);
        }
    }

    /// Whether it answers.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled().load(Ordering::Relaxed) != 0
    }

    fn enable(&self) {
        self.enabled().store(1, Ordering::Release);
    }

    fn enabled(&self) -> &std::sync::atomic::AtomicU64 {
        self.desk.words().first().expect("an array has at least one word")
    }

    /// The page of the clock, for a [`FastClock`].
    ///
    /// # Errors
    /// Never for a program of ours.
    pub fn clock(&self) -> Result<BorrowedFd<'_>, FastPathError> {
        array(&self.arrays, "clock_page").map(Array::descriptor)
    }

    /// What is counted, and how many processors have a part of it, for [`FastCounters`].
    ///
    /// # Errors
    /// Never for a program of ours.
    pub fn counters(&self) -> Result<(BorrowedFd<'_>, u32), FastPathError> {
        Ok((array(&self.arrays, "lanes")?.descriptor(), bpf::processors()))
    }

    /// An array by its name, to map.
    ///
    /// # Errors
    /// [`FastPathError::Object`] if the program has none of that name; what the kernel answers.
    pub fn share(&self, name: &str) -> Result<Shared, FastPathError> {
        array(&self.arrays, name)?.share().map_err(FastPathError::Memory)
    }

    /// The program, to run it over frames.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }
}

fn array<'a>(arrays: &'a [(String, Array)], name: &str) -> Result<&'a Array, FastPathError> {
    let found = arrays.iter().find(|(known, _)| known == name);
    found.map(|(_, array)| array).ok_or(FastPathError::Object(None))
}

/// Why there is no fast path.
#[derive(Debug)]
pub enum FastPathError {
    /// The object is not what it should be; with the reason, if it could not be read at all.
    Object(Option<ObjectError>),
    /// The program is for little-endian machines.
    Machine,
    /// The kernel gives no memory for it.
    Memory(io::Error),
    /// The kernel does not take the program.
    Refused(LoadError),
    /// There is no room for so many of these.
    Room(&'static str),
}

impl FastPathError {
    /// Whether a right is missing.
    #[must_use]
    pub fn is_about_rights(&self) -> bool {
        match self {
            Self::Memory(error) | Self::Refused(LoadError { error, .. }) => {
                // What the kernel finds wrong with a program is EACCES, of the same kind.
                error.raw_os_error() == Some(NOT_PERMITTED)
            }
            Self::Object(_) | Self::Machine | Self::Room(_) => false,
        }
    }
}

impl fmt::Display for FastPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_about_rights() {
            return f.write_str("it takes the capabilities CAP_BPF and CAP_NET_ADMIN at the start");
        }
        match self {
            Self::Object(Some(error)) => write!(f, "the program cannot be read: {error}"),
            Self::Object(None) => f.write_str("the program is another one"),
            Self::Machine => f.write_str("the program is for little-endian machines"),
            Self::Memory(error) => write!(f, "the kernel gives no memory: {error}"),
            Self::Refused(error) => write!(f, "the kernel does not take the program: {error}"),
            Self::Room(what) => write!(f, "too many {what}"),
        }
    }
}

impl std::error::Error for FastPathError {}

impl From<ObjectError> for FastPathError {
    fn from(error: ObjectError) -> Self {
        Self::Object(Some(error))
    }
}

/// `EPERM`.
const NOT_PERMITTED: i32 = 1;
/// Numbers of `bpf_ktime_get_tai_ns` and `bpf_ktime_get_ns`.
const TAI: u32 = 208;
const MONOTONIC: u32 = 5;
/// Longer than any run that has begun.
const RUNS_OUT: Duration = Duration::from_millis(10);
