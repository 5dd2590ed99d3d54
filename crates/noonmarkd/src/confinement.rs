//! What each role gives up before it reads anything that came over the network, and what it keeps.
//!
//! The mechanisms are those of [`noonmark_os::sandbox`]; here is who gets what. Every role ends up as one user without rights, not
//! dumpable, with a list of system calls of its own, without files but those in its row of the table in `docs/architecture.md`,
//! without TCP ports it does not need and unable to signal anybody else. The launcher cannot be confined like that, since whatever
//! it gave up its roles would lack, too; it keeps the rights it takes to start them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use noonmark_config::{Account, ClockMode, LogFormat, Sandbox, Settings};
use noonmark_os::caps::{self, Capability};
use noonmark_os::sandbox::filter::{self, Filter, Verdict};
use noonmark_os::sandbox::identity::{self, Identity, NAMELESS};
use noonmark_os::sandbox::landlock::{self, Access, PORTS_FROM, Ruleset, SCOPES_FROM};
use noonmark_os::sandbox::limits::Limit;
use noonmark_os::sandbox::resolver;
use noonmark_os::{process, schedule};

use crate::exit::{Failure, Status};
use crate::memory;
use crate::message::{Confined, Part, Parts};
use crate::role::Role;

/// What a role goes on using that it must have got hold of, or looked up, before.
#[derive(Default)]
pub struct Kept<'a> {
    /// The warden's folder.
    pub folder: Option<BorrowedFd<'a>>,
    /// Where the system's resolver reads.
    pub resolver: Option<&'a resolver::Files>,
}

/// Who the roles are going to be: nobody else if this process is not root.
///
/// # Errors
/// [`Status::Configuration`] for an account that is not there, [`Status::System`] if the accounts cannot be read.
pub fn identity(settings: &Settings) -> Result<Option<Identity>, Failure> {
    if process::effective_uid() != 0 {
        return Ok(None);
    }
    let look = |name: &str| {
        Identity::of(name).map_err(Failure::while_doing(Status::System, "/etc/passwd"))
    };
    let found = match &settings.daemon.user {
        Account::Number(number) => Identity { user: *number, group: *number },
        Account::Usual => {
            let usual = look(Account::USUAL)?.unwrap_or(NAMELESS);
            // In a container of an ordinary user root may be the only one there is.
            if !usual.is_there() {
                return Ok(None);
            }
            usual
        }
        Account::Named(name) => look(name)?.ok_or_else(|| {
            let reason = format_args!(
                "daemon.user: there is no account {name:?} in /etc/passwd; accepted is the name of one, or a number"
            );
            Failure::new(Status::Configuration, reason)
        })?,
    };
    Ok(Some(found))
}

/// Says at once what the roles would find out later: whether everything can be given up, if it has to be.
///
/// # Errors
/// [`Status::Configuration`] if it cannot, and as [`identity()`].
pub fn check(settings: &Settings) -> Result<(), Failure> {
    let identity = identity(settings)?;
    if settings.daemon.sandbox != Sandbox::Required {
        return Ok(());
    }
    let mut lacking = missing();
    if identity.map_or_else(process::effective_uid, |identity| identity.user) == 0 {
        lacking = lacking.with(Part::User);
    }
    refuse(lacking)
}

fn refuse(lacking: Parts) -> Result<(), Failure> {
    if lacking.is_empty() {
        return Ok(());
    }
    let reason = format_args!(
        "daemon.sandbox is \"required\", and here this cannot be taken from the roles: {lacking}; \"auto\" takes what can be"
    );
    Err(Failure::new(Status::Configuration, reason))
}

/// What this kernel cannot take from a process.
fn missing() -> Parts {
    let version = landlock::version();
    let parts = [
        (Part::Calls, filter::is_supported()),
        (Part::Files, version > 0),
        (Part::Ports, version >= PORTS_FROM),
        (Part::Signals, version >= SCOPES_FROM),
        (Part::Limits, Limit::are_supported()),
    ];
    let lacking = parts.into_iter().filter(|(_, is_there)| !is_there);
    lacking.fold(Parts::NONE, |parts, (part, _)| parts.with(part))
}

/// Leaves the launcher with the rights it takes to start the roles and to open what they serve with.
///
/// # Errors
/// [`Status::System`] if the kernel refuses.
pub fn confine_launcher(settings: &Settings) -> Result<(), Failure> {
    let may_set = settings.clock.mode == ClockMode::Keep;
    let clock = may_set.then_some(Capability::SysTime);
    // For as long as it takes to open what is served on.
    let opening = [Capability::NetAdmin];
    let kept: Vec<_> = LAUNCHER.into_iter().chain(opening).chain(clock).collect();
    let system = |what| Failure::while_doing::<io::Error>(Status::System, what);
    caps::no_new_privileges().map_err(system("no_new_privs"))?;
    caps::keep_only(&kept).map_err(system("giving up rights"))?;
    refuse_the_unneeded(settings, may_set);
    #[cfg(debug_assertions)]
    crate::probe::attempt_as_launcher();
    Ok(())
}

/// Takes from the launcher what only opening the first sockets needed.
///
/// # Errors
/// [`Status::System`] if the kernel refuses.
pub fn settle_launcher(settings: &Settings) -> Result<(), Failure> {
    let clock = (settings.clock.mode == ClockMode::Keep).then_some(Capability::SysTime);
    let kept: Vec<_> = LAUNCHER.into_iter().chain(clock).collect();
    let system = Failure::while_doing::<io::Error>(Status::System, "giving up rights");
    caps::keep_only(&kept).map_err(system)
}

/// Takes the calls from the launcher that neither it nor a role ever makes. What remains is much; it has to start programs.
fn refuse_the_unneeded(settings: &Settings, keeps_clock: bool) {
    if settings.daemon.sandbox == Sandbox::Off {
        return;
    }
    #[cfg(debug_assertions)]
    if crate::probe::is_unfiltered() {
        return;
    }
    // Where it was required and cannot be had, `check` has said so already.
    if let Err(error) = Filter::for_launcher(keeps_clock).install() {
        tracing::debug!(%error, "the launcher keeps all system calls");
    }
}

/// To become the roles' user and hand over the state folder, to end them, to bind ports and devices, and what a warden may be asked
/// to do before it gives up its rights.
const LAUNCHER: [Capability; 12] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Kill,
    Capability::SetGid,
    Capability::SetUid,
    Capability::SetPcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::SysNice,
    Capability::SysResource,
];

/// Gives up what `role` does not need, for good. The calling thread must be the process's only one.
///
/// # Errors
/// [`Status::Configuration`] if all of it was required and something could not be given up.
pub fn confine(role: Role, settings: &Settings, kept: &Kept<'_>) -> Result<Confined, Failure> {
    take_precedence(role, settings);
    let mut done = Done::default();
    let is_on = settings.daemon.sandbox != Sandbox::Off;
    let keeps_clock = role == Role::Warden && settings.clock.mode == ClockMode::Keep;
    if let Some(identity) = identity(settings)? {
        let taken = identity.take_on();
        // Changing the user has undone both.
        let tied = taken.and_then(|()| process::die_with_parent());
        done.note(Part::User, tied.and_then(|()| is_not_root()));
    } else {
        done.note(Part::User, is_not_root());
    }
    let rights: &[Capability] = if keeps_clock { &[Capability::SysTime] } else { &[] };
    done.note(Part::Rights, identity::give_up_rights(rights).and_then(|()| holds(rights)));
    done.note(Part::Dumps, process::forbid_dumps());
    if is_on {
        let version = landlock::version();
        let files = restrict_files(role, settings, kept);
        // One call does all three, as far as the kernel can.
        let is_restricted = files.is_ok();
        done.note(Part::Files, files);
        done.note(Part::Ports, supported(is_restricted && version >= PORTS_FROM));
        done.note(Part::Signals, supported(is_restricted && version >= SCOPES_FROM));
        done.note(Part::Limits, limit(role, settings));
        #[cfg(debug_assertions)]
        if crate::probe::is_unfiltered() {
            return Ok(done.confined());
        }
        done.note(Part::Calls, filter_of(role, settings).install());
    }
    if settings.daemon.sandbox == Sandbox::Required {
        refuse(done.lacking)?;
    }
    for (part, error) in &done.reasons {
        tracing::debug!(%part, %error, "not given up");
    }
    Ok(done.confined())
}

/// Takes away what only starting needed, once all threads run.
pub fn settle(role: Role, settings: &Settings) {
    // The resolver has a thread for each name.
    if role != Role::Sources && settings.daemon.sandbox != Sandbox::Off {
        // The filter lets no process be made anyway; this takes threads, too.
        let _ = Limit::Processes.lower_to(0);
    }
}

/// Whether a confined role would still have what it needs under other settings.
#[must_use]
pub fn covers(role: Role, old: &Settings, new: &Settings) -> bool {
    old.daemon == new.daemon
        && match role {
            Role::Sources => {
                let held = ports(old);
                ports(new).iter().all(|port| held.contains(port))
            }
            Role::Warden => {
                let folder = |it: &Settings| {
                    it.clock.leap_seconds.as_deref().map(|list| folder_of(list).to_owned())
                };
                old.clock.mode == new.clock.mode && folder(old) == folder(new)
            }
            Role::Ntp | Role::Ke | Role::Observe => true,
        }
}

/// What was given up and what could not be.
#[derive(Default)]
struct Done {
    held: Parts,
    lacking: Parts,
    reasons: Vec<(Part, io::Error)>,
}

impl Done {
    fn confined(&self) -> Confined {
        Confined { user: process::effective_uid(), held: self.held, lacking: self.lacking }
    }

    fn note(&mut self, part: Part, result: io::Result<()>) {
        match result {
            Ok(()) => self.held = self.held.with(part),
            Err(error) => {
                self.lacking = self.lacking.with(part);
                self.reasons.push((part, error));
            }
        }
    }
}

fn supported(is_there: bool) -> io::Result<()> {
    if is_there { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

fn is_not_root() -> io::Result<()> {
    if process::effective_uid() != 0 { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Whether no right is left but those of `kept`.
fn holds(kept: &[Capability]) -> io::Result<()> {
    if !kept.is_empty() || caps::holds_nothing()? {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Goes before other processes, and stays in memory, as far as the configuration wants it and the kernel allows it. Both take rights.
fn take_precedence(role: Role, settings: &Settings) {
    // A handshake takes a thousand times as long as an answer over UDP, and nobody measures time with it.
    if role == Role::Ke
        && let Err(error) = schedule::give_way()
    {
        tracing::warn!(%error, "key establishment does not give way to answers");
    }
    // An answer takes microseconds, and whoever asked is measuring. The kernel's own turn of a key establishment is a thousand of them.
    if role == Role::Ntp
        && let Err(error) = schedule::take_short_turns()
    {
        tracing::debug!(%error, "answers wait for the end of other processes' turns");
    }
    if !matches!(role, Role::Warden | Role::Sources) {
        return;
    }
    let clock = &settings.clock;
    if let Some(priority) = clock.priority
        && let Err(error) = schedule::run_first(priority)
    {
        tracing::warn!(priority, %error, "no real-time priority; it takes CAP_SYS_NICE or a limit RLIMIT_RTPRIO");
    }
    if clock.lock_memory {
        match schedule::lock_memory() {
            Ok(schedule::Locked::All) => {}
            Ok(schedule::Locked::Present) => tracing::warn!(
                "only the memory in use now is locked; all of it takes CAP_SYS_RESOURCE or a limit RLIMIT_MEMLOCK"
            ),
            Err(error) => {
                tracing::warn!(%error, "memory is not locked; it takes CAP_IPC_LOCK or a limit RLIMIT_MEMLOCK");
            }
        }
    }
}

fn restrict_files(role: Role, settings: &Settings, kept: &Kept<'_>) -> io::Result<()> {
    let rules = Ruleset::new()?;
    if let Some(folder) = kept.folder {
        rules.leave(folder, Access::Keep, true)?;
    }
    if role == Role::Warden
        && let Some(list) = &settings.clock.leap_seconds
    {
        rules.leave_reading(folder_of(list))?;
        // Where a link leads now.
        if let Ok(list) = list.canonicalize() {
            rules.leave_reading(folder_of(&list))?;
        }
    }
    if role == Role::Sources {
        for path in kept.resolver.into_iter().flat_map(resolver::Files::readable) {
            rules.leave_reading(path)?;
        }
        for port in ports(settings) {
            rules.leave_connecting(port)?;
        }
    }
    rules.restrict()
}

/// What is readable of the list of leap seconds: it is read again every day, and replaced by whoever brings a new one, hence its folder.
fn folder_of(list: &Path) -> &Path {
    match list.parent() {
        // A name alone has an empty parent, which no system call takes for the current folder.
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => list,
    }
}

/// Where key establishment of the sources is, and DNS.
fn ports(settings: &Settings) -> Vec<u16> {
    let nts = settings.sources.iter().filter(|source| source.kind.is_nts());
    let mut ports: Vec<u16> = nts.map(|source| source.port).chain([DNS]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn limit(role: Role, settings: &Settings) -> io::Result<()> {
    Limit::Core.lower_to(0)?;
    Limit::Descriptors.lower_to(descriptors(role, settings))?;
    Limit::Data.lower_to(memory::bound(role, settings))?;
    let writes_files = role == Role::Warden || standard_error_is_a_file();
    if !writes_files {
        // Pages are files to this limit.
        Limit::FileLength.lower_to(LONGEST_PAGE)?;
    }
    Ok(())
}

/// How many descriptors a role has at most, with some to spare.
fn descriptors(role: Role, settings: &Settings) -> u64 {
    let few = 64;
    let many: usize = match role {
        Role::Warden | Role::Observe => 0,
        Role::Ntp => {
            let threads =
                settings.server.threads.or_else(|| std::thread::available_parallelism().ok());
            let places = settings.server.listen.len() * settings.server.interfaces.len().max(1);
            threads.map_or(1, usize::from).saturating_mul(places).saturating_mul(2)
        }
        Role::Ke => {
            let nts = settings.nts.as_ref();
            nts.map_or(0, |nts| nts.listen.len().saturating_add(nts.max_connections))
        }
        // Each member of a pool has a socket or two, and the resolver some for each name.
        Role::Sources => 4096,
    };
    few + many as u64
}

fn standard_error_is_a_file() -> bool {
    let copy = io::stderr().as_fd().try_clone_to_owned();
    // If in doubt: a limit would end the process when it logs.
    copy.and_then(|copy| std::fs::File::from(copy).metadata())
        .map_or(true, |metadata| metadata.is_file())
}

/// The system calls of a role.
fn filter_of(role: Role, settings: &Settings) -> Filter {
    let unknown = match role {
        // The resolver's libraries are not ours.
        Role::Sources => Verdict::Refuse(NOT_PERMITTED),
        _ => Verdict::Kill,
    };
    let basics = Filter::new(unknown).with_traps().with_basics();
    let own = match role {
        Role::Warden if settings.clock.mode == ClockMode::Keep => {
            basics.with_files().with_timers().with_discipline().with_timers()
        }
        Role::Warden => basics.with_files().with_timers(),
        Role::Ntp => basics.with_datagrams(),
        Role::Ke => basics.with_events().with_accepting(),
        Role::Observe => basics.with_accepting(),
        Role::Sources => basics.with_events().with_timers().with_sockets().with_reading(),
    };
    if settings.log.format == LogFormat::Journald { own.with_journal() } else { own }
}

/// `EPERM`.
const NOT_PERMITTED: i32 = 1;
const DNS: u16 = 53;
const LONGEST_PAGE: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_goes_on_with_no_more_ports_than_it_has() {
        let settings = |sources: &str| {
            let text = format!("[clock]\nclock = \"observe\"\n{sources}");
            let settings = noonmark_config::parse(&text, Path::new("/x/noonmark.toml"));
            settings.unwrap_or_else(|report| panic!("{report}"))
        };
        let plain = "[[source]]\nserver = \"a.example\"\n";
        let nts = format!("{plain}[[source]]\nnts = \"b.example\"\n");
        let check = |old: &str, new: &str, expected: bool| {
            let is_covered = covers(Role::Sources, &settings(old), &settings(new));
            assert_eq!(is_covered, expected, "{old} to {new}");
        };
        check(&nts, &nts, true);
        check(&nts, plain, true);
        check(plain, &nts, false);
    }
}
