//! What a server says of its answers beside what the wire says: when each left, and how long it took.
//!
//! Both are judged by the stamp the kernel gives an answer as it comes out at the generator's end of the wire. Over a pair of virtual interfaces
//! that is within the call that sends it, some 0.2 µs after the server's driver has taken it, for every server alike; and it is the clock that
//! servers read, since there is only one.

use std::time::Duration;

use noonmark_packet::Packet;
use noonmark_units::{Timestamp, UnixTime};
use serde::Serialize;

use crate::material::Material;

/// Readings of one run.
pub struct Times {
    /// When each of the last requests was sent, since 1970 in ns, at its number modulo [`PENDING`].
    sent: Box<[u64]>,
    /// By how much each answer left after the transmit time in it, ns.
    late: Vec<i64>,
    /// From sending a request to its answer's coming out of the wire, ns.
    delay: Vec<i64>,
}

impl Times {
    /// Room for so many answers, made at once, so that taking a reading never waits for memory.
    pub fn new(answers: usize) -> Self {
        // Filled rather than reserved: a page that is touched for the first time costs microseconds.
        let column = || {
            let mut column = vec![1; answers];
            column.clear();
            column
        };
        Self { sent: vec![0; PENDING].into(), late: column(), delay: column() }
    }

    /// Requests from `first` on, so many, are given to the kernel at `now`, since 1970.
    pub fn sending(&mut self, first: u64, count: usize, now: Duration) {
        for n in first..first + count as u64 {
            self.sent[n as usize % PENDING] = now.as_nanos() as u64;
        }
    }

    /// Forgets the readings so far.
    pub fn forget(&mut self) {
        self.late.clear();
        self.delay.clear();
    }

    /// Takes the readings of an answer that came out of the wire at `stamp`, since 1970, when so many requests had been sent. What does not fit any more,
    /// or answers nothing, is left out.
    pub fn take(&mut self, material: &Material, answer: &[u8], stamp: Duration, sent: u64) {
        if self.late.len() == self.late.capacity() {
            return;
        }
        let Ok(packet) = Packet::parse(answer) else { return };
        self.late.push((timestamp(stamp) - packet.transmit()).as_nanos());
        if let Some(n) = material.latest(answer, sent) {
            let since = stamp.as_nanos() as u64;
            self.delay.push(since.wrapping_sub(self.sent[n as usize % PENDING]).cast_signed());
        }
    }

    /// By how much answers left after their transmit time.
    pub fn late(&mut self) -> Option<Spread> {
        Spread::of(&mut self.late)
    }

    /// How long answers took.
    pub fn delay(&mut self) -> Option<Spread> {
        Spread::of(&mut self.delay)
    }
}

fn timestamp(since_1970: Duration) -> Timestamp {
    let seconds = since_1970.as_secs().cast_signed();
    Timestamp::from_unix(UnixTime { seconds, nanos: since_1970.subsec_nanos() })
}

/// What many readings come to, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    /// How many there are.
    pub readings: usize,
    /// Mean of the middle 99 of 100: what lies beyond is the machine being taken away, for milliseconds at a time.
    pub mean_ns: f64,
    /// Standard deviation of the same.
    pub sd_ns: f64,
    /// Mean of all of them.
    pub mean_of_all_ns: f64,
    /// One in a hundred is below.
    pub p1_ns: i64,
    /// Half of them are below.
    pub p50_ns: i64,
    /// One in a hundred is above.
    pub p99_ns: i64,
    /// One in a thousand is above.
    pub p999_ns: i64,
}

impl Spread {
    /// Of readings in any order, which are sorted; none of none.
    pub fn of(readings: &mut [i64]) -> Option<Self> {
        readings.sort_unstable();
        let count = readings.len();
        let left_out = count / 200;
        let middle = readings.get(left_out..count - left_out).filter(|rest| !rest.is_empty())?;
        let mean = |of: &[i64]| of.iter().map(|x| *x as f64).sum::<f64>() / of.len() as f64;
        let mean_ns = mean(middle);
        let squares = middle.iter().map(|x| (*x as f64 - mean_ns).powi(2)).sum::<f64>();
        let below = |thousandths: usize| readings[(count - 1) * thousandths / 1000];
        Some(Self {
            readings: count,
            mean_ns,
            sd_ns: (squares / middle.len() as f64).sqrt(),
            mean_of_all_ns: mean(readings),
            p1_ns: below(10),
            p50_ns: below(500),
            p99_ns: below(990),
            p999_ns: below(999),
        })
    }
}

/// Since 1970, by the clock the kernel stamps with.
pub fn now() -> Duration {
    let now = noonmark_os::clock::realtime();
    Duration::new(now.seconds.cast_unsigned(), now.nanos)
}

/// Requests whose time of sending is remembered: more than are under way at any time.
const PENDING: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_packet::{HEADER_LEN, Header, Mode};

    fn answer(origin: Timestamp, transmit: Timestamp) -> [u8; HEADER_LEN] {
        let header = Header { mode: Mode::Server, origin, transmit, ..Header::client(transmit) };
        header.to_octets()
    }

    #[test]
    fn an_answer_is_read_against_the_wire_and_against_its_request() {
        let (mut times, material) = (Times::new(2), Material::Plain);
        let asked = Duration::new(1_800_000_000, 999_999_000);
        times.sending(6, 2, asked);
        let mut room = [0; HEADER_LEN];
        let request = material.request(7, &mut room).to_vec();
        let origin = Packet::parse(&request).unwrap().transmit();
        let transmit = timestamp(asked + Duration::from_nanos(30_000));
        for left_after in [2_500, 500, 7] {
            let stamp = asked + Duration::from_nanos(30_000 + left_after);
            times.take(&material, &answer(origin, transmit), stamp, 8);
        }
        let (late, delay) = (times.late().unwrap(), times.delay().unwrap());
        assert_eq!((late.readings, late.mean_ns.round(), late.sd_ns.round()), (2, 1500.0, 1000.0));
        assert_eq!((delay.readings, delay.p1_ns, delay.mean_ns), (2, 30_500, 31_500.0));
        times.forget();
        assert!(times.late().is_none());
    }

    #[test]
    fn one_in_two_hundred_at_either_end_is_left_out_of_the_middle() {
        let mut readings: Vec<i64> = (0..1000).map(|n| n % 2).collect();
        readings[..5].fill(9_000_000);
        let spread = Spread::of(&mut readings).unwrap();
        assert!((spread.mean_ns - 0.5).abs() < 0.01 && (spread.sd_ns - 0.5).abs() < 0.01);
        assert!(spread.mean_of_all_ns > 40_000.0 && spread.p999_ns == 9_000_000);
        assert!(Spread::of(&mut []).is_none());
    }
}
