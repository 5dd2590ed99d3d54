//! A server on loopback, honest or not, in threads of the test.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use noonmark_nts::{
    Aead, AnswerPlan, CookieKey, CookieKeys, Identity, KeServer, Request, ServerPolicy, ServerTls,
    classify, open_request,
};
use noonmark_os::clock;
use noonmark_packet::{HEADER_LEN, Header, Leap, Mode, Packet, ReferenceId, Version};
use noonmark_units::{PollExponent, Precision, Short, Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData,
};

/// How a server behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    Honest,
    /// Takes questions and says nothing.
    Silent,
    /// Protected answers with one bit wrong.
    Forged,
    /// Plain answers to protected questions, with the right origin.
    Stripped,
    /// Refuses every cookie.
    Nak,
    /// A kiss to every question.
    Rate,
    /// Says that it is not synchronised.
    Unsynchronised,
    /// The certificate is for another name.
    WrongName,
    /// Key establishment accepts connections and says nothing.
    SilentKe,
    /// Key establishment sends clients to a port where no NTP server belongs.
    Redirecting,
}

/// A running server and the authority to trust.
pub struct Server {
    pub ntp_port: u16,
    pub ke_port: u16,
    pub ca: PathBuf,
}

/// How far the server's clock is ahead.
pub const AHEAD: f64 = 12.5;

impl Server {
    pub fn start(manner: Manner) -> Self {
        let ntp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let ke = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (ntp_port, ke_port) =
            (ntp.local_addr().expect("bound").port(), ke.local_addr().expect("bound").port());
        let name = if manner == Manner::WrongName { "other.example" } else { "localhost" };
        let (ca, identity) = certificates(name);
        let ca_file = std::env::temp_dir()
            .join(format!("noonmark-query-test-{}-{ke_port}.pem", std::process::id()));
        fs::write(&ca_file, ca).expect("room");
        let keys = || CookieKeys::new(&[CookieKey::new(1, [7; 32])], 1);
        let (ntp_keys, ke_keys) = (keys(), keys());
        thread::spawn(move || serve_ntp(&ntp, manner, &ntp_keys));
        let told = if manner == Manner::Redirecting { 53 } else { ntp_port };
        thread::spawn(move || serve_ke(&ke, manner, &ke_keys, &identity, told));
        Self { ntp_port, ke_port, ca: ca_file }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.ca);
    }
}

/// An authority in PEM, and an identity it vouches for.
fn certificates(name: &str) -> (String, Identity) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    // No two authorities have the same name.
    params.distinguished_name.push(DnType::CommonName, format!("{:02x?}", &key.der_bytes()[..16]));
    let ca = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &ca).expect("a certificate");
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
    (ca.pem(), identity.expect("they belong together"))
}

fn serve_ke(
    listener: &TcpListener,
    manner: Manner,
    keys: &CookieKeys,
    identity: &Identity,
    ntp_port: u16,
) {
    let tls = ServerTls::new(identity);
    let policy = Arc::new(ServerPolicy { ntp_port, ..ServerPolicy::default() });
    let mut kept = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        let peer = stream.peer_addr().expect("connected").ip();
        if manner == Manner::SilentKe {
            kept.push(stream);
            continue;
        }
        let mut session = KeServer::new(&tls, Arc::clone(&policy), peer).expect("a session");
        // A client that leaves is no reason for the server to fail.
        let _ = converse(&mut stream, &mut session, keys);
    }
}

fn converse(
    stream: &mut TcpStream,
    session: &mut KeServer,
    keys: &CookieKeys,
) -> std::io::Result<()> {
    loop {
        while session.wants_write() {
            session.write_tls(stream)?;
        }
        if session.is_done() || !session.wants_read() {
            return Ok(());
        }
        session.read_tls(stream)?;
        session.process(keys.issuer(), &mut random());
    }
}

/// Octets that differ from call to call; nothing here is secret.
fn random() -> impl FnMut(&mut [u8]) {
    let mut pool = noonmark_os::random::RandomPool::new().expect("randomness");
    move |octets| pool.fill(octets)
}

fn serve_ntp(socket: &UdpSocket, manner: Manner, keys: &CookieKeys) {
    let mut datagram = [0; 2048];
    loop {
        let (len, peer) = socket.recv_from(&mut datagram).expect("a socket");
        let received = Timestamp::from_unix(clock::realtime()) + Span::from_seconds_f64(AHEAD);
        if let Some(len) = answer(&mut datagram, len, received, manner, keys) {
            socket.send_to(&datagram[..len], peer).expect("room");
        }
    }
}

/// Writes the answer over the request and returns its length.
fn answer(
    datagram: &mut [u8; 2048],
    len: usize,
    received: Timestamp,
    manner: Manner,
    keys: &CookieKeys,
) -> Option<usize> {
    let packet = Packet::parse(&datagram[..len]).ok()?;
    let mut header = Header {
        leap: if manner == Manner::Unsynchronised { Leap::Unsynchronised } else { Leap::None },
        version: Version::V4,
        mode: Mode::Server,
        stratum: 1,
        poll: PollExponent(6),
        precision: Precision(-24),
        root_delay: Short::ZERO,
        root_dispersion: Short::from_bits(16),
        reference_id: ReferenceId(*b"TEST"),
        reference_time: received - Span::from_seconds(1),
        origin: packet.transmit(),
        receive: received,
        transmit: received,
    };
    match manner {
        Manner::Silent => return None,
        Manner::Rate | Manner::Nak => {
            header.stratum = 0;
            header.reference_id =
                ReferenceId(if manner == Manner::Nak { *b"NTSN" } else { *b"RATE" });
        }
        _ => {}
    }
    let head = |datagram: &mut [u8; 2048]| {
        datagram.first_chunk_mut::<HEADER_LEN>().map(|place| header.write(place)).expect("room");
    };
    let fields = match classify(&packet).ok()? {
        Request::Protected(fields) if manner != Manner::Stripped => fields,
        _ => {
            head(datagram);
            return Some(HEADER_LEN);
        }
    };
    let session = keys.open(fields.cookie(&datagram[..len])).ok()?;
    let wanted = open_request(&mut datagram[..len], &fields, &session).ok()?;
    if matches!(manner, Manner::Nak | Manner::Rate) {
        let len = noonmark_nts::echo_unique(datagram, fields.unique());
        head(datagram);
        return Some(len);
    }
    let plan = AnswerPlan::new(&fields, session.aead(), wanted, len)?;
    let mut random = random();
    plan.lay_out(datagram, &mut random);
    let issuer = keys.issuer()?;
    let cookies: Vec<_> = (0..plan.cookies()).map(|_| issuer.seal(&session, &mut random)).collect();
    for (place, cookie) in plan.cookie_places(datagram).zip(cookies) {
        place.copy_from_slice(&cookie);
    }
    head(datagram);
    plan.seal(datagram, &session);
    if manner == Manner::Forged {
        datagram[47] ^= 1;
    }
    Some(plan.len())
}

/// The AEADs a test goes through.
pub const AEADS: [Aead; 3] = Aead::ALL;
