//! The first process: reads configuration, certificates and signals, holds every listening socket, starts the roles and
//! starts them again. It never sees an octet from a peer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use noonmark_config::{ClockMode, Loaded};
use noonmark_os::generation::KernelLog;
use noonmark_os::passed::{self, Passed};
use noonmark_os::random::RandomPool;
use noonmark_os::signals::{Signal, Signals};
use noonmark_os::{caps, clock, poll, process};
use noonmark_units::{Mono, UnixTime};

use crate::confinement;
use crate::exit::{Failure, Status};
use crate::link::Incoming;
use crate::log;
use crate::message::{
    Confined, Event, Happening, KeySet, Message, Phase, Purpose, Subject, Taken, Text,
};
use crate::once;
use crate::role::Role;

mod account;
mod child;
mod fast_path;
mod identity;
mod in_force;
mod notify;
mod sockets;
mod validity;

pub use child::ROLE_ARGUMENT;
use child::{Life, RoleProcess};
use fast_path::Kernel;
use identity::{SealedIdentity, Watch};
use in_force::{InForce, Refusal, read_identity};
pub(crate) use in_force::{PREDECESSOR_LEAVES_WITHIN, PREDECESSOR_LOOK_EVERY};
use notify::Notifier;
use validity::{Line, Reminder};

/// Runs the daemon with the configuration at `file` until it is told to stop.
///
/// # Errors
/// Why it could not start: each kind of reason has its own [`Status`].
pub fn run(file: &Path, loaded: Loaded) -> Result<(), Failure> {
    launch(file, loaded, Purpose::Serve)?.0
}

/// The result of it all once it has begun, and the page of the sources as they left it.
type Launched = (Result<(), Failure>, Option<OwnedFd>);

fn launch(file: &Path, loaded: Loaded, purpose: Purpose) -> Result<Launched, Failure> {
    // Before anything else is opened. Whoever sets the clock once serves nobody.
    let passed = if purpose == Purpose::Serve { passed::take() } else { Ok(Vec::new()) };
    log::start("launcher", loaded.settings.log);
    let passed = passed.map_err(|error| Failure::new(Status::Configuration, error))?;
    let system = |what| Failure::while_doing(Status::System, what);
    if loaded.settings.clock.mode != ClockMode::Keep {
        // Nothing here sets a clock, so nothing here shall be able to.
        caps::drop_sys_time().map_err(system("giving up CAP_SYS_TIME"))?;
    }
    process::forbid_dumps().map_err(system("forbidding core dumps"))?;
    // It takes a right that nothing else here takes.
    let kernel_log = KernelLog::open();
    // So do loading a program and attaching it.
    let kernel = match purpose {
        Purpose::Serve => Kernel::open(&loaded.settings)?,
        Purpose::SetOnce => Kernel::default(),
    };
    confinement::confine_launcher(&loaded.settings)?;
    let signals =
        Signals::new(&[Signal::Hangup, Signal::Interrupt, Signal::Terminate, Signal::Child])
            .map_err(system("signals"))?;
    let mut launcher = Launcher::new(file, loaded, signals, purpose, passed)?;
    launcher.kernel_log = kernel_log;
    launcher.kernel = kernel;
    launcher.kernel.take(&launcher.in_force.settings, &launcher.in_force.sockets);
    confinement::settle_launcher(&launcher.in_force.settings)?;
    let result = launcher.supervise();
    let page = launcher.sources_page.take();
    launcher.stop();
    Ok((result, page))
}

/// Sets the clock once, by the sources of the configuration: with the roles and rules of the daemon, and without serving anybody.
/// Prints how it ended.
///
/// # Errors
/// As [`run`]; [`Status::Configuration`] if the configuration does not say how, [`Status::NotSet`] if it is not right after a while.
pub fn set_once(file: &Path, loaded: Loaded, as_json: bool) -> Result<(), Failure> {
    let launched = if loaded.settings.clock.mode == ClockMode::Keep {
        launch(file, loaded, Purpose::SetOnce)
    } else {
        let reason = "to set the clock takes a [[source]], and clock = \"keep\" in [clock]";
        Err(Failure::new(Status::Configuration, reason))
    };
    let (result, page) = launched.unwrap_or_else(|failure| (Err(failure), None));
    once::tell(result, page.as_ref(), as_json)
}

struct Launcher {
    file: PathBuf,
    started: UnixTime,
    purpose: Purpose,
    /// Tells this launcher's life from every other's.
    run: [u8; 16],
    signals: Signals,
    notifier: Notifier,
    in_force: InForce,
    /// What answers in the kernel.
    kernel: Kernel,
    /// What the service manager has bound for us, for as long as we live.
    passed: Vec<Passed>,
    configuration: Taken,
    certificate: Option<Taken>,
    watch: Option<Watch>,
    reminder: Reminder,
    roles: [RoleProcess; Role::ALL.len()],
    clock_page: Option<OwnedFd>,
    bequest: Option<OwnedFd>,
    /// The kernel's log, for whichever warden there is.
    kernel_log: Option<KernelLog>,
    ntp_counters: Option<OwnedFd>,
    ke_counters: Option<OwnedFd>,
    sources_page: Option<OwnedFd>,
    keys: Option<KeySet>,
    /// What each role has given up.
    confined: Vec<(Role, Confined)>,
    /// The last of each kind.
    happenings: Vec<Happening>,
    /// Whether the service manager has been told that we serve.
    announced: bool,
    /// What the daemon was started for is done.
    is_done: bool,
    set_by: Mono,
    next_look: Mono,
    next_report: Mono,
}

impl Launcher {
    fn new(
        file: &Path,
        loaded: Loaded,
        signals: Signals,
        purpose: Purpose,
        passed: Vec<Passed>,
    ) -> Result<Self, Failure> {
        for socket in &passed {
            tracing::info!(%socket, "bound for us by the service manager");
        }
        let watch = loaded.settings.nts.as_ref().map(Watch::new);
        let mut pool =
            RandomPool::new().map_err(Failure::while_doing(Status::System, "random octets"))?;
        let mut loaded = loaded;
        if purpose == Purpose::SetOnce {
            // Nobody is served by a clock that is about to be set.
            loaded.settings.server.listen.clear();
            loaded.settings.nts = None;
        }
        let in_force = InForce::open_first(&loaded, &passed)?;
        let now = clock::realtime();
        let taken = |subject| Taken { subject, generation: 1, at: now, refused: None };
        Ok(Self {
            file: file.to_owned(),
            started: now,
            purpose,
            run: pool.array(),
            signals,
            notifier: Notifier::from_environment(),
            certificate: in_force.identity.is_some().then(|| taken(Subject::Certificate)),
            in_force,
            kernel: Kernel::default(),
            passed,
            configuration: taken(Subject::Configuration),
            watch,
            reminder: Reminder::default(),
            roles: Role::ALL.map(RoleProcess::new),
            clock_page: None,
            bequest: None,
            kernel_log: None,
            ntp_counters: None,
            ke_counters: None,
            sources_page: None,
            keys: None,
            confined: Vec::new(),
            happenings: Vec::new(),
            announced: false,
            is_done: false,
            set_by: clock::monotonic() + SET_WITHIN,
            next_look: Mono(0),
            next_report: Mono(0),
        })
    }

    /// Keeps the roles running. Returns when asked to stop, or with the reason for which the daemon could not start.
    fn supervise(&mut self) -> Result<(), Failure> {
        let now = clock::monotonic();
        for role in Role::ALL {
            if self.in_force.needs(role) {
                self.start(role, now)?;
            }
        }
        loop {
            self.wait()?;
            let now = clock::monotonic();
            while let Some(signal) =
                self.signals.take().map_err(Failure::while_doing(Status::System, "signals"))?
            {
                match signal {
                    Signal::Interrupt | Signal::Terminate => {
                        tracing::info!(?signal, "stopping");
                        return Ok(());
                    }
                    // What is done once is done by the rules it began with.
                    Signal::Hangup if self.purpose == Purpose::SetOnce => {}
                    Signal::Hangup => self.reload(),
                    // Every role is looked at below.
                    Signal::Child => {}
                }
            }
            for role in Role::ALL {
                self.hear(role);
            }
            if self.is_done {
                tracing::info!("the clock is set");
                return Ok(());
            }
            if self.purpose == Purpose::SetOnce && now >= self.set_by {
                let reason = "the clock could not be set in time; `noonmarkd --dry-run` shows what the sources say";
                return Err(Failure::new(Status::NotSet, reason));
            }
            self.reap(now)?;
            for role in Role::ALL {
                self.renew(role, now);
                if self.role(role).due().is_some_and(|due| due <= now) {
                    self.start(role, now)?;
                }
            }
            if self.next_look <= now {
                self.next_look = now + LOOK_EVERY;
                self.look_for_life(now);
                self.look_for_new_certificate();
                self.look_at_validity(now);
                self.kernel.look(&self.in_force.settings, &self.in_force.sockets);
            }
            if self.next_report <= now {
                self.next_report = now + REPORT_EVERY;
                self.report_roles();
            }
        }
    }

    /// Sleeps until something is to be done.
    fn wait(&self) -> Result<(), Failure> {
        let now = clock::monotonic();
        let dues = self.roles.iter().filter_map(RoleProcess::due);
        let next = dues.chain([self.next_look, self.next_report]).min().unwrap_or(self.next_look);
        let links = self.roles.iter().filter_map(RoleProcess::link);
        let watched: Vec<BorrowedFd<'_>> =
            std::iter::once(self.signals.as_fd()).chain(links).collect();
        poll::readable(&watched, Some(next.since(now)))
            .map_err(Failure::while_doing(Status::System, "poll"))?;
        Ok(())
    }

    fn role(&mut self, role: Role) -> &mut RoleProcess {
        let place = usize::from(role.number()) - 1;
        self.roles.get_mut(place).expect("a role's number is its place, counted from 1")
    }

    /// Starts a role and gives it all that is there for it; what comes later is sent on when it comes.
    ///
    /// # Errors
    /// The kernel refused a process so often, before all roles served for the first time, that trying on will not help. A
    /// refusal before that is logged, and the role is due again.
    fn start(&mut self, role: Role, now: Mono) -> Result<(), Failure> {
        if let Err(failure) = self.role(role).start(now) {
            tracing::error!(%failure, "role not started");
            let process = self.role(role);
            let in_vain = !process.has_served && process.restarts() >= MOST_EARLY_ENDS;
            return if in_vain && !self.announced { Err(failure) } else { Ok(()) };
        }
        self.configure(role);
        if role == Role::Sources {
            self.send_authorities();
        }
        let Self {
            in_force,
            kernel,
            roles,
            keys,
            clock_page,
            bequest,
            kernel_log,
            ntp_counters,
            ke_counters,
            sources_page,
            ..
        } = self;
        let Some(process) = roles.iter_mut().find(|process| process.role() == role) else {
            return Ok(());
        };
        let sockets = match role {
            Role::Warden | Role::Sources => vec![],
            Role::Ntp => in_force.sockets.ntp(),
            Role::Ke => in_force.sockets.ke(),
            Role::Observe => vec![in_force.sockets.status()],
        };
        let count = u16::try_from(sockets.len()).unwrap_or(u16::MAX);
        for (first, part) in
            (0..count).step_by(SOCKETS_PER_MESSAGE).zip(sockets.chunks(SOCKETS_PER_MESSAGE))
        {
            process.tell(&Message::Sockets { first, count }, part);
        }
        if matches!(role, Role::Ke | Role::Observe) {
            for listening in in_force.sockets.listening() {
                process.tell(&Message::Listening(listening), &[]);
            }
        }
        if matches!(role, Role::Ntp | Role::Ke)
            && let Some(keys) = keys
        {
            process.tell(&Message::CookieKeys(keys.clone()), &[]);
        }
        if role == Role::Ke
            && let (Some(identity), Some(taken)) = (&in_force.identity, &self.certificate)
        {
            let message = Message::Identity { generation: taken.generation };
            process.tell(&message, &[identity.chain.as_fd(), identity.key.as_fd()]);
        }
        if matches!(role, Role::Ntp | Role::Observe)
            && let Some(page) = clock_page
        {
            process.tell(&Message::ClockPage, &[page.as_fd()]);
        }
        if role == Role::Warden {
            if let Some(log) = kernel_log {
                process.tell(&Message::KernelLog, &[log.as_fd()]);
            }
            let page: Vec<_> = bequest.iter().map(|page| page.as_fd()).collect();
            process.tell(&Message::Bequest, &page);
            if let Some((message, page)) = kernel.clock() {
                process.tell(&message, &[page]);
            }
        }
        if role == Role::Observe {
            if let Some(page) = bequest {
                process.tell(&Message::Bequest, &[page.as_fd()]);
            }
            for (role, page) in [(Role::Ntp, ntp_counters), (Role::Ke, ke_counters)] {
                if let Some(page) = page {
                    process.tell(&Message::CounterPage { role }, &[page.as_fd()]);
                }
            }
            if let Some(page) = sources_page {
                process.tell(&Message::SourcesPage, &[page.as_fd()]);
            }
            let (message, counters) = kernel.report();
            process.tell(&message, &counters.into_iter().collect::<Vec<_>>());
            if let Some(keys) = keys {
                process.tell(&Message::Epochs(keys.epochs()), &[]);
            }
            for happening in self.happenings.clone() {
                self.role(Role::Observe).tell(&Message::Happened(happening), &[]);
            }
            for (owner, confined) in self.confined.clone() {
                let message = Message::Confined { role: owner, confined };
                self.role(Role::Observe).tell(&message, &[]);
            }
            self.report_taken();
        }
        if matches!(role, Role::Warden | Role::Sources) {
            self.introduce();
        }
        self.report_roles();
        Ok(())
    }

    /// Gives warden and sources the two ends of a pair, once both are there. What goes over it is not the launcher's business.
    fn introduce(&mut self) {
        let are_both_there =
            [Role::Warden, Role::Sources].into_iter().all(|role| self.role(role).pid().is_some());
        if !are_both_there {
            return;
        }
        match noonmark_os::pair::pair() {
            Ok((one, other)) => {
                self.role(Role::Warden).tell(&Message::Partner, &[one.as_fd()]);
                self.role(Role::Sources).tell(&Message::Partner, &[other.as_fd()]);
            }
            Err(error) => {
                // It is tried again with the next process.
                tracing::error!(%error, "no pair for warden and sources");
                self.role(Role::Sources).kill();
            }
        }
    }

    /// Takes what a role says.
    fn hear(&mut self, role: Role) {
        while let Some(Incoming { message, descriptors }) = self.role(role).hear() {
            let mut descriptors = descriptors.into_iter();
            match (message, descriptors.next()) {
                (Message::Ready { generation }, _) => {
                    tracing::debug!(%role, generation, "role serves");
                    self.role(role).is_ready();
                    let first = !self.announced && self.all_ready();
                    self.announced |= first;
                    // Whoever is told below and asks observe at once shall hear the same from it.
                    self.report_roles();
                    if first {
                        self.announce();
                    }
                }
                (Message::Failed { status, reason }, _) => {
                    self.role(role).failure = Some(Failure::new(status, reason.as_str()));
                }
                (Message::Pulse, Some(page)) => {
                    self.role(role).watch_pulse(&page, clock::monotonic());
                }
                (Message::ClockPage, Some(page)) => {
                    for reader in [Role::Ntp, Role::Observe] {
                        self.role(reader).tell(&Message::ClockPage, &[page.as_fd()]);
                    }
                    self.clock_page = Some(page);
                }
                (Message::Bequest, Some(page)) => {
                    self.role(Role::Observe).tell(&Message::Bequest, &[page.as_fd()]);
                    self.bequest = Some(page);
                }
                (Message::CounterPage { role: owner }, Some(page)) => {
                    self.role(Role::Observe)
                        .tell(&Message::CounterPage { role: owner }, &[page.as_fd()]);
                    let place = if owner == Role::Ntp {
                        &mut self.ntp_counters
                    } else {
                        &mut self.ke_counters
                    };
                    *place = Some(page);
                }
                (Message::SourcesPage, Some(page)) => {
                    self.role(Role::Observe).tell(&Message::SourcesPage, &[page.as_fd()]);
                    self.sources_page = Some(page);
                }
                (Message::Confined { role: owner, confined }, _) => {
                    self.confined.retain(|(role, _)| *role != owner);
                    self.confined.push((owner, confined));
                    self.role(Role::Observe)
                        .tell(&Message::Confined { role: owner, confined }, &[]);
                }
                (Message::Happened(happening), _) => self.take_note(happening),
                (Message::Renew, _) => self.role(role).wish_to_begin_anew(),
                (Message::Done, _) => self.is_done = self.purpose == Purpose::SetOnce,
                (Message::CookieKeys(keys), _) => {
                    let message = Message::CookieKeys(keys.clone());
                    for user in [Role::Ntp, Role::Ke] {
                        self.role(user).tell(&message, &[]);
                    }
                    self.role(Role::Observe).tell(&Message::Epochs(keys.epochs()), &[]);
                    self.keys = Some(keys);
                }
                (Message::IdentityRefused { generation, reason }, _) => {
                    tracing::error!(
                        generation,
                        reason = reason.as_str(),
                        "key establishment does not take the certificate"
                    );
                    self.refuse_certificate(reason.as_str());
                }
                // `RoleProcess::hear` lets through what a role may say, with its descriptors.
                (message, _) => tracing::error!(%role, message = message.name(), "unexpected"),
            }
        }
    }

    /// Something happened to the machine or its clock. If it is not the machine it was, whoever has random octets or cookies of before
    /// ends at once; what is asked meanwhile waits in the sockets.
    fn take_note(&mut self, happening: Happening) {
        let event = happening.event;
        let before = self.happenings.iter().find(|known| known.event == event);
        let count = before.map_or(0, |known| known.count).saturating_add(1);
        let happening = Happening { count, ..happening };
        self.role(Role::Observe).tell(&Message::Happened(happening.clone()), &[]);
        self.happenings.retain(|known| known.event != event);
        self.happenings.push(happening);
        if event == Event::Restored {
            for role in [Role::Ntp, Role::Ke, Role::Sources] {
                self.role(role).dismiss_at_once();
            }
        }
    }

    /// Looks which roles give signs of life.
    fn look_for_life(&mut self, now: Mono) {
        let mut tell = false;
        for role in Role::ALL {
            let process = self.role(role);
            let change = process.look_for_life(now);
            let (pid, silent_s) = (process.pid(), process.state().silence.as_secs());
            match change {
                Some(Life::Hung) => {
                    tracing::warn!(%role, pid, silent_s, "role hangs or is stopped: no sign of life");
                }
                Some(Life::Back) => tracing::info!(%role, pid, "role gives signs of life again"),
                Some(Life::GivenUp) => {
                    tracing::error!(%role, pid, silent_s, "role hangs; it is ended, to be started again");
                }
                None => {}
            }
            tell |= change.is_some() || process.phase() == Phase::Hung;
        }
        if tell {
            self.report_roles();
        }
    }

    /// Looks which roles have ended.
    ///
    /// # Errors
    /// A role ended before all of them served for the first time, and starting it again will not help.
    fn reap(&mut self, now: Mono) -> Result<(), Failure> {
        for role in Role::ALL {
            let process = self.role(role);
            let Some(ended) = process.reap(now) else { continue };
            let failure = process.failure.take();
            if ended.wanted {
                tracing::debug!(%role, how = %ended.how, "role ended as asked");
                if self.in_force.needs(role) {
                    self.start(role, now)?;
                }
            } else {
                let (restarts, pause) = (
                    process.restarts(),
                    process.due().map_or(Duration::ZERO, |due| due.since(now)),
                );
                let has_served = process.has_served;
                // What ends the daemon is said once, by whoever ends; only what is tried again is logged as that.
                if !self.announced && !has_served {
                    match &failure {
                        Some(failure) => {
                            return Err(Failure::new(
                                failure.status,
                                format_args!("{role}: {failure}"),
                            ));
                        }
                        None if restarts >= MOST_EARLY_ENDS => {
                            let reason = format_args!("{role} does not start: {}", ended.how);
                            return Err(Failure::new(Status::Internal, reason));
                        }
                        None => {}
                    }
                }
                let reason =
                    failure.as_ref().map_or_else(|| ended.how.to_string(), ToString::to_string);
                let next_start_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(%role, how = %ended.how, reason, restarts, next_start_ms, "role ended");
            }
            self.report_roles();
        }
        Ok(())
    }

    fn all_ready(&self) -> bool {
        self.roles
            .iter()
            .all(|process| !self.in_force.needs(process.role()) || process.phase() == Phase::Ready)
    }

    /// SIGHUP: takes the file as a whole, or refuses it as a whole and says so.
    fn reload(&mut self) {
        self.notifier.reloading(clock::monotonic());
        // Before the files are read: what changes while they are is a change.
        let result =
            noonmark_config::load(&self.file).map_err(Refusal::Report).and_then(|loaded| {
                let watch = loaded.settings.nts.as_ref().map(Watch::new);
                let in_force = InForce::open(&loaded, Some(&self.in_force), &self.passed)
                    .map_err(Refusal::Failure)?;
                Ok((in_force, watch))
            });
        match result {
            Ok((in_force, watch)) => self.take(in_force, watch),
            Err(refusal) => {
                let reason = refusal.log();
                self.configuration.refused = Some((clock::realtime(), Text::new(&reason)));
                self.report_taken();
            }
        }
        let generation = self.configuration.generation;
        self.notifier.ready(&match &self.configuration.refused {
            None => format!("serving, configuration {generation}"),
            Some((_, reason)) => format!(
                "serving, configuration {generation}; a newer one is refused: {}",
                reason.as_str()
            ),
        });
    }

    /// Puts a checked configuration in force. Roles that it changes something for are started again; what is sent to them
    /// meanwhile waits in the sockets, which are kept.
    fn take(&mut self, next: InForce, watch: Option<Watch>) {
        let now = clock::realtime();
        let before = std::mem::replace(&mut self.in_force, next);
        self.configuration.generation = self.configuration.generation.saturating_add(1);
        self.configuration.at = now;
        self.configuration.refused = None;
        self.watch = watch;
        self.reminder.reset();
        let generation =
            self.certificate.as_ref().map_or(0, |taken| taken.generation).saturating_add(1);
        self.certificate = self.in_force.identity.is_some().then_some(Taken {
            subject: Subject::Certificate,
            generation,
            at: now,
            refused: None,
        });
        let changed = before.roles_changed(&self.in_force);
        self.kernel.take(&self.in_force.settings, &self.in_force.sockets);
        before.sockets.close(Some(&self.in_force.sockets));
        tracing::info!(
            generation = self.configuration.generation,
            changed = names(&changed),
            "configuration taken"
        );
        if self.in_force.settings.log != before.settings.log {
            tracing::warn!(
                "[log] is in force for the roles; for the launcher it will be after its next start"
            );
        }
        for role in Role::ALL {
            if changed.contains(&role) {
                self.replace(role);
            }
        }
        if !changed.contains(&Role::Ke) {
            self.send_identity();
        }
        if !changed.contains(&Role::Sources) {
            self.send_authorities();
            self.configure(Role::Sources);
        }
        if !changed.contains(&Role::Observe) {
            for listening in self.in_force.sockets.listening() {
                self.role(Role::Observe).tell(&Message::Listening(listening), &[]);
            }
            let Self { kernel, roles, .. } = self;
            if let Some(observe) = roles.iter_mut().find(|process| process.role() == Role::Observe)
            {
                let (message, counters) = kernel.report();
                observe.tell(&message, &counters.into_iter().collect::<Vec<_>>());
            }
        }
        self.report_taken();
    }

    /// Ends a role's process; when it has ended, another is started if the role is still needed.
    fn replace(&mut self, role: Role) {
        let (needed, process) = (self.in_force.needs(role), self.role(role));
        let runs = process.pid().is_some();
        process.dismiss();
        if !runs && needed {
            // A role that could not be started is due again; whoever starts it then hears whether to give up.
            let _ = self.start(role, clock::monotonic());
        }
    }

    /// Starts a role anew at its own wish; one that has only just begun works on for a moment before that.
    fn renew(&mut self, role: Role, now: Mono) {
        if self.role(role).is_to_begin_anew(RENEWED_AFTER, now) {
            tracing::info!(%role, "role begins anew");
            self.replace(role);
        }
    }

    /// Tells a role that goes on what is in force now.
    fn configure(&mut self, role: Role) {
        let generation = self.configuration.generation;
        let configure = Message::Configure { generation, purpose: self.purpose, run: self.run };
        let Self { in_force, roles, .. } = self;
        if let Some(process) = roles.iter_mut().find(|process| process.role() == role) {
            process.tell(&configure, &[in_force.sealed.as_fd()]);
        }
    }

    /// Hands on whom the sources are trusted by.
    fn send_authorities(&mut self) {
        let Self { in_force, roles, .. } = self;
        if let Some(sources) = roles.iter_mut().find(|process| process.role() == Role::Sources) {
            sources.tell(&Message::Authorities, &[in_force.authorities.as_fd()]);
        }
    }

    fn send_identity(&mut self) {
        let Self { in_force, roles, certificate, .. } = self;
        if let (Some(identity), Some(taken)) = (&in_force.identity, certificate)
            && let Some(ke) = roles.iter_mut().find(|process| process.role() == Role::Ke)
        {
            let message = Message::Identity { generation: taken.generation };
            ke.tell(&message, &[identity.chain.as_fd(), identity.key.as_fd()]);
        }
    }

    /// Takes a new certificate and key when their files have changed. Broken ones leave the old ones serving.
    fn look_for_new_certificate(&mut self) {
        if !self.watch.as_mut().is_some_and(Watch::look) {
            return;
        }
        let Some(nts) = &self.in_force.settings.nts else { return };
        match read_identity(nts) {
            Ok(identity) => {
                self.in_force.identity = Some(identity);
                self.reminder.reset();
                if let Some(taken) = &mut self.certificate {
                    taken.generation = taken.generation.saturating_add(1);
                    taken.at = clock::realtime();
                    taken.refused = None;
                    tracing::info!(generation = taken.generation, "new certificate taken");
                }
                self.send_identity();
                self.report_taken();
            }
            Err(refusal) => {
                let reason = refusal.log();
                self.refuse_certificate(&reason);
            }
        }
    }

    /// Says if the certificate in force is out of its time.
    fn look_at_validity(&mut self, now: Mono) {
        let Some(SealedIdentity { certificate, .. }) = &self.in_force.identity else { return };
        let clock = clock::realtime();
        let Some(line) = self.reminder.due(certificate, clock, now) else { return };
        let names = certificate.names.iter().map(Text::as_str).collect::<Vec<_>>().join(" ");
        let (_, period) = certificate.judge(clock);
        let (not_before, not_after) = (period.not_before, period.not_after);
        match line {
            Line::Good => tracing::info!(names, %not_after, %clock, "certificate is valid now"),
            Line::Wrong(what) => tracing::warn!(names, %not_before, %not_after, %clock, "{what}"),
        }
    }

    fn refuse_certificate(&mut self, reason: &str) {
        if let Some(taken) = &mut self.certificate {
            taken.refused = Some((clock::realtime(), Text::new(reason)));
        }
        self.notifier.status(&format!("serving with the old certificate: {reason}"));
        self.report_taken();
    }

    /// Ends every role, those that serve first, and closes the sockets.
    fn stop(mut self) {
        self.notifier.stopping();
        for role in Role::ALL.into_iter().rev() {
            self.role(role).dismiss();
        }
        let deadline = clock::monotonic() + STOP_WITHIN;
        // Of those that ended before, nobody is going to say so again.
        for process in &mut self.roles {
            process.reap(clock::monotonic());
        }
        while self.roles.iter().any(|process| process.pid().is_some()) {
            let now = clock::monotonic();
            if now >= deadline {
                for process in &mut self.roles {
                    if process.pid().is_some() {
                        tracing::warn!(role = %process.role(), "role does not stop; killed");
                        process.kill();
                    }
                }
            }
            let wait = deadline.since(now).max(Duration::from_millis(20));
            // The signal of a child's end wakes us; an error only makes us look more often.
            let _ = poll::readable(&[self.signals.as_fd()], Some(wait));
            while let Ok(Some(_)) = self.signals.take() {}
            for process in &mut self.roles {
                process.reap(clock::monotonic());
            }
        }
        self.in_force.sockets.close(None);
        tracing::info!("stopped");
    }
}

fn names(roles: &[Role]) -> String {
    roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(" ")
}

const SOCKETS_PER_MESSAGE: usize = noonmark_os::pair::MOST_DESCRIPTORS;
/// For how long setting the clock once is tried.
const SET_WITHIN: Duration = Duration::from_secs(60);
/// How long a role must have lived to be started anew at its wish.
const RENEWED_AFTER: Duration = Duration::from_secs(5);
/// How often certificate files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often observe is told how much memory each process uses.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long roles may take to finish what is under way.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often a role may end without a word, or not be started at all, before the first start is given up.
const MOST_EARLY_ENDS: u32 = 3;
