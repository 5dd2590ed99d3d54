//! The association against a server in virtual time, honest and hostile.

mod interleaved;
mod kisses;
mod nts;
mod pace;
mod plain;
mod server;

use std::time::Duration;

use noonmark_client::{Association, Output, Plan, Settings};
use noonmark_nts::Random;
use noonmark_units::{Mono, Precision, Span, Timestamp};

/// An association and its time, with everything it put out so far still to be looked at.
struct Rig {
    association: Association,
    now: Mono,
}

impl Rig {
    fn plain(plan: Plan) -> Self {
        let now = Mono(5_000_000_000);
        Self { association: Association::plain(settings(plan), random(1), now), now }
    }

    fn nts(plan: Plan) -> Self {
        let now = Mono(5_000_000_000);
        Self { association: Association::nts(settings(plan), random(1), now), now }
    }

    /// Our clock: the virtual time since some day in 2026.
    fn clock(&self) -> Timestamp {
        Timestamp::from_bits(0xee00_0000 << 32) + Span::from_nanos(self.now.0.cast_signed())
    }

    /// Lets time pass to the deadline and hands it over.
    fn time_out(&mut self) -> Vec<Output> {
        let deadline = self.association.deadline();
        assert_ne!(deadline, Mono::NEVER, "nothing to wait for");
        self.now = self.now.max(deadline);
        self.association.handle_timeout(self.now);
        self.drain()
    }

    /// Lets time pass until a question goes out, and sends it. What came before it is dropped.
    fn question(&mut self) -> Vec<u8> {
        for _ in 0..10 {
            for output in self.time_out() {
                if let Output::Transmit(datagram) = output {
                    self.association.handle_sent(self.clock());
                    return datagram;
                }
            }
        }
        panic!("no question goes out");
    }

    /// A datagram arrives a millisecond later.
    fn arrive(&mut self, datagram: &[u8]) -> Vec<Output> {
        self.now = self.now + Duration::from_millis(1);
        self.association.handle_datagram(datagram, self.clock(), self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.association.poll_output()).collect()
    }
}

fn settings(plan: Plan) -> Settings {
    Settings::new(plan, Precision(-25))
}

fn count(questions: u32) -> Plan {
    Plan::Count { questions, spacing: Duration::from_secs(2) }
}

fn every(seconds: u64) -> Plan {
    Plan::Continuous { interval: Duration::from_secs(seconds) }
}

/// A generator of tests: xorshift64*, the same octets each time.
fn random(seed: u64) -> Box<dyn Random + Send> {
    let mut state = seed | 1;
    Box::new(move |out: &mut [u8]| {
        for octet in out {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            *octet = (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8;
        }
    })
}

/// The names of the outputs, for comparing.
fn names(outputs: &[Output]) -> Vec<String> {
    outputs
        .iter()
        .map(|output| match output {
            Output::Transmit(_) => "transmit".to_owned(),
            Output::Measured(_) => "measured".to_owned(),
            Output::Rekey => "rekey".to_owned(),
            Output::Refused(refusal) => refusal.name().to_owned(),
            Output::Kiss { code, authenticated: true } => format!("kiss {code} authenticated"),
            Output::Kiss { code, authenticated: false } => format!("kiss {code}"),
            Output::LengthFilterSuspected => "length filter".to_owned(),
            Output::Unanswered => "unanswered".to_owned(),
            Output::Done => "done".to_owned(),
            Output::GiveUp(_) => "give up".to_owned(),
        })
        .collect()
}
