//! Sockets of the client: ports and where key establishment sends us (PR-01 to PR-05, KE-61, KE-68).

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use noonmark_client::{Client, EstablishmentError, Event, Family, KeServer, Plan, Settings};
use noonmark_conformance::check::{Check, Effort, Failure};
use noonmark_nts::{Aead, KeRequest};
use noonmark_os::clock;
use noonmark_packet::Packet;
use noonmark_units::{Precision, Span, Timestamp, UnixTime};

use super::bench::ensure;
use super::keys::Town;
use super::server::Answer;
use crate::Lab;
use crate::ke::octets::{AEAD, COOKIE, NEXT_PROTOCOL, PORT, SERVER, message, message_len};

pub const CHECKS: &[Check<Lab>] = &[
    Check {
        ids: &["PR-01", "PR-02", "PR-05"],
        name: "each_question_has_a_random_port_of_its_own",
        run: random_ports,
    },
    Check {
        ids: &["KE-68"],
        name: "key_establishment_does_not_send_us_anywhere",
        run: redirection,
    },
    Check {
        ids: &["NC-29", "NC-30"],
        name: "certificate_times_are_judged_by_what_is_known_of_the_time",
        run: certificate_times,
    },
    Check { ids: &["PR-03"], name: "port_of_a_past_question_is_closed", run: closed_ports },
];

/// A server on loopback that answers so many questions, and the ports they came from.
fn server(questions: usize) -> Result<(SocketAddr, std::thread::JoinHandle<Vec<u16>>), Failure> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = socket.local_addr().map_err(|error| error.to_string())?;
    let limit = Some(Duration::from_secs(20));
    socket.set_read_timeout(limit).map_err(|error| error.to_string())?;
    let answering = std::thread::spawn(move || {
        let mut room = [0; 1024];
        let mut ports = Vec::new();
        while ports.len() < questions {
            let Ok((len, from)) = socket.recv_from(&mut room) else { break };
            let now = Timestamp::from_unix(clock::realtime());
            if Packet::parse(&room[..len]).is_ok() {
                let answer = Answer::plain(&room[..len], now, Span::ZERO);
                let _ = socket.send_to(&answer.octets(), from);
                ports.push(from.port());
            }
        }
        ports
    });
    Ok((address, answering))
}

/// Asks so often, over real sockets.
fn ask(server: SocketAddr, questions: u32, spacing: Duration) -> Result<usize, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let settings = Settings::new(Plan::Count { questions, spacing }, Precision(-20));
        let mut client = Client::plain(server, settings).map_err(|error| error.to_string())?;
        let mut measured = 0;
        while let Some(event) = client.next().await {
            measured += usize::from(matches!(event, Event::Measured(_)));
        }
        Ok(measured)
    })
}

fn random_ports(lab: &mut Lab) -> Result<(), Failure> {
    let questions = if lab.effort == Effort::Quick { 20 } else { 1000 };
    let (address, answering) = server(questions)?;
    let measured = ask(address, questions as u32, Duration::ZERO)?;
    let ports = answering.join().map_err(|_| "the server panicked")?;
    ensure(measured * 100 >= questions * 99, || format!("{measured} of {questions} answered"))?;
    let mut counts: HashMap<u16, usize> = HashMap::new();
    for port in &ports {
        *counts.entry(*port).or_default() += 1;
    }
    // The kernel's range has some 28 000 ports; a thousand questions meet a few of them twice.
    ensure(counts.len() * 10 >= questions * 9, || format!("{} ports", counts.len()))?;
    let span = ports.iter().max().zip(ports.iter().min()).map_or(0, |(max, min)| max - min);
    ensure(span > 10_000, || format!("ports span {span}"))?;
    let steps: std::collections::HashSet<_> =
        ports.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    ensure(steps.len() * 10 >= questions * 8, || "ports follow each other".to_owned())
}

fn closed_ports(_: &mut Lab) -> Result<(), Failure> {
    let (address, answering) = server(2)?;
    ask(address, 2, Duration::ZERO)?;
    let ports = answering.join().map_err(|_| "the server panicked")?;
    let started = Instant::now();
    for port in ports {
        // Free again, or it could not be bound.
        UdpSocket::bind(("0.0.0.0", port)).map_err(|error| format!("port {port}: {error}"))?;
    }
    ensure(started.elapsed() < Duration::from_secs(3), || "it takes long".to_owned())
}

fn redirection(_: &mut Lab) -> Result<(), Failure> {
    // The key exchange is on loopback, so loopback is allowed, as 123 and high ports are.
    for (server, port, is_allowed) in [
        ("127.0.0.1", 11_123_u16, true),
        ("127.0.0.1", 22, false),
        ("127.0.0.1", 53, false),
        ("224.0.1.1", 123, false),
        ("255.255.255.255", 123, false),
        ("0.0.0.0", 123, false),
    ] {
        let reply = message(&[
            (true, NEXT_PROTOCOL, &[0, 0]),
            (true, AEAD, &[0, 15]),
            (false, COOKIE, &[7; 100]),
            (false, SERVER, server.as_bytes()),
            (false, PORT, &port.to_be_bytes()),
        ]);
        let found = establish(reply)?;
        let expected = if is_allowed { "established" } else { "redirected" };
        ensure(found == expected, || format!("to {server}, port {port}: {found}"))?;
    }
    Ok(())
}

/// What a client says of a key exchange over loopback with this response.
fn establish(reply: Vec<u8>) -> Result<&'static str, Failure> {
    let town = Town::new();
    let port = serve(&town, reply, 1)?;
    let ke_server = ke_server(&town, port);
    runtime()?.block_on(async {
        let plan = Plan::Count { questions: 1, spacing: Duration::from_secs(1) };
        let settings = Settings::new(plan, Precision(-20));
        let mut client = Client::nts(ke_server, settings).map_err(|error| error.to_string())?;
        while let Some(event) = client.next().await {
            match event {
                Event::Established(_) => return Ok("established"),
                Event::NotEstablished(EstablishmentError::Redirected(_)) => {
                    return Ok("redirected");
                }
                Event::NotEstablished(error) => return Err(error.to_string()),
                _ => {}
            }
        }
        Err("nothing happens".to_owned())
    })
}

fn certificate_times(_: &mut Lab) -> Result<(), Failure> {
    let reply = message(&[
        (true, NEXT_PROTOCOL, &[0, 0]),
        (true, AEAD, &[0, 15]),
        (false, COOKIE, &[7; 100]),
    ]);
    // The clock says 2026-11-22. The floor is what is known to be past, where the clock is not to be trusted yet.
    for (from, to, floor, is_good) in [
        (2020, 2040, None, true),
        (2030, 2040, None, false),
        (2020, 2025, None, false),
        (2030, 2040, Some(2026), true),
        (2020, 2025, Some(2024), true),
        (2020, 2025, Some(2026), false),
        (2020, 2040, Some(2026), true),
    ] {
        let mut town = Town::new();
        town.certify("localhost", |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        let server = ke_server(&town, serve(&town, reply.clone(), 4)?);
        let outcome = runtime()?.block_on(async {
            match floor {
                None => server.establish().await,
                Some(year) => {
                    server.establish_since(UnixTime::new((year - 1970) * 31_556_952, 0)).await
                }
            }
        });
        let found = outcome.as_ref().err().map(ToString::to_string);
        ensure(outcome.is_ok() == is_good, || format!("{from} to {to}, {floor:?}: {found:?}"))?;
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
}

fn ke_server(town: &Town, port: u16) -> KeServer {
    KeServer {
        host: "localhost".to_owned(),
        port,
        family: Family::V4,
        tls: town.client_tls(),
        request: KeRequest::offering(&[Aead::SivCmac256]),
        ntp_port: None,
        time_limit: Duration::from_secs(5),
    }
}

/// A key exchange server on loopback for so many connections; returns its port.
fn serve(town: &Town, reply: Vec<u8>, connections: usize) -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let config = Arc::new(town.config());
    std::thread::spawn(move || {
        for _ in 0..connections {
            // Who refuses the certificate says no more.
            let _ = converse(&listener, &config, &reply);
        }
    });
    Ok(port)
}

fn converse(
    listener: &TcpListener,
    config: &Arc<rustls::ServerConfig>,
    reply: &[u8],
) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut tls =
        rustls::ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut session = rustls::Stream::new(&mut tls, &mut stream);
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while message_len(&heard).is_none() {
        let len = session.read(&mut piece)?;
        heard.extend(&piece[..len]);
    }
    session.write_all(reply)?;
    session.flush()?;
    // Until the client has taken it.
    let _ = session.read(&mut piece);
    Ok(())
}
