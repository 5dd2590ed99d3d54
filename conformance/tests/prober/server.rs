//! A server on sockets of the loopback device, broken in one way or in none, and how to reach it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use noonmark_conformance::check::Effort;
use noonmark_packet::ReferenceId;
use noonmark_prober::server::Target;
use noonmark_prober::server::target::KeTarget;
use noonmark_server::{ClockState, Envelope, ROOM};
use noonmark_units::{Mono, Precision, Span, Stratum, Timestamp};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;

use crate::ke::lab::{KeLab, paper};
use crate::ntp::lab::NtpLab;
use crate::{FaultKind, Lab};

/// A running server; it ends when this is dropped.
pub struct Server {
    ntp: SocketAddr,
    ke: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts one on two free ports.
    pub fn start(fault: Option<FaultKind>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (ntp, ke) = (udp.local_addr().expect("bound"), tcp.local_addr().expect("bound"));
        let (stop_udp, stop_tcp) = (Arc::clone(&stop), Arc::clone(&stop));
        let threads = vec![
            std::thread::spawn(move || answer(&udp, fault, &stop_udp)),
            std::thread::spawn(move || establish(&tcp, fault, ntp.port(), &stop_tcp)),
        ];
        Self { ntp, ke, stop, threads }
    }

    /// Where it is and whom its certificate comes from.
    pub fn target(&self) -> Target {
        let mut roots = RootCertStore::empty();
        roots.add(paper().der.clone().into()).expect("a certificate of ours");
        Target {
            name: self.ntp.to_string(),
            ntp: self.ntp,
            ke: Some(KeTarget {
                address: self.ke,
                name: ServerName::try_from("localhost").expect("a name"),
                roots: Arc::new(roots),
                demanded: true,
            }),
            allowed: false,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The listener waits for somebody to come.
        drop(TcpStream::connect(self.ke));
        for thread in self.threads.drain(..) {
            // A server that broke down has been judged by its silence.
            let _ = thread.join();
        }
    }
}

fn answer(udp: &UdpSocket, fault: Option<FaultKind>, stop: &AtomicBool) {
    udp.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    let mut lab = NtpLab::new(&Lab { fault, effort: Effort::Usual });
    let began = Instant::now();
    lab.state = ClockState {
        reference_time: now() - Span::from_seconds(20),
        ..ClockState::local(Stratum::PRIMARY, ReferenceId(*b"GPS\0"), Precision(-20))
    };
    let mut buffer = vec![0; 65536];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, peer)) = udp.recv_from(&mut buffer) else { continue };
        let octets = &buffer[..len];
        lab.time = now();
        lab.age = Span::from_nanos(5_000);
        lab.mono = Mono(1_000_000_000 + u64::try_from(began.elapsed().as_nanos()).expect("short"));
        let envelope = Envelope {
            peer,
            received: lab.time - lab.age,
            group: false,
            truncated: octets.len() > ROOM,
        };
        if let Some(answer) = lab.ask_in(&octets[..len.min(ROOM)], envelope) {
            udp.send_to(&answer.octets, peer).expect("the loopback device takes all");
        }
    }
}

/// This machine's clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    Timestamp::from_bits((since.as_secs() + 2_208_988_800) << 32 | fraction)
}

fn establish(tcp: &TcpListener, fault: Option<FaultKind>, ntp_port: u16, stop: &AtomicBool) {
    while let Ok((stream, peer)) = tcp.accept() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::spawn(move || {
            let mut lab = KeLab::new(&Lab { fault, effort: Effort::Usual });
            lab.peer = peer.ip();
            lab.policy.ntp_port = ntp_port;
            // What a client does to its connection is no trouble of the server's.
            let _ = converse(stream, &lab);
        });
    }
}

/// How long a client may take for its request.
const TIME_LIMIT: Duration = Duration::from_millis(1500);

fn converse(mut stream: TcpStream, lab: &KeLab) -> std::io::Result<()> {
    let mut server = lab.server();
    let until = Instant::now() + TIME_LIMIT;
    let mut buffer = vec![0; 65536];
    while !server.is_over() {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => server.end_of_input(),
            Ok(len) => server.take(&buffer[..len]),
            Err(_) => server.time_out(),
        }
        let said = server.give();
        stream.write_all(&said)?;
        if Instant::now() > until {
            server.time_out();
            stream.write_all(&server.give())?;
            break;
        }
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // Octets nobody reads would turn the end into a reset.
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}
