//! Limits on what a process may take up (`setrlimit`). They are only ever lowered here.

use std::io;

/// Something that is limited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// Octets of a memory dump.
    Core,
    /// The highest number of a descriptor, and one.
    Descriptors,
    /// Octets of private memory that can be written: heap, stacks of threads, data of libraries.
    Data,
    /// Octets a file may be made to have.
    FileLength,
    /// Processes and threads of the user: at 0 there can be no more of them.
    Processes,
}

impl Limit {
    /// Its number, which C libraries do not agree on the type of.
    fn resource(self) -> libc::c_int {
        match self {
            Self::Core => libc::RLIMIT_CORE as libc::c_int,
            Self::Descriptors => libc::RLIMIT_NOFILE as libc::c_int,
            Self::Data => libc::RLIMIT_DATA as libc::c_int,
            Self::FileLength => libc::RLIMIT_FSIZE as libc::c_int,
            Self::Processes => libc::RLIMIT_NPROC as libc::c_int,
        }
    }

    /// Whether limits can be set here: to what they are.
    #[must_use]
    pub fn are_supported() -> bool {
        Self::Core.read().and_then(|limit| Self::Core.set(limit)).is_ok()
    }

    /// Sets the limit to `most`, or to what it is if that is less, for good.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn lower_to(self, most: u64) -> io::Result<()> {
        let most = self.read()?.rlim_max.min(most as libc::rlim_t);
        self.set(libc::rlimit { rlim_cur: most, rlim_max: most })
    }

    fn read(self) -> io::Result<libc::rlimit> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is writable and laid out as the kernel's.
        crate::checked(unsafe { libc::getrlimit(self.resource() as _, &raw mut limit) })?;
        Ok(limit)
    }

    fn set(self, limit: libc::rlimit) -> io::Result<()> {
        // SAFETY: `limit` is live and laid out as the kernel's.
        crate::checked(unsafe { libc::setrlimit(self.resource() as _, &raw const limit) }).map(drop)
    }
}
