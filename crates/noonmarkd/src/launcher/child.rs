//! One role as the launcher sees it: a process that may end at any time and is then started again.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use noonmark_os::pulse::PulseWatch;
use noonmark_os::{clock, pair, process};
use noonmark_units::{Mono, UnixTime};

use crate::exit::{Failure, Status};
use crate::link::{Incoming, Link, LinkError};
use crate::message::{End, LastEnd, Message, Phase, RoleState};
use crate::role::Role;

/// A role and the process that plays it, if there is one.
pub struct RoleProcess {
    role: Role,
    phase: Phase,
    running: Option<Running>,
    /// When to start it again.
    due: Option<Mono>,
    /// How long the next pause before a start will be.
    pause: Duration,
    restarts: u32,
    last_end: Option<LastEnd>,
    started: UnixTime,
    /// Whether it has served since the daemon started.
    pub has_served: bool,
    /// What it said before it ended.
    pub failure: Option<Failure>,
}

struct Running {
    child: Child,
    link: Link,
    since: Mono,
    /// Its end is wanted and counts as none.
    dismissed: bool,
    /// It has asked for another process in its place.
    wants_another: bool,
    /// It has said that it serves.
    serves: bool,
    /// Its signs of life, once it has begun to give any.
    pulse: Option<PulseWatch>,
    /// For how long there was none.
    silence: Duration,
    /// It was ended because it hung.
    given_up: bool,
}

/// What has become of a process's signs of life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life {
    /// There has been none for a while.
    Hung,
    /// There are some again.
    Back,
    /// There has been none for so long that the process was ended.
    GivenUp,
}

/// How a role's process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// In which way.
    pub how: End,
    /// Whether the launcher wanted it to.
    pub wanted: bool,
}

impl RoleProcess {
    /// A role without a process, which is not needed yet.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            phase: Phase::Off,
            running: None,
            due: None,
            pause: FIRST_PAUSE,
            restarts: 0,
            last_end: None,
            started: UnixTime::EPOCH,
            has_served: false,
            failure: None,
        }
    }

    /// Which role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What it is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How often it ended by itself, or could not be started.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// The process id, while there is a process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// The link, while there is a process.
    #[must_use]
    pub fn link(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|running| running.link.as_fd())
    }

    /// When it is to be started, if it is waiting for that.
    #[must_use]
    pub fn due(&self) -> Option<Mono> {
        self.due
    }

    /// The process wants another to take its place.
    pub fn wish_to_begin_anew(&mut self) {
        if let Some(running) = &mut self.running {
            running.wants_another = true;
        }
    }

    /// Whether the process wants that, has been there for `span`, and has not been told to end yet.
    #[must_use]
    pub fn is_to_begin_anew(&self, span: Duration, now: Mono) -> bool {
        self.running.as_ref().is_some_and(|running| {
            running.wants_another && !running.dismissed && now.since(running.since) >= span
        })
    }

    /// How it is, for observe.
    #[must_use]
    pub fn state(&self) -> RoleState {
        let memory = self.pid().and_then(|pid| process::resident_memory(pid).ok()).unwrap_or(0);
        RoleState {
            role: Some(self.role),
            phase: self.phase,
            last_end: self.last_end,
            silence: self.running.as_ref().map_or(Duration::ZERO, |running| running.silence),
            pid: self.pid().unwrap_or(0),
            restarts: self.restarts,
            memory,
            memory_bound: 0,
            started: self.started,
        }
    }

    /// Starts a process. It has heard nothing yet.
    ///
    /// # Errors
    /// [`Status::System`] if the kernel refuses one; the role is then due again after a pause.
    pub fn start(&mut self, now: Mono) -> Result<(), Failure> {
        debug_assert!(self.running.is_none(), "{} runs already", self.role);
        let started = pair::pair().and_then(|(ours, theirs)| {
            let child = process::spawn_self(&self.arguments(), theirs.as_fd())?;
            Ok(Running {
                child,
                link: Link::new(ours),
                since: now,
                dismissed: false,
                wants_another: false,
                serves: false,
                pulse: None,
                silence: Duration::ZERO,
                given_up: false,
            })
        });
        match started {
            Ok(running) => {
                self.running = Some(running);
                self.started = clock::realtime();
                self.phase = Phase::Starting;
                self.due = None;
                Ok(())
            }
            Err(error) => {
                self.restarts = self.restarts.saturating_add(1);
                self.wait(now);
                Err(Failure::new(
                    Status::System,
                    format_args!("cannot start {}: {error}", self.role),
                ))
            }
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let arguments: [OsString; 2] = [ROLE_ARGUMENT.into(), self.role.name().into()];
        #[cfg(debug_assertions)]
        let arguments = arguments.into_iter().chain(crate::probe::arguments());
        arguments.into_iter().collect()
    }

    /// Says something to the process, if there is one. A process that is gone or does not listen is ended: it will be reaped.
    pub fn tell(&mut self, message: &Message, descriptors: &[BorrowedFd<'_>]) {
        debug_assert!(message.may_be_sent_to(self.role), "{} to {}", message.name(), self.role);
        if let Some(running) = &mut self.running
            && let Err(error) = running.link.send(message, descriptors)
        {
            tracing::debug!(role = %self.role, %error, message = message.name(), "role does not listen");
            running.kill();
        }
    }

    /// What the process has to say; `None` if nothing now. One that breaks the rules is ended.
    pub fn hear(&mut self) -> Option<Incoming> {
        let role = self.role;
        let running = self.running.as_mut()?;
        match running.link.receive(false) {
            Ok(Some(incoming)) if incoming.message.may_be_sent_by(role) => return Some(incoming),
            Ok(Some(incoming)) => {
                tracing::error!(%role, message = incoming.message.name(), "role says what is not its to say");
            }
            Ok(None) => return None,
            Err(LinkError::Gone) => {}
            Err(error) => tracing::error!(%role, %error, "role cannot be understood"),
        }
        running.kill();
        None
    }

    /// The process serves.
    pub fn is_ready(&mut self) {
        self.phase = Phase::Ready;
        self.has_served = true;
        self.failure = None;
        if let Some(running) = &mut self.running {
            running.serves = true;
        }
    }

    /// The process shows its signs of life in `page` from now on.
    pub fn watch_pulse(&mut self, page: &OwnedFd, now: Mono) {
        let role = self.role;
        if let Some(running) = &mut self.running {
            match PulseWatch::open(page.as_fd(), now) {
                Ok(pulse) => running.pulse = Some(pulse),
                Err(error) => tracing::error!(%role, %error, "signs of life cannot be watched"),
            }
        }
    }

    /// Looks for signs of life, and says if something about them has changed. A process that gives none for long is ended.
    pub fn look_for_life(&mut self, now: Mono) -> Option<Life> {
        let running = self.running.as_mut()?;
        running.silence = running.pulse.as_mut()?.silence(now);
        if running.silence >= GIVEN_UP_AFTER && !running.given_up {
            running.given_up = true;
            running.kill();
            return Some(Life::GivenUp);
        }
        let silent = running.silence >= HUNG_AFTER;
        match (silent, self.phase) {
            (true, Phase::Starting | Phase::Ready) => {
                self.phase = Phase::Hung;
                Some(Life::Hung)
            }
            (false, Phase::Hung) => {
                self.phase = if running.serves { Phase::Ready } else { Phase::Starting };
                Some(Life::Back)
            }
            _ => None,
        }
    }

    /// Asks the process to end. It is not started again until [`RoleProcess::start`].
    pub fn dismiss(&mut self) {
        self.due = None;
        self.phase = Phase::Off;
        if let Some(running) = &mut self.running {
            running.dismissed = true;
            self.tell(&Message::Stop, &[]);
        }
    }

    /// Ends the process at once and without a word, which counts as asked for; one that waits to be started goes on waiting.
    pub fn dismiss_at_once(&mut self) {
        if let Some(running) = &mut self.running {
            running.dismissed = true;
            running.kill();
        }
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.kill();
        }
    }

    /// Looks whether the process has ended. If that was not wanted, the role is due again after a pause that grows as long as
    /// it keeps ending soon.
    pub fn reap(&mut self, now: Mono) -> Option<Ended> {
        let running = self.running.as_mut()?;
        let how = match running.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => end_of(status),
            // It cannot be waited for, so it is not there.
            Err(_) => End::Status(i32::from(Status::Internal.number())),
        };
        // What it said last is still in the pair, maybe behind something else that nobody needs any more.
        while let Some(Incoming { message, .. }) = self.hear() {
            if let Message::Failed { status, reason } = message {
                self.failure = Some(Failure::new(status, reason.as_str()));
            }
        }
        let running = self.running.take()?;
        if running.dismissed {
            return Some(Ended { how, wanted: true });
        }
        let how = if running.given_up { End::Hung } else { how };
        self.last_end = Some(LastEnd { how, time: clock::realtime(), at: now });
        if now.since(running.since) >= STEADY {
            self.pause = FIRST_PAUSE;
        }
        self.restarts = self.restarts.saturating_add(1);
        self.wait(now);
        Some(Ended { how, wanted: false })
    }

    fn wait(&mut self, now: Mono) {
        self.phase = Phase::Waiting;
        self.due = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Running {
    fn kill(&mut self) {
        // It may have ended already; it is reaped either way.
        let _ = self.child.kill();
    }
}

/// The argument before the role's name. Not for people: a role needs what the launcher gives it.
pub const ROLE_ARGUMENT: &str = "--role";

/// A process without a sign of life for this long hangs: five turns that it has missed.
const HUNG_AFTER: Duration = Duration::from_secs(5);
/// And one for this long is ended and started again.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A process that lived this long did not end because of how it was started.
const STEADY: Duration = Duration::from_secs(60);

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Status(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Status(i32::from(Status::Internal.number())),
    }
}
