//! A frontend on loopback with a throw-away certificate, and clients for it, well behaved and not.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use noonmark_ke::{Counter, Frontend, SeatLimits, Terms, serve};
use noonmark_nts::{
    Aead, Agreement, ClientTls, CookieKey, CookieKeys, Identity, KeClient, KeError, KeRequest,
    ServerPolicy, ServerTls, TrustRoots, VerificationTime,
};
use noonmark_os::random::RandomPool;
use noonmark_units::UnixTime;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A running frontend. Its thread ends with the test process.
pub struct Rig {
    pub frontend: Frontend,
    pub address: SocketAddr,
    pub client: ClientTls,
    /// PEM of what the client trusts.
    pub root: String,
}

/// 2026-01-01; the throw-away certificates are valid from 1975 to 4096.
#[derive(Debug)]
struct Then;

impl VerificationTime for Then {
    fn now(&self) -> Option<UnixTime> {
        Some(UnixTime { seconds: 1_767_225_600, nanos: 0 })
    }
}

/// A self-signed identity for `localhost` and 127.0.0.1, and a client that trusts it.
pub fn identity() -> (ServerTls, ClientTls, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)
        .and_then(|params| params.self_signed(&key))
        .expect("a certificate");
    let pem = certificate.pem();
    let identity =
        Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).expect("ours");
    let mut roots = TrustRoots::new();
    roots.add_pem(pem.as_bytes()).expect("ours");
    (ServerTls::new(&identity), ClientTls::new(roots, Then), pem)
}

pub fn cookie_keys(epoch: u32) -> CookieKeys {
    CookieKeys::new(&[CookieKey::new(epoch, [7; 32])], epoch)
}

/// Terms that stand in nobody's way; tests tighten what they are about.
pub fn terms() -> Terms {
    Terms {
        policy: Arc::new(ServerPolicy::default()),
        seats: SeatLimits { total: 1000, per_prefix: 1000, ..SeatLimits::default() },
        time_limit: Duration::from_secs(10),
        admits: Arc::new(|_| true),
    }
}

impl Rig {
    pub fn new(terms: Terms) -> Self {
        let (server, client, root) = identity();
        let mut pool = RandomPool::new().expect("the kernel's randomness");
        let random = move |out: &mut [u8]| pool.fill(out);
        let frontend = Frontend::new(server, terms, Box::new(random));
        frontend.set_cookie_keys(Some(cookie_keys(1)));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let running = frontend.clone();
        thread::spawn(move || serve(&running, vec![listener], |_| {}));
        Self { frontend, address, client, root }
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// A whole key establishment.
    pub fn establish(&self, aeads: &[Aead]) -> Result<Agreement, KeError> {
        let client = KeClient::new(&self.client, "localhost", aeads)?;
        converse(client, &self.connect())
    }

    /// Waits until `counter` stands at `expected`; sessions are counted when they end, a moment after the client's end.
    #[track_caller]
    pub fn expect(&self, counter: Counter, expected: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.frontend.counters().get(counter) < expected && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.frontend.counters().get(counter), expected, "{}", counter.name());
    }

    /// Waits until every session is over, and checks that each connection had exactly one fate.
    #[track_caller]
    pub fn expect_settled(&self) {
        let counters = self.frontend.counters();
        let fates = || {
            let fates = Counter::ALL.into_iter().filter(|counter| counter.is_fate());
            fates.map(|counter| counters.get(counter)).sum::<u64>()
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while (self.frontend.sessions() > 0 || fates() < counters.get(Counter::Accepted))
            && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!((self.frontend.sessions(), fates()), (0, counters.get(Counter::Accepted)));
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream
}

/// Runs `client` over `stream` to its end.
pub fn converse(mut client: KeClient, mut stream: &TcpStream) -> Result<Agreement, KeError> {
    while !client.is_done() {
        while client.wants_write() {
            if client.write_tls(&mut stream).is_err() {
                client.peer_closed();
                return client.finish();
            }
        }
        if client.wants_read() {
            match client.read_tls(&mut stream) {
                Ok(1..) => client.process(),
                Ok(0) | Err(_) => client.peer_closed(),
            }
        }
    }
    client.finish()
}

/// Says anything over TLS, not all at once, and reads to the end of the connection; an error if it is reset.
pub fn say(rig: &Rig, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(rig.root.as_bytes()) {
        roots.add(certificate.expect("ours")).expect("ours");
    }
    let mut config =
        rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"ntske/1".to_vec()];
    let name = "localhost".try_into().expect("a name");
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).expect("good settings");
    let mut stream = rig.connect();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    for part in message.chunks(16_000) {
        tls.writer().write_all(part)?;
        while tls.wants_write() {
            tls.write_tls(&mut stream)?;
        }
        // A connection that the server has closed by now is reset by this part, and the next one finds that out.
        thread::sleep(Duration::from_millis(20));
    }
    let mut answer = Vec::new();
    rustls::Stream::new(&mut tls, &mut stream).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A client that has finished the handshake but has not sent its request yet.
pub struct Halfway {
    pub client: KeClient,
    pub stream: TcpStream,
    /// The request, whole TLS records each.
    pub records: Vec<Vec<u8>>,
}

impl Halfway {
    pub fn new(rig: &Rig) -> Self {
        Self::with_request(rig, &KeRequest::offering(&[Aead::SivCmac256]))
    }

    /// With a request that takes two TLS records: 24 KiB of numbers nobody has.
    pub fn in_two_parts(rig: &Rig) -> Self {
        let mut request = KeRequest::offering(&[Aead::SivCmac256]);
        request.aeads.extend(std::iter::repeat_n(0xfff0, 12_000));
        let halfway = Self::with_request(rig, &request);
        assert_eq!(halfway.records.len(), 2);
        halfway
    }

    fn with_request(rig: &Rig, request: &KeRequest) -> Self {
        let mut client =
            KeClient::with_request(&rig.client, "localhost", request).expect("a client");
        let stream = rig.connect();
        let mut pending = Vec::new();
        while pending.is_empty() {
            let mut hello = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut hello).expect("into memory");
            }
            let records = split(&hello);
            // What the client says last, behind its Finished, is the request: application data.
            let finished = records.iter().position(|record| record.first() == Some(&0x17));
            match finished {
                None => {
                    (&stream).write_all(&hello).expect("sent");
                    client.read_tls(&mut &stream).expect("an answer");
                    client.process();
                }
                Some(finished) => {
                    let (now, later) = records.split_at(finished + 1);
                    (&stream).write_all(&now.concat()).expect("sent");
                    pending = later.to_vec();
                }
            }
        }
        Self { client, stream, records: pending }
    }

    /// Sends the first TLS record of the request.
    pub fn send_half(&mut self) {
        self.stream.write_all(&self.records.remove(0)).expect("sent");
    }

    /// Sends what is left, and ends well.
    pub fn finish(mut self) -> Result<Agreement, KeError> {
        self.stream.write_all(&self.records.concat()).expect("sent");
        converse(self.client, &self.stream)
    }
}

/// TLS records: type (1), version (2), length (2), body.
pub fn split(mut octets: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some((header, _)) = octets.split_first_chunk::<5>() {
        let len = 5 + usize::from(u16::from_be_bytes([header[3], header[4]]));
        let (record, rest) = octets.split_at(len);
        records.push(record.to_vec());
        octets = rest;
    }
    assert!(octets.is_empty());
    records
}

/// Everything the server still says; `None` if it resets the connection.
pub fn rest(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Ok(_) => Some(octets),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
        Err(error) => panic!("the server never ends: {error}"),
    }
}

/// A ClientHello (RFC 8446 §4.1.2) with the extensions in `extensions`, in a TLS record.
pub fn client_hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let with_len = |octets: &[u8]| {
        let len = u16::try_from(octets.len()).expect("short");
        [&len.to_be_bytes()[..], octets].concat()
    };
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &with_len(body)].concat())
        .collect();
    // Version 1.2, random, no session id, ECDHE-ECDSA-AES128-GCM and TLS_AES_128_GCM_SHA256, no compression.
    let mut hello = vec![3, 3];
    hello.extend([0x5a; 32]);
    hello.push(0);
    hello.extend(with_len(&[0xc0, 0x2b, 0x13, 0x01]));
    hello.extend([1, 0]);
    hello.extend(with_len(&extensions));
    let len = u32::try_from(hello.len()).expect("short").to_be_bytes();
    let handshake = [&[1, len[1], len[2], len[3]][..], &hello].concat();
    [&[0x16, 3, 1][..], &with_len(&handshake)].concat()
}
