//! A client to be judged: small, right, and wrong in one way where that is wanted.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use noonmark_prober::client::turn::random;
use noonmark_prober::octets::field::{COOKIE, PLACEHOLDER, UNIQUE};
use noonmark_prober::octets::record::{
    self, AEAD, END, ERROR, NEXT_PROTOCOL, PORT, SERVER, WARNING,
};
use noonmark_prober::octets::{Cipher, Field, Header, Keys, Protected, Record};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// One thing that a client does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    TakesOtherIdentifier,
    TakesUnprotected,
    TakesSecondAnswer,
    KeepsClearCookies,
    ReusesCookie,
    OneIdentifier,
    ShortIdentifier,
    FilledPlaceholder,
    LongPlaceholder,
    FieldBehindAuthenticator,
    ShowsStratum,
    RetriesAtOnce,
    IgnoresDeny,
    IgnoresRate,
    ObeysForeignKiss,
    NoCloseNotify,
    GoesOnAfterError,
    GoesOnAfterWarning,
    IgnoresCritical,
    TakesAnyName,
    NoAlpn,
    NakAtOnce,
    FallsBack,
}

/// What was agreed.
struct Agreement {
    keys: Keys,
    server: SocketAddr,
    cookies: VecDeque<Vec<u8>>,
}

/// Keys by the number of their AEAD, and whether record 1024 was agreed.
type AllKeys = BTreeMap<(u16, bool), Keys>;

/// Why there is no agreement.
enum Refused {
    /// The server said error 1 or 0.
    BadRequest,
    Other,
}

/// A client of one server.
pub struct Subject {
    fault: Option<Fault>,
    place: SocketAddr,
    tls: Arc<ClientConfig>,
    second: Duration,
    unique: Vec<u8>,
    first_cookie: Option<Vec<u8>>,
}

/// What a question came to.
#[derive(PartialEq)]
enum Heard {
    Time,
    Nothing,
    Nak,
    Deny,
    Rate,
}

impl Subject {
    /// One that trusts the authority in `ca`, and asks the server at `place`, once a second.
    pub fn new(fault: Option<Fault>, place: SocketAddr, ca: &str, second: Duration) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM"))
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3");
        let mut tls = if fault == Some(Fault::TakesAnyName) {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody))
                .with_no_client_auth()
        } else {
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        if fault != Some(Fault::NoAlpn) {
            tls.alpn_protocols = vec![b"ntske/1".to_vec()];
        }
        tls.resumption = rustls::client::Resumption::disabled();
        Self { fault, place, tls: Arc::new(tls), second, unique: random(32), first_cookie: None }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Establishes keys and asks until told to stop.
    pub fn live(&mut self, over: &AtomicBool) {
        let mut wait_s = 10.0;
        while !over.load(Ordering::Relaxed) {
            match self.establish() {
                Ok(mut agreed) => {
                    let began = Instant::now();
                    match self.ask(&mut agreed, over) {
                        Asked::Denied => return,
                        Asked::Proven => wait_s = 10.0,
                        Asked::Unproven => {
                            self.pause(
                                (self.second.mul_f64(wait_s)).saturating_sub(began.elapsed()),
                                over,
                            );
                            wait_s *= 1.5;
                        }
                    }
                }
                Err(Refused::BadRequest) if !self.has(Fault::RetriesAtOnce) => return,
                Err(_) if self.has(Fault::RetriesAtOnce) => self.pause(self.second / 2, over),
                Err(_) => {
                    if self.has(Fault::FallsBack) {
                        self.ask_plainly();
                    }
                    self.pause(self.second.mul_f64(wait_s), over);
                    wait_s *= 1.5;
                }
            }
        }
    }

    fn pause(&self, time: Duration, over: &AtomicBool) {
        let until = Instant::now() + time;
        while Instant::now() < until && !over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5).min(time));
        }
    }

    fn establish(&self) -> Result<Agreement, Refused> {
        let (records, keys) = self.handshake().map_err(|_| Refused::Other)?;
        let end = records.iter().position(|record| record.kind == END).ok_or(Refused::Other)?;
        let records = &records[..end];
        let of = |kind: u16| {
            records.iter().filter(move |record| record.kind == kind).collect::<Vec<_>>()
        };
        if let Some(error) = of(ERROR).first().filter(|_| !self.has(Fault::GoesOnAfterError)) {
            return Err(if matches!(error.body[..], [0, 0 | 1]) {
                Refused::BadRequest
            } else {
                Refused::Other
            });
        }
        let known = [
            END,
            NEXT_PROTOCOL,
            ERROR,
            WARNING,
            AEAD,
            record::COOKIE,
            SERVER,
            PORT,
            record::COMPLIANT_EXPORT,
        ];
        let unknown = records.iter().any(|record| record.critical && !known.contains(&record.kind));
        let is_wrong = [
            unknown && !self.has(Fault::IgnoresCritical),
            !of(WARNING).is_empty() && !self.has(Fault::GoesOnAfterWarning),
            of(NEXT_PROTOCOL).len() != 1 || of(NEXT_PROTOCOL)[0].body != [0, 0],
            of(AEAD).len() != 1 || of(AEAD)[0].body.len() != 2,
            of(record::COOKIE).is_empty(),
            of(SERVER).len() > 1 || of(SERVER).iter().any(|server| !is_address(&server.body)),
            of(PORT).len() > 1
                || of(PORT).iter().any(|port| port.body.len() != 2 || port.body == [0, 0]),
        ];
        if is_wrong.contains(&true) {
            return Err(Refused::Other);
        }
        let cipher = Cipher::from_number(of(AEAD)[0].numbers()[0]).ok_or(Refused::Other)?;
        let is_compliant = !of(record::COMPLIANT_EXPORT).is_empty();
        let keys = keys.get(&(cipher.number(), is_compliant)).cloned().ok_or(Refused::Other)?;
        let port = of(PORT).first().map_or(123, |port| port.numbers()[0]);
        let cookies =
            of(record::COOKIE).into_iter().map(|cookie| cookie.body.clone()).take(8).collect();
        Ok(Agreement { keys, server: SocketAddr::new(self.place.ip(), port), cookies })
    }

    /// The records of the response, and keys for every algorithm that may be agreed.
    fn handshake(&self) -> io::Result<(Vec<Record>, AllKeys)> {
        let mut tcp = TcpStream::connect_timeout(&self.place, Duration::from_secs(2))?;
        tcp.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut tls =
            ClientConnection::new(self.tls.clone(), ServerName::IpAddress(self.place.ip().into()))
                .map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        if tls.alpn_protocol() != Some(b"ntske/1") && !self.has(Fault::NoAlpn) {
            return Err(io::Error::other("no protocol"));
        }
        let export = Record::new(false, record::COMPLIANT_EXPORT, []);
        let request =
            record::message(&[Record::protocols(&[0]), Record::aeads(&[15, 17, 30]), export]);
        tls.writer().write_all(&request)?;
        if !self.has(Fault::NoCloseNotify) {
            tls.send_close_notify();
        }
        while tls.wants_write() {
            tls.write_tls(&mut tcp)?;
        }
        let mut said = Vec::new();
        loop {
            let read = tls.read_tls(&mut tcp)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let mut more = vec![0; state.plaintext_bytes_to_read()];
            tls.reader().read_exact(&mut more)?;
            said.extend(more);
            if read == 0 || state.peer_has_closed() {
                break;
            }
        }
        let mut keys = BTreeMap::new();
        for (cipher, is_compliant) in
            [(Cipher::Siv256, false), (Cipher::Siv512, false), (Cipher::GcmSiv, true)]
        {
            let key = |direction: u8| {
                let [high, low] = cipher.number().to_be_bytes();
                let context = [0, 0, high, low, direction];
                tls.export_keying_material(
                    vec![0; cipher.key_len()],
                    b"EXPORTER-network-time-security",
                    Some(&context),
                )
                .map_err(io::Error::other)
            };
            keys.insert(
                (cipher.number(), is_compliant),
                Keys { cipher, c2s: key(0)?, s2c: key(1)? },
            );
        }
        Ok((record::cut(&said).0, keys))
    }

    /// Asks once a second until there are no cookies left, or they are refused.
    fn ask(&mut self, agreed: &mut Agreement, over: &AtomicBool) -> Asked {
        let (mut interval, mut is_proven, mut naks) = (self.second, false, 0);
        while !over.load(Ordering::Relaxed) {
            let Some(cookie) = agreed.cookies.pop_front() else {
                return if is_proven { Asked::Proven } else { Asked::Unproven };
            };
            let asked_at = Instant::now();
            let heard = self.exchange(agreed, cookie, interval).unwrap_or(Heard::Nothing);
            match heard {
                Heard::Time => (is_proven, naks) = (true, 0),
                Heard::Nothing => {}
                Heard::Deny if !self.has(Fault::IgnoresDeny) => return Asked::Denied,
                Heard::Rate if !self.has(Fault::IgnoresRate) => interval *= 2,
                Heard::Deny | Heard::Rate => {}
                Heard::Nak if self.has(Fault::NakAtOnce) => return Asked::Proven,
                Heard::Nak => naks += 1,
            }
            self.pause(interval.saturating_sub(asked_at.elapsed()), over);
            if naks > 0 {
                return if is_proven { Asked::Proven } else { Asked::Unproven };
            }
        }
        Asked::Proven
    }

    /// One question and what comes of it within most of an interval.
    fn exchange(
        &mut self,
        agreed: &mut Agreement,
        cookie: Vec<u8>,
        interval: Duration,
    ) -> io::Result<Heard> {
        let socket = UdpSocket::bind((if self.place.is_ipv4() { "0.0.0.0" } else { "::" }, 0))?;
        socket.connect(agreed.server)?;
        let transmit = u64::from_be_bytes(random(8).try_into().expect("eight"));
        let unique = if self.has(Fault::OneIdentifier) { self.unique.clone() } else { random(32) };
        let request = self.request(agreed, &cookie, transmit, unique.clone());
        socket.send(&request)?;
        let until = Instant::now() + interval.mul_f64(0.8);
        let mut nak = Heard::Nothing;
        let mut answers = 0;
        while let Some(left) =
            until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            socket.set_read_timeout(Some(left))?;
            let mut octets = [0; 4096];
            let Ok(len) = socket.recv(&mut octets) else { continue };
            match self.judge(&octets[..len], agreed, transmit, &unique) {
                Some(Heard::Time) => {
                    answers += 1;
                    if !self.has(Fault::TakesSecondAnswer) || answers == 2 {
                        return Ok(Heard::Time);
                    }
                }
                Some(Heard::Nak) if self.has(Fault::NakAtOnce) => return Ok(Heard::Nak),
                Some(Heard::Nak) => nak = Heard::Nak,
                Some(other) => return Ok(other),
                None => {}
            }
        }
        Ok(if answers > 0 { Heard::Time } else { nak })
    }

    fn request(
        &mut self,
        agreed: &Agreement,
        cookie: &[u8],
        transmit: u64,
        unique: Vec<u8>,
    ) -> Vec<u8> {
        let mut header = Header::request(transmit);
        header.stratum = if self.has(Fault::ShowsStratum) { 3 } else { 0 };
        let unique = if self.has(Fault::ShortIdentifier) { unique[..28].to_vec() } else { unique };
        let first = self.first_cookie.get_or_insert(cookie.to_vec()).clone();
        let cookie = if self.has(Fault::ReusesCookie) { first } else { cookie.to_vec() };
        let mut clear = vec![Field::new(UNIQUE, unique), Field::new(COOKIE, cookie.clone())];
        let wanted = 7_usize.saturating_sub(agreed.cookies.len());
        for _ in 0..wanted {
            let len = clear.iter().map(|field| field.body.len() + 4).sum::<usize>()
                + cookie.len()
                + 4
                + 48
                + 40;
            if len <= 1232 {
                let mut body = vec![0; cookie.len()];
                if self.has(Fault::FilledPlaceholder) {
                    body[3] = 1;
                }
                if self.has(Fault::LongPlaceholder) {
                    body.extend([0; 4]);
                }
                clear.push(Field::new(PLACEHOLDER, body));
            }
        }
        let after = if self.has(Fault::FieldBehindAuthenticator) {
            Field::new(0x7777, [0; 24]).octets()
        } else {
            Vec::new()
        };
        let cipher = agreed.keys.cipher;
        let open = Protected {
            header: header.octets(),
            clear,
            nonce: random(cipher.nonce_len()),
            inner: Vec::new(),
            padding: 0,
            after,
        };
        open.seal(cipher, &agreed.keys.c2s)
    }

    /// What a datagram is worth; `None` if nothing.
    fn judge(
        &self,
        octets: &[u8],
        agreed: &mut Agreement,
        transmit: u64,
        unique: &[u8],
    ) -> Option<Heard> {
        let header = Header::read(octets)?;
        if header.mode != 4 || header.version != 4 || header.origin != transmit {
            return None;
        }
        let (fields, rest) = noonmark_prober::octets::field::cut(&octets[48..]);
        if !rest.is_empty() {
            return None;
        }
        let uniques: Vec<&Field> = fields.iter().filter(|field| field.kind == UNIQUE).collect();
        let authenticators = fields
            .iter()
            .filter(|field| field.kind == noonmark_prober::octets::field::AUTHENTICATOR)
            .count();
        let is_ours = uniques.len() == 1
            && (uniques[0].body == unique || self.has(Fault::TakesOtherIdentifier));
        if authenticators == 0 && header.stratum == 0 {
            let is_ours = uniques.len() == 1 && uniques[0].body == unique;
            let heard = match &header.reference_id {
                b"NTSN" if is_ours => Heard::Nak,
                b"DENY" if !is_ours && self.has(Fault::ObeysForeignKiss) => Heard::Deny,
                _ => return None,
            };
            return Some(heard);
        }
        if authenticators == 0 && self.has(Fault::TakesUnprotected) {
            return Some(Heard::Time);
        }
        let open = Protected::open(octets, agreed.keys.cipher, &agreed.keys.s2c)?;
        if !is_ours
            || authenticators != 1
            || !open.after.is_empty()
                && noonmark_prober::octets::field::cut(&open.after).1 != [0_u8; 0]
        {
            return None;
        }
        if header.stratum == 0 {
            return Some(match &header.reference_id {
                b"DENY" => Heard::Deny,
                b"RATE" => Heard::Rate,
                _ => return None,
            });
        }
        let sealed = open.inner.iter().filter(|field| field.kind == COOKIE);
        let clear = open
            .clear
            .iter()
            .filter(|field| field.kind == COOKIE && self.has(Fault::KeepsClearCookies));
        for cookie in clear.chain(sealed) {
            if agreed.cookies.len() < 8 {
                agreed.cookies.push_back(cookie.body.clone());
            }
        }
        Some(Heard::Time)
    }

    fn ask_plainly(&self) {
        let plain = Header::request(7).octets();
        let socket = UdpSocket::bind("0.0.0.0:0")
            .and_then(|socket| socket.send_to(&plain, (self.place.ip(), 10_123)));
        assert!(socket.is_ok());
    }
}

/// How asking came to an end.
enum Asked {
    Denied,
    Proven,
    Unproven,
}

fn is_address(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| text.parse::<std::net::IpAddr>().is_ok())
}

/// Believes every certificate.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
