//! What Noonmark asks of the operating system: the workspace's only crate with `unsafe`.
//!
//! One system call per function, a safe signature, and a `SAFETY` note for every condition the call sets. What is built from
//! those calls and belongs to no other crate lives here too: the durable store, the shared pages, the pool of random octets.
//!
//! | module | what it gives |
//! |---|---|
//! | [`bpf`] | programs that the kernel runs for each frame, and memory shared with them |
//! | [`clock`] | the machine's clocks: read, steered by who has the right, watched for other hands |
//! | [`devices`] | the network devices and their addresses |
//! | [`generation`] | word that this machine is a copy, was restored, or did not run for a while |
//! | [`page`] | shared memory between one writing process and many reading ones: state under a sequence lock, and counters |
//! | [`sealed`] | octets handed to another process that nobody can change any more |
//! | [`pair`] | messages with descriptors between two processes |
//! | [`process`] | starting this executable again in another role |
//! | [`signals`], [`poll`] | waiting, with a bound |
//! | [`caps`] | giving up rights, the one to set the clock above all |
//! | [`sandbox`] | giving up everything else: user, files, calls, numbers |
//! | [`schedule`] | real-time priority and locked memory |
//! | [`pulse`] | signs of life of one process, for another one to watch |
//! | [`passed`] | sockets that whoever started this process bound for it |
//! | [`peer`] | who is at the other end of a Unix socket |
//! | [`random`] | random octets at the price of AES, not of a system call |
//! | [`route`] | which way datagrams leave this machine, and word of it when that may have changed |
//! | [`private`] | reading configuration, certificates and keys after looking at owner and mode |
//! | [`store`] | files of our own that are either the old or the new, never neither |
//! | [`tcp`] | listening sockets to hand on |
//! | [`udp`] | batches of datagrams with addresses and kernel receive stamps; when answers left; stamps both ways for a client |
//! | [`zeroed`] | memory for tables that threads share |
//!
//! Deliberately absent: any policy about who may do what and how far a clock may be moved, any protocol. Nothing here logs.
//!
//! Linux 5.10 or later. What an older or newer kernel lacks comes back as an error of the call that missed it.

#![allow(unsafe_code, reason = "this crate is where the system calls are")]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod bpf;
pub mod caps;
pub mod clock;
mod counters;
pub mod devices;
pub mod generation;
mod mapping;
pub mod page;
pub mod pair;
pub mod passed;
pub mod peer;
pub mod poll;
pub mod private;
pub mod process;
pub mod pulse;
pub mod queues;
pub mod random;
pub mod route;
pub mod sandbox;
pub mod schedule;
pub mod sealed;
mod sequence;
pub mod signals;
pub mod store;
pub mod tcp;
pub mod udp;
pub mod zeroed;

use std::io;

/// Turns the `-1` of a system call into the error it left in `errno`.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that return a count of octets.
fn checked_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
