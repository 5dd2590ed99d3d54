//! Just enough of a client: one exchange at a time, every wait bounded.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use noonmark_nts::{
    Aead, Agreement, ClientTls, KeClient, KeError, TrustRoots, UNIQUE_LEN, VerificationTime,
    open_answer, write_request,
};
use noonmark_os::{clock, random::RandomPool};
use noonmark_packet::{HEADER_LEN, Header, Packet};
use noonmark_units::{Timestamp, UnixTime};

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct MachineTime;

impl VerificationTime for MachineTime {
    fn now(&self) -> Option<UnixTime> {
        Some(clock::realtime())
    }
}

/// Keys and cookies from the server at `address`, whose certificate must lead to `authority` (PEM).
pub fn establish(address: SocketAddr, authority: &str) -> Result<Agreement, KeError> {
    let mut roots = TrustRoots::new();
    roots.add_pem(authority.as_bytes()).expect("a certificate");
    let tls = ClientTls::new(roots, MachineTime);
    let mut client = KeClient::new(&tls, "localhost", &[Aead::SivCmac256]).expect("a name");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    while !client.is_done() {
        while client.wants_write() {
            if client.write_tls(&mut stream).is_err() {
                client.peer_closed();
            }
        }
        if client.wants_read() {
            match client.read_tls(&mut stream) {
                Ok(_) => client.process(),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    client.handle_timeout();
                }
                Err(_) => client.peer_closed(),
            }
        }
    }
    client.finish()
}

/// Asks without NTS; the answer as it came.
pub fn ask(server: SocketAddr, transmit: Timestamp) -> io::Result<Vec<u8>> {
    let mut request = [0; HEADER_LEN];
    Header::client(transmit).write(&mut request);
    exchange(server, &request)
}

/// Asks with NTS, spending `cookie`. Returns the stratum and the number of new cookies in the verified answer.
pub fn ask_authenticated(
    server: SocketAddr,
    agreement: &Agreement,
    cookie: &[u8],
) -> Result<(u8, usize), String> {
    let mut pool = RandomPool::new().expect("kernel");
    let (unique, nonce) = (pool.array::<UNIQUE_LEN>(), pool.array::<16>());
    let header = Header::client(Timestamp::from_bits(u64::from_be_bytes(pool.array())));
    let mut request = [0; 1232];
    let key = agreement.keys.c2s_key();
    let len = write_request(&mut request, &header, &unique, cookie, 0, &key, &nonce).expect("room");
    let mut answer = exchange(server, &request[..len]).map_err(|error| error.to_string())?;
    assert!(answer.len() <= len, "an answer longer than its request");
    let answer = open_answer(&mut answer, &unique, &agreement.keys.s2c_key())
        .map_err(|error| error.to_string())?;
    Ok((answer.packet.header().stratum, answer.cookies().count()))
}

/// The stratum of a plain answer, or none within the time.
pub fn stratum(server: SocketAddr) -> Option<u8> {
    let answer = ask(server, Timestamp::from_bits(7)).ok()?;
    Packet::parse(&answer).ok().map(|packet| packet.header().stratum)
}

fn exchange(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    let deadline = Instant::now() + PATIENCE;
    let mut answer = vec![0; 2048];
    // Sent again each second, as any client would: a datagram may come at a moment when nobody listens.
    loop {
        socket.send(request)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        match socket.recv(&mut answer) {
            Ok(len) => {
                answer.truncate(len);
                return Ok(answer);
            }
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
    }
}
