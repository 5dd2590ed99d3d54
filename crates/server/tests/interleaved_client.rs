//! Interleaved mode over the loopback interface: our client is told by our server what the kernel said.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use noonmark_client::{Association, Exchange, Output, Plan, Settings};
use noonmark_os::clock;
use noonmark_os::page::{CounterPage, CounterReader};
use noonmark_os::random::RandomPool;
use noonmark_packet::ReferenceId;
use noonmark_server::frontend::{ClockSource, Frontend, Listening, Pages, Service, Sockets};
use noonmark_server::{ClockState, Counter, PastAnswers, Policy};
use noonmark_units::{Mono, Precision, Span, Stratum, Timestamp};

const THREADS: usize = 2;

struct Server {
    frontend: Frontend,
    address: SocketAddr,
    counters: CounterReader,
}

impl Server {
    fn start(address: &str, interleaved: bool) -> Self {
        let listening = Listening {
            addresses: vec![address.parse().expect("an address")],
            interfaces: Vec::new(),
            dscp: 0,
            threads: THREADS,
        };
        let sockets = Sockets::open(&listening, None).expect("sockets");
        let (address, _) = sockets.bound().next().expect("bound");
        let past = interleaved.then(|| PastAnswers::new(1024, [1, 2]).expect("memory"));
        let local = ClockState::local(Stratum::PRIMARY, ReferenceId(*b"LOCL"), Precision(-24));
        let service = Service {
            policy: Arc::new(Policy { interleaved: past, ..Policy::default() }),
            cookies: None,
            clock: ClockSource::Fixed(local),
        };
        let page = Arc::new(CounterPage::new(c"test", THREADS * Counter::COUNT).expect("memory"));
        let counters = CounterReader::open(page.descriptor()).expect("a page");
        let pages = Pages { counters: Some(page), pulse: None };
        let sockets = sockets.duplicates().expect("descriptors");
        let frontend = Frontend::start(sockets, THREADS, service, pages).expect("threads");
        Self { frontend, address, counters }
    }

    /// Ends it, and says how often it counted these.
    fn stop<const N: usize>(self, counters: [Counter; N]) -> [u64; N] {
        let of_thread = |thread, counter| thread * Counter::COUNT + counter as usize;
        self.frontend.stop();
        counters.map(|counter| (0..THREADS).map(|n| self.counters.get(of_thread(n, counter))).sum())
    }
}

/// A client that asks from a new port each time, so that either thread may get the question; its own time goes as fast as it can.
struct Client {
    association: Association,
    now: Mono,
    server: SocketAddr,
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        let plan = Plan::Continuous { interval: Duration::from_secs(16) };
        let settings = Settings { interleaved: true, ..Settings::new(plan, Precision(-24)) };
        let mut pool = RandomPool::new().expect("random octets");
        let random = Box::new(move |out: &mut [u8]| pool.fill(out));
        let now = Mono(1 << 40);
        Self { association: Association::plain(settings, random, now), now, server }
    }

    /// Asks once and hands the answer over. What was measured by it, if anything was.
    fn ask(&mut self) -> Option<Exchange> {
        self.now = self.now.max(self.association.deadline());
        self.association.handle_timeout(self.now);
        let Some(Output::Transmit(request)) = self.association.poll_output() else {
            panic!("a question is due");
        };
        let any = if self.server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(any).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
        self.association.handle_sent(now());
        socket.send_to(&request, self.server).expect("sent");
        let mut answer = [0; 128];
        let (len, _) = socket.recv_from(&mut answer).expect("an answer");
        self.association.handle_datagram(&answer[..len], now(), self.now);
        match self.association.poll_output() {
            None => None,
            Some(Output::Measured(exchange)) => Some(exchange),
            other => panic!("{other:?}"),
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix(clock::realtime())
}

fn check(address: &str) {
    const QUESTIONS: u64 = 40;
    let server = Server::start(address, true);
    let mut client = Client::new(server.address);
    let mut told = 0;
    for number in 0..QUESTIONS {
        let measured = client.ask();
        if !client.association.is_interleaved() {
            continue;
        }
        assert!(number >= 2, "nothing was kept for the first two");
        // The first one that tells, tells what has been measured already.
        let Some(Exchange { origin, receive, transmit, destination, .. }) = measured else {
            continue;
        };
        told += 1;
        // All of one clock: asked, received, left, came, in this order. Below its precision (60 ns) a receive stamp is left to chance.
        assert!(receive - origin > -Span::from_nanos(60), "{}", receive - origin);
        assert!(transmit - receive > -Span::from_nanos(60), "{}", transmit - receive);
        assert!(destination - transmit >= Span::ZERO, "{}", destination - transmit);
    }
    // A stamp that is late (a thread that was interrupted) costs one basic answer.
    assert!(told >= QUESTIONS / 2, "{told} of {QUESTIONS}");
    let counters =
        [Counter::AnsweredInterleaved, Counter::DeparturesAwaited, Counter::DeparturesKnown];
    let [interleaved, awaited, known] = server.stop(counters);
    assert!(interleaved > told && interleaved <= QUESTIONS - 2, "{interleaved}");
    assert!(awaited == QUESTIONS - 1 && known >= interleaved, "{awaited} awaited, {known} known");
}

#[test]
fn our_client_is_told_when_answers_left() {
    check("127.0.0.1:0");
    check("[::1]:0");
}

#[test]
fn without_the_table_our_client_goes_on_in_basic_mode() {
    let server = Server::start("127.0.0.1:0", false);
    let mut client = Client::new(server.address);
    for _ in 0..5 {
        assert!(client.ask().is_some());
        assert!(!client.association.is_interleaved());
    }
    assert_eq!(server.stop([Counter::DeparturesAwaited]), [0]);
}
