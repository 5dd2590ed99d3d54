//! Trying from inside the roles what must not be possible, once they serve: in test builds, never in a release.
//!
//! `noonmarkd --probe ROLE,ROLE:NAME` runs as always (the launcher is named alone). Each role named makes the attempt of that name as soon as it serves, and writes
//! `probe ROLE NAME OUTCOME` to standard error; one that is killed for it writes nothing more, and the launcher says so. With
//! `--unfiltered` the roles keep their system calls, which shows what user, rights, Landlock and limits refuse by themselves.

use std::ffi::OsString;
use std::io::Write;
use std::sync::OnceLock;

use noonmark_os::sandbox::probe::{Attempt, Outcome, name_of};

use crate::exit::{Failure, Status};
use crate::role::Role;

/// What the command line asks for.
struct Request {
    /// As it was asked for.
    text: String,
    roles: Vec<Role>,
    /// Of the launcher, and not of roles.
    of_launcher: bool,
    attempt: &'static Attempt,
    unfiltered: bool,
}

static REQUEST: OnceLock<Request> = OnceLock::new();

/// Takes what the command line asks for.
///
/// # Errors
/// [`Status::Usage`] for a role or an attempt nobody knows, [`Status::Permission`] where the clock could be set.
pub fn request(text: &str, unfiltered: bool) -> Result<(), Failure> {
    let parsed = text.split_once(':').and_then(|(roles, name)| {
        let of_launcher = roles == LAUNCHER;
        let named = roles.split(',').filter(|_| !of_launcher);
        let roles = named.map(Role::from_name).collect::<Option<Vec<_>>>()?;
        Some((roles, of_launcher, Attempt::find(name)?))
    });
    let (roles, of_launcher, attempt) =
        parsed.ok_or_else(|| Failure::new(Status::Usage, format_args!("no attempt {text:?}")))?;
    if !Attempt::may_be_made().is_ok_and(|may| may) {
        let reason = "nothing is tried by a process that could set the clock";
        return Err(Failure::new(Status::Permission, reason));
    }
    // Twice in one process is once.
    let _ = REQUEST.set(Request { text: text.to_owned(), roles, of_launcher, attempt, unfiltered });
    Ok(())
}

/// What a role is started with to ask the same of it.
pub fn arguments() -> Vec<OsString> {
    let Some(request) = REQUEST.get() else { return Vec::new() };
    let mut arguments = vec!["--probe".into(), OsString::from(&request.text)];
    arguments.extend(request.unfiltered.then(|| "--unfiltered".into()));
    arguments
}

/// Whether the roles keep their system calls.
pub fn is_unfiltered() -> bool {
    REQUEST.get().is_some_and(|request| request.unfiltered)
}

/// Makes the attempt, if one was asked for of this role.
pub fn attempt(role: Role) {
    let Some(request) = REQUEST.get().filter(|request| request.roles.contains(&role)) else {
        return;
    };
    make(request.attempt, role.name());
}

/// Makes the attempt, if one was asked for of the launcher, which has just been confined. Nothing is started after it.
pub fn attempt_as_launcher() {
    if let Some(request) = REQUEST.get().filter(|request| request.of_launcher) {
        make(request.attempt, LAUNCHER);
        std::process::exit(0);
    }
}

fn make(attempt: &Attempt, who: &str) {
    let outcome = match attempt.make() {
        Outcome::Done => "done".to_owned(),
        Outcome::Refused(errno) => name_of(errno),
    };
    // In one piece: others write there, too. If nobody reads it, that is noticed there.
    let line = format!("probe {who} {} {outcome}\n", attempt.name);
    let _ = std::io::stderr().write_all(line.as_bytes());
}

const LAUNCHER: &str = "launcher";
