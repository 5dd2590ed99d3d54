//! Certificates, and octets carried between two ends of TLS.

use std::io::{Read, Write};
use std::sync::Arc;

use noonmark_nts::{
    ALPN, ClientTls, CookieKey, CookieKeys, Identity, KeClient, KeServer, Random, ServerPolicy,
    ServerTls, TrustRoots, VerificationTime,
};
use noonmark_units::UnixTime;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

pub const NAME: &str = "time.example";

/// A time at which the certificates of [`Authority::issue`] are good: 2030-01-01.
pub const GOOD_TIME: i64 = 1_893_456_000;

#[derive(Debug)]
pub struct At(pub i64);

impl VerificationTime for At {
    fn now(&self) -> Option<UnixTime> {
        Some(UnixTime::new(self.0, 0))
    }
}

/// A throw-away certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2050, 1, 1));
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for [`NAME`], valid from 2025 to 2035, changed by `bend`.
    pub fn issue(&self, key: &KeyPair, bend: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
        (params.not_before, params.not_after) =
            (date_time_ymd(2025, 1, 1), date_time_ymd(2035, 1, 1));
        bend(&mut params);
        params.signed_by(key, &self.issuer).expect("signed").pem()
    }

    pub fn roots(&self) -> TrustRoots {
        let mut roots = TrustRoots::new();
        assert_eq!(roots.add_pem(self.pem.as_bytes()), Ok(1));
        roots
    }
}

/// An authority, a server's identity from it, and cookie keys.
pub struct World {
    pub authority: Authority,
    pub chain: String,
    pub key: KeyPair,
    pub cookie_keys: CookieKeys,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    pub fn with(bend: impl FnOnce(&mut CertificateParams)) -> Self {
        let authority = Authority::new();
        let key = KeyPair::generate().expect("a key");
        let chain = authority.issue(&key, bend);
        let keys: Vec<_> =
            (5..9_u8).map(|epoch| CookieKey::new(epoch.into(), [epoch; 32])).collect();
        Self { authority, chain, key, cookie_keys: CookieKeys::new(&keys, 7) }
    }

    pub fn server_tls(&self) -> ServerTls {
        let identity =
            Identity::from_pem(self.chain.as_bytes(), self.key.serialize_pem().as_bytes());
        ServerTls::new(&identity.expect("they belong together"))
    }

    pub fn client_tls(&self) -> ClientTls {
        ClientTls::new(self.authority.roots(), At(GOOD_TIME))
    }

    pub fn server(&self, policy: ServerPolicy) -> KeServer {
        KeServer::new(&self.server_tls(), Arc::new(policy), [192, 0, 2, 1].into())
            .expect("TLS begins")
    }

    /// A client of plain rustls: it can say anything.
    pub fn raw_client(&self, alpn: &[&[u8]]) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).expect("PEM");
        roots.add(root).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        ClientConnection::new(Arc::new(config), ServerName::try_from(NAME).expect("a name"))
            .expect("TLS begins")
    }

    /// A server of plain rustls: it can say anything.
    pub fn raw_server(&self, alpn: &[&[u8]]) -> ServerConnection {
        let chain = vec![CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together");
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        ServerConnection::new(Arc::new(config)).expect("TLS begins")
    }
}

pub const KE_ALPN: &[&[u8]] = &[ALPN];

/// One end of a connection, whatever it is.
pub trait End {
    fn take(&mut self, octets: &[u8]);
    fn give(&mut self, octets: &mut Vec<u8>);
}

impl End for KeClient {
    fn take(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            self.read_tls(&mut octets).expect("room");
            self.process();
        }
    }

    fn give(&mut self, octets: &mut Vec<u8>) {
        while self.wants_write() {
            self.write_tls(octets).expect("memory");
        }
    }
}

/// A server of ours with what it needs from outside.
pub struct Serving<'w> {
    pub server: KeServer,
    pub cookie_keys: Option<&'w CookieKeys>,
    pub random: Box<dyn Random>,
}

impl<'w> Serving<'w> {
    pub fn new(world: &'w World, policy: ServerPolicy) -> Self {
        let mut state = 0_u64;
        let random = move |out: &mut [u8]| {
            for octet in out {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                *octet = (state >> 56) as u8;
            }
        };
        Self {
            server: world.server(policy),
            cookie_keys: Some(&world.cookie_keys),
            random: Box::new(random),
        }
    }
}

impl End for Serving<'_> {
    fn take(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            self.server.read_tls(&mut octets).expect("room");
            self.server.process(self.cookie_keys.and_then(CookieKeys::issuer), &mut *self.random);
        }
    }

    fn give(&mut self, octets: &mut Vec<u8>) {
        while self.server.wants_write() {
            self.server.write_tls(octets).expect("memory");
        }
    }
}

/// A raw peer: sends `says` after the handshake, in TLS records of `piece` octets, and keeps what it hears.
pub struct Raw<C> {
    pub tls: C,
    pub says: Vec<u8>,
    pub piece: usize,
    pub close_after: bool,
    pub heard: Vec<u8>,
    pub heard_close: bool,
    pub error: Option<rustls::Error>,
    said: bool,
}

impl<C> Raw<C> {
    pub fn new(tls: C, says: &[u8]) -> Self {
        let (heard, says) = (Vec::new(), says.to_vec());
        Self {
            tls,
            says,
            piece: 16384,
            close_after: false,
            heard,
            heard_close: false,
            error: None,
            said: false,
        }
    }
}

impl<C, D> End for Raw<C>
where
    C: core::ops::DerefMut<Target = rustls::ConnectionCommon<D>>,
    D: rustls::SideData,
{
    fn take(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            self.tls.read_tls(&mut octets).expect("room");
            match self.tls.process_new_packets() {
                Ok(state) => self.heard_close |= state.peer_has_closed(),
                Err(error) => self.error = Some(error),
            }
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = self.tls.reader().read(&mut piece) {
                self.heard.extend_from_slice(&piece[..len]);
            }
        }
    }

    fn give(&mut self, octets: &mut Vec<u8>) {
        if !self.tls.is_handshaking() && !self.said {
            self.said = true;
            for piece in self.says.clone().chunks(self.piece) {
                self.tls.writer().write_all(piece).expect("room");
                while self.tls.wants_write() {
                    self.tls.write_tls(octets).expect("memory");
                }
            }
            if self.close_after {
                self.tls.send_close_notify();
            }
        }
        while self.tls.wants_write() {
            self.tls.write_tls(octets).expect("memory");
        }
    }
}

/// Carries octets both ways, `piece` at a time, until both are silent. Returns all the octets `b` sent.
pub fn carry(a: &mut impl End, b: &mut impl End, piece: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    loop {
        let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
        a.give(&mut from_a);
        from_a.chunks(piece).for_each(|part| b.take(part));
        b.give(&mut from_b);
        from_b.chunks(piece).for_each(|part| a.take(part));
        if from_a.is_empty() && from_b.is_empty() {
            return sent;
        }
        sent.extend(from_b);
    }
}
