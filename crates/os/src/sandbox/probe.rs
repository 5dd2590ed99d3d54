//! Everything a confined role must not be able to do, as calls that a test build makes from inside one. Not in a release.
//!
//! Each attempt is one call that, were it let through, would do no harm: signals are 0, programs are `/bin/true`, modules and maps are
//! empty. None is made where the clock could be set.

use std::ffi::CStr;
use std::io;

use libc::{c_int, c_long};

/// One thing to try.
pub struct Attempt {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub words: &'static str,
    /// The roles whose work it is, by name: to them it is allowed.
    pub allowed: &'static [&'static str],
    /// Whether something else than the list of system calls refuses it as well: user, rights, Landlock, limits.
    pub twice: bool,
    make: fn() -> c_long,
}

/// The attempts that are refused to the launcher, too, by name: what starting and serving never take. The others it may need, or
/// something else than a list of calls decides.
pub const OF_THE_LAUNCHER: &[&str] = &[
    "handle",
    "unshare",
    "setns",
    "trace",
    "peek",
    "set-clock",
    "set-day",
    "adjust",
    "adjust-old",
    "bpf",
    "ring",
    "perf",
    "fault",
    "keys",
    "mount",
    "root",
    "module",
    "kexec",
    "reboot",
    "personality",
    "watch",
];

/// What came of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was made.
    Done,
    /// It was refused with this `errno`.
    Refused(i32),
}

impl Attempt {
    /// The attempt called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ATTEMPTS.iter().find(|attempt| attempt.name == name)
    }

    /// Whether it may be tried here: not by a process that could set the clock.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn may_be_made() -> io::Result<bool> {
        let right = crate::caps::sys_time()?;
        Ok(!right.effective && !right.permitted && !right.inheritable)
    }

    /// Makes it. The caller has asked [`Attempt::may_be_made`] while it could.
    #[must_use]
    pub fn make(&self) -> Outcome {
        if (self.make)() >= 0 {
            return Outcome::Done;
        }
        Outcome::Refused(io::Error::last_os_error().raw_os_error().unwrap_or_default())
    }
}

/// The name of an `errno` that a refusal has; its number if it is another.
#[must_use]
pub fn name_of(errno: i32) -> String {
    let known = [
        (libc::EACCES, "EACCES"),
        (libc::EPERM, "EPERM"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ESRCH, "ESRCH"),
        (libc::EMFILE, "EMFILE"),
        (libc::EFBIG, "EFBIG"),
    ];
    let name =
        known.iter().find(|(number, _)| *number == errno).map(|(_, name)| (*name).to_owned());
    name.unwrap_or_else(|| format!("error {errno}"))
}

const NOBODY: &[&str] = &[];
const SOURCES: &[&str] = &["sources"];
const WARDEN: &[&str] = &["warden"];

macro_rules! attempts {
    ($($name:literal, $words:literal, $allowed:expr, $twice:expr, $make:expr;)*) => {
        /// All of them, by subject.
        pub const ATTEMPTS: &[Attempt] = &[$(Attempt {
            name: $name, words: $words, allowed: $allowed, twice: $twice, make: $make,
        }),*];
    };
}

attempts! {
    "read", "read a file of the system", NOBODY, true, || open(c"/etc/passwd", libc::O_RDONLY);
    "read-resolver", "read the resolver's files", SOURCES, true, || open(c"/etc/hosts", libc::O_RDONLY);
    "write", "write a new file", NOBODY, true, || open(c"/tmp/noonmark-probe", libc::O_WRONLY | libc::O_CREAT);
    "list", "list a folder", NOBODY, true, || open(c"/", libc::O_RDONLY | libc::O_DIRECTORY);
    "device", "open a device", NOBODY, true, || open(c"/dev/null", libc::O_RDWR);
    "unlink", "remove a file", NOBODY, true, || call(libc::SYS_unlinkat, [-100, at(c"/tmp"), 0, 0, 0]);
    "handle", "open a file by its handle", NOBODY, false, || call(libc::SYS_open_by_handle_at, [-100, 0, 0, 0, 0]);
    "exec", "execute a program", NOBODY, true, || exec(c"/bin/true");
    "exec-at", "execute a program by descriptor", NOBODY, false, || call(libc::SYS_execveat, [-100, at(c"/bin/true"), 0, 0, 0]);
    "fork", "make a process", NOBODY, false, fork;
    "thread", "start another thread", SOURCES, true, thread;
    "namespace", "make a process in namespaces of its own", NOBODY, false, || call(libc::SYS_clone, [(libc::CLONE_NEWUSER | libc::SIGCHLD).into(), 0, 0, 0, 0]);
    "unshare", "leave the namespaces", NOBODY, false, || call(libc::SYS_unshare, [libc::CLONE_NEWNET.into(), 0, 0, 0, 0]);
    "setns", "enter another namespace", NOBODY, false, || call(libc::SYS_setns, [0, 0, 0, 0, 0]);
    "signal-launcher", "signal the launcher", NOBODY, true, || call(libc::SYS_kill, [launcher(), 0, 0, 0, 0]);
    "signal-role", "signal another role", NOBODY, true, || neighbours(|them| call(libc::SYS_kill, [them, 0, 0, 0, 0]));
    "signal-thread", "signal a thread of another role", NOBODY, true, || neighbours(|them| call(libc::SYS_tgkill, [them, them, 0, 0, 0]));
    "pidfd", "get hold of another process", NOBODY, false, || call(libc::SYS_pidfd_open, [launcher(), 0, 0, 0, 0]);
    "trace", "trace another process", NOBODY, true, || call(libc::SYS_ptrace, [(libc::PTRACE_SEIZE as c_int).into(), launcher(), 0, 0, 0]);
    "peek", "read another process's memory", NOBODY, true, peek;
    "set-user", "become root", NOBODY, true, || call(libc::SYS_setuid, [0, 0, 0, 0, 0]);
    "set-groups", "take on groups", NOBODY, true, || call(libc::SYS_setgroups, [0, 0, 0, 0, 0]);
    "gain", "gain a right", NOBODY, true, gain;
    "dump", "become dumpable", NOBODY, false, || call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0, 0, 0]);
    "raise", "raise a limit", NOBODY, true, raise;
    "socket-udp", "make a UDP socket", SOURCES, false, || socket(libc::AF_INET, libc::SOCK_DGRAM);
    "socket-tcp", "make a TCP socket", SOURCES, false, || socket(libc::AF_INET6, libc::SOCK_STREAM);
    "socket-unix", "make a Unix socket", SOURCES, false, || socket(libc::AF_UNIX, libc::SOCK_STREAM);
    "socket-route", "make a netlink socket for routes", SOURCES, false, || socket(libc::AF_NETLINK, libc::SOCK_RAW);
    "socket-raw", "make a raw socket", NOBODY, true, || call(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_RAW.into(), libc::IPPROTO_ICMP.into(), 0, 0]);
    "socket-packet", "make a packet socket", NOBODY, true, || socket(libc::AF_PACKET, libc::SOCK_RAW);
    "connect", "connect to a TCP port that is none of its own", NOBODY, false, connect;
    "listen", "listen on TCP", NOBODY, false, listen;
    "map", "map memory that can be executed", NOBODY, false, || map(libc::PROT_READ | libc::PROT_EXEC);
    "protect", "make memory executable", NOBODY, false, protect;
    "set-clock", "set the clock", NOBODY, true, set_clock;
    "set-day", "set the clock the old way", NOBODY, true, || call(libc::SYS_settimeofday, [0, 0, 0, 0, 0]);
    "adjust", "adjust the clock", NOBODY, true, || adjust(libc::SYS_clock_adjtime);
    "adjust-old", "adjust the clock the old way", NOBODY, true, || adjust(libc::SYS_adjtimex);
    "bpf", "load a program into the kernel", NOBODY, false, || call(libc::SYS_bpf, [0, 0, 0, 0, 0]);
    "ring", "set up io_uring", NOBODY, false, || call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]);
    "perf", "count events of the processor", NOBODY, false, || call(libc::SYS_perf_event_open, [0, 0, -1, -1, 0]);
    "fault", "handle page faults", NOBODY, false, || call(libc::SYS_userfaultfd, [0, 0, 0, 0, 0]);
    "keys", "use the kernel's keys", NOBODY, false, || call(libc::SYS_keyctl, [0, -3, 0, 0, 0]);
    "mount", "mount", NOBODY, true, || call(libc::SYS_mount, [0, at(c"/"), 0, 0, 0]);
    "root", "change the root", NOBODY, true, || call(libc::SYS_chroot, [at(c"/"), 0, 0, 0, 0]);
    "module", "load a module", NOBODY, false, || call(libc::SYS_init_module, [0, 0, 0, 0, 0]);
    "kexec", "load another kernel", NOBODY, false, || call(libc::SYS_kexec_load, [0, 0, 0, 0, 0]);
    "reboot", "restart the machine", NOBODY, true, || call(libc::SYS_reboot, [0, 0, 0, 0, 0]);
    "personality", "change the way of executing", NOBODY, false, || call(libc::SYS_personality, [0, 0, 0, 0, 0]);
    "watch", "watch files", NOBODY, false, || call(libc::SYS_inotify_init1, [0, 0, 0, 0, 0]);
    "schedule", "run before all others", NOBODY, true, schedule;
    "terminal", "type into a terminal", NOBODY, false, || call(libc::SYS_ioctl, [2, libc::TIOCSTI as c_long, at(c"x"), 0, 0]);
    "own-folder", "read a file of its own folder", WARDEN, false, own_folder;
}

fn call(number: c_long, arguments: [c_long; 5]) -> c_long {
    let [a, b, c, d, e] = arguments;
    // SAFETY: pointers among the arguments are null, or of strings that live as long as the program; where the kernel would write
    // through one it is null.
    unsafe { libc::syscall(number, a, b, c, d, e) }
}

fn at(text: &'static CStr) -> c_long {
    text.as_ptr() as c_long
}

fn open(path: &'static CStr, flags: c_int) -> c_long {
    call(libc::SYS_openat, [libc::AT_FDCWD.into(), at(path), flags.into(), 0o600, 0])
}

fn exec(program: &'static CStr) -> c_long {
    call(libc::SYS_execve, [at(program), 0, 0, 0, 0])
}

fn launcher() -> c_long {
    call(libc::SYS_getppid, [0; 5])
}

/// Something done to every process that may be another role: all are started soon after the launcher. It is done if it is to one of them, and
/// refused if it is to all that are there.
fn neighbours(act: fn(c_long) -> c_long) -> c_long {
    let (ourselves, launcher) = (call(libc::SYS_getpid, [0; 5]), launcher());
    let mut refusal = libc::ESRCH;
    // A number of one of our own threads stands for ourselves.
    let is_ours = |them| call(libc::SYS_tgkill, [ourselves, them, 0, 0, 0]) >= 0;
    for them in (launcher + 1..launcher + 200).filter(|them| !is_ours(*them)) {
        if act(them) >= 0 {
            return 0;
        }
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or_default();
        if errno != libc::ESRCH {
            refusal = errno;
        }
    }
    fail(refusal)
}

fn peek() -> c_long {
    let mut octet = 0_u8;
    let here = libc::iovec { iov_base: (&raw mut octet).cast(), iov_len: 1 };
    // SAFETY: one octet is read, if at all, into the live `octet`; the place in the other process is only a number.
    unsafe {
        libc::process_vm_readv(launcher() as libc::pid_t, &raw const here, 1, &raw const here, 1, 0)
            as c_long
    }
}

fn fork() -> c_long {
    let child = call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0]);
    if child == 0 {
        call(libc::SYS_exit_group, [0; 5]);
    }
    child
}

fn thread() -> c_long {
    match std::thread::Builder::new().spawn(|| ()) {
        Ok(thread) => thread.join().map_or(-1, |()| 0),
        Err(error) => fail(error.raw_os_error().unwrap_or_default()),
    }
}

fn socket(family: c_int, kind: c_int) -> c_long {
    call(libc::SYS_socket, [family.into(), kind.into(), 0, 0, 0])
}

/// Port 9 discards, if anybody listens there.
fn address() -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 9_u16.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    }
}

fn connect() -> c_long {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM);
    let (address, length) = (address(), size_of::<libc::sockaddr_in>() as c_long);
    if socket < 0 {
        return socket;
    }
    call(libc::SYS_connect, [socket, (&raw const address) as c_long, length, 0, 0])
}

fn listen() -> c_long {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM);
    if socket < 0 {
        return socket;
    }
    call(libc::SYS_listen, [socket, 1, 0, 0, 0])
}

fn map(protection: c_int) -> c_long {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: without an address nothing that is mapped is touched.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    if place == libc::MAP_FAILED { -1 } else { 0 }
}

fn protect() -> c_long {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: as above.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, flags, -1, 0) };
    if place == libc::MAP_FAILED {
        return 0;
    }
    call(libc::SYS_mprotect, [place as c_long, 4096, libc::PROT_EXEC.into(), 0, 0])
}

fn gain() -> c_long {
    // `_LINUX_CAPABILITY_VERSION_3`; every right, to be permitted and in effect.
    let header = [0x2008_0522_u32, 0];
    let all = [u32::MAX, u32::MAX, 0, u32::MAX, u32::MAX, 0];
    call(libc::SYS_capset, [(&raw const header) as c_long, (&raw const all) as c_long, 0, 0, 0])
}

fn raise() -> c_long {
    let most = libc::rlimit64 { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    let limit = c_long::from(libc::RLIMIT_NOFILE as c_int);
    call(libc::SYS_prlimit64, [0, limit, (&raw const most) as c_long, 0, 0])
}

fn schedule() -> c_long {
    let priority: c_int = 1;
    let first = libc::SCHED_FIFO.into();
    call(libc::SYS_sched_setscheduler, [0, first, (&raw const priority) as c_long, 0, 0])
}

/// To the time it shows.
fn set_clock() -> c_long {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    let clock = libc::CLOCK_REALTIME.into();
    call(libc::SYS_clock_settime, [clock, (&raw const now) as c_long, 0, 0, 0])
}

/// By nothing, which takes the right to all the same.
fn adjust(number: c_long) -> c_long {
    // SAFETY: plain integers, for which all zero octets are values.
    let mut request: libc::timex = unsafe { std::mem::zeroed() };
    request.modes = libc::ADJ_OFFSET_SINGLESHOT;
    let place = (&raw mut request) as c_long;
    if number == libc::SYS_adjtimex {
        call(number, [place, 0, 0, 0, 0])
    } else {
        call(number, [libc::CLOCK_REALTIME.into(), place, 0, 0, 0])
    }
}

/// The warden has a folder open; whoever has none, finds none.
fn own_folder() -> c_long {
    for folder in 3..32 {
        let file = call(libc::SYS_openat, [folder, at(c"lock"), libc::O_RDONLY.into(), 0, 0]);
        if file >= 0 {
            return 0;
        }
        if io::Error::last_os_error().raw_os_error() == Some(libc::EACCES) {
            return -1;
        }
    }
    fail(libc::EACCES)
}

fn fail(errno: i32) -> c_long {
    // SAFETY: the thread's own place for it.
    unsafe { *libc::__errno_location() = errno };
    -1
}
