//! Being on time on a busy machine: real-time priority, short turns, giving way to others, staying on one processor, and memory that is never paged
//! out. All are optional.

use std::io;

use crate::caps::{self, Capability};

/// Lets the calling thread, and none it starts later, run before every ordinary one whenever it has something to do
/// (`SCHED_FIFO`, with `SCHED_RESET_ON_FORK`). `priority` is 1..=99, higher goes first.
///
/// Such a thread that never waits locks the others out, up to the kernel's limit (95 % of a core).
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for another priority; [`io::ErrorKind::PermissionDenied`] without `CAP_SYS_NICE` or a limit
/// (`RLIMIT_RTPRIO`) that allows it.
pub fn run_first(priority: u8) -> io::Result<()> {
    set_policy(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, priority)
}

/// Lets the calling thread, and all that it starts later, give way to every ordinary one: it gets about a tenth of what one of those gets
/// where both have work (nice value 10), and never takes the processor from one that runs because it has been woken (`SCHED_BATCH`). For good,
/// unless the process has `CAP_SYS_NICE`.
///
/// # Errors
/// What the kernel answers.
pub fn give_way() -> io::Result<()> {
    set_policy(libc::SCHED_BATCH, 0)?;
    // SAFETY: no pointer is passed; 0 is the calling thread.
    crate::checked(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) }).map(drop)
}

/// Asks for short turns for the calling thread and all that it starts later: where others have work too, it gets no more of the processor, but gets
/// it soon after it is woken, because one with a shorter turn need not wait for the end of another's (Linux 6.12 and later; before, nothing
/// changes). Takes no right.
///
/// # Errors
/// What the kernel answers.
pub fn take_short_turns() -> io::Result<()> {
    let mut attributes = Attributes::of_this_thread()?;
    attributes.runtime = SHORT_TURN_NS;
    attributes.take_effect()
}

/// The processors the calling thread may run on, by the kernel's numbers, ascending; none on a machine with more than 1024.
pub fn processors() -> Vec<usize> {
    // SAFETY: a set of processors is an array of integers, all of which may be zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes no more than the size of the live `set`; 0 is the calling thread.
    let asked = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if asked == -1 {
        return Vec::new();
    }
    let numbers = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: the number is below that of processors in a set.
    numbers.filter(|number| unsafe { libc::CPU_ISSET(*number, &set) }).collect()
}

/// Keeps the calling thread, and all that it starts later, on one processor.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for one that does not exist or that the thread may not have.
pub fn stay_on(processor: usize) -> io::Result<()> {
    if processor >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a set of processors is an array of integers, all of which may be zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is below that of processors in a set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the kernel reads the size of the live `set`; 0 is the calling thread.
    crate::checked(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
        .map(drop)
}

/// The shortest turn there is.
const SHORT_TURN_NS: u64 = 100_000;

/// `struct sched_attr` as it was at first (sched_setattr(2)): 48 octets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// Of an ordinary thread: how long a turn it asks for, in nanoseconds; 0 for the usual one.
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl Attributes {
    fn of_this_thread() -> io::Result<Self> {
        let mut found = Self::default();
        let (this_thread, no_flags): (libc::c_long, libc::c_long) = (0, 0);
        let room = size_of::<Self>() as libc::c_long;
        // SAFETY: the kernel writes no more than `room` octets into the live `found`, integers of any value.
        let result = unsafe {
            libc::syscall(libc::SYS_sched_getattr, this_thread, &raw mut found, room, no_flags)
        };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(found) }
    }

    fn take_effect(mut self) -> io::Result<()> {
        self.size = size_of::<Self>() as u32;
        let (this_thread, no_flags): (libc::c_long, libc::c_long) = (0, 0);
        // SAFETY: the kernel reads as many octets as `size` says from the live `self`, which has as many.
        let result = unsafe {
            libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const self, no_flags)
        };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Nobody who waits for a datagram waits for long behind a tenth.
const NICE: libc::c_int = 10;

fn set_policy(policy: libc::c_int, priority: u8) -> io::Result<()> {
    #[repr(C)]
    struct Parameter {
        priority: libc::c_int,
    }
    let parameter = Parameter { priority: priority.into() };
    let policy = libc::c_long::from(policy);
    let this_thread: libc::c_long = 0;
    // Called by number: musl's function of the name does nothing.
    // SAFETY: the kernel reads one `struct sched_param`, a single int, from the live `parameter`.
    let result = unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, this_thread, policy, &raw const parameter)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How much memory is kept from being paged out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Locked {
    /// What the process has and what it will get.
    All,
    /// What it has now.
    Present,
}

/// Keeps memory of this process from being paged out (`mlockall`): all of it, or, where the right to that will be given up and a limit
/// would then be in the way of more memory, what it has now.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] or [`io::ErrorKind::OutOfMemory`] without `CAP_IPC_LOCK` or a limit
/// (`RLIMIT_MEMLOCK`) that allows it.
pub fn lock_memory() -> io::Result<Locked> {
    let endless = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is live and laid out as the kernel's.
    let is_lifted = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const endless) } == 0;
    let is_all = is_lifted || !caps::holds(Capability::IpcLock)?;
    let which = if is_all { libc::MCL_CURRENT | libc::MCL_FUTURE } else { libc::MCL_CURRENT };
    // SAFETY: no pointer is passed, and where memory is kept changes nothing for who uses it.
    crate::checked(unsafe { libc::mlockall(which) })?;
    Ok(if is_all { Locked::All } else { Locked::Present })
}

/// Takes [`lock_memory`] back.
///
/// # Errors
/// What the kernel answers.
pub fn unlock_memory() -> io::Result<()> {
    // SAFETY: as above.
    crate::checked(unsafe { libc::munlockall() }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calling thread's scheduling policy, without its flags.
    fn policy() -> libc::c_long {
        // SAFETY: no pointer is passed; 0 is the calling thread.
        let policy = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0_i64) };
        policy & !libc::c_long::from(libc::SCHED_RESET_ON_FORK)
    }

    #[test]
    fn who_gives_way_does_so_with_all_its_threads() {
        let thread = std::thread::spawn(|| {
            give_way().expect("nobody minds");
            let look = || {
                // SAFETY: no pointer is passed; 0 is the calling thread.
                (policy(), unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) })
            };
            assert_eq!(look(), (i64::from(libc::SCHED_BATCH), NICE));
            let child = std::thread::spawn(look).join().expect("no panic");
            assert_eq!(child, (i64::from(libc::SCHED_BATCH), NICE));
        });
        thread.join().expect("the test passes");
        assert_eq!(policy(), i64::from(libc::SCHED_OTHER));
    }

    #[test]
    fn a_thread_stays_on_the_processor_it_is_told() {
        let before = processors();
        assert!(!before.is_empty());
        let told = before.clone();
        let thread = std::thread::spawn(move || {
            for processor in told {
                stay_on(processor).expect("one of ours");
                assert_eq!(processors(), [processor]);
                assert_eq!(std::thread::spawn(processors).join().expect("no panic"), [processor]);
            }
            for processor in [1023, 1024, usize::MAX] {
                let kind = stay_on(processor).expect_err("nobody has so many").kind();
                assert_eq!(kind, io::ErrorKind::InvalidInput);
            }
        });
        thread.join().expect("the test passes");
        assert_eq!(processors(), before);
    }

    #[test]
    fn short_turns_change_neither_policy_nor_nice_value() {
        let thread = std::thread::spawn(|| {
            let before = Attributes::of_this_thread().expect("always allowed");
            take_short_turns().expect("nobody minds");
            let check = |found: Attributes| {
                assert_eq!((found.policy, found.nice), (before.policy, before.nice));
                // A kernel before 6.12 says 0.
                assert!([0, SHORT_TURN_NS].contains(&found.runtime), "{found:?}");
            };
            check(Attributes::of_this_thread().expect("as before"));
            let child = std::thread::spawn(Attributes::of_this_thread).join().expect("no panic");
            let child = child.expect("as before");
            check(child);
            assert_eq!(child.runtime, Attributes::of_this_thread().expect("as before").runtime);
        });
        thread.join().expect("the test passes");
    }

    #[test]
    fn priority_is_that_of_one_thread_or_refused_with_a_reason() {
        let thread = std::thread::spawn(|| {
            match run_first(1) {
                Ok(()) => {
                    assert_eq!(policy(), i64::from(libc::SCHED_FIFO));
                    let child = std::thread::spawn(policy).join().expect("no panic");
                    assert_eq!(child, i64::from(libc::SCHED_OTHER), "not inherited");
                }
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
            }
            assert_eq!(
                run_first(0).expect_err("no such priority").raw_os_error(),
                Some(libc::EINVAL)
            );
            assert_eq!(
                run_first(100).expect_err("no such priority").raw_os_error(),
                Some(libc::EINVAL)
            );
        });
        thread.join().expect("the test passes");
        assert_eq!(policy(), i64::from(libc::SCHED_OTHER));
    }

    /// Kilobytes the kernel says are locked.
    fn locked() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("told");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    #[test]
    fn memory_is_locked_or_refused_with_a_reason() {
        match lock_memory() {
            Ok(_) => {
                assert!(locked() > 0);
                unlock_memory().expect("nothing forbids it");
            }
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory
                ),
                "{error}"
            ),
        }
        assert_eq!(locked(), 0);
    }
}
