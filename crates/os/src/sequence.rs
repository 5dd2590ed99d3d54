//! The sequence lock of a shared page: one writer and any number of readers, none of which ever waits for another.
//!
//! Word 0 is the sequence, odd while a write is going on; the content follows. The words are a trait, so that the very same steps are tried in
//! every order that the memory model allows (with `loom`, below).

use std::sync::atomic::Ordering;

/// The words under one lock, for whoever reads them.
pub(crate) trait Words {
    /// Word `at`, or 0 past the end.
    fn load(&self, at: usize, order: Ordering) -> u64;

    /// [`std::sync::atomic::fence`], or what stands for it.
    fn fence(&self, order: Ordering);
}

/// The same, for the one who writes them.
pub(crate) trait OwnWords: Words {
    /// Sets word `at`; past the end nothing happens.
    fn store(&self, at: usize, value: u64, order: Ordering);
}

/// Replaces the content as one. Only one thread of one process may do this to the same words.
pub(crate) fn publish(words: &impl OwnWords, content: impl Iterator<Item = u64>) {
    // Nobody else writes, so the sequence is ours to read without ordering. A writer before may have stopped half-way: odd stays odd.
    let odd = words.load(SEQUENCE, Ordering::Relaxed).wrapping_add(1) | 1;
    words.store(SEQUENCE, odd, Ordering::Relaxed);
    // No word of the content may become visible before the odd sequence.
    words.fence(Ordering::Release);
    for (at, value) in content.enumerate() {
        words.store(CONTENT + at, value, Ordering::Relaxed);
    }
    // Nor the even sequence before the last word.
    words.store(SEQUENCE, odd.wrapping_add(1), Ordering::Release);
}

/// Copies the content out as one. False if no consistent copy was had in so many tries; `content` then holds nothing of meaning.
pub(crate) fn read(words: &impl Words, content: &mut [u64], tries: u32) -> bool {
    for _ in 0..tries {
        let before = words.load(SEQUENCE, Ordering::Acquire);
        if before & 1 == 0 {
            for (at, value) in content.iter_mut().enumerate() {
                *value = words.load(CONTENT + at, Ordering::Relaxed);
            }
            // No load above may be done after the sequence is looked at again.
            words.fence(Ordering::Acquire);
            if words.load(SEQUENCE, Ordering::Relaxed) == before {
                return true;
            }
        }
        std::hint::spin_loop();
    }
    false
}

/// How often the content was published; the same number means the same content.
pub(crate) fn generation(words: &impl Words) -> u64 {
    words.load(SEQUENCE, Ordering::Acquire) >> 1
}

/// Where the sequence stands, and where the content begins.
pub(crate) const SEQUENCE: usize = 0;
const CONTENT: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, fence};
    use loom::thread;
    use std::panic::catch_unwind;

    /// What is left out of the order on purpose.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum Mistake {
        None,
        NoFenceOfTheWriter,
        EvenSequenceRelaxed,
        FirstLookRelaxed,
        NoFenceOfTheReader,
    }

    /// Three words under loom: it tries all that may happen to them.
    struct Modelled {
        words: [AtomicU64; 3],
        mistake: Mistake,
        /// The writer stops before this store.
        stores_left: std::sync::atomic::AtomicUsize,
    }

    impl Modelled {
        fn new(mistake: Mistake, stores_left: usize) -> Arc<Self> {
            let words = [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
            Arc::new(Self { words, mistake, stores_left: stores_left.into() })
        }
    }

    impl Words for Modelled {
        fn load(&self, at: usize, order: Ordering) -> u64 {
            let is_weak = order == Ordering::Acquire && self.mistake == Mistake::FirstLookRelaxed;
            self.words[at].load(if is_weak { Ordering::Relaxed } else { order })
        }

        fn fence(&self, order: Ordering) {
            let missing = match order {
                Ordering::Release => Mistake::NoFenceOfTheWriter,
                _ => Mistake::NoFenceOfTheReader,
            };
            if self.mistake != missing {
                fence(order);
            }
        }
    }

    impl OwnWords for Modelled {
        fn store(&self, at: usize, value: u64, order: Ordering) {
            let left = self.stores_left.load(Ordering::Relaxed);
            if left == 0 {
                return;
            }
            self.stores_left.store(left - 1, Ordering::Relaxed);
            let is_weak =
                order == Ordering::Release && self.mistake == Mistake::EvenSequenceRelaxed;
            self.words[at].store(value, if is_weak { Ordering::Relaxed } else { order });
        }
    }

    /// A writer publishes 1 in both words, stopping after so many stores, while a reader reads.
    fn tries_every_order(mistake: Mistake, stores: usize) {
        loom::model(move || {
            let page = Modelled::new(mistake, stores);
            let writer = {
                let page = page.clone();
                thread::spawn(move || publish(&*page, [1; 2].into_iter()))
            };
            let mut content = [0; 2];
            // That it ends, whatever the writer does, is a part of what is tried.
            if read(&*page, &mut content, 2) {
                assert_eq!(content[0], content[1], "torn");
            }
            writer.join().expect("no panic");
            let is_over = stores == 0 || stores == STORES;
            assert_eq!(read(&*page, &mut content, 2), is_over, "once the writer is gone");
            assert!(!is_over || content == [u64::from(stores > 0); 2], "{content:?}");
            if !is_over {
                // Another one repairs it.
                page.stores_left.store(STORES, Ordering::Relaxed);
                publish(&*page, [2; 2].into_iter());
                assert!(read(&*page, &mut content, 1) && content == [2; 2], "{content:?}");
            }
        });
    }

    #[test]
    fn no_order_of_memory_shows_a_reader_half_a_content() {
        for stores in 0..=STORES {
            tries_every_order(Mistake::None, stores);
        }
    }

    #[test]
    fn each_word_of_order_that_is_left_out_is_missed() {
        for mistake in [
            Mistake::NoFenceOfTheWriter,
            Mistake::EvenSequenceRelaxed,
            Mistake::FirstLookRelaxed,
            Mistake::NoFenceOfTheReader,
        ] {
            let outcome = catch_unwind(|| tries_every_order(mistake, STORES));
            assert!(outcome.is_err(), "{mistake:?}");
        }
    }

    /// Stores of a publication of two words.
    const STORES: usize = 4;
}
