//! The frontend over real sockets.

mod rig;

use std::io::Write as _;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use noonmark_ke::{Counter, SeatLimits, Terms, serve};
use noonmark_nts::{
    Aead, ErrorCode, KeClient, KeError, KeRequest, KeResponse, KeResponseReader, ServerPolicy,
};

use rig::{Halfway, Rig, client_hello, connect, converse, identity, rest, say, split, terms};

/// Extensions of a ClientHello: signature algorithms, groups.
const SIGNATURES: (u16, &[u8]) = (13, &[0, 2, 4, 3]);
const GROUPS: (u16, &[u8]) = (10, &[0, 2, 0, 29]);
const TLS13: (u16, &[u8]) = (43, &[2, 3, 4]);

/// A fatal alert in clear (RFC 8446 §6).
fn alert(description: u8) -> Vec<u8> {
    vec![0x15, 3, 3, 0, 2, 2, description]
}

fn refused(result: Result<noonmark_nts::Agreement, KeError>) -> Option<ErrorCode> {
    match result {
        Err(KeError::Refused(code)) => Some(code),
        _ => None,
    }
}

#[test]
fn each_aead_is_established_with_eight_cookies() {
    let rig = Rig::new(terms());
    let rows = [
        (Aead::SivCmac256, 100, Counter::ServedAesSivCmac256),
        (Aead::SivCmac512, 164, Counter::ServedAesSivCmac512),
        (Aead::Aes128GcmSiv, 68, Counter::ServedAes128GcmSiv),
    ];
    for (aead, cookie_len, counter) in rows {
        let agreement = rig.establish(&[aead]).expect("an agreement");
        assert_eq!(agreement.keys.aead(), aead);
        assert_eq!(agreement.cookies.len(), 8);
        assert!(agreement.cookies.iter().all(|cookie| cookie.len() == cookie_len), "{aead:?}");
        assert!(rig::cookie_keys(1).open(&agreement.cookies[0]).is_ok());
        rig.expect(counter, 1);
    }
    rig.expect(Counter::CookiesIssued, 24);
    rig.expect(Counter::CompliantGcmSivExport, 1);
    rig.expect_settled();
}

#[test]
fn ipv6_and_several_listeners_are_served() {
    let rig = Rig::new(terms());
    let listeners =
        ["[::1]:0", "127.0.0.1:0"].map(|a| std::net::TcpListener::bind(a).expect("free"));
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().expect("bound"));
    let running = rig.frontend.clone();
    thread::spawn(move || serve(&running, listeners.into(), |_| {}));
    for address in addresses {
        let client =
            KeClient::new(&rig.client, "localhost", &[Aead::SivCmac256]).expect("a client");
        assert!(converse(client, &connect(address)).is_ok(), "{address}");
    }
    assert!(serve(&rig.frontend, Vec::new(), |_| {}).is_err(), "no listener is an error");
}

#[test]
fn silent_client_is_cut_off_when_its_time_is_up() {
    let rig = Rig::new(Terms { time_limit: Duration::from_secs(1), ..terms() });
    let (stream, began) = (rig.connect(), Instant::now());
    // An alert "close_notify" in clear, then the end.
    assert_eq!(rest(&stream), Some(vec![0x15, 3, 3, 0, 2, 1, 0]));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(3), "{took:?}");
    rig.expect(Counter::TlsTimedOut, 1);
    rig.expect_settled();
}

#[test]
fn request_that_does_not_come_is_answered_by_error_1_when_time_is_up() {
    let rig = Rig::new(Terms { time_limit: Duration::from_secs(1), ..terms() });
    let halfway = Halfway::new(&rig);
    assert_eq!(refused(converse(halfway.client, &halfway.stream)), Some(ErrorCode::BAD_REQUEST));
    let mut halfway = Halfway::in_two_parts(&rig);
    halfway.send_half();
    assert_eq!(refused(converse(halfway.client, &halfway.stream)), Some(ErrorCode::BAD_REQUEST));
    // The answer ends with close_notify and the end of the stream, not with a reset.
    assert_eq!(rest(&halfway.stream), Some(Vec::new()));
    rig.expect(Counter::ErrorIncomplete, 2);
    rig.expect_settled();
}

#[test]
fn half_closed_client_gets_its_answer() {
    let rig = Rig::new(terms());
    let mut halfway = Halfway::in_two_parts(&rig);
    halfway.send_half();
    halfway.stream.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(refused(converse(halfway.client, &halfway.stream)), Some(ErrorCode::BAD_REQUEST));
    rig.expect(Counter::ErrorIncomplete, 1);

    let mut halfway = Halfway::new(&rig);
    halfway.stream.write_all(&halfway.records.concat()).expect("sent");
    halfway.stream.shutdown(Shutdown::Write).expect("half closed");
    assert!(converse(halfway.client, &halfway.stream).is_ok());
    rig.expect(Counter::ServedAesSivCmac256, 1);
    rig.expect_settled();
}

#[test]
fn client_that_leaves_is_forgotten_at_once() {
    let rig = Rig::new(terms());
    drop(rig.connect());
    rig.expect(Counter::WentAway, 1);
    drop(Halfway::new(&rig));
    rig.expect(Counter::WentAway, 2);
    rig.expect_settled();
}

#[test]
fn old_tls_and_foreign_protocols_get_an_alert_and_nothing_else() {
    let rig = Rig::new(terms());
    let answer = |extensions: &[(u16, &[u8])]| {
        let mut stream = rig.connect();
        stream.write_all(&client_hello(extensions)).expect("sent");
        rest(&stream).expect("an answer")
    };
    // TLS 1.2 alone: protocol_version.
    let ntske: (u16, &[u8]) = (16, b"\x00\x08\x07ntske/1");
    assert_eq!(answer(&[SIGNATURES, GROUPS, ntske]), alert(70));
    rig.expect(Counter::TlsVersion, 1);
    // No ALPN at all: whatever the alert, it is one.
    let share: Vec<u8> = [&[0, 36, 0, 29, 0, 32][..], &[9; 32]].concat();
    let without = answer(&[SIGNATURES, GROUPS, TLS13, (51, &share)]);
    assert_eq!((without.len(), &without[..6]), (7, &[0x15, 3, 3, 0, 2, 2][..]), "{without:02x?}");
    rig.expect(Counter::TlsAlpn, 1);
    // ALPN without ntske/1: ServerHello (22), change_cipher_spec (20), one encrypted alert (23, 19 octets), no certificate.
    let h2: (u16, &[u8]) = (16, b"\x00\x03\x02h2");
    let foreign = split(&answer(&[SIGNATURES, GROUPS, TLS13, (51, &share), h2]));
    let kinds: Vec<u8> = foreign.iter().map(|record| record[0]).collect();
    assert_eq!((kinds, foreign[2].len()), (vec![22, 20, 23], 5 + 19));
    rig.expect(Counter::TlsAlpn, 2);
    rig.expect_settled();
}

#[test]
fn broken_input_ends_a_session_and_nothing_more() {
    let rig = Rig::new(terms());
    let inputs: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0xff; 70_000],
        &[0x16, 3, 1, 0xff, 0xff],
        &[0x17, 3, 3, 0, 1, 0],
        &[0x16, 3, 1, 0, 0],
        &[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
    ];
    for input in inputs {
        let mut stream = rig.connect();
        // The server may be gone before all is written.
        let _ = stream.write_all(input);
        let _ = stream.shutdown(Shutdown::Write);
        rest(&stream);
    }
    rig.expect_settled();
    assert_eq!(rig.frontend.counters().get(Counter::Accepted), inputs.len() as u64);
    assert!(rig.establish(&[Aead::SivCmac256]).is_ok());
}

#[test]
fn sessions_are_bounded_in_all_and_per_prefix() {
    let seats = SeatLimits { total: 5, per_prefix: 3, ..SeatLimits::default() };
    let rig = Rig::new(Terms { seats, ..terms() });
    let held: Vec<TcpStream> = (0..3).map(|_| rig.connect()).collect();
    // Closed at once, with nothing said.
    assert_eq!(rest(&rig.connect()), Some(Vec::new()));
    rig.expect(Counter::ClosedPrefixFull, 1);
    let elsewhere: Vec<TcpStream> = (2..4).map(|host| connect_from(host, &rig)).collect();
    assert_eq!(rest(&connect_from(4, &rig)), Some(Vec::new()));
    rig.expect(Counter::ClosedFull, 1);
    assert_eq!(rig.frontend.sessions(), 5);
    drop((held, elsewhere));
    rig.expect(Counter::WentAway, 5);
    assert!(rig.establish(&[Aead::SivCmac256]).is_ok());
    rig.expect_settled();
}

/// A connection from 127.0.0.`host`.
fn connect_from(host: u8, rig: &Rig) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("tokio");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
        socket.connect(rig.address).await?.into_std()
    });
    let stream = stream.expect("a connection");
    stream.set_nonblocking(false).expect("blocking");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream
}

#[test]
fn two_hundred_slow_clients_delay_nobody_else() {
    let seats = SeatLimits { total: 300, per_prefix: 250, ..SeatLimits::default() };
    let rig = Rig::new(Terms { seats, ..terms() });
    let hello = client_hello(&[SIGNATURES, GROUPS, TLS13]);
    let mut slow: Vec<TcpStream> = (0..200).map(|_| rig.connect()).collect();
    for (place, octet) in hello.iter().take(20).enumerate() {
        for stream in &mut slow {
            stream.write_all(&[*octet]).expect("still open");
        }
        if place % 5 == 0 {
            let began = Instant::now();
            assert!(rig.establish(&[Aead::SivCmac256]).is_ok());
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        }
    }
    rig.expect(Counter::ServedAesSivCmac256, 4);
    drop(slow);
    rig.expect(Counter::WentAway, 200);
    rig.expect_settled();
}

#[test]
fn thousand_slow_clients_of_one_prefix_leave_room_for_others() {
    let rig = Rig::new(Terms {
        seats: SeatLimits::default(),
        time_limit: Duration::from_secs(2),
        ..terms()
    });
    let mut slow: Vec<TcpStream> = Vec::new();
    for hundred in 1..=10 {
        slow.extend((0..100).map(|_| rig.connect()));
        // The queue of the listener is shorter than this crowd.
        rig.expect(Counter::Accepted, hundred * 100);
        // Those behind the first hundred have been closed long since; their descriptors are needed elsewhere.
        slow.truncate(100);
    }
    let client = KeClient::new(&rig.client, "localhost", &[Aead::SivCmac256]).expect("a client");
    assert!(converse(client, &connect_from(2, &rig)).is_ok());
    rig.expect_settled();
    let closed = rig.frontend.counters().get(Counter::ClosedPrefixFull);
    let timed_out = rig.frontend.counters().get(Counter::TlsTimedOut);
    assert_eq!(closed + timed_out, 1000);
    assert!(timed_out >= 32 && closed >= 900, "{closed} closed, {timed_out} timed out");
    drop(slow);
}

#[test]
fn addresses_that_are_not_let_in_are_closed_at_once() {
    let rig = Rig::new(Terms { admits: Arc::new(|address| !address.is_loopback()), ..terms() });
    assert_eq!(rest(&rig.connect()), Some(Vec::new()));
    rig.expect(Counter::ClosedAccess, 1);
    rig.frontend.set_terms(terms());
    assert!(rig.establish(&[Aead::SivCmac256]).is_ok());
    rig.expect_settled();
}

#[test]
fn new_identity_is_shown_to_new_sessions_and_ends_none() {
    let rig = Rig::new(terms());
    let halfway = Halfway::new(&rig);
    let (server, client, root) = identity();
    rig.frontend.set_identity(server);
    assert!(halfway.finish().is_ok(), "a session under way goes on");
    let error =
        rig.establish(&[Aead::SivCmac256]).err().expect("the old root does not do any more");
    assert!(matches!(&error, KeError::Tls(error) if error.is_certificate()), "{error}");
    let renewed = Rig { client, root, frontend: rig.frontend.clone(), address: rig.address };
    assert!(renewed.establish(&[Aead::SivCmac256]).is_ok());
    rig.expect(Counter::IdentitiesTaken, 2);
    rig.expect_settled();
}

#[test]
fn new_cookie_keys_seal_the_next_cookies_and_none_is_an_internal_error() {
    let rig = Rig::new(terms());
    let epoch = |cookie: &[u8]| cookie.first_chunk().map(|octets| u32::from_be_bytes(*octets));
    let agreement = rig.establish(&[Aead::SivCmac256]).expect("an agreement");
    assert_eq!(epoch(&agreement.cookies[0]), Some(1));
    let halfway = Halfway::new(&rig);
    rig.frontend.set_cookie_keys(Some(rig::cookie_keys(2)));
    let agreement = halfway.finish().expect("an agreement");
    assert_eq!(epoch(&agreement.cookies[0]), Some(2), "also in a session under way");
    rig.frontend.set_cookie_keys(None);
    assert_eq!(refused(rig.establish(&[Aead::SivCmac256])), Some(ErrorCode::INTERNAL));
    rig.expect(Counter::ErrorInternal, 1);
    rig.expect(Counter::CookieKeysTaken, 2);
    rig.expect_settled();
}

#[test]
fn new_terms_hold_for_new_sessions() {
    let rig = Rig::new(terms());
    let mut changed = Terms::clone(&rig.frontend.terms());
    let policy =
        ServerPolicy { aeads: vec![Aead::SivCmac512], ntp_port: 11123, ..ServerPolicy::default() };
    changed.policy = Arc::new(policy);
    rig.frontend.set_terms(changed);
    let agreement = rig.establish(&[Aead::SivCmac256, Aead::SivCmac512]).expect("an agreement");
    assert_eq!((agreement.keys.aead(), agreement.port), (Aead::SivCmac512, 11123));
    assert!(matches!(rig.establish(&[Aead::SivCmac256]), Err(KeError::NoSharedAead)));
    rig.expect(Counter::NoSharedAead, 1);
    rig.expect_settled();
}

#[test]
fn client_that_sends_on_after_its_answer_is_cut_off() {
    let rig = Rig::new(Terms { time_limit: Duration::from_secs(2), ..terms() });
    let mut stream = rig.connect();
    stream.write_all(&[0xff; 5]).expect("sent");
    let began = Instant::now();
    // Without an end of its own the client is waited for only so long.
    while stream.write_all(&[0; 1000]).is_ok() && began.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    rig.expect(Counter::TlsFailed, 1);
    rig.expect_settled();
}

#[test]
fn answer_arrives_although_the_client_sends_on_behind_its_request() {
    let rig = Rig::new(terms());
    let mut message = Vec::new();
    KeRequest::offering(&[Aead::SivCmac256]).write(&mut message).expect("short");
    for junk in [0, 10, 10_000, 100_000, 200_000] {
        let answer = say(&rig, &[&message[..], &vec![0x55; junk]].concat())
            .unwrap_or_else(|error| panic!("{junk} octets: {error}"));
        let mut reader = KeResponseReader::new(&[15], false);
        reader.read(&answer);
        let response = reader.finish();
        assert!(matches!(response, Ok(KeResponse::Agreed(_))), "{junk} octets: {response:?}");
    }
    rig.expect(Counter::ServedAesSivCmac256, 5);
    rig.expect_settled();
}

#[test]
fn counters_are_published_each_second() {
    let rig = Rig::new(terms());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let page: Arc<Vec<AtomicU64>> =
        Arc::new((0..Counter::COUNT).map(|_| AtomicU64::new(u64::MAX)).collect());
    let (running, shown) = (rig.frontend.clone(), Arc::clone(&page));
    thread::spawn(move || serve(&running, vec![listener], |counters| counters.publish(&shown)));
    rig.establish(&[Aead::SivCmac256]).expect("an agreement");
    rig.expect_settled();
    let served = &page[Counter::ServedAesSivCmac256 as usize];
    let deadline = Instant::now() + Duration::from_secs(10);
    while served.load(Ordering::Relaxed) != 1 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    let shown: Vec<u64> = page.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    assert_eq!(shown, rig.frontend.counters().values());
}
