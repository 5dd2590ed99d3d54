//! When past answers really left, until their clients ask for it (RFC 9769 §2): a table of fixed size that all threads share without a lock.

mod line;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use noonmark_os::zeroed::Zeroed;
use noonmark_units::Timestamp;

use crate::siphash::siphash_1_3;

/// For clients in interleaved mode, the true transmit times of the answers they have had.
///
/// A time is found by the client's address, without its port, and the receive stamp that was in the answer; it is had once. What a
/// client proves counts too: nobody can use up the times of an NTS client without its keys.
///
/// For each client there is a line of 64 octets, with room for four times. Which line, and who has a time in it, comes from a keyed
/// hash, so nobody outside can choose stamps that meet. A new time takes the place of one that was had, else of the oldest in its line; who
/// comes for one that is gone is answered in basic mode and has a new one. Memory is taken up as lines are first used, and never more.
///
/// Threads share the table with relaxed atomics: the seal of a time is the time and its finder combined, so that what two
/// threads have written half each fits nobody. A chance of 2^-64 for each time that is looked at remains.
pub struct PastAnswers {
    words: Zeroed,
    lines: usize,
    key: [u64; 2],
}

/// Who has had an answer, or asks about one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Asker {
    pub(crate) address: IpAddr,
    /// Whether the request was authenticated by NTS.
    pub(crate) is_proven: bool,
}

impl PastAnswers {
    /// A table for so many clients, rounded up to a power of two; each takes 64 octets. `key` must be unknown to clients.
    ///
    /// # Errors
    /// What the kernel answers who wants that much memory.
    pub fn new(clients: usize, key: [u64; 2]) -> io::Result<Self> {
        let lines = clients.max(1).checked_next_power_of_two();
        let words = lines.and_then(|lines| lines.checked_mul(line::WORDS));
        let (Some(lines), Some(words)) = (lines, words) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        Ok(Self { words: Zeroed::new(words)?, lines, key })
    }

    /// Octets it takes up at most.
    pub fn memory(&self) -> usize {
        size_of_val(self.words.words())
    }

    /// Keeps the time at which an answer left that had the receive stamp `receive`; both as answers have them. `transmit` is even.
    pub(crate) fn remember(&self, asker: Asker, receive: Timestamp, transmit: Timestamp) {
        let (line, print) = self.find(asker, receive);
        line::remember(&line, print, transmit.to_bits());
    }

    /// When the answer left whose receive stamp was `receive`. Nobody is told again.
    pub(crate) fn take(&self, asker: Asker, receive: Timestamp) -> Option<Timestamp> {
        let (line, print) = self.find(asker, receive);
        line::take(&line, print).map(Timestamp::from_bits)
    }

    /// The line in which a time is to be found, and its print there.
    fn find(&self, asker: Asker, receive: Timestamp) -> (Line<'_>, u64) {
        let address = match asker.address.to_canonical() {
            IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
            IpAddr::V6(address) => u128::from(address),
        };
        // Our receive stamps are odd, so that bit says nothing.
        let stamp = receive.to_bits() & !1;
        let words = [(address >> 64) as u64, address as u64, stamp | u64::from(asker.is_proven)];
        let print = siphash_1_3(self.key, words);
        // Mixed with the stamp once more, so that the line is not a part of the print: two that have the same print by chance are in two lines.
        let place = (print ^ stamp.wrapping_mul(GOLDEN)) >> 24;
        let first = (place as usize & (self.lines - 1)) * line::WORDS;
        let words = self.words.words().get(first..).and_then(<[_]>::first_chunk);
        (Line(words.unwrap_or(&NO_LINE)), print)
    }
}

struct Line<'a>(&'a [AtomicU64; line::WORDS]);

impl line::Words for Line<'_> {
    fn load(&self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn store(&self, at: usize, value: u64) {
        if let Some(word) = self.0.get(at) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn exchange(&self, at: usize, old: u64, new: u64) -> bool {
        let Some(word) = self.0.get(at) else { return false };
        word.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Never used: the mask is one less than the number of lines.
static NO_LINE: [AtomicU64; line::WORDS] = [const { AtomicU64::new(0) }; line::WORDS];
/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(address: [u8; 4]) -> Asker {
        Asker { address: address.into(), is_proven: false }
    }

    const fn stamp(bits: u64) -> Timestamp {
        Timestamp::from_bits(bits)
    }

    #[test]
    fn a_time_is_for_one_client_and_for_once() {
        let past = PastAnswers::new(16, [1, 2]).unwrap();
        let client = asker([192, 0, 2, 1]);
        let six = Asker { address: "2001:db8::1".parse().unwrap(), ..client };
        assert_eq!(past.take(client, stamp(0x1001)), None);
        past.remember(client, stamp(0x1001), stamp(0x1100));
        assert_eq!(past.take(asker([192, 0, 2, 2]), stamp(0x1001)), None, "another address");
        assert_eq!(past.take(six, stamp(0x1001)), None, "another family");
        let proven = Asker { is_proven: true, ..client };
        assert_eq!(past.take(proven, stamp(0x1001)), None, "with other rights");
        assert_eq!(past.take(client, stamp(0x1003)), None, "another stamp");
        assert_eq!(past.take(client, stamp(0x1001)), Some(stamp(0x1100)));
        assert_eq!(past.take(client, stamp(0x1001)), None, "once");
    }

    #[test]
    fn an_ipv4_address_is_the_same_within_ipv6() {
        let past = PastAnswers::new(16, [1, 2]).unwrap();
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        past.remember(Asker { address: mapped, is_proven: true }, stamp(9), stamp(12));
        let client = Asker { is_proven: true, ..asker([192, 0, 2, 1]) };
        assert_eq!(past.take(client, stamp(9)), Some(stamp(12)));
    }

    #[test]
    fn sizes_are_rounded_up_and_impossible_ones_refused() {
        let check = |clients, octets| {
            assert_eq!(PastAnswers::new(clients, [1, 2]).unwrap().memory(), octets, "{clients}");
        };
        check(0, 64);
        check(1, 64);
        check(100_000, 8 << 20);
        check(1 << 20, 64 << 20);
        assert!(PastAnswers::new(usize::MAX, [1, 2]).is_err());
    }

    /// As many clients as the table is for, each with one time: how many of them find theirs.
    #[test]
    fn nearly_all_clients_find_their_times_in_a_full_table() {
        let clients = 1 << 14;
        let past = PastAnswers::new(clients as usize, [3, 4]).unwrap();
        let client = |number: u32| asker((0x0a00_0000 | number).to_be_bytes());
        let mut found = 0;
        for round in 0..3_u64 {
            let at = |number: u32| (round << 40) + (u64::from(number) << 20);
            if round > 0 {
                let before = |number| stamp(at(number) - (1 << 40) + 1);
                let take = |number: &u32| past.take(client(*number), before(*number)).is_some();
                found = (0..clients).filter(take).count();
            }
            for number in 0..clients {
                past.remember(client(number), stamp(at(number) + 1), stamp(at(number) + 4096));
            }
        }
        // A line is too small where five of a mean of one meet (Poisson): 4 in 1000 are lost.
        assert!(found >= clients as usize * 99 / 100, "{found} of {clients}");
    }

    #[test]
    fn threads_get_what_was_kept_or_nothing() {
        let past = PastAnswers::new(1, [1, 2]).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..3_u8 {
                let past = &past;
                scope.spawn(move || {
                    let client = asker([10, 0, 0, thread]);
                    for turn in 1..20_000_u64 {
                        let (receive, left) =
                            (turn * 1000 + 1, turn * 1000 + u64::from(thread) * 2);
                        past.remember(client, stamp(receive), stamp(left));
                        let taken = past.take(client, stamp(receive));
                        assert!(taken.is_none_or(|taken| taken == stamp(left)), "{taken:?}");
                    }
                });
            }
        });
    }
}
