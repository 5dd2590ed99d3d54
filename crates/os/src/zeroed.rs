//! Memory for tables of fixed size that threads share.

use std::io;
use std::sync::atomic::AtomicU64;

use crate::mapping::Mapping;

/// Words that are all zero at first. The kernel gives a page (4 KiB) when it is first written, so what is not used takes up none; what
/// is, stays.
pub struct Zeroed(Mapping);

impl Zeroed {
    /// So many words, at least 1, the first at the beginning of a page.
    ///
    /// # Errors
    /// What the kernel answers, [`io::ErrorKind::OutOfMemory`] where a limit leaves no room for them.
    pub fn new(words: usize) -> io::Result<Self> {
        Mapping::anonymous(words).map(Self)
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        self.0.words()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_zero_and_take_up_memory_where_they_are_written() {
        // 1 GiB: more than is there to be written in many a test.
        let zeroed = Zeroed::new(1 << 27).unwrap();
        let words = zeroed.words();
        assert_eq!((words.len(), words.as_ptr().align_offset(4096)), (1 << 27, 0));
        for at in [0, 1 << 20, (1 << 27) - 1] {
            assert_eq!(words[at].fetch_add(7, Ordering::Relaxed), 0);
            assert_eq!(words[at].load(Ordering::Relaxed), 7);
        }
        assert_eq!(words[1].load(Ordering::Relaxed), 0);
    }

    #[test]
    fn none_and_too_many_are_refused() {
        assert!(Zeroed::new(0).is_err());
        assert!(Zeroed::new(usize::MAX / 8).is_err());
    }
}
