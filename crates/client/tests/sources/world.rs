//! A network in virtual time: servers that answer or do not, a resolver, key establishment, and a keeper that writes down.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use noonmark_client::{
    Action, Endpoint, Family, KeFailure, Keep, SourceEvent, SourceKind, SourceSpec, Sources,
};
use noonmark_clock::{Adjusted, NotAdjusted, Output, Reading, Sample, SourceId, SourceOptions};
use noonmark_nts::{Aead, Agreement, Random, SessionKeys};
use noonmark_packet::{Header, Leap, Mode, Packet, ReferenceId};
use noonmark_units::{Mono, PollExponent, Precision, Short, Span, Timestamp};

/// What the keeper was told, and what it is to say next.
#[derive(Default)]
pub struct Notes {
    pub sources: BTreeSet<SourceId>,
    /// What was said of them last.
    pub options: BTreeMap<SourceId, SourceOptions>,
    pub samples: Vec<(SourceId, Sample)>,
    pub unanswered: Vec<SourceId>,
    pub steps: Vec<Span>,
    pub resumes: usize,
    pub adjusted: usize,
    pub false_ones: BTreeSet<SourceId>,
    pub say: VecDeque<Output>,
}

#[derive(Clone, Default)]
pub struct Notebook(pub Rc<RefCell<Notes>>);

impl Keep for Notebook {
    fn add_source(&mut self, id: SourceId, options: SourceOptions, _: Reading) {
        self.0.borrow_mut().options.insert(id, options);
        assert!(self.0.borrow_mut().sources.insert(id), "{id:?} is added twice");
    }

    fn set_options(&mut self, id: SourceId, options: SourceOptions, _: Reading) {
        assert!(self.0.borrow().sources.contains(&id), "{id:?} was never added");
        self.0.borrow_mut().options.insert(id, options);
    }

    fn remove_source(&mut self, id: SourceId, _: Reading) {
        assert!(self.0.borrow_mut().sources.remove(&id), "{id:?} was never added");
    }

    fn handle_sample(&mut self, id: SourceId, sample: &Sample, _: Reading) {
        let mut notes = self.0.borrow_mut();
        assert!(notes.sources.contains(&id), "a sample of {id:?}, which was not added");
        notes.samples.push((id, *sample));
    }

    fn handle_unanswered(&mut self, id: SourceId, _: Reading) {
        let mut notes = self.0.borrow_mut();
        assert!(notes.sources.contains(&id), "{id:?} was not added");
        notes.unanswered.push(id);
    }

    fn handle_adjusted(&mut self, _: &Result<Adjusted, NotAdjusted>, _: Reading) {
        self.0.borrow_mut().adjusted += 1;
    }

    fn handle_step(&mut self, by: Span, _: Reading) {
        self.0.borrow_mut().steps.push(by);
    }

    fn handle_resume(&mut self, _: Reading) {
        self.0.borrow_mut().resumes += 1;
    }

    fn handle_timeout(&mut self, _: Reading) {}

    fn deadline(&self) -> Mono {
        Mono::NEVER
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.0.borrow_mut().say.pop_front()
    }

    fn is_false(&self, id: SourceId, _: Reading) -> bool {
        self.0.borrow().false_ones.contains(&id)
    }
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    Answers,
    Silent,
    NoRoute,
    Kisses([u8; 4]),
    /// Gets its time from this reference id.
    Follows([u8; 4]),
    /// Is at this stratum.
    At(u8),
}

pub struct World {
    pub sources: Sources<Notebook>,
    pub notes: Notebook,
    pub now: Mono,
    /// Our clock is ahead of the virtual time by so much.
    pub clock_error: Span,
    pub round_trip: Duration,
    /// Where questions leave.
    pub own_address: IpAddr,
    pub servers: BTreeMap<SocketAddr, Manner>,
    pub names: BTreeMap<String, Vec<SocketAddr>>,
    /// Key-establishment servers and the NTP servers they name.
    pub key_servers: BTreeMap<String, Result<SocketAddr, KeFailure>>,
    arrivals: Vec<(Mono, SourceId, Vec<u8>)>,
    /// When and where questions went.
    pub questions: Vec<(Mono, SocketAddr, Vec<u8>)>,
    pub lookups: Vec<(Mono, String)>,
    pub establishments: Vec<(Mono, String)>,
    pub events: Vec<(Mono, SourceEvent)>,
}

pub const START: Mono = Mono(5_000_000_000);

impl World {
    pub fn new(specs: Vec<SourceSpec>, prepare: impl FnOnce(&mut Setting)) -> Self {
        let mut setting = Setting::default();
        prepare(&mut setting);
        let notes = Notebook::default();
        let now = Reading { mono: START, real: clock(START, Span::ZERO) };
        let sources = Sources::new(specs, notes.clone(), Precision(-25), random(7), now);
        let mut world = Self {
            sources,
            notes,
            now: START,
            clock_error: Span::ZERO,
            round_trip: Duration::from_millis(20),
            own_address: IpAddr::from([192, 0, 2, 50]),
            servers: setting.servers,
            names: setting.names,
            key_servers: setting.key_servers,
            arrivals: Vec::new(),
            questions: Vec::new(),
            lookups: Vec::new(),
            establishments: Vec::new(),
            events: Vec::new(),
        };
        world.carry_out();
        world
    }

    pub fn reading(&self) -> Reading {
        Reading { mono: self.now, real: clock(self.now, self.clock_error) }
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut in_place = 0;
        loop {
            let arrival = self.arrivals.iter().map(|(at, ..)| *at).min().unwrap_or(Mono::NEVER);
            let deadline = self.sources.deadline();
            let next = arrival.min(deadline);
            if next > end {
                self.now = end;
                return;
            }
            in_place = if next > self.now { 0 } else { in_place + 1 };
            assert!(in_place < 100, "the deadline does not move on");
            self.now = self.now.max(next);
            let reading = self.reading();
            if arrival <= deadline {
                let place = self.arrivals.iter().position(|(at, ..)| *at == arrival).expect("one");
                let (_, id, datagram) = self.arrivals.remove(place);
                self.sources.handle_datagram(id, &datagram, reading.real, reading);
            } else {
                self.sources.handle_timeout(reading);
            }
            self.carry_out();
        }
    }

    /// Does what the sources want, at once.
    pub fn carry_out(&mut self) {
        while let Some(action) = self.sources.poll_output() {
            let reading = self.reading();
            match action {
                Action::Transmit { id, to, datagram } => {
                    self.questions.push((self.now, to, datagram.clone()));
                    match self.servers.get(&to).copied().unwrap_or(Manner::Silent) {
                        Manner::NoRoute => {
                            let servers = &self.servers;
                            let has_way = |to| servers.get(&to) != Some(&Manner::NoRoute);
                            self.sources.handle_no_route(id, has_way, reading);
                        }
                        manner => {
                            self.sources.handle_sent(id, reading.real);
                            self.sources.handle_local_address(id, self.own_address);
                            if let Some(answer) = self.answer(manner, &datagram) {
                                self.arrivals.push((self.now + self.round_trip, id, answer));
                            }
                        }
                    }
                }
                Action::Resolve { endpoint, family } => {
                    self.lookups.push((self.now, endpoint.host.clone()));
                    let mut found = self.names.get(&endpoint.host).cloned().unwrap_or_default();
                    found.retain(|address| match family {
                        Family::Any => true,
                        Family::V4 => address.is_ipv4(),
                        Family::V6 => address.is_ipv6(),
                    });
                    self.sources.handle_resolved(&endpoint, family, &found, reading);
                }
                Action::Rekey { id, endpoint, .. } => {
                    self.establishments.push((self.now, endpoint.host.clone()));
                    let outcome = self.key_servers.get(&endpoint.host).copied();
                    match outcome.unwrap_or(Err(KeFailure::Unreachable)) {
                        Ok(server) => {
                            self.sources.handle_agreement(id, agreement(), server, reading);
                        }
                        Err(failure) => self.sources.handle_ke_failure(id, failure, reading),
                    }
                }
                Action::Adjust(adjustment) => {
                    let adjusted = Ok(Adjusted { adjustment, at: reading });
                    self.sources.handle_adjusted(&adjusted, reading);
                }
                Action::Told(event) => self.events.push((self.now, event)),
            }
        }
    }

    fn answer(&self, manner: Manner, question: &[u8]) -> Option<Vec<u8>> {
        let packet = Packet::parse(question).expect("a question");
        let stamp = clock(self.now + self.round_trip / 2, Span::ZERO);
        let mut header = Header {
            leap: Leap::None,
            version: noonmark_packet::Version::V4,
            mode: Mode::Server,
            stratum: 2,
            poll: PollExponent(6),
            precision: Precision(-20),
            root_delay: Short::from_bits(1 << 10),
            root_dispersion: Short::from_bits(1 << 8),
            reference_id: ReferenceId([192, 0, 2, 77]),
            reference_time: stamp - Span::from_seconds(10),
            origin: packet.transmit(),
            receive: stamp,
            transmit: stamp,
        };
        match manner {
            Manner::Answers => {}
            Manner::Silent | Manner::NoRoute => return None,
            Manner::Kisses(code) => {
                header.stratum = 0;
                header.reference_id = ReferenceId(code);
            }
            Manner::Follows(id) => header.reference_id = ReferenceId(id),
            Manner::At(stratum) => header.stratum = stratum,
        }
        if question.len() > 48 {
            return Some(sealed(question, &header));
        }
        Some(header.to_octets().to_vec())
    }

    /// The servers asked since `since`.
    pub fn asked_since(&self, since: Mono) -> BTreeSet<SocketAddr> {
        self.questions.iter().filter(|(at, ..)| *at >= since).map(|(_, to, _)| *to).collect()
    }

    /// When this server was asked.
    pub fn times(&self, server: &str) -> Vec<Duration> {
        let server: SocketAddr = server.parse().expect("an address");
        self.questions
            .iter()
            .filter(|(_, to, _)| *to == server)
            .map(|(at, ..)| at.since(START))
            .collect()
    }

    pub fn removals(&self) -> Vec<noonmark_client::Removal> {
        let removal = |(_, event): &(Mono, SourceEvent)| match event {
            SourceEvent::Removed { why, .. } => Some(*why),
            _ => None,
        };
        self.events.iter().filter_map(removal).collect()
    }
}

/// What there is before anything is asked.
#[derive(Default)]
pub struct Setting {
    servers: BTreeMap<SocketAddr, Manner>,
    names: BTreeMap<String, Vec<SocketAddr>>,
    key_servers: BTreeMap<String, Result<SocketAddr, KeFailure>>,
}

impl Setting {
    pub fn server(&mut self, address: &str, manner: Manner) {
        self.servers.insert(address.parse().expect("an address"), manner);
    }

    pub fn name(&mut self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().expect("an address")).collect();
        self.names.insert(name.to_owned(), addresses);
    }

    pub fn key_server(&mut self, name: &str, outcome: Result<&str, KeFailure>) {
        let outcome = outcome.map(|address| address.parse().expect("an address"));
        self.key_servers.insert(name.to_owned(), outcome);
    }
}

/// A source of the default options.
pub fn spec(kind: SourceKind) -> SourceSpec {
    SourceSpec::new(kind)
}

pub fn server(host: &str) -> SourceSpec {
    spec(SourceKind::Server(Endpoint::new(host, 123)))
}

pub fn pool(name: &str) -> SourceSpec {
    spec(SourceKind::Pool { name: Endpoint::new(name, 123), max_sources: 4 })
}

fn clock(mono: Mono, error: Span) -> Timestamp {
    Timestamp::from_bits(0xee00_0000 << 32) + Span::from_nanos(mono.0.cast_signed()) + error
}

fn keys() -> SessionKeys {
    SessionKeys::new(Aead::SivCmac256, &[3; 32], &[4; 32]).expect("right length")
}

fn agreement() -> Agreement {
    Agreement {
        keys: keys(),
        alternative: None,
        cookies: (0..8).map(|n| vec![n; 100]).collect(),
        server: None,
        port: 123,
        compliant_export: false,
        certificates: Vec::new(),
    }
}

/// The answer to a protected question, with as many cookies as it asked for.
fn sealed(question: &[u8], header: &Header) -> Vec<u8> {
    let packet = Packet::parse(question).expect("a packet");
    let noonmark_nts::Request::Protected(found) =
        noonmark_nts::classify(&packet).expect("a request")
    else {
        panic!("not protected")
    };
    let fields = noonmark_packet::Packet::parse(question)
        .expect("a packet")
        .contents()
        .expect("framed")
        .fields;
    let unique = fields
        .clone()
        .find(|field| field.kind == noonmark_packet::FieldKind::UNIQUE_IDENTIFIER)
        .expect("an identifier")
        .body
        .to_vec();
    let wanted =
        noonmark_nts::open_request(&mut question.to_vec(), &found, &keys()).expect("a right tag");
    let mut text = Vec::new();
    for number in 0..wanted {
        text.extend(noonmark_packet::FieldKind::NTS_COOKIE.0.to_be_bytes());
        text.extend(104_u16.to_be_bytes());
        text.extend([u8::try_from(number).expect("few"); 100]);
    }
    let mut buffer = vec![0; 2048];
    let mut writer = noonmark_packet::PacketWriter::new(&mut buffer, header).expect("room");
    writer.field(noonmark_packet::FieldKind::UNIQUE_IDENTIFIER, &unique).expect("room");
    let body_len = 4 + 16 + text.len() + 16;
    writer
        .field_over(noonmark_packet::FieldKind::NTS_AUTHENTICATOR, body_len, |before, body| {
            let nonce = [0x5a; 16];
            let tag = keys().s2c_key().seal(before, &nonce, &mut text).expect("a good nonce");
            let mut octets = 16_u16.to_be_bytes().to_vec();
            octets.extend(u16::try_from(text.len() + 16).expect("short").to_be_bytes());
            octets.extend(nonce);
            octets.extend(tag.iter().chain(&text));
            body.copy_from_slice(&octets);
        })
        .expect("room");
    let len = writer.len();
    buffer.truncate(len);
    buffer
}

/// A generator of tests: xorshift64*, the same octets each time.
pub fn random(seed: u64) -> Box<dyn Random + Send> {
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
