//! A configuration with everything that was opened for it, and why another one was not taken in its place.

use std::os::fd::OwnedFd;
use std::time::Duration;

use noonmark_config::{ClockMode, Loaded, Nts, Report, Settings};
use noonmark_os::passed::Passed;
use noonmark_os::{caps, clock};

use super::identity::SealedIdentity;
use super::sockets::Sockets;
use crate::exit::{Failure, Status};
use crate::role::Role;
use crate::sources::authorities::Authorities;
use crate::{configuration, confinement, ke};

/// A configuration in force, with everything that was opened for it.
pub struct InForce {
    /// What it means.
    pub settings: Settings,
    /// Origin and text, sealed for the roles.
    pub sealed: OwnedFd,
    /// Every address it names, bound.
    pub sockets: Sockets,
    /// Certificate and key, if it has any.
    pub identity: Option<SealedIdentity>,
    /// Whom the sources are trusted by.
    pub authorities: OwnedFd,
}

impl InForce {
    /// Opens everything for the first time. Whoever started us may have seen a launcher die whose roles have not quite left yet,
    /// so what is taken gets a moment to become free.
    pub fn open_first(loaded: &Loaded, passed: &[Passed]) -> Result<Self, Failure> {
        let deadline = clock::monotonic() + PREDECESSOR_LEAVES_WITHIN;
        loop {
            match Self::open(loaded, None, passed) {
                Err(Failure { status: Status::AddressTaken | Status::AlreadyRunning, .. })
                    if clock::monotonic() < deadline =>
                {
                    std::thread::sleep(PREDECESSOR_LOOK_EVERY);
                }
                result => return result,
            }
        }
    }

    /// Opens everything `loaded` asks for, taking sockets over from `before` and from `passed`.
    pub fn open(
        loaded: &Loaded,
        before: Option<&Self>,
        passed: &[Passed],
    ) -> Result<Self, Failure> {
        let settings = loaded.settings.clone();
        ke::check(&settings)?;
        check_right(&settings)?;
        confinement::check(&settings)?;
        let authorities = Authorities::read(&settings)?
            .seal()
            .map_err(Failure::while_doing(Status::System, "handing the authorities on"))?;
        let identity = match (&settings.nts, &loaded.identity) {
            (Some(nts), Some(files)) => Some(SealedIdentity::new(files, nts)?),
            _ => None,
        };
        let sealed = configuration::seal(&loaded.origin, &loaded.text)
            .map_err(Failure::while_doing(Status::System, "handing the configuration on"))?;
        let sockets = Sockets::open(&settings, before.map(|before| &before.sockets), passed)?;
        Ok(Self { settings, sealed, sockets, identity, authorities })
    }

    /// Whether this configuration has work for `role`.
    pub fn needs(&self, role: Role) -> bool {
        match role {
            Role::Warden | Role::Observe => true,
            Role::Ntp => !self.settings.server.listen.is_empty(),
            Role::Ke => self.settings.nts.is_some(),
            Role::Sources => self.settings.asks_sources(),
        }
    }

    /// Which roles must be started again for `next`.
    pub fn roles_changed(&self, next: &Self) -> Vec<Role> {
        let (old, new) = (&self.settings, &next.settings);
        let all = old.log != new.log;
        let served = old.server != new.server || old.access != new.access;
        Role::ALL
            .into_iter()
            .filter(|role| {
                all || !confinement::covers(*role, old, new)
                    || match role {
                        Role::Warden => {
                            old.state != new.state
                                || old.cookies != new.cookies
                                || old.nts.is_some() != new.nts.is_some()
                                || old.clock != new.clock
                                || old.asks_sources() != new.asks_sources()
                                || old.server.local != new.server.local
                        }
                        Role::Ntp => {
                            served
                                || old.rate_limit != new.rate_limit
                                || old.overload != new.overload
                                || old.nts.is_some() != new.nts.is_some()
                        }
                        // Key establishment tells clients where NTP is served, and admits by the same rules.
                        Role::Ke => served || old.nts != new.nts,
                        Role::Observe => {
                            old.status != new.status
                                || old.clock != new.clock
                                || old.overload != new.overload
                        }
                        // What it asks and by which rules it takes over while it works.
                        Role::Sources => {
                            old.asks_sources() != new.asks_sources()
                                || old.clock.mode != new.clock.mode
                                || old.clock.priority != new.clock.priority
                                || old.clock.lock_memory != new.clock.lock_memory
                        }
                    }
            })
            .collect()
    }
}

/// Says at once what the warden would find out later: whether the clock may be set at all, if it is to be.
fn check_right(settings: &Settings) -> Result<(), Failure> {
    if settings.clock.mode != ClockMode::Keep {
        return Ok(());
    }
    let right = caps::sys_time()
        .map_err(Failure::while_doing(Status::System, "looking for CAP_SYS_TIME"))?;
    if right.effective {
        return Ok(());
    }
    Err(Failure::new(
        Status::Permission,
        "the clock cannot be set from here: it takes the capability CAP_SYS_TIME from the start of noonmarkd on, or clock = \"observe\" in \
         [clock] to only watch it",
    ))
}

/// Reads certificate and key anew and checks that they belong together.
pub fn read_identity(nts: &Nts) -> Result<SealedIdentity, Refusal> {
    let files = noonmark_config::read_identity(nts).map_err(Refusal::Report)?;
    SealedIdentity::new(&files, nts).map_err(Refusal::Failure)
}

/// Why something new was not taken.
pub enum Refusal {
    /// Mistakes in the file or about the files it names.
    Report(Report),
    /// What it asks for cannot be had.
    Failure(Failure),
}

impl Refusal {
    /// Logs every mistake and gives them back as one line.
    pub fn log(&self) -> String {
        match self {
            Self::Report(report) => {
                let mut reasons = Vec::new();
                for problem in report.problems() {
                    let place = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
                    let accepted = problem.accepted.as_deref().unwrap_or_default();
                    let reason = format!("{}{place}: {}", problem.file, problem.message);
                    tracing::error!(reason, accepted, "refused; what is in force stays");
                    reasons.push(reason);
                }
                reasons.join("; ")
            }
            Self::Failure(failure) => {
                tracing::error!(reason = %failure, "refused; what is in force stays");
                failure.to_string()
            }
        }
    }
}

/// How long what roles of a killed launcher still hold is waited for.
pub(crate) const PREDECESSOR_LEAVES_WITHIN: Duration = Duration::from_secs(1);
pub(crate) const PREDECESSOR_LOOK_EVERY: Duration = Duration::from_millis(50);
