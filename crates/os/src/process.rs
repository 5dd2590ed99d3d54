//! Starting this executable again in another role, and what a process says of itself.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// The descriptor number under which a started role finds what it inherited.
pub const INHERITED: RawFd = 3;

/// Starts the executable this process runs, as it was when this process started, with `arguments` and with `inherited` as
/// descriptor 3; every other descriptor but standard input, output and error is closed on exec.
///
/// Of the environment it gets only the variables named in [`KEPT_VARIABLES`].
///
/// The child is killed when the calling **thread** ends, so call it from one that lives as long as the process.
/// Signals that the caller blocks are not blocked in the child.
///
/// # Errors
/// What `fork` or `exec` answer.
pub fn spawn_self<S: AsRef<OsStr>>(
    arguments: &[S],
    inherited: BorrowedFd<'_>,
) -> io::Result<Child> {
    let source = inherited.as_raw_fd();
    let parent = std::process::id();
    // Through /proc, so that a file replaced on disk meanwhile does not mix two versions.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("noonmarkd").args(arguments).env_clear();
    command.envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // SAFETY: between fork and exec the closure makes only system calls that are safe there, and allocates nothing.
    unsafe { command.pre_exec(move || prepare_child(source, parent)) };
    command.spawn()
}

/// What a role may know of its parent's environment: how to log, how to fail in a test, and where coverage is written.
pub const KEPT_VARIABLES: [&str; 4] =
    ["JOURNAL_STREAM", "NO_COLOR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

/// Makes the process that `command` starts end (SIGTERM) with the calling **thread**, however that ends.
pub fn end_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let terminate = libc::c_ulong::from(libc::SIGTERM.unsigned_abs());
    // SAFETY: between fork and exec the closure makes only system calls that are safe there, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            // SAFETY: this request takes an integer.
            crate::checked(libc::prctl(libc::PR_SET_PDEATHSIG, terminate))?;
            // The parent may have died before the request above.
            // SAFETY: takes nothing, cannot fail.
            if libc::getppid().unsigned_abs() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// The inherited descriptor 3 as an owned one. Call it once, first of all: nothing else may have been opened under that number.
///
/// # Errors
/// `BadF` if nothing was inherited.
pub fn take_inherited() -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the command takes an integer and touches no memory; it fails for a number that is not open.
    crate::checked(unsafe { libc::fcntl(INHERITED, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: open, as the call above showed, and by the caller's promise nothing in this process owns it.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(INHERITED) })
}

/// Runs in the child between fork and exec.
fn prepare_child(source: RawFd, parent: u32) -> io::Result<()> {
    if source == INHERITED {
        // SAFETY: takes an integer; clears the close-on-exec flag of a descriptor the caller keeps open.
        crate::checked(unsafe { libc::fcntl(INHERITED, libc::F_SETFD, 0) })?;
    } else {
        // SAFETY: takes integers; whatever had the number 3 is closed, in the child only.
        crate::checked(unsafe { libc::dup2(source, INHERITED) })?;
    }
    // Ours are closed on exec anyway; this is for what an unclean parent left us. Linux 5.10 does not know the flag yet.
    // SAFETY: takes integers; descriptors stay open until exec.
    unsafe {
        libc::syscall(libc::SYS_close_range, INHERITED + 1, libc::c_int::MAX, CLOSE_RANGE_CLOEXEC)
    };
    let kill = libc::c_ulong::from(libc::SIGKILL.unsigned_abs());
    // SAFETY: this request takes an integer.
    crate::checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, kill) })?;
    // The parent may have died before the request above.
    // SAFETY: takes nothing, cannot fail.
    if unsafe { libc::getppid() }.unsigned_abs() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

/// `CLOSE_RANGE_CLOEXEC` of linux/close_range.h (Linux 5.11).
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

/// The effective user id of this process.
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

/// The name of the calling thread, and in `ps` and `top` of the process if this is its first one: up to 15 octets are kept.
///
/// # Errors
/// What the kernel answers.
pub fn set_name(name: &CStr) -> io::Result<()> {
    // SAFETY: this request reads a live string ending in a zero octet.
    crate::checked(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }).map(drop)
}

/// Forbids core dumps of this process and tracing by others of the same user: its memory holds keys.
///
/// # Errors
/// What the kernel answers.
pub fn forbid_dumps() -> io::Result<()> {
    let no: libc::c_ulong = 0;
    // SAFETY: this request takes an integer.
    crate::checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, no) }).map(drop)
}

/// Has the kernel kill this process when the thread that started it ends, as [`spawn_self`] asked for: changing the user takes that away.
///
/// # Errors
/// What the kernel answers.
pub fn die_with_parent() -> io::Result<()> {
    let kill = libc::c_ulong::from(libc::SIGKILL.unsigned_abs());
    // SAFETY: this request takes an integer.
    crate::checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, kill) }).map(drop)
}

/// Sends SIGTERM to a child that this process started and has not reaped.
///
/// # Errors
/// What `kill` answers.
pub fn terminate(child: &Child) -> io::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: takes integers. The child is not reaped as long as the caller holds it un-waited, so the id is still its.
    crate::checked(unsafe { libc::kill(pid, libc::SIGTERM) }).map(drop)
}

/// Octets of physical memory a process uses now, as `/proc/PID/statm` says.
///
/// # Errors
/// What reading the file answers, as for a process that is gone.
pub fn resident_memory(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: asks for a constant of the system.
    let page_len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Ok(pages.saturating_mul(u64::try_from(page_len).unwrap_or(4096)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair;
    use std::os::fd::AsFd;

    /// What the child of the test below does; an ordinary, passing test when run by itself.
    #[test]
    fn answers_over_the_inherited_descriptor_when_started_as_a_child() {
        if std::env::args().any(|argument| argument == CHILD) {
            let end = pair::Endpoint::from_descriptor(take_inherited().expect("inherited"));
            let mut buffer = [0; 16];
            let got = end.receive(&mut buffer, true).expect("a message");
            buffer[..got.len].reverse();
            end.send(&buffer[..got.len], &[]).expect("room");
        }
    }

    const CHILD: &str =
        "process::tests::answers_over_the_inherited_descriptor_when_started_as_a_child";

    #[test]
    fn child_finds_the_descriptor_and_is_this_executable() {
        let (here, there) = pair::pair().expect("descriptors");
        let mut child = spawn_self(&["--exact", CHILD], there.as_fd()).expect("started");
        drop(there);
        here.send(b"abc", &[]).expect("room");
        let mut buffer = [0; 16];
        let got = here.receive(&mut buffer, true).expect("an answer");
        assert_eq!(buffer[..got.len], *b"cba");
        assert_eq!(
            here.receive(&mut buffer, true).expect("end of file").len,
            0,
            "nobody else holds the other end"
        );
        assert!(child.wait().expect("ended").success());
    }

    #[test]
    fn terminated_child_is_gone() {
        let (_here, there) = pair::pair().expect("descriptors");
        let mut child = spawn_self(&["--exact", CHILD], there.as_fd()).expect("started");
        terminate(&child).expect("our child");
        assert!(!child.wait().expect("ended").success());
    }

    #[test]
    fn resident_memory_is_plausible() {
        let octets = resident_memory(std::process::id()).expect("this process");
        assert!((100_000..10_000_000_000).contains(&octets), "{octets}");
        assert!(resident_memory(u32::MAX).is_err());
    }
}
