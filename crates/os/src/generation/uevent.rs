//! Events of the kernel's device model, as it sends them over netlink: the one that says "this virtual machine has a new generation id".
//!
//! An event is texts that end with a zero octet: a heading, then `NAME=value` each (lib/kobject_uevent.c). The driver sends
//! `NEW_VMGENID=1` with a change (drivers/virt/vmgenid.c).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A subscription to all events.
#[derive(Debug)]
pub struct Uevents(OwnedFd);

impl Uevents {
    /// Subscribes. It takes no right; only the kernel, or who may administer its network, can send to this group.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointer is passed.
        let socket = crate::checked(unsafe {
            libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_KOBJECT_UEVENT)
        })?;
        // SAFETY: the call succeeded, so this is a new descriptor that nothing else owns.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: plain integers, for which all zero octets are a value.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = FROM_THE_KERNEL;
        let len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a live sockaddr_nl of the length given.
        crate::checked(unsafe {
            libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len)
        })?;
        Ok(Self(socket))
    }

    /// Takes the events there are, a bounded number at a time, and says whether one of them is that of a new generation.
    pub fn look(&mut self) -> bool {
        let mut room = [0; LONGEST];
        let mut found = false;
        for _ in 0..MOST_AT_ONCE {
            // SAFETY: at most `room.len()` octets are written to `room`.
            let len =
                unsafe { libc::read(self.0.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
            match crate::checked_len(len) {
                Ok(0) => break,
                Ok(len) => found |= is_new_generation(room.get(..len).unwrap_or(&[])),
                // Too many came while nobody looked: some are lost, the rest is still there.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => break,
            }
        }
        found
    }
}

impl AsFd for Uevents {
    /// Readable once there is an event.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether an event, as it came, says that this virtual machine has a new generation id. Anything may be in `octets`.
#[must_use]
pub fn is_new_generation(octets: &[u8]) -> bool {
    let mut parts = octets.split(|octet| *octet == 0);
    // Those of udev, which anybody with the right could imitate, begin with its name.
    let is_the_kernels = parts.next().is_some_and(|heading| heading.starts_with(b"change@"));
    is_the_kernels && parts.take(MOST_PARTS).any(|part| part == b"NEW_VMGENID=1")
}

/// The group in which the kernel speaks; in the other one udev does.
const FROM_THE_KERNEL: u32 = 1;
/// `UEVENT_BUFFER_SIZE` of linux/kobject.h is 2048, and the heading comes before that.
const LONGEST: usize = 8192;
/// `UEVENT_NUM_ENVP` of linux/kobject.h is 64.
const MOST_PARTS: usize = 128;
const MOST_AT_ONCE: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_change_of_a_generation_is_one() {
        let check = |event: &str, expected| {
            assert_eq!(is_new_generation(event.as_bytes()), expected, "{event:?}");
        };
        // The layout of the kernel's, with the device of QEMU.
        let whole = "change@/devices/LNXSYSTM:00/LNXSYBUS:00/QEMUVGID:00\0ACTION=change\0\
                     DEVPATH=/devices/LNXSYSTM:00/LNXSYBUS:00/QEMUVGID:00\0SUBSYSTEM=acpi\0NEW_VMGENID=1\0\
                     MODALIAS=acpi:QEMUVGID:VM_GEN_COUNTER:\0SEQNUM=1234\0";
        check(whole, true);
        check(&whole.replace("NEW_VMGENID=1", "NEW_VMGENID=10"), false);
        check(&whole.replace("NEW_VMGENID=1", "X_NEW_VMGENID=1"), false);
        check(&whole.replacen("change@", "add@", 1), false);
        check("NEW_VMGENID=1\0", false);
        check("libudev\0change@\0NEW_VMGENID=1\0", false);
        check("", false);
        check("\0\0\0", false);
        check("change@/x\0NEW_VMGENID=1", true);
        check(&format!("change@/x{}\0NEW_VMGENID=1", "\0A=1".repeat(200)), false);
    }

    #[test]
    fn whoever_subscribes_hears_nothing_of_a_copy_here() {
        let mut events = Uevents::open().expect("netlink");
        assert!(!events.look());
    }
}
