//! A machine in virtual time: its oscillator, its clock, and a disk that may fail or lose its power at any step.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use noonmark_clock::{Adjusted, Adjustment, KernelStatus, NotAdjusted, Reading, SystemClock};
use noonmark_os::clock::Seen;
use noonmark_os::store::fault::{Fault, FaultyFolder};
use noonmark_os::store::{Content, Folder};
use noonmark_packet::Leap;
use noonmark_units::{Frequency, Mono, Span, Timestamp, UnixTime};

use super::super::machine::Machine;

/// What happened to the clock, in the order it did.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// How long the machine has been running by its own monotonic clock, ns, over all its starts.
    pub ran: i128,
    /// True time since the beginning, ns.
    pub truly: i128,
    /// How far the clock was moved in all until then, beyond what its oscillator may need, ns: never less than before.
    pub moved: i128,
}

/// Something done to the clock other than letting it run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// Stepped by so many ns from what it showed.
    Step { by: i128, from: i128 },
    /// Told to run at this rate from now on.
    Rate(Frequency),
    /// Told what the kernel is to say.
    Status(KernelStatus),
    /// The kernel carried out a leap second at the end of the day that ended so many seconds after 1970.
    Leap { day_end: i64 },
}

/// The machine, whoever works with it at the moment.
pub struct Body {
    /// What everybody else calls a second, in seconds of the oscillator, less one.
    pub error: f64,
    /// What the envelope lets the oscillator need, s/s.
    pub drift: f64,
    /// The clock, ns since 1970.
    pub shown: i128,
    mono: i128,
    boot: u8,
    ran: i128,
    truly: i128,
    moved: i128,
    rate: f64,
    armed: Leap,
    /// At the end of which day, in seconds since 1970.
    armed_for: i64,
    /// A leap second is over, and the kernel has not seen it unarmed for long enough since: when it was unarmed.
    carried_out: Option<Option<i128>>,
    seen: Option<(i128, Duration)>,
    pub trace: Vec<Moment>,
    /// What was done since somebody last looked here.
    pub deeds: Vec<Deed>,
    /// While nobody is there to end a fast rate, it counts apart.
    pub is_alone: bool,
    /// Power and process are there.
    pub is_alive: bool,
    /// A step of the disk has gone wrong.
    pub has_failed: bool,
    /// A fault to come: after so many steps of the disk.
    pub fault: Option<(usize, Fault)>,
    /// A mistake on purpose: steps go twice as far.
    pub doubles_steps: bool,
}

impl Body {
    pub fn new(error: f64, drift: f64, shown: i128) -> Self {
        let start = Moment { ran: 0, truly: 0, moved: 0 };
        Self {
            error,
            drift,
            shown,
            mono: 5 * SECOND,
            boot: 1,
            ran: 0,
            truly: 0,
            moved: 0,
            rate: 0.0,
            armed: Leap::None,
            armed_for: 0,
            carried_out: None,
            seen: None,
            trace: vec![start],
            deeds: Vec::new(),
            is_alone: false,
            is_alive: true,
            has_failed: false,
            fault: None,
            doubles_steps: false,
        }
    }

    /// Lets the clock run until its monotonic side has advanced by so many ns.
    pub fn run(&mut self, mut nanos: i128) {
        while nanos > 0 {
            // Midnight is looked at, since the kernel may do something then.
            let to_midnight = DAY - self.shown.rem_euclid(DAY);
            let part = nanos.min(to_midnight);
            nanos -= part;
            self.tick(part);
            if part == to_midnight || self.is_leap_due() {
                self.end_day();
            }
        }
    }

    /// A stretch at one rate.
    fn tick(&mut self, shown: i128) {
        let by_itself = shown as f64 / (1.0 + self.rate);
        let beyond = (shown as f64 - by_itself).abs() - by_itself * self.drift;
        self.shown += shown;
        self.mono += shown;
        self.ran += shown;
        self.truly += (by_itself / (1.0 + self.error)) as i128;
        if !self.is_alone {
            self.moved += beyond.max(0.0) as i128;
        }
        self.note();
    }

    fn is_leap_due(&self) -> bool {
        self.armed == Leap::DeleteSecond && self.shown.rem_euclid(DAY) >= DAY - SECOND
    }

    fn end_day(&mut self) {
        let day_end = (self.shown + SECOND).div_euclid(DAY) * 86_400;
        let by = match std::mem::replace(&mut self.armed, Leap::None) {
            Leap::InsertSecond if self.armed_for == day_end as i64 => -SECOND,
            Leap::DeleteSecond if self.armed_for == day_end as i64 => SECOND,
            // None, or the machine slept over the end of the day for which it was.
            _ => return,
        };
        self.shown += by;
        self.carried_out = Some(None);
        self.deeds.push(Deed::Leap { day_end: day_end as i64 });
    }

    /// The kernel looks once a second, and arms nothing that it has carried out until it saw it unarmed.
    fn arm(&mut self, leap: Leap) {
        let is_leap = matches!(leap, Leap::InsertSecond | Leap::DeleteSecond);
        match self.carried_out {
            Some(None) if !is_leap => self.carried_out = Some(Some(self.mono)),
            Some(Some(unarmed)) if self.mono - unarmed > 2 * SECOND => self.carried_out = None,
            _ => {}
        }
        self.armed_for = ((self.shown.div_euclid(DAY) + 1) * 86_400) as i64;
        self.armed = if self.carried_out.is_none() { leap } else { Leap::None };
    }

    fn note(&mut self) {
        let Self { ran, truly, moved, .. } = *self;
        self.trace.push(Moment { ran, truly, moved });
    }

    /// Somebody else steps the clock.
    pub fn meddle(&mut self, nanos: i128) {
        self.shown += nanos;
        self.armed = Leap::None;
        let (before, slept) = self.seen.unwrap_or_default();
        self.seen = Some((before + nanos, slept));
    }

    /// The machine sleeps: its clock goes on and the monotonic one does not.
    pub fn sleep(&mut self, nanos: i128) {
        self.shown += nanos;
        self.truly += nanos;
        let (stepped, slept) = self.seen.unwrap_or_default();
        let length = Duration::from_nanos(u64::try_from(nanos).expect("no time before"));
        self.seen = Some((stepped, slept + length));
        self.note();
    }

    /// The machine starts again after so many ns; its clock chip is off by `error` more.
    pub fn boot(&mut self, off: i128, error: i128) {
        self.boot = self.boot.wrapping_add(1);
        self.truly += off;
        self.shown += off + error;
        (self.mono, self.rate, self.seen) = (5 * SECOND, 0.0, None);
        (self.armed, self.carried_out) = (Leap::None, None);
        self.note();
    }

    pub fn mono(&self) -> Mono {
        Mono(u64::try_from(self.mono).expect("within 500 years"))
    }

    pub fn wall(&self) -> UnixTime {
        let seconds = self.shown.div_euclid(SECOND);
        UnixTime::new(seconds as i64, self.shown.rem_euclid(SECOND) as u32)
    }

    /// The rate in effect, s/s.
    pub fn rate(&self) -> f64 {
        self.rate
    }
}

/// The machine as the warden has it.
pub struct Simulated {
    body: Rc<RefCell<Body>>,
    is_taken_over: bool,
}

impl Simulated {
    pub fn new(body: Rc<RefCell<Body>>) -> Self {
        Self { body, is_taken_over: false }
    }
}

impl SystemClock for Simulated {
    fn read(&mut self) -> Reading {
        let body = self.body.borrow();
        Reading { mono: body.mono(), real: Timestamp::from_unix(body.wall()) }
    }

    fn adjust(&mut self, adjustment: &Adjustment) -> Result<Adjusted, NotAdjusted> {
        {
            let mut body = self.body.borrow_mut();
            if !body.is_alive {
                return Err(NotAdjusted::Failed("no power".into()));
            }
            // Whoever comes ends what was left to the kernel.
            if !std::mem::replace(&mut self.is_taken_over, true) {
                body.arm(Leap::None);
            }
            match *adjustment {
                Adjustment::Step(by) => {
                    let factor = if body.doubles_steps { 2 } else { 1 };
                    let (by, from) = (i128::from(by.as_nanos()) * factor, body.shown);
                    body.shown += by;
                    // As the kernel does.
                    body.armed = Leap::None;
                    body.deeds.push(Deed::Step { by, from });
                }
                Adjustment::Rate(rate) => {
                    body.rate = rate.as_ratio();
                    body.deeds.push(Deed::Rate(rate));
                }
                Adjustment::Status(status) => {
                    body.arm(status.leap);
                    body.deeds.push(Deed::Status(status));
                }
            }
        }
        Ok(Adjusted { adjustment: *adjustment, at: self.read() })
    }
}

impl Body {
    /// A step of ours counts in full.
    pub fn count(&mut self, nanos: i128) {
        self.moved += nanos.abs();
        self.note();
    }
}

impl Machine for Simulated {
    fn wall(&mut self) -> UnixTime {
        self.body.borrow().wall()
    }

    fn boot(&self) -> Option<[u8; 16]> {
        Some([self.body.borrow().boot; 16])
    }

    fn found_rate(&mut self) -> Frequency {
        Frequency::from_ratio(self.body.borrow().rate)
    }

    fn look(&mut self) -> Option<Seen> {
        let at = self.read();
        let (stepped, slept) = self.body.borrow_mut().seen.take()?;
        Some(Seen { stepped: Span::from_nanos(stepped as i64), slept, at })
    }

    fn jumps(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The machine's disk. Whoever writes to it may be dead after any step.
pub struct Disk {
    pub folder: FaultyFolder,
    pub body: Rc<RefCell<Body>>,
}

impl Disk {
    fn step<T>(&mut self, step: impl FnOnce(&mut FaultyFolder) -> io::Result<T>) -> io::Result<T> {
        let mut body = self.body.borrow_mut();
        if !body.is_alive {
            body.has_failed = true;
            return Err(io::Error::other("no power"));
        }
        let fault = match &mut body.fault {
            Some((0, fault)) => Some(*fault),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if let Some(fault) = fault {
            (body.fault, body.has_failed) = (None, true);
            body.is_alive = fault == Fault::Error;
            self.folder.set_fault(self.folder.steps(), fault);
        }
        step(&mut self.folder)
    }
}

impl Folder for Disk {
    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Content>> {
        self.folder.read(name, limit)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.step(|folder| folder.create(name))
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.step(|folder| folder.write(name, content))
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        self.step(|folder| folder.sync_file(name))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step(|folder| folder.rename(from, to))
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.step(FaultyFolder::sync_folder)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step(|folder| folder.remove(name))
    }
}

/// A second, ns.
pub const SECOND: i128 = 1_000_000_000;
/// A day, ns.
pub const DAY: i128 = 86_400 * SECOND;
