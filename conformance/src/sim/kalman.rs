//! A filter that knows what no client can, to check the world with.

use std::time::Duration;

use noonmark_clock::{Adjusted, Adjustment, NotAdjusted, Reading};
use noonmark_packet::{Header, Packet};
use noonmark_units::{Frequency, Mono, Span, Timestamp};

use super::random::Seeded;
use super::world::{Intention, Node};

/// The Kalman filter of two states, offset and frequency, told the wander of its oscillator and the least round trip of its path.
///
/// The frequency walks by `wander`² per second. A sample that took s longer than the least round trip is off by something uniform
/// in ±s/2, hence of variance s²/12. After each sample the clock is stepped and its rate set, so both states are zero again.
pub struct Informed {
    wander: f64,
    least_round_trip_s: f64,
    poll: Duration,
    servers: Vec<Asked>,
    random: Seeded,
    intentions: Vec<Intention>,
    /// Variance of the offset, covariance, variance of the frequency.
    covariance: [f64; 3],
    /// When the states were last valid.
    at: Option<Mono>,
    /// What is added to the oscillator's frequency.
    rate: f64,
}

struct Asked {
    number: usize,
    next: Mono,
    transmit: Timestamp,
    sent: Option<Timestamp>,
}

impl Informed {
    /// A filter that asks each of `servers` once in `poll`, evenly spread.
    #[must_use]
    pub fn new(
        wander: f64,
        least_round_trip_s: f64,
        poll: Duration,
        servers: &[usize],
        random: Seeded,
        now: Reading,
    ) -> Self {
        let spread = poll / u32::try_from(servers.len().max(1)).unwrap_or(1);
        let asked = servers.iter().zip(0u32..).map(|(number, turn)| Asked {
            number: *number,
            next: now.mono + spread * turn,
            transmit: Timestamp::UNSET,
            sent: None,
        });
        Self {
            wander,
            least_round_trip_s,
            poll,
            servers: asked.collect(),
            random,
            intentions: Vec::new(),
            covariance: [1e6, 0.0, 1e-2],
            at: None,
            rate: 0.0,
        }
    }

    /// The variance of the clock's error at `now`, by the filter's own reckoning: of all runs with such round trips, the mean of the
    /// error's square. `None` before the first sample.
    #[must_use]
    pub fn variance_s2(&self, now: Reading) -> Option<f64> {
        self.at.map(|at| self.predicted(now.mono.since(at).as_secs_f64())[0])
    }

    /// The covariance once the frequency has wandered for so long since the last sample.
    fn predicted(&self, seconds: f64) -> [f64; 3] {
        let [xx, xf, ff] = self.covariance;
        let q = self.wander * self.wander;
        [
            xx + 2.0 * seconds * xf + seconds * seconds * ff + q * seconds.powi(3) / 3.0,
            xf + seconds * ff + q * seconds * seconds / 2.0,
            ff + q * seconds,
        ]
    }

    /// Takes in one measurement of the clock's error; the corrections of offset and frequency it leads to.
    fn update(&mut self, error_s: f64, variance: f64) -> (f64, f64) {
        let [xx, xf, ff] = self.covariance;
        let innovation = xx + variance;
        let (gain_x, gain_f) = (xx / innovation, xf / innovation);
        self.covariance = [xx * (1.0 - gain_x), xf * (1.0 - gain_x), ff - gain_f * xf];
        (gain_x * error_s, gain_f * error_s)
    }
}

impl Node for Informed {
    fn handle_timeout(&mut self, now: Reading) {
        for asked in self.servers.iter_mut().filter(|asked| asked.next <= now.mono) {
            asked.next = asked.next + self.poll;
            asked.transmit = Timestamp::from_bits(self.random.bits());
            let datagram = Header::client(asked.transmit).to_octets().to_vec();
            self.intentions.push(Intention::Transmit { server: asked.number, datagram });
        }
    }

    fn handle_sent(&mut self, server: usize, sent: Timestamp) {
        self.servers
            .iter_mut()
            .filter(|asked| asked.number == server)
            .for_each(|asked| asked.sent = Some(sent));
    }

    fn handle_datagram(
        &mut self,
        server: usize,
        datagram: &[u8],
        received: Timestamp,
        now: Reading,
    ) {
        let Ok(answer) = Packet::parse(datagram).map(|packet| packet.header()) else { return };
        let asked = self.servers.iter_mut().find(|asked| asked.number == server);
        let Some(asked) = asked.filter(|asked| asked.transmit == answer.origin) else { return };
        let Some(sent) = asked.sent.take() else { return };
        let there_s = (answer.receive - sent).as_seconds_f64();
        let back_s = (answer.transmit - received).as_seconds_f64();
        let excess_s = ((there_s - back_s).abs() - self.least_round_trip_s).max(1e-9);
        if let Some(before) = self.at.replace(now.mono) {
            self.covariance = self.predicted(now.mono.since(before).as_secs_f64());
        }
        let (offset_s, frequency) =
            self.update(-(there_s + back_s) / 2.0, excess_s * excess_s / 12.0);
        let rate = (1.0 + self.rate) * (1.0 - frequency) - 1.0;
        self.intentions.push(Intention::Adjust(Adjustment::Rate(Frequency::from_ratio(rate))));
        self.intentions
            .push(Intention::Adjust(Adjustment::Step(Span::from_seconds_f64(-offset_s))));
    }

    fn handle_adjusted(&mut self, outcome: Result<Adjusted, NotAdjusted>, _now: Reading) {
        if let Ok(Adjusted { adjustment: Adjustment::Rate(rate), .. }) = outcome {
            self.rate = rate.as_ratio();
        }
    }

    fn handle_step(&mut self, _by: Span, _now: Reading) {
        self.covariance = [1e6, 0.0, self.covariance[2]];
    }

    fn poll_output(&mut self) -> Option<Intention> {
        (!self.intentions.is_empty()).then(|| self.intentions.remove(0))
    }

    fn deadline(&self) -> Mono {
        self.servers.iter().map(|asked| asked.next).min().unwrap_or(Mono::NEVER)
    }
}
