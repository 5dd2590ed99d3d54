//! The program under test, as a node of the world.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use noonmark_client::{Action, Endpoint, SourceEvent, SourceKind, SourceSpec, Sources};
use noonmark_clock::{
    Adjusted, Keeper, NotAdjusted, Reading, Settings, SourceId, SourceOptions, StepRule,
};
use noonmark_units::{Mono, Span, Timestamp};

use super::random::Seeded;
use super::variant::Variant;
use super::world::{Intention, Node};

/// The program under test as it runs on a real machine: every association, selection, filter and discipline, with the world in
/// the place of sockets and kernel.
pub struct Daemon {
    sources: Sources<Keeper>,
    /// Which source asks each server, by the server's number.
    askers: Vec<SourceId>,
    /// What the sources had to tell.
    told: Vec<SourceEvent>,
}

impl Daemon {
    /// A daemon that asks each of `servers` servers as the variant says.
    #[must_use]
    pub fn new(variant: &Variant, servers: usize, random: Seeded, now: Reading) -> Self {
        let specs = (0..servers).map(|server| spec(variant, server)).collect();
        Self::with(specs, settings(variant), variant, random, now)
    }

    /// A daemon with sources and rules of its own; sources are to be told by the addresses of [`address`].
    #[must_use]
    pub fn with(
        specs: Vec<SourceSpec>,
        settings: Settings,
        variant: &Variant,
        random: Seeded,
        now: Reading,
    ) -> Self {
        let keeper = Keeper::new(settings, None, now);
        Self {
            sources: Sources::new(specs, keeper, variant.precision, Box::new(random), now),
            askers: Vec::new(),
            told: Vec::new(),
        }
    }

    /// The keeper of the clock, for observers.
    #[must_use]
    pub fn keeper(&self) -> &Keeper {
        self.sources.keeper()
    }

    /// What the sources had to tell so far.
    #[must_use]
    pub fn told(&self) -> &[SourceEvent] {
        &self.told
    }

    fn asker(&self, server: usize) -> Option<SourceId> {
        self.askers.get(server).copied()
    }

    fn note_asker(&mut self, server: usize, id: SourceId) {
        if self.askers.len() <= server {
            self.askers.resize(server + 1, id);
        }
        if let Some(asker) = self.askers.get_mut(server) {
            *asker = id;
        }
    }
}

impl Node for Daemon {
    fn handle_timeout(&mut self, now: Reading) {
        self.sources.handle_timeout(now);
    }

    fn handle_sent(&mut self, server: usize, sent: Timestamp) {
        if let Some(id) = self.asker(server) {
            self.sources.handle_sent(id, sent);
        }
    }

    fn handle_datagram(
        &mut self,
        server: usize,
        datagram: &[u8],
        received: Timestamp,
        now: Reading,
    ) {
        if let Some(id) = self.asker(server) {
            self.sources.handle_datagram(id, datagram, received, now);
        }
    }

    fn handle_adjusted(&mut self, outcome: Result<Adjusted, NotAdjusted>, now: Reading) {
        self.sources.handle_adjusted(&outcome, now);
    }

    fn handle_step(&mut self, by: Span, now: Reading) {
        self.sources.handle_step(by, now);
    }

    fn poll_output(&mut self) -> Option<Intention> {
        loop {
            match self.sources.poll_output()? {
                Action::Transmit { id, to, datagram } => {
                    let server = number(to)?;
                    self.note_asker(server, id);
                    return Some(Intention::Transmit { server, datagram });
                }
                Action::Adjust(adjustment) => return Some(Intention::Adjust(adjustment)),
                Action::Told(event) => self.told.push(event),
                Action::Resolve { .. } | Action::Rekey { .. } => {}
            }
        }
    }

    fn deadline(&self) -> Mono {
        self.sources.deadline()
    }

    fn interval(&self, now: Reading) -> Option<(Timestamp, Timestamp)> {
        let tracking = self.keeper().tracking(now);
        Some((tracking.earliest, tracking.latest))
    }
}

/// The source a variant makes of a server.
#[must_use]
pub fn spec(variant: &Variant, server: usize) -> SourceSpec {
    let kind = SourceKind::Server(Endpoint::new(address(server).ip().to_string(), PORT));
    let options = SourceOptions {
        min_poll: variant.min_poll,
        max_poll: variant.max_poll,
        ..SourceOptions::default()
    };
    SourceSpec {
        options,
        initial_burst: variant.iburst,
        interleaved: variant.xleave,
        ..SourceSpec::new(kind)
    }
}

/// The rules a variant gives.
#[must_use]
pub fn settings(variant: &Variant) -> Settings {
    let steps = variant.step.map_or(StepRule::NEVER, |rule| StepRule {
        threshold: Some(rule.threshold),
        updates: rule.updates,
    });
    Settings { steps, ..Settings::default() }
}

/// The address of a server of the world, by its number: one of a network for documentation (RFC 2544).
#[must_use]
pub fn address(server: usize) -> SocketAddr {
    let [.., high, low] = (server as u64 + 1).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, high, low)), PORT)
}

/// The number of the server with this address.
fn number(address: SocketAddr) -> Option<usize> {
    let IpAddr::V4(v4) = address.ip() else { return None };
    let [_, _, high, low] = v4.octets();
    usize::from(u16::from_be_bytes([high, low])).checked_sub(1)
}

const PORT: u16 = 123;
