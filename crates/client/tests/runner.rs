//! The I/O half over loopback: real sockets, real stamps, a clock that is only looked at.

mod stratum_one;

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use noonmark_client::{
    Endpoint, Outlet, Runner, RunnerSettings, SourceEvent, SourceKind, SourceSpec, Sources, Wanted,
};
use noonmark_clock::{Keeper, NotAdjusted, Settings};
use noonmark_nts::KeRequest;
use noonmark_os::clock;
use noonmark_os::random::RandomPool;
use noonmark_packet::Header;
use noonmark_units::{PollExponent, Span, Timestamp};

/// A server that is `ahead` of this machine, and the addresses it was asked from.
fn server(address: &str, ahead: Span) -> (SocketAddr, mpsc::Receiver<SocketAddr>) {
    let socket = UdpSocket::bind(address).expect("loopback");
    let bound = socket.local_addr().expect("bound");
    let (askers, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let mut room = [0; 1024];
        while let Ok((len, from)) = socket.recv_from(&mut room) {
            let stamp = Timestamp::from_unix(clock::realtime()) + ahead;
            let answer = Header {
                reference_time: stamp - Span::from_seconds(1),
                transmit: Timestamp::from_unix(clock::realtime()) + ahead,
                ..stratum_one::answer(&room[..len], stamp)
            };
            if askers.send(from).is_err() || socket.send_to(&answer.to_octets(), from).is_err() {
                return;
            }
        }
    });
    (bound, asked)
}

fn runner(specs: Vec<SourceSpec>) -> Runner {
    let mut pool = RandomPool::new().expect("randomness");
    let random = Box::new(move |out: &mut [u8]| pool.fill(out));
    let now = clock::reading();
    let keeper = Keeper::new(Settings::default(), None, now);
    let sources = Sources::new(specs, keeper, clock::precision(), random, now);
    let settings = RunnerSettings {
        tls: None,
        request: KeRequest::offering(&noonmark_nts::Aead::ALL),
        time_limit: Duration::from_secs(2),
        outlet: Outlet::default(),
    };
    Runner::new(sources, settings).expect("a watch on the clock")
}

fn spec(kind: SourceKind, min_poll: i8) -> SourceSpec {
    let mut spec = SourceSpec::new(kind);
    spec.options.min_poll = PollExponent(min_poll);
    spec.options.max_poll = PollExponent(min_poll);
    spec
}

/// Runs for so long, refuses every adjustment, and returns what was wanted.
async fn follow(runner: &mut Runner, time: Duration) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let end = tokio::time::Instant::now() + time;
    while let Ok(next) = tokio::time::timeout_at(end, runner.next()).await {
        let next = next.expect("the clock can be watched");
        if let Wanted::Adjust(_) = next {
            runner.adjusted(&Err(NotAdjusted::Failed("only looked at".to_owned())));
        }
        wanted.push(next);
    }
    wanted
}

#[tokio::test]
async fn two_servers_are_measured_over_real_sockets() {
    let ahead = Span::from_nanos(500_000_000);
    let mut endpoints = Vec::new();
    let mut asked = Vec::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (bound, askers) = server(address, ahead);
        endpoints.push(Endpoint::new(bound.ip().to_string(), bound.port()));
        asked.push(askers);
    }
    let specs = endpoints.into_iter().map(|endpoint| spec(SourceKind::Server(endpoint), -3));
    let mut runner = runner(specs.collect());
    let wanted = follow(&mut runner, Duration::from_secs(6)).await;
    let reachable = |wanted: &&Wanted| matches!(wanted, Wanted::Told(SourceEvent::Reachable(_)));
    assert_eq!(wanted.iter().filter(reachable).count(), 2, "{wanted:?}");
    let adjusts = |wanted: &&Wanted| matches!(wanted, Wanted::Adjust(_));
    assert!(wanted.iter().any(|wanted| adjusts(&wanted)), "an error of half a second");
    for report in runner.sources().keeper().sources(clock::reading()) {
        let error = report.offset - ahead;
        assert!(error.abs() < Span::from_nanos(2_000_000), "{error} in {report:?}");
        assert!(report.delay < Span::from_nanos(5_000_000), "{report:?}");
        assert_eq!(report.reach, 0xff);
    }
    for askers in asked {
        let all: Vec<_> = askers.try_iter().collect();
        let ports: HashSet<_> = all.iter().map(SocketAddr::port).collect();
        assert!(all.len() >= 20, "{} questions", all.len());
        assert!(ports.len() * 10 >= all.len() * 9, "{} ports of {}", ports.len(), all.len());
    }
}

#[tokio::test]
async fn names_and_key_establishment_go_their_way() {
    let (bound, asked) = server("127.0.0.1:0", Span::ZERO);
    let mut by_name = spec(SourceKind::Server(Endpoint::new("localhost", bound.port())), 0);
    by_name.family = noonmark_client::Family::V4;
    let nobody = spec(SourceKind::Server(Endpoint::new("nobody.invalid", 123)), 0);
    let nts = spec(SourceKind::Nts(Endpoint::new("localhost", 4460)), 0);
    let mut runner = runner(vec![by_name, nobody, nts]);
    let wanted = follow(&mut runner, Duration::from_secs(3)).await;
    assert!(asked.try_iter().count() >= 2);
    let unresolved = |wanted: &Wanted| matches!(wanted, Wanted::Unresolved(error) if error.name == "nobody.invalid");
    assert!(wanted.iter().any(unresolved), "{wanted:?}");
    let refused = |wanted: &Wanted| matches!(wanted, Wanted::NotEstablished(_, error) if error.to_string().contains("authorities"));
    assert!(wanted.iter().any(refused), "{wanted:?}");
}
