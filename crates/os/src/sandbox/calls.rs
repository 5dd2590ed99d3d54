//! The system calls that kinds of work take, for [`Filter`]: what is allowed to whom is put together from these.
//!
//! Where a call can be told by its arguments, it is allowed in those shapes only. What is behind a pointer no filter sees: names of
//! files (Landlock looks at them), addresses of datagrams, what is to be done to a clock (a capability decides). The lists know
//! glibc and musl, on x86-64 and aarch64.

use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, EACCES, EINVAL, ENOSYS, ENOTTY, EPERM, SOCK_DGRAM,
    SOCK_RAW, SOCK_STREAM, SOL_SOCKET, c_int, c_long,
};

use crate::udp::{
    SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_MEMINFO, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW,
};

use super::filter::{Condition, Filter, Verdict, has, is, is_null};

impl Filter {
    /// Everything but what neither the launcher nor any role ever does, which answers as if the kernel did not know it. It may be put in
    /// force before the roles are started: theirs add to it. With `keeps_clock` the discipline is left, since the warden steers it.
    #[must_use]
    pub fn for_launcher(keeps_clock: bool) -> Self {
        let mut filter = Self::new(Verdict::Allow);
        let discipline: &[c_long] = &[libc::SYS_adjtimex, libc::SYS_clock_adjtime];
        for call in NEVER.iter().chain(if keeps_clock { &[] } else { discipline }) {
            filter.refuse(*call, ENOSYS);
        }
        filter
    }

    /// What every role does: threads, memory, time, waiting, its pair with the launcher, pages to share, lines on standard error, its end.
    /// Of processes it knows only itself; it opens nothing.
    #[must_use]
    pub fn with_basics(mut self) -> Self {
        for call in BASICS {
            self.allow(*call);
        }
        self.memory();
        self.threads();
        self.descriptors();
        self.nothing_by_name();
        self
    }

    /// A loop of events, as tokio has one.
    #[must_use]
    pub fn with_events(mut self) -> Self {
        for call in EVENTS {
            self.allow(*call);
        }
        // For signals, which nobody asks for; it is made all the same.
        let pair = vec![vec![is(0, AF_UNIX), has(1, TYPE, SOCK_STREAM.cast_unsigned())]];
        self.allow_if(libc::SYS_socketpair, pair, Verdict::Kill);
        self
    }

    /// Batches of datagrams over sockets that are there already; having the kernel drop some before they are received, and asking how many;
    /// having it say when they came and left. Each of their threads stays where its datagrams come in.
    #[must_use]
    pub fn with_datagrams(mut self) -> Self {
        for call in [libc::SYS_recvmmsg, libc::SYS_sendmmsg] {
            self.allow(call);
        }
        let options = [SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW];
        self.set_options(&options.map(|option| (SOL_SOCKET, option)));
        let asking = [SO_MEMINFO, libc::SO_INCOMING_CPU];
        let asking = asking.map(|option| vec![is(1, SOL_SOCKET), is(2, option)]).to_vec();
        self.allow_if(libc::SYS_getsockopt, asking, Verdict::Refuse(EPERM));
        self.allow_if(libc::SYS_sched_setaffinity, vec![vec![is(0, 0)]], Verdict::Refuse(EPERM));
        self
    }

    /// Connections accepted from sockets that are there already.
    #[must_use]
    pub fn with_accepting(mut self) -> Self {
        for call in [
            libc::SYS_accept4,
            libc::SYS_recvfrom,
            libc::SYS_sendto,
            libc::SYS_shutdown,
            libc::SYS_getsockname,
            libc::SYS_getpeername,
            libc::SYS_getsockopt,
        ] {
            self.allow(call);
        }
        let options = [
            (SOL_SOCKET, libc::SO_SNDTIMEO),
            (SOL_SOCKET, libc::SO_RCVTIMEO),
            (SOL_SOCKET, libc::SO_LINGER),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        ];
        self.set_options(&options);
        self
    }

    /// Lines for the journal, over a socket that is there already.
    #[must_use]
    pub fn with_journal(mut self) -> Self {
        self.allow(libc::SYS_sendto);
        self
    }

    /// Files in folders that are open already; which ones, and what may be done to them, Landlock decides.
    #[must_use]
    pub fn with_files(mut self) -> Self {
        for call in FILES {
            self.allow(*call);
        }
        self
    }

    /// Files by their name, to read them; which ones, Landlock decides.
    #[must_use]
    pub fn with_reading(mut self) -> Self {
        let reading = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE;
        let only = |flags: u32| has(flags, (reading & !libc::O_DIRECTORY).cast_unsigned(), 0);
        self.allow_if(libc::SYS_openat, vec![vec![only(2)]], Verdict::Refuse(EACCES));
        #[cfg(target_arch = "x86_64")]
        self.allow_if(libc::SYS_open, vec![vec![only(1)]], Verdict::Refuse(EACCES));
        for call in LOOKING {
            self.allow(*call);
        }
        self
    }

    /// Reading the kernel's clock discipline, and setting it where the process has the right: a filter cannot tell the two apart.
    #[must_use]
    pub fn with_discipline(mut self) -> Self {
        self.allow(libc::SYS_clock_adjtime);
        self.allow(libc::SYS_adjtimex);
        self
    }

    /// Being told when somebody sets the clock.
    #[must_use]
    pub fn with_timers(mut self) -> Self {
        self.allow(libc::SYS_timerfd_create);
        self.allow(libc::SYS_timerfd_settime);
        self
    }

    /// Sockets of its own: to ask servers, the system's resolver and, where it is a service of this machine, that service.
    #[must_use]
    pub fn with_sockets(mut self) -> Self {
        let kind =
            |family: c_int, kind: c_int| vec![is(0, family), has(1, TYPE, kind.cast_unsigned())];
        let kinds = vec![
            kind(AF_INET, SOCK_DGRAM),
            kind(AF_INET6, SOCK_DGRAM),
            kind(AF_INET, SOCK_STREAM),
            kind(AF_INET6, SOCK_STREAM),
            kind(AF_UNIX, SOCK_STREAM),
            kind(AF_UNIX, SOCK_DGRAM),
            // Resolvers ask which addresses this machine has.
            [kind(AF_NETLINK, SOCK_RAW), vec![is(2, libc::NETLINK_ROUTE)]].concat(),
            [kind(AF_NETLINK, SOCK_DGRAM), vec![is(2, libc::NETLINK_ROUTE)]].concat(),
        ];
        self.allow_if(libc::SYS_socket, kinds, Verdict::Refuse(EACCES));
        for call in SOCKETS {
            self.allow(*call);
        }
        // Libraries of the resolver are not ours; what they try beyond this they are refused. The number of an interface they ask for
        // where a link-local address names it (`fe80::1%eth0`).
        let asking = [
            libc::FIONREAD as u32,
            libc::FIONBIO as u32,
            libc::FIOCLEX as u32,
            libc::SIOCGIFINDEX as u32,
        ];
        let asking = asking.iter().map(|request| vec![has(1, u32::MAX, *request)]).collect();
        self.allow_if(libc::SYS_ioctl, asking, Verdict::Refuse(ENOTTY));
        self
    }

    /// Ends the process for calls that nothing here ever makes, whatever becomes of others: so that a filter which
    /// answers unknown calls with an error does not answer these.
    #[must_use]
    pub fn with_traps(mut self) -> Self {
        for call in TRAPS {
            self.forbid(*call);
        }
        self
    }

    fn memory(&mut self) {
        let not_executable = |at: u32| vec![vec![has(at, libc::PROT_EXEC.cast_unsigned(), 0)]];
        self.allow_if(MMAP, not_executable(2), Verdict::Kill);
        self.allow_if(libc::SYS_mprotect, not_executable(2), Verdict::Kill);
    }

    fn threads(&mut self) {
        let shared = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD;
        let apart = libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_VFORK
            | libc::CLONE_PTRACE
            | libc::CLONE_PIDFD;
        let thread = has(0, (shared | apart).cast_unsigned(), shared.cast_unsigned());
        self.allow_if(libc::SYS_clone, vec![vec![thread]], Verdict::Kill);
        // What it is to make is behind a pointer. Libraries take the older call if this one is missing.
        self.refuse(libc::SYS_clone3, ENOSYS);
        let ourselves = c_int::try_from(std::process::id()).unwrap_or(-1);
        // What `abort` does.
        self.allow_if(libc::SYS_tgkill, vec![vec![is(0, ourselves)]], Verdict::Kill);
        self.refuse(libc::SYS_tkill, EPERM);
        let names = vec![vec![is(0, libc::PR_SET_NAME)], vec![is(0, libc::PR_GET_NAME)]];
        self.allow_if(libc::SYS_prctl, names, Verdict::Refuse(EPERM));
        // Limits may be read, and the number of processes may be lowered once all threads run.
        let limits =
            vec![vec![is(0, 0), is_null(2)], vec![is(0, 0), is(1, libc::RLIMIT_NPROC as c_int)]];
        self.allow_if(libc::SYS_prlimit64, limits, Verdict::Refuse(EPERM));
    }

    fn descriptors(&mut self) {
        let commands = [
            libc::F_DUPFD_CLOEXEC,
            libc::F_GETFD,
            libc::F_SETFD,
            libc::F_GETFL,
            libc::F_SETFL,
            libc::F_ADD_SEALS,
            libc::F_GET_SEALS,
        ];
        let commands = commands.iter().map(|command| vec![is(1, *command)]).collect();
        self.allow_if(libc::SYS_fcntl, commands, Verdict::Refuse(EINVAL));
        let requests = [libc::FIONBIO as u32, libc::FIOCLEX as u32];
        let requests = requests.iter().map(|request| vec![has(1, u32::MAX, *request)]).collect();
        self.allow_if(libc::SYS_ioctl, requests, Verdict::Refuse(ENOTTY));
    }

    /// Libraries look for files that need not be there. They are told no, and not ended for it.
    fn nothing_by_name(&mut self) {
        for call in BY_NAME {
            self.refuse(*call, EACCES);
        }
        // The same calls as for a descriptor, which has no name.
        let nameless = |at| vec![vec![has(at, EMPTY_PATH, EMPTY_PATH), not_here()]];
        self.allow_if(NEWFSTATAT, nameless(3), Verdict::Refuse(EACCES));
        self.allow_if(libc::SYS_statx, nameless(2), Verdict::Refuse(EACCES));
    }

    fn set_options(&mut self, options: &[(c_int, c_int)]) {
        let ways = options.iter().map(|(level, option)| vec![is(1, *level), is(2, *option)]);
        self.allow_if(libc::SYS_setsockopt, ways.collect(), Verdict::Refuse(EPERM));
    }
}

/// The first argument is a descriptor and not `AT_FDCWD`, which is negative.
fn not_here() -> Condition {
    has(0, 1 << 31, 0)
}

const EMPTY_PATH: u32 = libc::AT_EMPTY_PATH.cast_unsigned();
/// The kind of a socket without its flags.
const TYPE: u32 = 0xf;

/// The same calls have other names on 32-bit machines, where no filter is installed.
#[cfg(target_pointer_width = "64")]
const MMAP: c_long = libc::SYS_mmap;
#[cfg(not(target_pointer_width = "64"))]
const MMAP: c_long = libc::SYS_mmap2;
#[cfg(target_pointer_width = "64")]
const NEWFSTATAT: c_long = libc::SYS_newfstatat;
#[cfg(not(target_pointer_width = "64"))]
const NEWFSTATAT: c_long = libc::SYS_fstatat64;

const BASICS: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_memfd_create,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
    libc::SYS_write,
    libc::SYS_writev,
];

const EVENTS: &[c_long] = &[
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

const FILES: &[c_long] = &[
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_openat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
];

const SOCKETS: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Calls that name a file, without those that describe one which is open.
const BY_NAME: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

/// Looking at files without opening them, which Landlock does not mind.
const LOOKING: &[c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    NEWFSTATAT,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    libc::SYS_statx,
];

/// Calls by which whoever has a right or finds a weakness of the kernel gets further, and which starting and serving never take. The clock
/// is set through its discipline and in no other way.
const NEVER: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_inotify_init1,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

const TRAPS: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_kill,
    libc::SYS_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];
