//! Shared memory with one writing process: state under a sequence lock, and counters.
//!
//! A page is an anonymous file of 64-bit words. The writer maps it, then seals it against any further writable mapping
//! (`F_SEAL_FUTURE_WRITE`) and against changes of length, and only then hands the descriptor out: whoever gets it can look
//! and not touch. A restarted writer makes a new page; readers get it by message.
//!
//! Words 0 and 1 of every page say what it is; the content follows:
//!
//! | word | [`StatePage`] | [`CounterPage`] |
//! |---|---|---|
//! | 0 | magic `"NMstate1"` | magic `"NMcount1"` |
//! | 1 | number of content words | number of content words |
//! | 2 | sequence: odd while a write is going on | content |
//! | 3… | content | content |
//!
//! The lock is [`crate::sequence`]. A reader copies the content out between two looks at the sequence and tries again if they differ, a bounded number of
//! times: a writer that stops half-way costs its readers fresh values, never their time.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::mapping::{Mapping, ReadOnly};
use crate::sealed;
use crate::sequence::{self, OwnWords, Words};

/// A page of state that this process alone writes, whole, through [`StatePage::publish`].
pub struct StatePage {
    mapping: Mapping,
    fd: OwnedFd,
}

impl StatePage {
    /// A page of `words` content words, all 0 until the first [`StatePage::publish`].
    ///
    /// # Errors
    /// What the kernel answers; `InvalidInput` for no words or more than [`MOST_WORDS`].
    pub fn new(name: &CStr, words: usize) -> io::Result<Self> {
        let (mapping, fd) = create(name, STATE_MAGIC, STATE_CONTENT, words)?;
        Ok(Self { mapping, fd })
    }

    /// Replaces the content as one: a reader sees all of `content` or all of what was there before.
    ///
    /// Words beyond the page's length are dropped, and words `content` does not reach keep their value.
    pub fn publish(&mut self, content: &[u64]) {
        let own = Own(self.mapping.words().get(STATE_SEQUENCE..).unwrap_or_default());
        sequence::publish(&own, content.iter().copied());
    }

    /// The descriptor to hand to readers.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Another process's [`StatePage`], mapped read-only.
pub struct StateReader(ReadOnly);

impl StateReader {
    /// Maps the page behind `fd`; the descriptor can be closed afterwards.
    ///
    /// # Errors
    /// [`PageError::NotAPage`] for a file that lacks the seals, the magic or the promised length.
    pub fn open(fd: BorrowedFd<'_>) -> Result<Self, PageError> {
        open(fd, STATE_MAGIC, STATE_CONTENT).map(Self)
    }

    /// Copies the content out as one. Returns false if no consistent copy was had in a bounded number of tries, because
    /// the writer stopped half-way or never pauses; `content` then holds nothing of meaning.
    ///
    /// Words that the page does not have become 0.
    #[must_use]
    pub fn read(&self, content: &mut [u64]) -> bool {
        sequence::read(&Other(&self.0), content, READ_TRIES)
    }

    /// How often the page has been published; the same number means the same content.
    #[must_use]
    pub fn generation(&self) -> u64 {
        sequence::generation(&Other(&self.0))
    }
}

/// The words of a page of ours from the sequence on.
struct Own<'a>(&'a [AtomicU64]);

impl Words for Own<'_> {
    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(order))
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }
}

impl OwnWords for Own<'_> {
    fn store(&self, at: usize, value: u64, order: Ordering) {
        if let Some(word) = self.0.get(at) {
            word.store(value, order);
        }
    }
}

/// The words of another's page from the sequence on.
struct Other<'a>(&'a ReadOnly);

impl Words for Other<'_> {
    fn load(&self, at: usize, order: Ordering) -> u64 {
        self.0.load(STATE_SEQUENCE + at, order)
    }

    fn fence(&self, order: Ordering) {
        fence(order);
    }
}

/// A page of counters that this process alone writes: plain relaxed atomics, no order between them.
pub struct CounterPage {
    mapping: Mapping,
    fd: OwnedFd,
}

impl CounterPage {
    /// A page of `words` counters, all 0.
    ///
    /// # Errors
    /// What the kernel answers; `InvalidInput` for no words or more than [`MOST_WORDS`].
    pub fn new(name: &CStr, words: usize) -> io::Result<Self> {
        let (mapping, fd) = create(name, COUNTER_MAGIC, COUNTER_CONTENT, words)?;
        Ok(Self { mapping, fd })
    }

    /// The counters, for all threads of the writing process.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        self.mapping.words().get(COUNTER_CONTENT..).unwrap_or_default()
    }

    /// The descriptor to hand to readers.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Another process's [`CounterPage`], mapped read-only.
pub struct CounterReader(ReadOnly);

impl CounterReader {
    /// Maps the page behind `fd`; the descriptor can be closed afterwards.
    ///
    /// # Errors
    /// [`PageError::NotAPage`] for a file that lacks the seals, the magic or the promised length.
    pub fn open(fd: BorrowedFd<'_>) -> Result<Self, PageError> {
        open(fd, COUNTER_MAGIC, COUNTER_CONTENT).map(Self)
    }

    /// The number of counters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len().saturating_sub(COUNTER_CONTENT)
    }

    /// Whether there is no counter, which a page made by [`CounterPage::new`] never says.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of one counter at this moment, or 0 past the end.
    #[must_use]
    pub fn get(&self, index: usize) -> u64 {
        self.0.load(index.saturating_add(COUNTER_CONTENT), Ordering::Relaxed)
    }

    /// All counters, each at its own moment.
    #[must_use]
    pub fn values(&self) -> Vec<u64> {
        (0..self.len()).map(|index| self.get(index)).collect()
    }
}

/// Why a descriptor is not a page to read from.
#[derive(Debug)]
pub enum PageError {
    /// The file lacks a seal, the magic, or the length it claims.
    NotAPage(&'static str),
    /// The kernel refused.
    Io(io::Error),
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPage(lacks) => write!(f, "not a shared page: {lacks}"),
            Self::Io(error) => write!(f, "cannot map a shared page: {error}"),
        }
    }
}

impl std::error::Error for PageError {}

impl From<io::Error> for PageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The most content words of one page: 512 KiB of them.
pub const MOST_WORDS: usize = 1 << 16;

const STATE_MAGIC: u64 = u64::from_be_bytes(*b"NMstate1");
const COUNTER_MAGIC: u64 = u64::from_be_bytes(*b"NMcount1");
const MAGIC: usize = 0;
const LENGTH: usize = 1;
const STATE_SEQUENCE: usize = 2;
const STATE_CONTENT: usize = 3;
const COUNTER_CONTENT: usize = 2;

/// A write takes well below a microsecond; this many tries are some tens of microseconds.
const READ_TRIES: u32 = 1_000;

/// Without F_SEAL_SHRINK a hostile writer could cut the file and have its readers killed by SIGBUS.
const SEALS: libc::c_int = libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;

fn create(name: &CStr, magic: u64, content: usize, words: usize) -> io::Result<(Mapping, OwnedFd)> {
    if !(1..=MOST_WORDS).contains(&words) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let total = words + content;
    let file = File::from(sealed::create(name)?);
    file.set_len((total * size_of::<u64>()) as u64)?;
    let mapping = Mapping::writable(file.as_fd(), total)?;
    sealed::add_seals(file.as_fd(), SEALS | libc::F_SEAL_SEAL)?;
    for (index, value) in [(MAGIC, magic), (LENGTH, words as u64)] {
        if let Some(word) = mapping.words().get(index) {
            word.store(value, Ordering::Release);
        }
    }
    Ok((mapping, file.into()))
}

fn open(fd: BorrowedFd<'_>, magic: u64, content: usize) -> Result<ReadOnly, PageError> {
    // Only files in memory have seals at all.
    let seals = sealed::seals(fd).map_err(|_| PageError::NotAPage("no file in memory"))?;
    if seals & SEALS != SEALS {
        return Err(PageError::NotAPage("seals are missing"));
    }
    let len = File::from(fd.try_clone_to_owned()?).metadata()?.len();
    let words = usize::try_from(len).unwrap_or(usize::MAX) / size_of::<u64>();
    if words <= content || words > MOST_WORDS + content {
        return Err(PageError::NotAPage("length out of bounds"));
    }
    let mapping = ReadOnly::new(fd, words)?;
    if mapping.load(MAGIC, Ordering::Acquire) != magic {
        return Err(PageError::NotAPage("another magic"));
    }
    if mapping.load(LENGTH, Ordering::Relaxed) != (words - content) as u64 {
        return Err(PageError::NotAPage("length differs from what the page says"));
    }
    Ok(mapping)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn readers_see_whole_contents_while_a_writer_never_pauses() {
        let mut page = StatePage::new(c"test", 8).expect("memory");
        let reader = StateReader::open(page.descriptor()).expect("a page");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1_u64.. {
                    page.publish(&[round; 8]);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let mut whole = 0;
            let mut last = 0;
            while whole < 2_000 {
                let mut content = [0; 8];
                if reader.read(&mut content) {
                    assert!(content.iter().all(|word| *word == content[0]), "torn: {content:?}");
                    assert!(content[0] >= last, "back from {last} to {}", content[0]);
                    last = content[0];
                    whole += 1;
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn writer_that_stops_half_way_does_not_hold_a_reader() {
        let mut page = StatePage::new(c"test", 4).expect("memory");
        page.publish(&[1, 2, 3, 4]);
        let reader = StateReader::open(page.descriptor()).expect("a page");
        assert!(reader.read(&mut [0; 4]));
        // What a process killed inside `publish` leaves behind.
        page.mapping.words()[STATE_SEQUENCE].fetch_add(1, Ordering::Relaxed);
        assert!(!reader.read(&mut [0; 4]));
        // A writer that lives on repairs the page by publishing.
        page.publish(&[5, 6, 7, 8]);
        let mut content = [0; 5];
        assert!(reader.read(&mut content));
        assert_eq!(content, [5, 6, 7, 8, 0], "a word the page lacks is 0");
    }

    #[test]
    fn reader_cannot_map_a_page_for_writing() {
        let page = StatePage::new(c"test", 4).expect("memory");
        assert!(Mapping::writable(page.descriptor(), 4).is_err(), "sealed against future writing");
        let file = File::from(page.descriptor().try_clone_to_owned().expect("descriptor"));
        assert!(file.set_len(8).is_err(), "sealed against shrinking");
        assert!(
            std::os::unix::fs::FileExt::write_at(&file, &[1], 0).is_err(),
            "sealed against writing"
        );
    }

    #[test]
    fn counters_are_shared() {
        let page = CounterPage::new(c"test", 3).expect("memory");
        let reader = CounterReader::open(page.descriptor()).expect("a page");
        page.words()[1].fetch_add(7, Ordering::Relaxed);
        page.words()[2].fetch_add(u64::MAX, Ordering::Relaxed);
        assert_eq!(reader.values(), [0, 7, u64::MAX]);
        assert_eq!((reader.len(), reader.get(3)), (3, 0));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        fn check(fd: &impl AsFd, why: &str) {
            match StateReader::open(fd.as_fd()) {
                Err(PageError::NotAPage(_)) => {}
                Err(PageError::Io(error)) => panic!("{why}: {error}"),
                Ok(_) => panic!("{why}: accepted"),
            }
        }
        check(&File::open("/proc/self/status").expect("proc"), "an ordinary file");
        check(&sealed::create(c"unsealed").expect("memory"), "an unsealed file");
        check(&sealed::seal(c"other", &[0; 64]).expect("memory"), "sealed octets that are no page");
        check(
            &CounterPage::new(c"counters", 4).expect("memory").descriptor(),
            "a page of the other kind",
        );
        for words in [0, MOST_WORDS + 1, usize::MAX] {
            assert!(StatePage::new(c"size", words).is_err(), "{words} words");
        }
    }
}
