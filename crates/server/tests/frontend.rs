//! The threads and sockets around the responder, on the loopback interface.

mod client;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use client::{ASKED, Client, cookie_keys, plain, unique};
use noonmark_nts::Aead;
use noonmark_os::clock;
use noonmark_os::page::{CounterPage, CounterReader, StatePage, StateReader};
use noonmark_os::pulse::{Pulse, PulseWatch};
use noonmark_packet::{KissCode, Leap, Packet, ReferenceId};
use noonmark_server::frontend::{ClockSource, Frontend, Listening, Pages, Service, Sockets};
use noonmark_server::{AccessRules, Action, CLOCK_WORDS, ClockState, Counter, Policy, Shedding};
use noonmark_units::{Precision, Span, Stratum, Timestamp, UnixTime};

const THREADS: usize = 2;

fn local() -> ClockState {
    ClockState::local(Stratum::PRIMARY, ReferenceId(*b"LOCL"), Precision(-24))
}

fn service() -> Service {
    Service {
        policy: Arc::default(),
        cookies: Some(Arc::new(cookie_keys(3..8, 6))),
        clock: ClockSource::Fixed(local()),
    }
}

/// Opens sockets on a free port of these addresses (the first chooses it for each family), and says which.
fn open(addresses: &[&str]) -> (Vec<OwnedFd>, Vec<SocketAddr>) {
    let addresses =
        addresses.iter().map(|address| format!("{address}:0").parse().unwrap()).collect();
    let listening =
        Listening { addresses, interfaces: vec!["lo".to_owned()], dscp: 46, threads: THREADS };
    let sockets = Sockets::open(&listening, None).expect("sockets");
    let bound = sockets.bound().map(|(address, _)| address).collect();
    (sockets.duplicates().expect("descriptors"), bound)
}

fn start(addresses: &[&str], service: Service) -> (Frontend, Vec<SocketAddr>) {
    let (sockets, bound) = open(addresses);
    (Frontend::start(sockets, THREADS, service, Pages::default()).expect("threads"), bound)
}

fn counted(page: &Arc<CounterPage>) -> Pages {
    Pages { counters: Some(Arc::clone(page)), pulse: None }
}

/// Asks `server` from a new socket of the same family; the answer must come from where the question went.
fn ask(server: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    ask_within(server, request, Duration::from_secs(5))
}

fn ask_within(server: SocketAddr, request: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send_to(request, server).unwrap();
    let mut answer = [0; 2048];
    let (len, source) = socket.recv_from(&mut answer).ok()?;
    assert_eq!(source, server, "the answer leaves from the address that was asked");
    Some(answer[..len].to_vec())
}

/// The sum over all threads, as another process would read it.
fn count(page: &CounterPage, counter: Counter) -> u64 {
    let reader = CounterReader::open(page.descriptor()).unwrap();
    (0..THREADS).map(|thread| reader.get(thread * Counter::COUNT + counter as usize)).sum()
}

fn now() -> Timestamp {
    Timestamp::from_unix(UnixTime::from_duration(SystemTime::UNIX_EPOCH.elapsed().unwrap()))
}

#[test]
fn time_is_served_on_both_families_and_from_the_address_asked() {
    let (frontend, bound) = start(&["0.0.0.0", "[::]"], service());
    let client = Client::new(Aead::SivCmac256);
    for (address, port) in [
        ("127.0.0.1", bound[0]),
        ("127.0.0.2", bound[0]),
        ("127.1.2.3", bound[0]),
        ("::1", bound[1]),
    ] {
        let server = SocketAddr::new(address.parse().unwrap(), port.port());
        for request in [plain(), [plain(), unique(32)].concat(), client.request(7)] {
            let sent_at = now();
            let answer = ask(server, &request).expect("an answer");
            let received_at = now();
            assert_eq!(answer.len(), request.len());
            let packet = Packet::parse(&answer).unwrap();
            assert_eq!((packet.origin(), packet.stratum(), packet.leap()), (ASKED, 1, Leap::None));
            // T1 <= T2 < T3, and T3 not much after T4: predicted, but by microseconds.
            let slack = Span::from_nanos(1_000_000);
            assert!(
                packet.receive() - sent_at > -Span::from_nanos(1_000),
                "{}",
                packet.receive() - sent_at
            );
            assert!(packet.transmit() - packet.receive() > Span::ZERO);
            assert!(
                received_at - packet.transmit() > -slack,
                "{}",
                received_at - packet.transmit()
            );
        }
        assert_eq!(client.open(&ask(server, &client.request(7)).unwrap()).len(), 8);
    }
    assert!(!frontend.has_failed());
    frontend.stop();
}

#[test]
fn every_thread_shows_that_it_lives_while_nothing_comes() {
    let (sockets, _) = open(&["127.0.0.1"]);
    let pulse = Arc::new(Pulse::new(THREADS + 1).unwrap());
    let mut watch = PulseWatch::open(pulse.descriptor(), clock::monotonic()).unwrap();
    let pages = Pages { counters: None, pulse: Some(Arc::clone(&pulse)) };
    let frontend = Frontend::start(sockets, THREADS, service(), pages).unwrap();
    let mut longest = Duration::ZERO;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        // The place of whoever started the threads.
        pulse.beat(0);
        longest = longest.max(watch.silence(clock::monotonic()));
    }
    assert!(longest < Duration::from_secs(3), "{longest:?}");
    frontend.stop();
    for _ in 0..3 {
        pulse.beat(0);
        std::thread::sleep(Duration::from_secs(1));
        longest = watch.silence(clock::monotonic());
    }
    assert!(longest >= Duration::from_secs(2), "threads that have ended are silent: {longest:?}");
}

#[test]
fn receive_times_are_the_kernels() {
    let (sockets, bound) = open(&["127.0.0.1"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&plain(), bound[0]).unwrap();
    let sent_at = now();
    // Nobody reads for a while; the stamp must not be late by that.
    std::thread::sleep(Duration::from_millis(200));
    let page = Arc::new(CounterPage::new(c"test", THREADS * Counter::COUNT).unwrap());
    let frontend = Frontend::start(sockets, THREADS, service(), counted(&page)).unwrap();
    let mut answer = [0; 48];
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(socket.recv(&mut answer).unwrap(), 48);
    let packet = Packet::parse(&answer).unwrap();
    let late = packet.receive() - sent_at;
    assert!(late.abs() < Span::from_nanos(50_000_000), "received {late} after it was sent");
    assert!(
        packet.transmit() - packet.receive() > Span::from_nanos(150_000_000),
        "and held until somebody read"
    );
    frontend.stop();
    assert_eq!(
        (
            count(&page, Counter::Received),
            count(&page, Counter::AnsweredPlain),
            count(&page, Counter::Unstamped)
        ),
        (1, 1, 0)
    );
}

#[test]
fn what_is_sent_to_everybody_gets_no_answer() {
    let (sockets, bound) = open(&["0.0.0.0"]);
    let page = Arc::new(CounterPage::new(c"test", THREADS * Counter::COUNT).unwrap());
    let frontend = Frontend::start(sockets, THREADS, service(), counted(&page)).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.send_to(&plain(), ("127.255.255.255", bound[0].port())).unwrap();
    assert!(socket.recv(&mut [0; 64]).is_err(), "an answer to a broadcast");
    let one = SocketAddr::new("127.0.0.1".parse().unwrap(), bound[0].port());
    assert!(ask(one, &plain()).is_some());
    frontend.stop();
    // The kernel gives a broadcast to every socket of the port, so to every thread.
    assert_eq!(count(&page, Counter::DroppedGroup), THREADS as u64);
    assert_eq!(count(&page, Counter::AnsweredPlain), 1);
}

#[test]
fn an_address_that_is_named_answers_alone() {
    let (frontend, bound) = start(&["127.0.0.5"], service());
    assert!(ask(bound[0], &plain()).is_some());
    let other = SocketAddr::new("127.0.0.6".parse().unwrap(), bound[0].port());
    assert_eq!(ask_within(other, &plain(), Duration::from_millis(100)), None);
    frontend.stop();
}

#[test]
fn every_request_of_many_clients_is_answered_once() {
    // Whatever else the machine does: who is listed is shed last.
    let shedding = Shedding::new(vec!["127.0.0.0/8".parse().unwrap()], [1, 2]);
    let policy = Arc::new(Policy { shedding, ..Policy::default() });
    let (frontend, bound) = start(&["127.0.0.1"], Service { policy, ..service() });
    let answered = AtomicUsize::new(0);
    let client = Client::new(Aead::Aes128GcmSiv);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..100 {
                    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                    let request = if round % 2 == 0 { plain() } else { client.request(1) };
                    for _ in 0..8 {
                        socket.send_to(&request, bound[0]).unwrap();
                    }
                    for _ in 0..8 {
                        let mut answer = [0; 2048];
                        let len = socket.recv(&mut answer).expect("an answer");
                        assert_eq!(len, request.len());
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(answered.into_inner(), 3200);
    frontend.stop();
}

#[test]
fn everything_can_be_exchanged_while_serving() {
    let mut page = StatePage::new(c"clock", CLOCK_WORDS).unwrap();
    let reader = Arc::new(StateReader::open(page.descriptor()).unwrap());
    let service = Service { cookies: None, clock: ClockSource::Page(reader), ..service() };
    let (frontend, bound) = start(&["127.0.0.1"], service);
    let leap = |answer: Vec<u8>| Packet::parse(&answer).unwrap().leap();
    let client = Client::new(Aead::SivCmac256);

    assert_eq!(
        ask(bound[0], &plain()).map(leap),
        Some(Leap::Unsynchronised),
        "nothing has been published yet"
    );
    page.publish(&local().to_words());
    assert_eq!(ask(bound[0], &plain()).map(leap), Some(Leap::None));

    assert_eq!(
        ask_within(bound[0], &client.request(0), Duration::from_millis(100)),
        None,
        "no keys yet"
    );
    frontend.update(|service| service.cookies = Some(Arc::new(cookie_keys(3..8, 6))));
    assert_eq!(client.open(&ask(bound[0], &client.request(0)).expect("an answer")).len(), 1);
    frontend.update(|service| service.cookies = Some(Arc::new(cookie_keys(7..9, 8))));
    let nak = ask(bound[0], &client.request(0)).expect("NTSN");
    assert_eq!(Packet::parse(&nak).unwrap().kiss(), Some(KissCode::NTSN));

    let access =
        AccessRules::new([("127.0.0.0/8".parse().unwrap(), Action::Ignore)], Action::Allow);
    frontend.update(|service| service.policy = Arc::new(Policy { access, ..Policy::default() }));
    assert_eq!(ask_within(bound[0], &plain(), Duration::from_millis(100)), None);
    frontend.stop();
}

#[test]
fn what_has_arrived_is_answered_before_stopping() {
    let (sockets, bound) = open(&["127.0.0.1"]);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.send_to(&plain(), bound[0]).unwrap();
            socket
        })
        .collect();
    Frontend::start(sockets, THREADS, service(), Pages::default()).unwrap().stop();
    for socket in clients {
        assert_eq!(socket.recv(&mut [0; 64]).expect("an answer"), 48);
    }
}

#[test]
fn sockets_held_elsewhere_outlive_the_threads() {
    let (sockets, bound) = open(&["127.0.0.1"]);
    let held: Vec<_> = sockets.iter().map(|socket| socket.try_clone().unwrap()).collect();
    Frontend::start(sockets, THREADS, service(), Pages::default()).unwrap().stop();
    // Nobody serves now; what comes waits for the next.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(&plain(), bound[0]).unwrap();
    let next = Frontend::start(held, THREADS, service(), Pages::default()).unwrap();
    assert_eq!(socket.recv(&mut [0; 64]).expect("an answer"), 48);
    next.stop();
}
