//! One line of the table of past answers: what threads do to it, in steps that need no order of memory and no lock.
//!
//! A place is two words, a time and a seal. The seal is the time combined with the print of who may have it, so it belongs to this time and no
//! other: whatever two threads leave behind that write to one place at once, or a third reads while they do, is either what one of them
//! wrote or fits nobody. The words are a trait, so that the very same steps are tried in every order that the memory model allows (with
//! `loom`, below).

/// The words of one line.
pub(super) trait Words {
    /// Word `at`, 0 to [`WORDS`] - 1.
    fn load(&self, at: usize) -> u64;

    /// Sets a word.
    fn store(&self, at: usize, value: u64);

    /// Sets a word to `new` if it is `old`, as one step. False if it is not.
    fn exchange(&self, at: usize, old: u64, new: u64) -> bool;
}

/// Keeps `time` for whoever comes with `print`, in the place of what is worth least.
///
/// A print that is here already was given out twice. It does not tell any more which answer is meant, so nobody gets anything for it.
pub(super) fn remember(line: &impl Words, print: u64, time: u64) {
    let mut least = (0, u64::MAX);
    for place in 0..PLACES {
        let (kept, seal) = read(line, place);
        if is_of(print, kept, seal) {
            if kept != SPENT {
                spend(line, place, print, kept);
            }
            return;
        }
        let worth = worth(kept, time);
        if worth < least.1 {
            least = (place, worth);
        }
    }
    line.store(time_of(least.0), time);
    line.store(seal_of(least.0), print ^ time);
}

/// The time kept for `print`, which nobody gets again.
pub(super) fn take(line: &impl Words, print: u64) -> Option<u64> {
    let mut taken = None;
    for place in 0..PLACES {
        let (kept, seal) = read(line, place);
        if is_of(print, kept, seal) && kept != SPENT && spend(line, place, print, kept) {
            taken = Some(kept);
        }
    }
    taken
}

/// Of all who try at once, one gets true.
fn spend(line: &impl Words, place: usize, print: u64, kept: u64) -> bool {
    let is_ours = line.exchange(seal_of(place), print ^ kept, print ^ SPENT);
    if is_ours {
        line.store(time_of(place), SPENT);
    }
    is_ours
}

fn read(line: &impl Words, place: usize) -> (u64, u64) {
    (line.load(time_of(place)), line.load(seal_of(place)))
}

fn is_of(print: u64, kept: u64, seal: u64) -> bool {
    kept != EMPTY && kept ^ seal == print
}

/// What is lost if a place is given to something that is of `now`: nothing, the memory of what is spent, or a time, and of these rather one that
/// lies far back or, since the clock was set back, ahead.
fn worth(kept: u64, now: u64) -> u64 {
    let age = now.wrapping_sub(kept).cast_signed();
    match kept {
        EMPTY => 0,
        SPENT => 1,
        _ if age < -SECOND => 2,
        _ => u64::MAX - 1 - age.max(0).cast_unsigned(),
    }
}

const fn time_of(place: usize) -> usize {
    2 * place
}

const fn seal_of(place: usize) -> usize {
    2 * place + 1
}

/// A cache line of 64 octets.
pub(super) const WORDS: usize = 8;
const PLACES: usize = WORDS / 2;
/// Neither is the time of an answer: those are even, and not 0.
const EMPTY: u64 = 0;
const SPENT: u64 = 1;
/// In 2^-32 s.
const SECOND: i64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;
    use std::cell::Cell;
    use std::panic::catch_unwind;

    /// What is left out on purpose.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    enum Mistake {
        None,
        /// A seal that does not have the time in it.
        BareSeal,
        /// Looked at and set in two steps.
        TwoSteps,
    }

    /// A line under loom, which tries all that may happen to it. All places but the first are taken by what is worth more than anything
    /// here, so that threads meet in one.
    struct Line {
        words: [AtomicU64; 2],
        mistake: Mistake,
    }

    /// One thread's sight of it.
    struct Sight {
        line: Arc<Line>,
        /// The time this thread last read or wrote, which a seal without it is completed with.
        time: Cell<u64>,
    }

    impl Sight {
        fn part(&self) -> u64 {
            if self.line.mistake == Mistake::BareSeal { self.time.get() } else { 0 }
        }
    }

    impl Words for Sight {
        fn load(&self, at: usize) -> u64 {
            match at {
                0 => {
                    self.time.set(self.line.words[0].load(Ordering::Relaxed));
                    self.time.get()
                }
                1 => self.line.words[1].load(Ordering::Relaxed) ^ self.part(),
                at if at % 2 == 0 => NEWEST,
                _ => 0xdead_beef,
            }
        }

        fn store(&self, at: usize, value: u64) {
            if at == 0 {
                self.time.set(value);
                self.line.words[0].store(value, Ordering::Relaxed);
            } else {
                assert_eq!(at, 1, "another place was worth less");
                self.line.words[1].store(value ^ self.part(), Ordering::Relaxed);
            }
        }

        fn exchange(&self, at: usize, old: u64, new: u64) -> bool {
            let word = &self.line.words[at];
            let (old, new) = (old ^ self.part(), new ^ self.part());
            if self.line.mistake == Mistake::TwoSteps {
                let is_old = word.load(Ordering::Relaxed) == old;
                if is_old {
                    word.store(new, Ordering::Relaxed);
                }
                return is_old;
            }
            word.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        }
    }

    fn sights<const N: usize>(mistake: Mistake) -> [Sight; N] {
        let words = [AtomicU64::new(0), AtomicU64::new(0)];
        let line = Arc::new(Line { words, mistake });
        [(); N].map(|()| Sight { line: line.clone(), time: Cell::new(0) })
    }

    /// Two threads remember an answer each, in the same place, while somebody asks for the first: he gets its time or nothing.
    fn writers_meet(mistake: Mistake) {
        loom::model(move || {
            let [one, other, asker] = sights(mistake);
            let threads = [(one, ONE), (other, OTHER)]
                .map(|(sight, (print, time))| thread::spawn(move || remember(&sight, print, time)));
            let first = take(&asker, ONE.0);
            for thread in threads {
                thread.join().expect("no panic");
            }
            let second = take(&asker, ONE.0);
            for taken in [first, second] {
                assert!(taken.is_none_or(|time| time == ONE.1), "the time of another answer");
            }
            assert!(first.is_none() || second.is_none(), "taken twice");
        });
    }

    /// Two threads get the same request: one of them takes the time, the other gets nothing.
    fn askers_meet(mistake: Mistake) {
        loom::model(move || {
            let [keeper, one, other] = sights(mistake);
            remember(&keeper, ONE.0, ONE.1);
            let thread = thread::spawn(move || take(&one, ONE.0));
            let second = take(&other, ONE.0);
            let first = thread.join().expect("no panic");
            let taken: Vec<u64> = first.into_iter().chain(second).collect();
            assert_eq!(taken, [ONE.1]);
            assert_eq!(take(&keeper, ONE.0), None, "spent");
            remember(&keeper, ONE.0, OTHER.1);
            assert_eq!(take(&keeper, ONE.0), None, "the same stamp again");
        });
    }

    /// Somebody asks while the place is given to another answer: he gets his time, once, or nothing; the other gets his or nothing.
    fn asker_meets_writer(mistake: Mistake) {
        loom::model(move || {
            let [keeper, writer, asker] = sights(mistake);
            remember(&keeper, ONE.0, ONE.1);
            let thread = thread::spawn(move || remember(&writer, OTHER.0, OTHER.1));
            let first = take(&asker, ONE.0);
            thread.join().expect("no panic");
            assert!(first.is_none_or(|time| time == ONE.1), "{first:?}");
            let second = take(&keeper, ONE.0);
            assert!(second.is_none_or(|time| time == ONE.1 && first.is_none()), "taken twice");
            let other = take(&keeper, OTHER.0);
            assert!(other.is_none_or(|time| time == OTHER.1), "{other:?}");
        });
    }

    #[test]
    fn no_order_of_memory_gives_anybody_the_time_of_another_or_one_time_twice() {
        writers_meet(Mistake::None);
        askers_meet(Mistake::None);
        asker_meets_writer(Mistake::None);
    }

    #[test]
    fn each_part_that_is_left_out_is_missed() {
        let check = |mistake, model: fn(Mistake)| {
            assert!(catch_unwind(|| model(mistake)).is_err(), "{mistake:?}");
        };
        check(Mistake::BareSeal, writers_meet);
        check(Mistake::TwoSteps, askers_meet);
    }

    /// A line that one thread has for itself.
    struct Plain([Cell<u64>; WORDS]);

    impl Words for Plain {
        fn load(&self, at: usize) -> u64 {
            self.0[at].get()
        }

        fn store(&self, at: usize, value: u64) {
            self.0[at].set(value);
        }

        fn exchange(&self, at: usize, old: u64, new: u64) -> bool {
            let is_old = self.0[at].get() == old;
            if is_old {
                self.0[at].set(new);
            }
            is_old
        }
    }

    #[test]
    fn what_is_worth_least_makes_room() {
        let line = Plain(std::array::from_fn(|_| Cell::new(0)));
        let at = |seconds: u64| seconds << 32;
        for (print, seconds) in [(11, 100), (12, 90), (13, 120), (14, 110)] {
            remember(&line, print, at(seconds));
        }
        // The oldest goes first, or what is spent, or the first of those that are ahead of the clock, which was set back.
        remember(&line, 15, at(130));
        assert_eq!(take(&line, 12), None);
        assert_eq!(take(&line, 13), Some(at(120)));
        remember(&line, 16, at(140));
        assert_eq!([11, 14, 15].map(|print| held(&line, print)), [true; 3]);
        remember(&line, 17, at(105));
        let left = [11, 14, 15, 16, 17].map(|print| held(&line, print));
        assert_eq!(left, [true, true, false, true, true]);
        // The end of an era is no end of time.
        let line = Plain(std::array::from_fn(|_| Cell::new(0)));
        for (print, time) in [(21, at(2)), (22, u64::MAX - 1), (23, at(4)), (24, at(6))] {
            remember(&line, print, time);
        }
        remember(&line, 25, at(8));
        assert_eq!([21, 22, 23].map(|print| held(&line, print)), [true, false, true]);
    }

    fn held(line: &Plain, print: u64) -> bool {
        (0..PLACES).any(|place| {
            let (kept, seal) = read(line, place);
            is_of(print, kept, seal) && kept != SPENT
        })
    }

    #[test]
    fn a_stamp_that_is_given_out_twice_tells_nothing() {
        let line = Plain(std::array::from_fn(|_| Cell::new(0)));
        remember(&line, 7, 1000);
        remember(&line, 7, 2000);
        assert_eq!(take(&line, 7), None);
        remember(&line, 7, 3000);
        assert_eq!(take(&line, 7), None, "not even later");
        assert_eq!(take(&line, 0), None, "an empty place is nobody's");
    }

    const ONE: (u64, u64) = (0x1111_2222_3333_4444, 0xe900_0000_0000_1000);
    const OTHER: (u64, u64) = (0x9876_5432_1234_5678, 0xe900_0000_0000_2002);
    const NEWEST: u64 = 0xe900_0000_0000_3004;
}
