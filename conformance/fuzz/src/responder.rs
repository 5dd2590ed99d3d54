use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use noonmark_nts::{AnswerError, CookieKeys, Random, open_answer};
use noonmark_packet::{
    FieldKind, HEADER_LEN, Header, KissCode, Mode, Packet, ReferenceId, Trailer, Version,
};
use noonmark_server::{
    AccessRules, Action, Batch, ClockState, Counter, Counters, Envelope, Policy, RateLimit,
    RateTable, Responder, Versions,
};
use noonmark_units::{Mono, Precision, Span, Stratum, Timestamp};

use crate::cookie::{CURRENT, keys_of};
use crate::request::{Crafted, honest};
use crate::{Fault, Input};

/// Target `responder`: `octets` plan a batch of up to eight datagrams to a whole server, as they come or as requests
/// under NTS, honest or damaged, from clients that are allowed, denied or ignored.
///
/// # Panics
/// If an answer is longer than its request or answers something else; if one is authentic without reason or is missing
/// though due; if a datagram is counted twice or not at all; if a batch is answered otherwise than one by one; or if
/// datagrams that fail a check change what the next client gets.
pub fn responder(octets: &[u8]) {
    responder_through(octets, &|_, _| {});
}

/// [`responder`] with `fault` applied to answers and counts before they are looked at.
///
/// # Panics
/// As [`responder`].
pub fn responder_through(octets: &[u8], fault: Fault<'_>) {
    let mut plan = Input::new(octets);
    let server = Server::planned(&mut plan);
    let mut arrivals = Vec::new();
    while !plan.is_empty() && arrivals.len() < MOST_ARRIVALS {
        arrivals.push(Arrival::planned(&mut plan));
    }
    let mut one_batch = server.start();
    let answers = one_batch.respond(&arrivals);
    for (arrival, answer) in arrivals.iter().zip(&answers) {
        check_answer(&server, arrival, answer.as_deref(), fault);
    }
    every_datagram_has_one_fate(arrivals.len(), one_batch.counters(), fault);
    one_by_one_is_the_same(&server, &arrivals, &answers, fault);
    failures_leave_no_trace(&server, &arrivals, fault);
}

/// What one server is like; starting it twice gives two that behave alike.
struct Server {
    limited: bool,
    synchronised: bool,
    has_keys: bool,
}

/// A server at work.
struct Running {
    responder: Responder,
    state: ClockState,
    now: Timestamp,
}

/// A datagram on its way to the server.
#[derive(Clone)]
struct Arrival {
    datagram: Vec<u8>,
    peer: IpAddr,
    group: bool,
    crafted: Option<Crafted>,
}

impl Server {
    fn planned(plan: &mut Input<'_>) -> Self {
        let bits = plan.octet();
        Self { limited: bits & 1 != 0, synchronised: bits & 2 == 0, has_keys: bits & 4 == 0 }
    }

    fn start(&self) -> Running {
        let limit = RateLimit {
            interval: Duration::from_secs(1),
            burst: 2,
            leak: 0,
            table_size: 64,
            ..RateLimit::default()
        };
        let rules = [("198.51.100.0/24", Action::Deny), ("2001:db8:bad::/48", Action::Ignore)];
        let rules = rules.map(|(prefix, action)| (prefix.parse().expect("a prefix"), action));
        let policy = Policy {
            access: AccessRules::new(rules, Action::Allow),
            versions: Versions::ALL,
            rate: self.limited.then(|| RateTable::new(limit, [1, 2])),
            ..Policy::default()
        };
        // The same octets whenever asked, so that how often somebody asked makes no difference.
        let random: Box<dyn Random + Send> = Box::new(|out: &mut [u8]| out.fill(0x5a));
        let mut responder = Responder::new(Arc::new(policy), random);
        let keys: Option<Arc<CookieKeys>> = self.has_keys.then(|| Arc::new(keys_of(CURRENT)));
        responder.set_cookie_keys(keys);
        let state = if self.synchronised {
            ClockState::local(Stratum::PRIMARY, ReferenceId(*b"FUZZ"), Precision(-24))
        } else {
            ClockState::UNSYNCHRONISED
        };
        Running { responder, state, now: START }
    }
}

impl Running {
    /// Answers all arrivals as one batch; the clock moves a microsecond with each reading.
    fn respond(&mut self, arrivals: &[Arrival]) -> Vec<Option<Vec<u8>>> {
        let mut batch = Batch::new();
        for arrival in arrivals {
            let peer = SocketAddr::new(arrival.peer, 40_000);
            let envelope =
                Envelope { peer, received: self.now, group: arrival.group, truncated: false };
            assert!(batch.push(&arrival.datagram, envelope));
        }
        let now = &mut self.now;
        let mut clock = || {
            *now = *now + Span::from_nanos(1000);
            *now
        };
        self.responder.respond(&mut batch, &self.state, &mut clock, Mono(1 << 40));
        batch.slots().iter().map(|slot| slot.answer().map(<[u8]>::to_vec)).collect()
    }

    fn counters(&self) -> &Counters {
        self.responder.counters()
    }
}

impl Arrival {
    fn planned(plan: &mut Input<'_>) -> Self {
        let bits = plan.octet();
        let peer = PEERS[usize::from(bits >> 4 & 3)];
        let group = bits & 0xc0 == 0xc0;
        if bits & 1 == 0 {
            let len = usize::from(plan.number()) % 2000;
            return Self { datagram: plan.at_most(len).to_vec(), peer, group, crafted: None };
        }
        let crafted = Crafted::planned(plan);
        Self { datagram: crafted.datagram.clone(), peer, group, crafted: Some(crafted) }
    }

    fn honest(peer: IpAddr) -> Self {
        let crafted = honest();
        Self { datagram: crafted.datagram.clone(), peer, group: false, crafted: Some(crafted) }
    }

    fn plain(peer: IpAddr) -> Self {
        let header = Header::client(Timestamp::from_bits(0x1234_5678_9abc_def0));
        Self { datagram: header.to_octets().to_vec(), peer, group: false, crafted: None }
    }
}

/// What holds for the answer to one datagram, whatever it was.
fn check_answer(server: &Server, arrival: &Arrival, answer: Option<&[u8]>, fault: Fault<'_>) {
    let Some(answer) = answer else {
        assert!(!is_due(server, arrival), "an honest request got no answer");
        return;
    };
    let mut answer = answer.to_vec();
    fault("answer", &mut answer);
    assert!(answer.len() <= arrival.datagram.len(), "longer than its request");
    assert!(!arrival.group, "an answer to a group address");
    let request = Packet::parse(&arrival.datagram).expect("shorter than a header, yet answered");
    let packet = Packet::parse(&answer).expect("a header");
    assert_eq!((request.mode(), packet.mode()), (Mode::Client, Mode::Server));
    assert_eq!(packet.version(), request.version());
    assert!((Version::V1..=Version::V4).contains(&packet.version()));
    assert_eq!((packet.origin(), packet.poll()), (request.transmit(), request.poll()));
    assert!(packet.transmit() - packet.receive() > Span::ZERO);
    assert!(packet.kiss().is_some() || (packet.stratum() == 1) == server.synchronised);
    let asked = request.contents().expect("badly framed, yet answered");
    let contents = packet.contents().expect("well framed");
    assert_eq!((asked.trailer, contents.trailer), (Trailer::None, Trailer::None));
    let unique = |mut fields: noonmark_packet::Fields<'_>| {
        fields
            .find(|field| field.kind == FieldKind::UNIQUE_IDENTIFIER)
            .map(|field| field.body.to_vec())
    };
    let echoed = unique(contents.fields);
    assert_eq!(echoed, unique(asked.fields));
    let echo_len = echoed.map_or(0, |body| 4 + body.len());
    let is_plain = answer.len() == HEADER_LEN + echo_len;
    match &arrival.crafted {
        Some(crafted) if !is_plain => check_authentic(server, arrival, crafted, &answer, fault),
        // Nobody who does not know a session's keys gets more than a header and an echo.
        _ => assert!(is_plain && !is_due(server, arrival), "{packet}"),
    }
}

/// Whether authentic time must be given: to a sound request of a client that is served, by a server that can.
fn is_due(server: &Server, arrival: &Arrival) -> bool {
    let sound = arrival.crafted.as_ref().is_some_and(|crafted| crafted.is_sound);
    let served = [PEERS[0], PEERS[1]].contains(&arrival.peer) && !arrival.group;
    sound && served && server.has_keys && !server.limited
}

/// An answer longer than header and echo: it must be authentic, and its request must have been.
fn check_authentic(
    server: &Server,
    arrival: &Arrival,
    crafted: &Crafted,
    answer: &[u8],
    fault: Fault<'_>,
) {
    assert!(server.has_keys && !crafted.is_forged, "authentic without reason");
    assert!(arrival.peer != PEERS[3], "an answer to somebody ignored");
    let key = crafted.session.s2c_key();
    let mut opened = answer.to_vec();
    let authentic = open_answer(&mut opened, &crafted.unique, &key).expect("authentic");
    let denied = arrival.peer == PEERS[2];
    assert_eq!(denied, authentic.packet.kiss() == Some(KissCode::DENY));
    let cookies: Vec<_> = authentic.cookies().collect();
    assert!((1..=8).contains(&cookies.len()), "{} cookies", cookies.len());
    for cookie in cookies {
        let inside = keys_of(CURRENT).open(cookie).expect("a cookie of ours");
        assert!(inside.aead() == crafted.session.aead() && inside.c2s() == crafted.session.c2s());
        assert!(inside.s2c() == crafted.session.s2c());
    }
    // One bit changed anywhere, and a client believes nothing of it.
    let mut damaged = answer.to_vec();
    let at = crafted.bit / 8 % damaged.len();
    damaged[at] ^= 1 << (crafted.bit % 8);
    fault("answer damaged", &mut damaged);
    let read = open_answer(&mut damaged, &crafted.unique, &key).map(|_| ());
    assert!(
        read.is_err_and(|error| !matches!(error, AnswerError::EncryptedFraming(_))),
        "octet {at}"
    );
}

fn every_datagram_has_one_fate(arrivals: usize, counters: &Counters, fault: Fault<'_>) {
    let fates = Counter::ALL.into_iter().filter(|counter| counter.is_fate());
    let mut fates: Vec<u8> = fates.map(|fate| counters.get(fate) as u8).collect(); // MOST_ARRIVALS at most
    fault("fates", &mut fates);
    assert_eq!(fates.into_iter().map(usize::from).sum::<usize>(), arrivals);
    assert_eq!(counters.get(Counter::Received), arrivals as u64);
}

/// A batch is answered as its datagrams would be alone, but for the time it says. Without a limit, that is: a batch looks at
/// all plain requests before it opens cookies, and so draws on a limit in another order.
fn one_by_one_is_the_same(
    server: &Server,
    arrivals: &[Arrival],
    answers: &[Option<Vec<u8>>],
    fault: Fault<'_>,
) {
    if server.limited {
        return;
    }
    let mut running = server.start();
    for (arrival, together) in arrivals.iter().zip(answers) {
        let alone = running.respond(std::slice::from_ref(arrival)).pop().flatten();
        let mut alone = alone.map(|answer| shape(&answer)).unwrap_or_default();
        fault("answer alone", &mut alone);
        assert_eq!(together.as_deref().map(shape).unwrap_or_default(), alone);
    }
}

/// The length and the first octets of an answer: leap, version, mode, stratum, poll, precision, kiss code.
fn shape(answer: &[u8]) -> Vec<u8> {
    let len = (answer.len() as u16).to_be_bytes();
    [&len[..], answer.get(..16).unwrap_or(&[]), answer.get(24..32).unwrap_or(&[])].concat()
}

/// After the datagrams that failed a check, an honest client gets to the octet what it gets from a server that never
/// saw them.
///
/// What failed for the sake of its octets leaves no trace at all. A cookie or a tag that is not good proves nothing, so
/// its answer (NTSN) counts as any plain one of that address; authentic requests are not touched by it.
fn failures_leave_no_trace(server: &Server, arrivals: &[Arrival], fault: Fault<'_>) {
    // Judged without a limit: silence because of a limit is no failure.
    let unlimited = Server { limited: false, ..*server }.start().respond(arrivals);
    let is_ntsn = |answer: &[u8]| {
        Packet::parse(answer).is_ok_and(|answer| answer.kiss() == Some(KissCode::NTSN))
    };
    let failed = |answer: &Option<Vec<u8>>| answer.as_deref().is_none_or(is_ntsn);
    let (mut failures, mut negative) = (Vec::new(), false);
    for (arrival, answer) in arrivals.iter().zip(&unlimited).filter(|(_, answer)| failed(answer)) {
        failures.push(arrival.clone());
        negative |= answer.is_some();
    }
    let mut next = vec![Arrival::honest(PEERS[0])];
    if !negative {
        next.push(Arrival::plain(PEERS[0]));
    }
    let mut used = server.start();
    used.respond(&failures);
    used.now = START;
    let fresh = server.start().respond(&next);
    for (after, fresh) in used.respond(&next).into_iter().zip(fresh) {
        let (mut after, mut fresh) = (after.unwrap_or_default(), fresh.unwrap_or_default());
        fault("answer to the next", &mut after);
        if negative {
            // The answers given taught the server how long its work takes, so the time may differ.
            (after, fresh) = (shape(&after), shape(&fresh));
        }
        assert_eq!(after, fresh);
    }
}

const START: Timestamp = Timestamp::from_bits(0xea00_0000_8000_0000);
const MOST_ARRIVALS: usize = 8;
/// Two clients that are served, one that is denied, one that is ignored.
const PEERS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1)),
];
