//! The program under test, as a node of the world.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use noonmark_client::{Action, Endpoint, KeFailure, SourceEvent, SourceKind, SourceSpec, Sources};
use noonmark_clock::leap::{Handling, LeapSecond};
use noonmark_clock::{
    Adjusted, Keeper, Memory, NotAdjusted, Reading, Settings, SourceId, SourceOptions, StepRule,
};
use noonmark_nts::Agreement;
use noonmark_units::{Mono, Precision, Span, Timestamp};

use super::random::Seeded;
use super::variant::Variant;
use super::world::{Intention, Node};

/// What a daemon starts with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whom to ask. Servers are told by the addresses of [`address`].
    pub specs: Vec<SourceSpec>,
    /// The keeper's rules.
    pub settings: Settings,
    /// What is remembered from before.
    pub memory: Option<Memory>,
    /// What the machine's clock is taken to be as precise as.
    pub precision: Precision,
}

impl Setup {
    /// As a variant says, with so many servers.
    #[must_use]
    pub fn new(variant: &Variant, servers: usize) -> Self {
        Self {
            specs: (0..servers).map(|server| spec(variant, server)).collect(),
            settings: settings(variant),
            memory: None,
            precision: variant.precision,
        }
    }
}

/// The program under test as it runs on a real machine: every association, selection, filter and discipline, with the world in
/// the place of sockets and kernel.
pub struct Daemon {
    sources: Sources<Keeper>,
    /// Which source asks each server, by the server's number.
    askers: Vec<SourceId>,
    /// What the sources had to tell.
    told: Vec<SourceEvent>,
    key_exchange: Option<KeyExchange>,
    /// Who waits for keys, by the number of the errand, and from which server.
    rekeying: Vec<(SourceId, usize)>,
}

/// What key establishment with a server, by its number, comes to.
pub type KeyExchange = Box<dyn FnMut(usize) -> Option<Agreement>>;

impl Daemon {
    /// A daemon that starts now.
    #[must_use]
    pub fn new(setup: Setup, random: Seeded, now: Reading) -> Self {
        let Setup { specs, settings, memory, precision } = setup;
        let keeper = Keeper::new(settings, memory, now);
        Self {
            sources: Sources::new(specs, keeper, precision, Box::new(random), now),
            askers: Vec::new(),
            told: Vec::new(),
            key_exchange: None,
            rekeying: Vec::new(),
        }
    }

    /// Lets it establish keys; without this every attempt fails.
    pub fn set_key_exchange(&mut self, key_exchange: KeyExchange) {
        self.key_exchange = Some(key_exchange);
    }

    /// How often it has set out to establish keys.
    #[must_use]
    pub fn key_exchanges(&self) -> usize {
        self.rekeying.len()
    }

    /// Says what leap second comes, as the process that has the clock does.
    pub fn plan_leap(&mut self, leap: Option<LeapSecond>, handling: Handling, now: Reading) {
        self.sources.plan_leap(leap, handling, now);
    }

    /// Asks other sources from now on, as after a reload of the configuration.
    pub fn reconfigure(&mut self, setup: Setup, now: Reading) {
        self.sources.set_rules(setup.settings, now);
        self.sources.reconfigure(setup.specs, &[], now);
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

    /// The number of the server this source asks, once it has.
    #[must_use]
    pub fn server_of(&self, id: SourceId) -> Option<usize> {
        self.askers.iter().position(|asker| *asker == id)
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

    fn handle_errand(&mut self, errand: u64, now: Reading) {
        let place = usize::try_from(errand).unwrap_or(usize::MAX);
        let Some(&(id, server)) = self.rekeying.get(place) else { return };
        match self.key_exchange.as_mut().and_then(|exchange| exchange(server)) {
            Some(agreement) => {
                self.sources.handle_agreement(id, agreement, address(server), now);
            }
            None => self.sources.handle_ke_failure(id, KeFailure::Unreachable, now),
        }
    }

    fn poll_output(&mut self) -> Option<Intention> {
        loop {
            match self.sources.poll_output()? {
                Action::Transmit { id, to, datagram } => {
                    let server = number(to.ip())?;
                    self.note_asker(server, id);
                    return Some(Intention::Transmit { server, datagram });
                }
                Action::Adjust(adjustment) => return Some(Intention::Adjust(adjustment)),
                Action::Told(event) => self.told.push(event),
                Action::Rekey { id, endpoint, .. } => {
                    let server = endpoint.host.parse().ok().and_then(number)?;
                    self.rekeying.push((id, server));
                    let number = self.rekeying.len() as u64 - 1;
                    return Some(Intention::Errand { number, takes_s: KEY_EXCHANGE_S });
                }
                Action::Resolve { .. } => {}
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
fn number(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(v4) = address else { return None };
    let [_, _, high, low] = v4.octets();
    usize::from(u16::from_be_bytes([high, low])).checked_sub(1)
}

const PORT: u16 = 123;
/// How long a key exchange takes, in true seconds.
const KEY_EXCHANGE_S: f64 = 0.1;
