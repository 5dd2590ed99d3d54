//! The key exchange server under test, and a client that says anything and writes down what it hears.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use noonmark_conformance::check::{Effort, Failure};
use noonmark_nts::{CookieKey, CookieKeys, Identity, KeServer, ServerPolicy, ServerTls};
use noonmark_os::random::RandomPool;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::fault::{Adaptor, Fault};
use super::octets::{
    AEAD, COOKIE, Draft, END, ERROR, NEXT_PROTOCOL, NTPV4, Record, SIV_256, message, records,
};
use crate::{FaultKind, Lab};

/// A server and how it is set up, fresh for each check; change a field before the next session to change the server.
#[derive(Clone)]
pub struct KeLab {
    pub fault: Option<Fault>,
    pub effort: Effort,
    pub policy: ServerPolicy,
    /// Where the client sits.
    pub peer: IpAddr,
    /// `None`: the server has lost its cookie keys.
    pub keys: Option<Arc<CookieKeys>>,
}

/// One end of a connection to a server: octets in, octets out, and the two ways of hearing no more.
pub trait Server {
    fn take(&mut self, octets: &[u8]);
    fn give(&mut self) -> Vec<u8>;
    fn time_out(&mut self);
    fn end_of_input(&mut self);
    /// Whether the server has no more to say, so that whoever owns the socket closes it.
    fn is_over(&self) -> bool;
}

impl KeLab {
    pub fn new(lab: &Lab) -> Self {
        let fault = match lab.fault {
            Some(FaultKind::Ke(fault)) => Some(fault),
            _ => None,
        };
        Self {
            fault,
            effort: lab.effort,
            policy: ServerPolicy::default(),
            peer: [192, 0, 2, 7].into(),
            keys: Some(Arc::clone(cookie_keys())),
        }
    }

    /// How often a thing is tried that must not happen once in many.
    pub fn many(&self, quick: usize, usual: usize, long: usize) -> usize {
        match self.effort {
            Effort::Quick => quick,
            Effort::Usual => usual,
            Effort::Long => long,
        }
    }

    /// A server for one connection, broken as the lab is.
    pub fn server(&self) -> Box<dyn Server> {
        match self.fault {
            Some(fault) => Box::new(Adaptor::new(fault, self.clone())),
            None => Box::new(Plain::new(self)),
        }
    }

    /// An ordinary client's connection, the handshake done.
    pub fn connect(&self) -> Result<Talk, Failure> {
        let talk = self.connect_with(client_config());
        match &talk.broken {
            Some(error) => Err(format!("no session: {error}")),
            None if talk.client.is_handshaking() => Err("the handshake never ends".to_owned()),
            None => Ok(talk),
        }
    }

    /// A connection with other TLS settings, as far as it gets.
    pub fn connect_with(&self, config: &Arc<ClientConfig>) -> Talk {
        self.connect_in_pieces(config, usize::MAX)
    }

    /// The same over a transport that delivers at most `piece` octets at a time.
    pub fn connect_in_pieces(&self, config: &Arc<ClientConfig>, piece: usize) -> Talk {
        let mut talk = Talk::to(client(config), self.server());
        talk.piece = piece;
        talk.carry();
        talk
    }

    /// Sends a message to an ordinary connection and reads the answer.
    pub fn ask(&self, message: &[u8]) -> Result<Answer, Failure> {
        let mut talk = self.connect()?;
        talk.say(message);
        talk.answer()
    }

    /// The same, from records.
    pub fn ask_for(&self, records: &[Draft<'_>]) -> Result<Answer, Failure> {
        self.ask(&message(records))
    }

    /// The same, where keys and cookies must be given.
    pub fn served(&self, records: &[Draft<'_>]) -> Result<Answer, Failure> {
        let answer = self.ask_for(records)?;
        if answer.is_served() {
            Ok(answer)
        } else {
            Err(format!("{records:02x?} is not served: {:02x?}", answer.records))
        }
    }

    /// The positive control beside everything that is shown by an absence: an ordinary request is answered.
    pub fn control(&self) -> Result<(), Failure> {
        self.served(&[NTPV4, SIV_256]).map(drop).map_err(|failure| format!("control: {failure}"))
    }

    /// What a server says to octets that need not be TLS.
    pub fn probe(&self, octets: &[u8]) -> Vec<u8> {
        let mut server = self.server();
        server.take(octets);
        server.give()
    }
}

/// A client's connection to a server in the same process.
pub struct Talk {
    pub client: ClientConnection,
    server: Box<dyn Server>,
    /// What the server said inside TLS.
    pub heard: Vec<u8>,
    /// What it said, as it went over the wire.
    pub stream: Vec<u8>,
    /// Whether its `close_notify` came.
    pub notified: bool,
    /// Why TLS came to an end, if it did.
    pub broken: Option<rustls::Error>,
    /// The transport delivers at most so many octets at a time.
    piece: usize,
}

impl Talk {
    /// Not one octet has gone either way.
    pub fn to(mut client: ClientConnection, server: Box<dyn Server>) -> Self {
        client.set_buffer_limit(None);
        Self {
            client,
            server,
            heard: Vec::new(),
            stream: Vec::new(),
            notified: false,
            broken: None,
            piece: usize::MAX,
        }
    }

    /// Sends octets inside TLS, and lets both sides talk until they fall silent.
    pub fn say(&mut self, octets: &[u8]) {
        // A client that was refused says no more.
        if self.broken.is_none() {
            self.client.writer().write_all(octets).expect("the buffer has no limit");
            self.carry();
        }
    }

    /// Ends the client's direction, first in TLS, then in the transport.
    pub fn half_close(&mut self) {
        self.client.send_close_notify();
        self.carry();
        self.server.end_of_input();
        self.carry();
    }

    /// The transport ends without a word of TLS.
    pub fn cut_off(&mut self) {
        self.server.end_of_input();
        self.carry();
    }

    /// The server's time limit passes.
    pub fn time_out(&mut self) {
        self.server.time_out();
        self.carry();
    }

    /// Whether the server is done and its socket would be closed.
    pub fn is_over(&self) -> bool {
        self.server.is_over()
    }

    /// What was heard, as records.
    pub fn answer(self) -> Result<Answer, Failure> {
        let records = records(&self.heard)?;
        Ok(Answer { records, talk: self })
    }

    fn carry(&mut self) {
        loop {
            let mut out = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut out).expect("a vector takes all");
            }
            for piece in out.chunks(self.piece) {
                self.server.take(piece);
            }
            let said = self.server.give();
            if said.is_empty() && out.is_empty() {
                return;
            }
            self.stream.extend(&said);
            self.hear(&said);
        }
    }

    fn hear(&mut self, mut said: &[u8]) {
        while !said.is_empty() && self.broken.is_none() {
            if self.client.read_tls(&mut said).is_err() {
                return;
            }
            match self.client.process_new_packets() {
                Ok(state) => self.notified |= state.peer_has_closed(),
                Err(error) => self.broken = Some(error),
            }
            // Ends at "would block" or at the end of the stream.
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = self.client.reader().read(&mut piece) {
                self.heard.extend(&piece[..len]);
            }
        }
    }
}

/// A whole answer.
pub struct Answer {
    pub records: Vec<Record>,
    pub talk: Talk,
}

impl Answer {
    pub fn of_kind(&self, kind: u16) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.kind == kind)
    }

    pub fn count(&self, kind: u16) -> usize {
        self.of_kind(kind).count()
    }

    /// Kinds in the order they came, End of Message left out.
    pub fn kinds(&self) -> Vec<u16> {
        self.records.iter().map(|record| record.kind).filter(|kind| *kind != END).collect()
    }

    pub fn error(&self) -> Option<u16> {
        self.of_kind(ERROR).find_map(|record| record.numbers().first().copied())
    }

    pub fn protocols(&self) -> Vec<u16> {
        self.of_kind(NEXT_PROTOCOL).next().map(Record::numbers).unwrap_or_default()
    }

    /// The AEAD chosen: the first where there are several.
    pub fn aead(&self) -> Option<u16> {
        self.of_kind(AEAD).find_map(|record| record.numbers().first().copied())
    }

    pub fn cookies(&self) -> Vec<&[u8]> {
        self.of_kind(COOKIE).map(|record| &record.body[..]).collect()
    }

    /// Whether NTPv4 and an AEAD were agreed on.
    pub fn is_served(&self) -> bool {
        self.error().is_none() && self.protocols().contains(&0) && self.aead().is_some()
    }
}

/// Holds, or fails for the reason given.
pub fn ensure(holds: bool, why: impl FnOnce() -> Failure) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Asks something that must be refused with this error and with nothing else of use.
pub fn expect_error(lab: &KeLab, octets: &[u8], code: u16) -> Result<(), Failure> {
    let answer = lab.ask(octets)?;
    let refused = answer.error() == Some(code) && answer.cookies().is_empty();
    ensure(refused, || {
        let shown = &octets[..octets.len().min(48)];
        format!("{shown:02x?} is not answered by error {code} alone: {:02x?}", answer.records)
    })
}

/// The server itself, without an adaptor.
pub struct Plain {
    server: KeServer,
    keys: Option<Arc<CookieKeys>>,
    random: RandomPool,
}

impl Plain {
    pub fn new(lab: &KeLab) -> Self {
        let policy = Arc::new(lab.policy.clone());
        Self {
            server: KeServer::new(server_tls(), policy, lab.peer).expect("TLS takes its settings"),
            keys: lab.keys.clone(),
            random: RandomPool::new().expect("the kernel gives random octets"),
        }
    }
}

impl Server for Plain {
    fn take(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() && self.server.wants_read() {
            if self.server.read_tls(&mut octets).is_err() {
                return;
            }
            let issuer = self.keys.as_ref().and_then(|keys| keys.issuer());
            let random = &mut self.random;
            self.server.process(issuer, &mut |out: &mut [u8]| random.fill(out));
        }
    }

    fn give(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut out).expect("a vector takes all");
        }
        out
    }

    fn time_out(&mut self) {
        self.server.handle_timeout();
    }

    fn end_of_input(&mut self) {
        self.server.peer_closed();
    }

    fn is_over(&self) -> bool {
        self.server.is_done()
    }
}

/// A throw-away identity, and what a client needs to trust it.
pub struct Paper {
    pub chain: String,
    pub key: String,
    pub der: Vec<u8>,
}

pub fn paper() -> &'static Paper {
    static PAPER: OnceLock<Paper> = OnceLock::new();
    PAPER.get_or_init(|| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate");
        Paper {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    })
}

pub fn server_tls() -> &'static ServerTls {
    static TLS: OnceLock<ServerTls> = OnceLock::new();
    TLS.get_or_init(|| {
        let paper = paper();
        let identity = Identity::from_pem(paper.chain.as_bytes(), paper.key.as_bytes());
        ServerTls::new(&identity.expect("an identity of ours"))
    })
}

/// Cookie keys of epochs 5 to 8, of which 7 is current; the adaptor and every responder have them too.
pub fn cookie_keys() -> &'static Arc<CookieKeys> {
    static KEYS: OnceLock<Arc<CookieKeys>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = [5, 6, 7, 8].map(|epoch| CookieKey::new(epoch, [epoch as u8 + 50; 32]));
        Arc::new(CookieKeys::new(&keys, 7))
    })
}

/// TLS settings of an ordinary client.
pub fn client_config() -> &'static Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG.get_or_init(|| Arc::new(client_config_for(&[b"ntske/1"])))
}

/// TLS settings with these protocols in ALPN; none: without ALPN.
pub fn client_config_for(protocols: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(paper().der.clone().into()).expect("a certificate of ours");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3 suites")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    config
}

pub fn client(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("TLS takes its settings")
}
