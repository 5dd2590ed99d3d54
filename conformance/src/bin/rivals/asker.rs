use std::time::Duration;

use noonmark_clock::{Adjusted, Adjustment, NotAdjusted, Reading};
use noonmark_conformance::sim::{Intention, Node, Seeded};
use noonmark_packet::{Header, Packet};
use noonmark_units::{Frequency, Mono, Span, Timestamp};

/// What one filter makes of one server.
pub trait Filter: Default {
    /// Takes in a measurement.
    fn take_in(&mut self, measured: &Measured);

    /// What it makes of all it has taken in, at an instant of the oscillator; `None` while that is too little.
    fn estimate(&self, at_s: f64) -> Option<Estimate>;

    /// One estimate of several that agree, none of them empty.
    fn combine(agreeing: &[Estimate]) -> (f64, f64);
}

/// An answer, on the time of an oscillator that nobody corrects.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The middle between question and answer.
    pub at_s: f64,
    /// The server's clock less the oscillator's.
    pub offset_s: f64,
    /// The round trip, less what the server took.
    pub delay_s: f64,
}

/// What a filter makes of a server: state and covariance, and how far from the truth the server may be.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub offset_s: f64,
    pub frequency: f64,
    /// Variance of the offset, covariance, variance of the frequency.
    pub covariance: [f64; 3],
    pub radius_s: f64,
}

/// Asks all servers every 64 s and puts the clock, at once, where the filters of the majority say.
pub struct Asker<F> {
    servers: Vec<Asked<F>>,
    random: Seeded,
    intentions: Vec<Intention>,
    /// Both clocks when last looked at, and when the ledger was opened.
    last: Reading,
    first: Reading,
    /// From this monotonic instant on the clock runs at this rate; the oscillator's time then.
    since: (Mono, f64),
    rate: f64,
}

struct Asked<F> {
    filter: F,
    next: Mono,
    transmit: Timestamp,
    /// On the oscillator's time.
    sent_s: Option<f64>,
}

impl<F: Filter> Asker<F> {
    /// An asker of so many servers, evenly spread over the interval.
    pub fn new(servers: usize, random: Seeded, now: Reading) -> Self {
        let spread = INTERVAL / u32::try_from(servers.max(1)).unwrap_or(1);
        let asked = (0..).take(servers).map(|turn: u32| Asked {
            filter: F::default(),
            next: now.mono + spread * turn,
            transmit: Timestamp::UNSET,
            sent_s: None,
        });
        Self {
            servers: asked.collect(),
            random,
            intentions: Vec::new(),
            last: now,
            first: now,
            since: (now.mono, 0.0),
            rate: 0.0,
        }
    }

    fn raw_s(&self, mono: Mono) -> f64 {
        let (since, raw_s) = self.since;
        raw_s + mono.since(since).as_secs_f64() / (1.0 + self.rate)
    }

    fn correct(&mut self, now: Reading) {
        let at_s = self.raw_s(now.mono);
        let known: Vec<Estimate> =
            self.servers.iter().filter_map(|asked| asked.filter.estimate(at_s)).collect();
        let agreeing = majority(&known);
        if agreeing.is_empty() {
            return;
        }
        let (offset_s, frequency) = F::combine(&agreeing);
        let error = Span::from_seconds_f64(at_s + offset_s) - (now.real - self.first.real);
        self.intentions.push(Intention::Adjust(Adjustment::Rate(Frequency::from_ratio(frequency))));
        self.intentions.push(Intention::Adjust(Adjustment::Step(error)));
    }
}

/// Those whose intervals hold the point that most of them hold; none if that is no majority.
fn majority(known: &[Estimate]) -> Vec<Estimate> {
    let holding = |x_s: f64| -> Vec<Estimate> {
        known.iter().copied().filter(|one| (one.offset_s - x_s).abs() <= one.radius_s).collect()
    };
    let lower_ends = known.iter().map(|one| one.offset_s - one.radius_s * (1.0 - 1e-9));
    let most = lower_ends.map(holding).max_by_key(Vec::len).unwrap_or_default();
    if 2 * most.len() > known.len() { most } else { Vec::new() }
}

impl<F: Filter> Node for Asker<F> {
    fn handle_timeout(&mut self, now: Reading) {
        self.last = now;
        for (server, asked) in self.servers.iter_mut().enumerate() {
            if asked.next > now.mono {
                continue;
            }
            asked.next = asked.next + INTERVAL;
            asked.transmit = Timestamp::from_bits(self.random.bits());
            let datagram = Header::client(asked.transmit).to_octets().to_vec();
            self.intentions.push(Intention::Transmit { server, datagram });
        }
    }

    fn handle_sent(&mut self, server: usize, sent: Timestamp) {
        let mono = self.last.mono + (sent - self.last.real).to_duration();
        let sent_s = Some(self.raw_s(mono));
        if let Some(asked) = self.servers.get_mut(server) {
            asked.sent_s = sent_s;
        }
    }

    fn handle_datagram(
        &mut self,
        server: usize,
        datagram: &[u8],
        _received: Timestamp,
        now: Reading,
    ) {
        self.last = now;
        let came_s = self.raw_s(now.mono);
        let Ok(answer) = Packet::parse(datagram).map(|packet| packet.header()) else { return };
        let Some(asked) = self.servers.get_mut(server) else { return };
        if asked.transmit != answer.origin {
            return;
        }
        let Some(sent_s) = asked.sent_s.take() else { return };
        let at_s = f64::midpoint(sent_s, came_s);
        let held_s = (answer.transmit - answer.receive).as_seconds_f64();
        let middle_s = (answer.receive - self.first.real).as_seconds_f64() + held_s / 2.0;
        asked.filter.take_in(&Measured {
            at_s,
            offset_s: middle_s - at_s,
            delay_s: (came_s - sent_s - held_s).max(0.0),
        });
        self.correct(now);
    }

    fn handle_adjusted(&mut self, outcome: Result<Adjusted, NotAdjusted>, now: Reading) {
        if let Ok(Adjusted { adjustment: Adjustment::Rate(rate), at }) = outcome {
            self.since = (at.mono, self.raw_s(at.mono));
            self.rate = rate.as_ratio();
        }
        self.last = now;
    }

    fn handle_step(&mut self, _by: Span, now: Reading) {
        self.last = now;
    }

    fn poll_output(&mut self) -> Option<Intention> {
        (!self.intentions.is_empty()).then(|| self.intentions.remove(0))
    }

    fn deadline(&self) -> Mono {
        self.servers.iter().map(|asked| asked.next).min().unwrap_or(Mono::NEVER)
    }
}

const INTERVAL: Duration = Duration::from_secs(64);
