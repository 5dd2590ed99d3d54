//! The page in which a hypervisor counts copies and interruptions of this machine (`struct vmclock_abi` of linux/vmclock-abi.h; the same
//! as UAPI.13).
//!
//! | octets | field |
//! |---|---|
//! | 0..4 | magic, `"VCLK"` |
//! | 4..8 | size of the region |
//! | 8..10 | version, 1 |
//! | 12..16 | sequence count, odd while the page is written |
//! | 16..24 | disruption marker |
//! | 24..32 | flags; bit 7: the generation counter is there |
//! | 104..112 | generation counter |
//!
//! Numbers are little-endian.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{Ordering, fence};

use crate::mapping::ReadOnly;

/// What a hypervisor counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Another value: this is a copy, or was restored. Not every hypervisor counts that.
    pub generation: Option<u64>,
    /// Another value: the oscillator is another one, or was interrupted.
    pub disruption: Option<u64>,
}

/// The page, for as long as this lives.
pub(super) struct Vmclock(ReadOnly);

impl Vmclock {
    /// Maps the page, if the file there is one.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        // Of a device nothing is taken away; a file that is too short would be a fault to read.
        if metadata.is_file() && metadata.len() < (WORDS * size_of::<u64>()) as u64 {
            return None;
        }
        let page = Self(ReadOnly::new(file.as_fd(), WORDS).ok()?);
        let (head, version) = (page.word(0), page.word(1) & 0xffff);
        let (magic, size) = (head & 0xffff_ffff, head >> 32);
        (magic == MAGIC && size >= SHORTEST && version == 1).then_some(page)
    }

    /// The counters, if their writer let them be read.
    pub(super) fn read(&self) -> Option<Counters> {
        (0..TRIES).find_map(|_| {
            let before = self.sequence();
            // What follows is read after the count.
            fence(Ordering::Acquire);
            let has_generation = self.word(FLAGS) & GENERATION_PRESENT != 0;
            let counters = Counters {
                generation: has_generation.then(|| self.word(GENERATION)),
                disruption: Some(self.word(DISRUPTION)),
            };
            // And before it is read again.
            fence(Ordering::Acquire);
            (before & 1 == 0 && self.sequence() == before).then_some(counters)
        })
    }

    fn sequence(&self) -> u64 {
        self.word(1) >> 32
    }

    fn word(&self, place: usize) -> u64 {
        u64::from_le(self.0.load(place, Ordering::Relaxed))
    }
}

/// `VMCLOCK_MAGIC`.
const MAGIC: u64 = 0x4b4c_4356;
/// The fields looked at, in octets, and in words.
const SHORTEST: u64 = 112;
const WORDS: usize = 14;
const DISRUPTION: usize = 2;
const FLAGS: usize = 3;
const GENERATION: usize = 13;
/// `VMCLOCK_FLAG_VM_GEN_COUNTER_PRESENT`.
const GENERATION_PRESENT: u64 = 1 << 7;
/// The page is written in less time than this takes; if not, there is another look in a second.
const TRIES: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// A file laid out like the page, gone when dropped.
    struct Made(std::path::PathBuf, File);

    impl Made {
        fn new(name: &str) -> Self {
            let name = format!("noonmark-vmclock-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let file = File::create_new(&path).expect("a new name");
            file.set_len(4096).expect("room");
            let made = Self(path, file);
            made.put(0, b"VCLK");
            made.put(4, &4096_u32.to_le_bytes());
            made.put(8, &1_u16.to_le_bytes());
            made.put(16, &5_u64.to_le_bytes());
            made
        }

        fn put(&self, at: u64, octets: &[u8]) {
            self.1.write_all_at(octets, at).expect("room");
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn counters_are_where_the_layout_has_them() {
        let made = Made::new("layout");
        let page = Vmclock::open(&made.0).expect("a page");
        let check = |generation, disruption| {
            let expected = Counters { generation, disruption: Some(disruption) };
            assert_eq!(page.read(), Some(expected));
        };
        check(None, 5);
        made.put(104, &77_u64.to_le_bytes());
        check(None, 5);
        made.put(24, &(1_u64 << 7).to_le_bytes());
        check(Some(77), 5);
        made.put(16, &6_u64.to_le_bytes());
        check(Some(77), 6);
        // Its writer stopped half-way: nothing is said, and nobody hangs.
        made.put(12, &3_u32.to_le_bytes());
        assert_eq!(page.read(), None);
        made.put(12, &4_u32.to_le_bytes());
        check(Some(77), 6);
    }

    #[test]
    fn what_is_no_page_is_not_taken_for_one() {
        let check = |name: &str, change: &dyn Fn(&Made)| {
            let made = Made::new(name);
            assert!(Vmclock::open(&made.0).is_some());
            change(&made);
            assert!(Vmclock::open(&made.0).is_none(), "{name}");
        };
        check("magic", &|made| made.put(0, b"VCLL"));
        check("size", &|made| made.put(4, &96_u32.to_le_bytes()));
        check("version", &|made| made.put(8, &2_u16.to_le_bytes()));
        check("short", &|made| made.1.set_len(100).expect("shorter"));
        assert!(Vmclock::open(Path::new("/nonexistent")).is_none());
        assert!(Vmclock::open(Path::new("/dev/null")).is_none());
    }
}
