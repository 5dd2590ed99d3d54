//! A mapping of 64-bit words that threads or processes share: what [`crate::page`] and [`crate::zeroed`] are built on.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// `len` words of memory, mapped for as long as this value lives.
///
/// Both sides see the words only as atomics, so a writer in another process can make a reader see an unexpected value,
/// but never undefined behaviour. A read-only mapping hands out `&AtomicU64` too; storing through one would be a fault,
/// so [`ReadOnly`] offers no way to.
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    len: usize,
}

/// A mapping whose words can be loaded and not stored.
pub(crate) struct ReadOnly(Mapping);

impl Mapping {
    /// Maps `len` words of a memfd that the caller has sized, for reading and writing.
    pub(crate) fn writable(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Self::map(fd.as_raw_fd(), len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
    }

    /// Maps `len` words that are all zero, for this process alone.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::map(-1, len, libc::PROT_READ | libc::PROT_WRITE, flags)
    }

    /// The words, which other threads and processes may read or write at any time.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is aligned to a page and maps `len` words until `drop`; the memory is only ever seen as atomics,
        // in every process; it has no file, or one that its creator sealed against shrinking, so no word can go away under the mapping.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    fn map(fd: RawFd, len: usize, protection: libc::c_int, flags: libc::c_int) -> io::Result<Self> {
        let octets = len.checked_mul(size_of::<AtomicU64>()).filter(|octets| *octets > 0);
        let octets = octets.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a null hint lets the kernel choose free addresses, so no existing mapping is touched; `octets` is not 0.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), octets, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("mmap with a null hint never maps page zero");
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range `map` got, unmapped once; `words` borrows from `self`, so no reference is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<AtomicU64>()) };
    }
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached only through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above; every access through a shared reference is atomic.
unsafe impl Sync for Mapping {}

impl ReadOnly {
    /// Maps `len` words of a memfd for reading.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Mapping::map(fd.as_raw_fd(), len, libc::PROT_READ, libc::MAP_SHARED).map(Self)
    }

    /// The number of words.
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// Loads word `index`, or 0 past the end.
    pub(crate) fn load(&self, index: usize, order: std::sync::atomic::Ordering) -> u64 {
        self.0.words().get(index).map_or(0, |word| word.load(order))
    }
}
