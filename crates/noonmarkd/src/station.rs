//! What every role begins and ends with.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use noonmark_config::{ClockMode, Settings};
use noonmark_os::pair::Endpoint;
use noonmark_os::pulse::{BEAT_EVERY, Pulse};
use noonmark_os::signals::{self, Signal};
use noonmark_os::{caps, poll, process};

use crate::confinement::{self, Kept};
use crate::exit::{Failure, Status};
use crate::link::{Incoming, Link, LinkError};
use crate::message::{Message, Purpose, Text};
use crate::role::Role;
use crate::{configuration, ke, log, ntp, observe, sources, warden};

/// A role's place: its configuration and its link to the launcher.
pub struct Station {
    role: Role,
    /// What the role was told to do.
    pub settings: Settings,
    /// Which configuration that is.
    pub generation: u32,
    /// What the daemon was started for.
    pub purpose: Purpose,
    /// The same as long as the launcher lives, and no other launcher's.
    pub run: [u8; 16],
    link: Link,
    /// Where this role shows that it turns, once it has begun to.
    pulse: Option<Arc<Pulse>>,
    is_confined: bool,
}

/// Plays `role` until the launcher stops it or is gone.
///
/// # Errors
/// Why it cannot go on; the launcher has been told already.
pub fn play(role: Role) -> Result<(), Failure> {
    let system = |what| Failure::while_doing(Status::System, what);
    // First of all: nothing else may get the number.
    let inherited = process::take_inherited().map_err(Failure::while_doing(
        Status::Usage,
        "a role is started by the launcher, not by hand",
    ))?;
    let mut link = Link::new(Endpoint::from_descriptor(inherited));
    let result = (|| {
        // Neither name matters to the work, so neither failing does.
        let _ = process::set_name(role.process_name());
        process::forbid_dumps().map_err(system("forbidding core dumps"))?;
        // No role but the warden ever sets a clock, and that only if it is told to.
        if role != Role::Warden {
            caps::drop_sys_time().map_err(system("giving up CAP_SYS_TIME"))?;
        }
        // Ctrl-C reaches every process of a terminal; only the launcher decides what it means.
        for signal in [Signal::Interrupt, Signal::Hangup] {
            signals::ignore(signal).map_err(system("signals"))?;
        }
        let configured = Station::configured(role, &mut link)?;
        let keeps = |told: &Told| told.settings.clock.mode == ClockMode::Keep;
        if !configured.as_ref().is_some_and(keeps) {
            caps::drop_sys_time().map_err(system("giving up CAP_SYS_TIME"))?;
        }
        Ok(configured)
    })();
    let Told { settings, generation, purpose, run } = match result {
        Ok(Some(configured)) => configured,
        // The launcher was gone before it said anything.
        Ok(None) => return Ok(()),
        Err(failure) => {
            report(&link, &failure);
            return Err(failure);
        }
    };
    log::start(role.name(), settings.log);
    let mut station =
        Station { role, settings, generation, purpose, run, link, pulse: None, is_confined: false };
    let result = match role {
        Role::Warden => warden::run(&mut station),
        Role::Ntp => ntp::run(&mut station),
        Role::Ke => ke::run(&mut station),
        Role::Observe => observe::run(&mut station),
        Role::Sources => sources::run(&mut station),
    };
    match result {
        Ok(()) | Err(Ending::Stopped) => Ok(()),
        Err(Ending::Failed(failure)) => {
            report(&station.link, &failure);
            Err(failure)
        }
    }
}

/// What the first message says.
struct Told {
    settings: Settings,
    generation: u32,
    purpose: Purpose,
    run: [u8; 16],
}

/// Why a role's work ends.
#[derive(Debug)]
pub enum Ending {
    /// The launcher said so, or is gone.
    Stopped,
    /// It cannot go on.
    Failed(Failure),
}

impl Ending {
    /// The launcher said something at a time it is not for.
    #[must_use]
    pub fn unexpected(message: &Message) -> Self {
        Failure::new(
            Status::Internal,
            format_args!("a message {} at a time it is not for", message.name()),
        )
        .into()
    }
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Station {
    /// The first message is the configuration; `None` if the launcher is gone before it comes.
    fn configured(role: Role, link: &mut Link) -> Result<Option<Told>, Failure> {
        let Some(incoming) = next(link, true).or_else(|ending| match ending {
            Ending::Stopped => Ok(None),
            Ending::Failed(failure) => Err(failure),
        })?
        else {
            return Ok(None);
        };
        match (incoming.message, incoming.descriptors.first()) {
            (Message::Configure { generation, purpose, run }, Some(file)) => {
                let settings = configuration::open(file)?;
                Ok(Some(Told { settings, generation, purpose, run }))
            }
            (message, _) => Err(Failure::new(
                Status::Internal,
                format_args!("{role} began with a message {}", message.name()),
            )),
        }
    }

    /// The launcher's next message, waiting for it.
    ///
    /// # Errors
    /// [`Ending::Stopped`] when told to stop or the launcher is gone.
    pub fn wait(&mut self) -> Result<Incoming, Ending> {
        loop {
            if let Some(incoming) = self.hear(true)? {
                return Ok(incoming);
            }
        }
    }

    /// The launcher's next message, if one has come.
    ///
    /// # Errors
    /// As [`Station::wait`].
    pub fn poll(&mut self) -> Result<Option<Incoming>, Ending> {
        self.hear(false)
    }

    /// Begins to show signs of life: from now on the role calls [`Station::sleep`] again and again, which beats in place 0, and so
    /// many other threads of it beat in the places from 1 on.
    ///
    /// # Errors
    /// As [`Station::tell`], and [`Status::System`] without memory.
    pub fn show_pulse(&mut self, others: usize) -> Result<Arc<Pulse>, Ending> {
        let pulse = Pulse::new(1 + others)
            .map_err(Failure::while_doing(Status::System, "the page of signs of life"))?;
        self.tell(&Message::Pulse, &[pulse.descriptor()])?;
        Ok(Arc::clone(self.pulse.insert(Arc::new(pulse))))
    }

    /// Gives a sign of life, for a role that sleeps by other means than [`Station::sleep`].
    pub fn beat(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.beat(0);
        }
    }

    /// Takes the configuration of a later [`Message::Configure`].
    ///
    /// # Errors
    /// [`Status::Internal`] for one that cannot be read, which the launcher has checked.
    pub fn reconfigure(&mut self, generation: u32, file: Option<&OwnedFd>) -> Result<(), Failure> {
        let missing = || Failure::new(Status::Internal, "a configuration without descriptor");
        self.settings = configuration::open(file.ok_or_else(missing)?)?;
        self.generation = generation;
        Ok(())
    }

    /// A descriptor that can be read when the launcher has said something, which [`Station::poll`] then returns.
    ///
    /// # Errors
    /// What the kernel answers; it has a limit of descriptors.
    pub fn link_descriptor(&self) -> io::Result<OwnedFd> {
        self.link.as_fd().try_clone_to_owned()
    }

    /// Gives up, for good, whatever the role does not need: once, before anything is read that came over the network, and before there are other
    /// threads. What has to be at hand afterwards is opened before.
    ///
    /// # Errors
    /// [`Status::Configuration`] if all of it is required and something cannot be given up; as [`Station::tell`].
    pub fn confine(&mut self, kept: &Kept<'_>) -> Result<(), Ending> {
        let confined = confinement::confine(self.role, &self.settings, kept)?;
        self.is_confined = true;
        self.tell(&Message::Confined { role: self.role, confined }, &[])
    }

    /// Sleeps until the launcher says something, one of `others` can be read, or the time is over, but no longer than a role may
    /// go without a sign of life, which this gives. Returns which of `others` can be read.
    ///
    /// # Errors
    /// [`Status::System`] if the kernel refuses to wait.
    pub fn sleep(&self, others: &[BorrowedFd<'_>], timeout: Duration) -> Result<Vec<bool>, Ending> {
        self.beat();
        let all: Vec<BorrowedFd<'_>> =
            std::iter::once(self.link.as_fd()).chain(others.iter().copied()).collect();
        let ready = poll::readable(&all, Some(timeout.min(BEAT_EVERY)))
            .map_err(Failure::while_doing(Status::System, "poll"))?;
        Ok(ready.get(1..).unwrap_or_default().to_vec())
    }

    /// Tells the launcher something.
    ///
    /// # Errors
    /// [`Ending::Stopped`] if it is gone, [`Status::System`] if it does not listen.
    pub fn tell(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> Result<(), Ending> {
        debug_assert!(message.may_be_sent_by(self.role), "{} by {}", message.name(), self.role);
        match self.link.send(message, descriptors) {
            Ok(()) => Ok(()),
            Err(LinkError::Gone) => Err(Ending::Stopped),
            Err(error) => Err(Failure::new(
                Status::System,
                format_args!("telling the launcher {}: {error}", message.name()),
            )
            .into()),
        }
    }

    /// Tells the launcher that this role serves.
    ///
    /// # Errors
    /// As [`Station::tell`].
    pub fn ready(&self) -> Result<(), Ending> {
        if !self.is_confined {
            return Err(Failure::new(Status::Internal, "a role that has given up nothing").into());
        }
        confinement::settle(self.role, &self.settings);
        self.tell(&Message::Ready { generation: self.generation }, &[])?;
        #[cfg(debug_assertions)]
        crate::probe::attempt(self.role);
        Ok(())
    }

    fn hear(&mut self, wait: bool) -> Result<Option<Incoming>, Ending> {
        let incoming = next(&mut self.link, wait)?;
        if let Some(Incoming { message, .. }) = &incoming
            && !message.may_be_sent_to(self.role)
        {
            let reason = format_args!("{} was sent a message {}", self.role, message.name());
            return Err(Failure::new(Status::Internal, reason).into());
        }
        Ok(incoming)
    }
}

/// Collects the sockets that come in parts.
#[derive(Default)]
pub struct Collected {
    sockets: Vec<OwnedFd>,
    count: Option<u16>,
}

impl Collected {
    /// Adds a part: the sockets from `first` on, of `count` in all. Returns all once they are complete.
    ///
    /// # Errors
    /// [`Status::Internal`] for parts that do not follow each other.
    pub fn add(
        &mut self,
        first: u16,
        count: u16,
        part: Vec<OwnedFd>,
    ) -> Result<Option<Vec<OwnedFd>>, Failure> {
        let fits =
            usize::from(first) == self.sockets.len() && *self.count.get_or_insert(count) == count;
        if !fits || self.sockets.len() + part.len() > usize::from(count) {
            return Err(Failure::new(Status::Internal, "sockets handed over in the wrong order"));
        }
        self.sockets.extend(part);
        if self.sockets.len() < usize::from(count) {
            return Ok(None);
        }
        self.count = None;
        Ok(Some(std::mem::take(&mut self.sockets)))
    }
}

fn next(link: &mut Link, wait: bool) -> Result<Option<Incoming>, Ending> {
    match link.receive(wait) {
        Ok(Some(Incoming { message: Message::Stop, .. })) | Err(LinkError::Gone) => {
            Err(Ending::Stopped)
        }
        Ok(incoming) => Ok(incoming),
        Err(error) => {
            Err(Failure::new(Status::Internal, format_args!("the launcher: {error}")).into())
        }
    }
}

fn report(link: &Link, failure: &Failure) {
    let message = Message::Failed { status: failure.status, reason: Text::new(&failure.reason) };
    // If nobody hears it, the exit status still says what it was.
    let _ = link.send(&message, &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(count: usize) -> Vec<OwnedFd> {
        let file = noonmark_os::sealed::seal(c"test", b"").expect("memory");
        (0..count).map(|_| file.try_clone().expect("descriptors")).collect()
    }

    #[test]
    fn sockets_come_in_parts_and_in_order() {
        let mut collected = Collected::default();
        assert!(collected.add(0, 20, sockets(16)).expect("the first part").is_none());
        assert_eq!(
            collected.add(16, 20, sockets(4)).expect("the rest").expect("complete").len(),
            20
        );
        for (first, count, part) in [(1, 20, 2), (0, 1, 2)] {
            assert!(
                Collected::default().add(first, count, sockets(part)).is_err(),
                "{first} of {count}"
            );
        }
        let mut collected = Collected::default();
        collected.add(0, 20, sockets(16)).expect("the first part");
        assert!(collected.add(16, 21, sockets(4)).is_err(), "of another number");
    }
}
