//! Starts a program for which setting the clock always succeeds and never does anything.
//!
//! `no-clock PROGRAM [ARGUMENT]…` is for time daemons that refuse to start when they may not set the clock: it filters
//! `clock_adjtime`, `adjtimex`, `clock_settime` and `settimeofday`, which then return 0 without reaching the kernel's
//! clock. It never gives a right, and does not start anything while it holds the right to set the clock itself.
//!
//! Exit status: that of the program; 64 for wrong usage, 70 when the filter cannot be installed.

#![allow(unsafe_code, reason = "a system call filter has no safe interface")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JUMP, BPF_K, BPF_LD, BPF_RET, BPF_STMT, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, c_long, sock_filter,
    sock_fprog,
};

/// System calls that would set or steer a clock.
const CLOCK_CALLS: [c_long; 4] =
    [libc::SYS_clock_adjtime, libc::SYS_adjtimex, libc::SYS_clock_settime, libc::SYS_settimeofday];

/// `AUDIT_ARCH_*` of linux/audit.h: calls by another convention have other numbers.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// First number of x86-64's x32 calls, which share the architecture's name.
const X32: u32 = 0x4000_0000;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: no-clock PROGRAM [ARGUMENT]...");
        return ExitCode::from(64);
    };
    match noonmark_os::caps::sys_time() {
        Ok(held) if !held.anywhere() => {}
        Ok(held) => {
            eprintln!("no-clock: holds the right to set the clock, starts nothing: {held:?}");
            return ExitCode::from(70);
        }
        Err(problem) => {
            eprintln!("no-clock: cannot see what rights it holds: {problem}");
            return ExitCode::from(70);
        }
    }
    if let Err(problem) = install(&filter()) {
        eprintln!("no-clock: no filter: {problem}");
        return ExitCode::from(70);
    }
    let problem = Command::new(&program).args(arguments).exec();
    eprintln!("no-clock: {}: {problem}", program.display());
    ExitCode::from(70)
}

/// The filter: any other convention ends the program, a clock call answers 0, the rest passes.
fn filter() -> Vec<sock_filter> {
    // Offsets in struct seccomp_data: nr at 0, arch at 4.
    let mut program = vec![
        statement(BPF_LD | BPF_W | BPF_ABS, 4),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        statement(BPF_LD | BPF_W | BPF_ABS, 0),
        jump(BPF_JGE, X32, 0, 1),
        statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    ];
    for call in CLOCK_CALLS {
        let number = u32::try_from(call).expect("system call numbers are small");
        program.push(jump(BPF_JEQ, number, 0, 1));
        // SECCOMP_RET_ERRNO with error number 0: the call is not made and returns 0.
        program.push(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO));
    }
    program.push(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    program
}

fn statement(code: u32, value: u32) -> sock_filter {
    let code = u16::try_from(code).expect("codes of the classic filter have 16 bits");
    // SAFETY: only puts the two values into a structure of integers.
    unsafe { BPF_STMT(code, value) }
}

fn jump(comparison: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    let code = u16::try_from(BPF_JMP | comparison | BPF_K)
        .expect("codes of the classic filter have 16 bits");
    // SAFETY: only puts the four values into a structure of integers.
    unsafe { BPF_JUMP(code, value, if_true, if_false) }
}

/// Installs the filter for this thread and all it starts, for good.
fn install(program: &[sock_filter]) -> io::Result<()> {
    noonmark_os::caps::no_new_privileges()?;
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions from `filter`, both of which outlive the call, and copies them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do: the classic instructions this filter uses, run on one call.
    fn verdict(architecture: u32, call: u32) -> u32 {
        let (program, mut accumulator, mut at) = (filter(), 0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            match u32::from(instruction.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    accumulator = if instruction.k == 4 { architecture } else { call };
                }
                code if code == BPF_RET | BPF_K => return instruction.k,
                code => {
                    let holds = match code & 0xf0 {
                        BPF_JEQ => accumulator == instruction.k,
                        BPF_JGE => accumulator >= instruction.k,
                        other => panic!("instruction {other:#x} is not in this filter"),
                    };
                    at += usize::from(if holds { instruction.jt } else { instruction.jf });
                }
            }
        }
    }

    fn check(call: c_long, expected: u32) {
        assert_eq!(
            verdict(ARCHITECTURE, u32::try_from(call).expect("small")),
            expected,
            "call {call}"
        );
    }

    #[test]
    fn setting_a_clock_answers_zero_and_is_not_done() {
        CLOCK_CALLS.into_iter().for_each(|call| check(call, SECCOMP_RET_ERRNO));
    }

    #[test]
    fn other_calls_pass() {
        for call in
            [libc::SYS_read, libc::SYS_clock_gettime, libc::SYS_sendto, libc::SYS_execve, 0, 1_000]
        {
            check(call, SECCOMP_RET_ALLOW);
        }
    }

    #[test]
    fn calls_by_another_convention_end_the_program() {
        assert_eq!(verdict(0x4000_0003, 124), SECCOMP_RET_KILL_PROCESS, "32-bit x86");
        assert_eq!(verdict(ARCHITECTURE, X32 + 305), SECCOMP_RET_KILL_PROCESS, "x32");
    }

    #[test]
    fn a_filtered_program_cannot_set_the_clock_and_does_not_notice() {
        // In a thread of its own: filters belong to threads. It gives the right up first, so nothing can go wrong.
        let wished = std::thread::spawn(|| {
            noonmark_os::caps::drop_sys_time().expect("dropping needs no right");
            let before = noonmark_os::clock::discipline().expect("reading needs no right");
            install(&filter()).expect("an ordinary process may filter itself");
            // SAFETY: `timex` is plain integers, for which all zero octets are a value.
            let mut wish: libc::timex = unsafe { std::mem::zeroed() };
            wish.modes = libc::ADJ_FREQUENCY;
            wish.freq = before.frequency + 65_536;
            // SAFETY: `wish` is a live, writable timex; the filter answers before the kernel looks at it.
            assert_eq!(unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &raw mut wish) }, 0);
            wish.freq
        })
        .join()
        .expect("no panic");
        let after = noonmark_os::clock::discipline().expect("reading needs no right");
        assert_ne!(after.frequency, wished, "{after:?}");
    }
}
