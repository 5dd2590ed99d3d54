//! Capabilities: seeing whether this process could set the clock, and giving up for good what is not needed.

use std::io;

/// In which of its capability sets the calling thread holds `CAP_SYS_TIME`, the right to set the machine's clock.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SysTime {
    /// The kernel would let it set the clock now.
    pub effective: bool,
    /// It could make the right effective.
    pub permitted: bool,
    /// A program it executes could keep it.
    pub inheritable: bool,
    /// A program it executes could gain it from the file system or by being root.
    pub bounding: bool,
    /// A program it executes would keep it without any such help.
    pub ambient: bool,
}

impl SysTime {
    /// Whether the right is in any set at all.
    #[must_use]
    pub fn anywhere(self) -> bool {
        self.effective || self.permitted || self.inheritable || self.bounding || self.ambient
    }
}

/// Looks for `CAP_SYS_TIME` in all five sets of the calling thread.
///
/// # Errors
/// What the kernel answers.
pub fn sys_time() -> io::Result<SysTime> {
    let [low, _] = get()?;
    Ok(SysTime {
        effective: low.effective & SYS_TIME_BIT != 0,
        permitted: low.permitted & SYS_TIME_BIT != 0,
        inheritable: low.inheritable & SYS_TIME_BIT != 0,
        bounding: control(libc::PR_CAPBSET_READ, CAP_SYS_TIME, 0)? == 1,
        ambient: control(libc::PR_CAP_AMBIENT, ambient(libc::PR_CAP_AMBIENT_IS_SET), CAP_SYS_TIME)?
            == 1,
    })
}

/// Takes `CAP_SYS_TIME` from the ambient, bounding, inheritable, permitted and effective sets of the calling thread, so that
/// neither it nor any thread or program it starts from now on can set a clock. Call it before there are other threads.
///
/// An ordinary user may not change the bounding set. Then `no_new_privs` is set instead, under which no program it executes
/// can gain a capability; [`sys_time`] goes on showing `bounding` in that case.
///
/// # Errors
/// What the kernel answers; the right may then still be held.
pub fn drop_sys_time() -> io::Result<()> {
    control(libc::PR_CAP_AMBIENT, ambient(libc::PR_CAP_AMBIENT_LOWER), CAP_SYS_TIME)?;
    if control(libc::PR_CAPBSET_READ, CAP_SYS_TIME, 0)? == 1 {
        match control(libc::PR_CAPBSET_DROP, CAP_SYS_TIME, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => no_new_privileges()?,
            Err(error) => return Err(error),
        }
    }
    let [mut low, high] = get()?;
    low.effective &= !SYS_TIME_BIT;
    low.permitted &= !SYS_TIME_BIT;
    low.inheritable &= !SYS_TIME_BIT;
    set([low, high])
}

/// A right out of those root has. Only what some process here keeps has a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Capability {
    /// Give files to others.
    Chown = 0,
    /// Pass over the modes of files.
    DacOverride = 1,
    /// Treat files of others as one's own.
    Fowner = 3,
    /// Signal processes of others.
    Kill = 5,
    /// Change groups.
    SetGid = 6,
    /// Change the user.
    SetUid = 7,
    /// Give up rights in the bounding set.
    SetPcap = 8,
    /// Bind ports below 1024.
    NetBindService = 10,
    /// Let a socket hold more than others may.
    NetAdmin = 12,
    /// Bind a socket to a device.
    NetRaw = 13,
    /// Lock memory.
    IpcLock = 14,
    /// Run before others.
    SysNice = 23,
    /// Raise limits.
    SysResource = 24,
    /// Set the clock.
    SysTime = 25,
}

/// Gives up every right but `kept`, in all sets of the calling thread: call it before there are other threads. What it does not hold it
/// does not get.
///
/// Only root may change the bounding set; for others see [`no_new_privileges`].
///
/// # Errors
/// What the kernel answers; other rights may then still be held.
pub fn keep_only(kept: &[Capability]) -> io::Result<()> {
    let kept = kept.iter().fold(0_u64, |all, one| all | 1 << *one as u8);
    for number in 0..64 {
        // The kernel has fewer, and says so at the first it does not have.
        match control(libc::PR_CAPBSET_READ, number, 0) {
            Ok(1) if kept >> number & 1 == 0 => match control(libc::PR_CAPBSET_DROP, number, 0) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                    return Err(error);
                }
                _ => {}
            },
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) => return Err(error),
        }
        if kept >> number & 1 == 0 {
            control(libc::PR_CAP_AMBIENT, ambient(libc::PR_CAP_AMBIENT_LOWER), number)?;
        }
    }
    let mut sets = get()?;
    for (set, kept) in sets.iter_mut().zip([kept as u32, (kept >> 32) as u32]) {
        set.permitted &= kept;
        set.effective = set.permitted;
        set.inheritable &= kept;
    }
    set(sets)
}

/// Whether the calling thread may use a right now.
///
/// # Errors
/// What the kernel answers.
pub fn holds(right: Capability) -> io::Result<bool> {
    let [low, _] = get()?;
    Ok(low.effective >> right as u8 & 1 == 1)
}

/// Whether the calling thread holds no right at all.
///
/// # Errors
/// What the kernel answers.
pub fn holds_nothing() -> io::Result<bool> {
    Ok(get()?.iter().all(|set| set.permitted | set.effective | set.inheritable == 0))
}

/// Keeps the rights held when the user changes, and locks that: from then on being root gives no rights, neither by changing the user nor by executing
/// something.
///
/// # Errors
/// Without the right to (`CAP_SETPCAP`).
pub(crate) fn keep_across_users() -> io::Result<()> {
    control(libc::PR_SET_SECUREBITS, ROOT_IS_NOBODY, 0).map(drop)
}

/// Keeps the rights permitted, though not those in effect, when the user changes from root to another.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn keep_across_one_change() -> io::Result<()> {
    control(libc::PR_SET_KEEPCAPS, 1, 0).map(drop)
}

/// linux/securebits.h: `NOROOT`, `NO_SETUID_FIXUP` and `NO_CAP_AMBIENT_RAISE`, each with its lock, and the lock of `KEEP_CAPS`.
const ROOT_IS_NOBODY: libc::c_ulong = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7;

/// Makes sure that nothing this thread executes gains a right it does not hold itself. Cannot be undone.
///
/// # Errors
/// What the kernel answers.
pub fn no_new_privileges() -> io::Result<()> {
    control(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// `CAP_SYS_TIME` of linux/capability.h.
const CAP_SYS_TIME: libc::c_ulong = 25;
const SYS_TIME_BIT: u32 = 1 << CAP_SYS_TIME;
/// `_LINUX_CAPABILITY_VERSION_3`: two entries of 32 bits.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn get() -> io::Result<[Sets; 2]> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: version 3 writes two entries; both structures are laid out as the kernel's and writable.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(sets) }
}

fn set(sets: [Sets; 2]) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    // SAFETY: version 3 reads two entries; both structures are laid out as the kernel's.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn ambient(command: libc::c_int) -> libc::c_ulong {
    libc::c_ulong::from(command.unsigned_abs())
}

/// The `prctl` requests that take two integers and no pointer.
fn control(
    request: libc::c_int,
    first: libc::c_ulong,
    second: libc::c_ulong,
) -> io::Result<libc::c_int> {
    let none: libc::c_ulong = 0;
    // SAFETY: every request used in this file takes integers only and touches no memory of ours.
    crate::checked(unsafe { libc::prctl(request, first, second, none, none) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_right_is_gone_from_every_set() {
        // In a thread of its own: capabilities belong to threads, and what is dropped stays dropped.
        std::thread::spawn(|| {
            drop_sys_time().expect("dropping needs no right");
            let left = sys_time().expect("readable");
            assert!(
                !left.effective && !left.permitted && !left.inheritable && !left.ambient,
                "{left:?}"
            );
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("proc");
            let shielded =
                status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"]));
            assert!(
                !left.bounding || shielded,
                "neither out of the bounding set nor shielded: {left:?}"
            );
            let set = |name: &str| {
                let line =
                    status.lines().find(|line| line.starts_with(name)).expect("a line per set");
                u64::from_str_radix(line.split_whitespace().nth(1).expect("a value"), 16)
                    .expect("hexadecimal")
            };
            for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
                assert_eq!(set(name) & u64::from(SYS_TIME_BIT), 0, "{name}");
            }
            drop_sys_time().expect("twice is as good as once");
        })
        .join()
        .expect("no panic");
    }
}
