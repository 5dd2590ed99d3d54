//! The kernel's log, for the line in which it says that this virtual machine was copied or restored.
//!
//! That is all there is between Linux 5.18, whose driver of the VM generation id tells nobody else, and the event that came later. Each
//! read gives one record, `PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT` (Documentation/ABI/testing/dev-kmsg); the priority's upper bits
//! name who wrote it, and only the kernel can write as itself.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The log from when it was opened on, whoever reads it meanwhile.
#[derive(Debug)]
pub struct KernelLog(File);

impl KernelLog {
    /// Opens it behind the last record, if there is a VM generation id of which it could tell, and if it may be read: where
    /// `kernel.dmesg_restrict` is set that takes `CAP_SYSLOG`.
    #[must_use]
    pub fn open() -> Option<Self> {
        super::has_generation_id().then(|| Self::open_at(Path::new(PATH)).ok()).flatten()
    }

    fn open_at(path: &Path) -> io::Result<Self> {
        let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self(log))
    }

    /// Takes the records there are, a bounded number at a time, and says whether one of them tells of a copy.
    pub(super) fn look(&mut self) -> bool {
        let mut room = [0; LONGEST];
        let mut found = false;
        for _ in 0..MOST_AT_ONCE {
            match self.0.read(&mut room) {
                Ok(0) => break,
                Ok(len) => found |= tells_of_copy(room.get(..len).unwrap_or(&[])),
                // The next one was overwritten before it was read; reading goes on behind the gap.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => break,
            }
        }
        found
    }
}

impl From<OwnedFd> for KernelLog {
    /// One that somebody else has opened; each record is read by one of the two.
    fn from(opened: OwnedFd) -> Self {
        Self(File::from(opened))
    }
}

impl AsFd for KernelLog {
    /// Readable once there is a record.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a record, as it came, is the kernel's own word that this virtual machine was copied or restored. Anything may be in `octets`.
#[must_use]
pub fn tells_of_copy(octets: &[u8]) -> bool {
    let Some(at) = octets.iter().position(|octet| *octet == b';') else { return false };
    let (head, text) = octets.split_at(at);
    let priority = head.split(|octet| *octet == b',').next().unwrap_or_default();
    let priority = std::str::from_utf8(priority).ok().and_then(|digits| digits.parse::<u32>().ok());
    let is_the_kernels = priority.is_some_and(|priority| priority < FIRST_OF_OTHERS);
    let line = text.get(1..).unwrap_or_default().split(|octet| *octet == b'\n').next();
    is_the_kernels && line == Some(COPIED)
}

/// What drivers/char/random.c writes.
const COPIED: &[u8] = b"random: crng reseeded due to virtual machine fork";
/// Priorities of eight degrees; the first eight are the kernel's (`LOG_KERN`).
const FIRST_OF_OTHERS: u32 = 8;
/// `PRINTK_MESSAGE_MAX` of the kernel is 2048.
const LONGEST: usize = 8192;
const MOST_AT_ONCE: u32 = 256;
const PATH: &str = "/dev/kmsg";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_own_word_counts() {
        let check = |record: &str, expected| {
            assert_eq!(tells_of_copy(record.as_bytes()), expected, "{record:?}");
        };
        let line = "random: crng reseeded due to virtual machine fork\n";
        check(&format!("5,733,42999017,-;{line}"), true);
        check(&format!("5,733,42999017,-;{line} SUBSYSTEM=acpi\n"), true);
        check(&format!("13,733,42999017,-;{line}"), false);
        check(&format!("5,733,42999017,-;somebody said {line}"), false);
        check("6,733,42999017,-;random: crng init done\n", false);
        check(&format!("-5,733,42999017,-;{line}"), false);
        check(line, false);
        check("", false);
        check(";", false);
        check("5;", false);
    }

    #[test]
    fn what_is_written_later_is_read_and_what_was_there_is_not() {
        let path = std::env::temp_dir().join(format!("noonmark-kmsg-{}", std::process::id()));
        let record = "5,1,2,-;random: crng reseeded due to virtual machine fork\n";
        std::fs::write(&path, record).expect("room");
        let mut log = KernelLog::open_at(&path).expect("a file");
        assert!(!log.look(), "that was before");
        let mut writer = OpenOptions::new().append(true).open(&path).expect("ours");
        io::Write::write_all(&mut writer, record.as_bytes()).expect("room");
        assert!(log.look());
        assert!(!log.look(), "once");
        std::fs::remove_file(&path).expect("ours");
    }
}
