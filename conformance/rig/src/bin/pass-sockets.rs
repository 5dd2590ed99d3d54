//! Binds sockets and starts a program with them, as systemd does for a unit of kind socket.
//!
//! `pass-sockets udp:ADDRESS… tcp:ADDRESS… -- PROGRAM [ARGUMENT]…`: with the options systemd sets by itself, IPv6 for itself alone,
//! and the names `SOCKET0`, `SOCKET1` and so on.
//!
//! Exit status: that of the program; 64 for wrong usage, 70 when a socket cannot be bound or passed.

#![allow(unsafe_code, reason = "descriptors are given numbers")]

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use socket2::{Domain, Socket, Type};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let wanted: Option<Vec<_>> = parts.next().unwrap_or_default().iter().map(wanted).collect();
    let (Some(wanted), Some([program, rest @ ..])) = (wanted, parts.next()) else {
        eprintln!("usage: pass-sockets udp:ADDRESS... tcp:ADDRESS... -- PROGRAM [ARGUMENT]...");
        return ExitCode::from(64);
    };
    if let Err(problem) = pass(&wanted) {
        eprintln!("pass-sockets: {problem}");
        return ExitCode::from(70);
    }
    let names: Vec<String> = (0..wanted.len()).map(|number| format!("SOCKET{number}")).collect();
    let mut command = Command::new(program);
    command.args(rest).env("LISTEN_PID", std::process::id().to_string());
    command.env("LISTEN_FDS", wanted.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    let problem = command.exec();
    eprintln!("pass-sockets: {}: {problem}", program.display());
    ExitCode::from(70)
}

fn wanted(argument: &OsString) -> Option<(Type, SocketAddr)> {
    let (transport, address) = argument.to_str()?.split_once(':')?;
    let kind = match transport {
        "udp" => Type::DGRAM,
        "tcp" => Type::STREAM,
        _ => return None,
    };
    Some((kind, address.parse().ok()?))
}

/// Leaves a socket for each of `wanted` under the numbers from 3 on, to be kept over an exec.
fn pass(wanted: &[(Type, SocketAddr)]) -> io::Result<()> {
    let sockets = wanted.iter().map(|wanted| bind(*wanted)).collect::<io::Result<Vec<_>>>()?;
    // First out of each other's way.
    let apart = sockets.iter().map(move_up).collect::<io::Result<Vec<_>>>()?;
    for (number, socket) in (FIRST..).zip(apart) {
        // SAFETY: takes integers; whatever had the number is ours, of no further use, and not touched again.
        if unsafe { libc::dup2(socket, number) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    // Closed by the exec; some of their numbers are others' now.
    sockets.into_iter().for_each(std::mem::forget);
    Ok(())
}

fn bind((kind, address): (Type, SocketAddr)) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), kind.cloexec(), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // As systemd does, or connections of the last daemon that are not forgotten yet would be in the way.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(128)?;
    }
    Ok(socket.into())
}

/// Another number for it, above those that are passed; closed on exec.
fn move_up(socket: &OwnedFd) -> io::Result<RawFd> {
    // SAFETY: takes integers; the new descriptor is nobody's and closed by the exec.
    let moved = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100) };
    if moved == -1 { Err(io::Error::last_os_error()) } else { Ok(moved) }
}

/// `SD_LISTEN_FDS_START` of sd-daemon.h.
const FIRST: RawFd = 3;
