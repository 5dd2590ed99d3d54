//! The key exchange client under test, and a server in the same process that says anything.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use noonmark_conformance::check::Failure;
use noonmark_nts::{
    Agreement, ClientTls, KeClient, KeError, KeRequest, TrustRoots, VerificationTime,
};
use noonmark_units::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::Fault;
use crate::ke::octets::{
    AEAD, COOKIE, Draft, END, ERROR, NEXT_PROTOCOL, PORT, Record, SERVER, WARNING, cut, join,
    message, message_len,
};
use crate::{FaultKind, Lab};

/// The day all of it happens on: 2026-11-22.
const TODAY: i64 = 1_795_305_600;

/// An authority, and a server with a certificate of it.
pub struct Town {
    authority: Issuer<'static, KeyPair>,
    authority_der: Vec<u8>,
    pub alpn: Vec<Vec<u8>>,
    /// TLS records of the server have at most so many octets.
    pub fragment: usize,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// What became of one key exchange.
pub struct Exchange {
    /// The first octets of the client.
    pub hello: Vec<u8>,
    /// What it said inside TLS.
    pub request: Vec<u8>,
    /// Whether its `close_notify` came.
    pub notified: bool,
    pub outcome: Result<Agreement, KeError>,
}

#[derive(Debug)]
struct Today;

impl VerificationTime for Today {
    fn now(&self) -> Option<UnixTime> {
        Some(UnixTime::new(TODAY, 0))
    }
}

impl Town {
    /// With a certificate for `localhost` as it should be.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let authority_der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let mut town = Self {
            authority: Issuer::new(params, key),
            authority_der,
            alpn: vec![b"ntske/1".to_vec()],
            fragment: 16_384,
            chain: Vec::new(),
            key: KeyPair::generate().expect("a key").into(),
        };
        town.certify("localhost", |_| ());
        town
    }

    /// Gives the server another certificate.
    pub fn certify(&mut self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority).expect("a certificate");
        self.chain = vec![certificate.der().clone()];
        self.key = key.into();
    }

    /// The same server, asked by a client that trusts the authority of `other`.
    pub fn trusting(mut self, other: &Self) -> Self {
        self.authority_der.clone_from(&other.authority_der);
        self
    }

    /// A key exchange with `localhost` in which the server replies with these octets.
    pub fn exchange(&self, lab: &Lab, asked: &KeRequest, reply: &[u8]) -> Exchange {
        self.exchange_with(lab, "localhost", asked, reply)
    }

    /// The same, with records and End of Message behind them.
    pub fn agree(
        &self,
        lab: &Lab,
        asked: &KeRequest,
        reply: &[Draft<'_>],
    ) -> Result<Agreement, KeError> {
        self.exchange(lab, asked, &message(reply)).outcome
    }

    /// The same with a server of another name.
    pub fn exchange_with(
        &self,
        lab: &Lab,
        name: &str,
        asked: &KeRequest,
        reply: &[u8],
    ) -> Exchange {
        let fault = match lab.fault {
            Some(FaultKind::Client(fault)) => Some(fault),
            _ => None,
        };
        let reply = spoil_reply(fault, asked, reply);
        let mut client = match KeClient::with_request(&self.client_tls(), name, asked) {
            Ok(client) => client,
            Err(error) => {
                return Exchange {
                    hello: Vec::new(),
                    request: Vec::new(),
                    notified: false,
                    outcome: Err(error),
                };
            }
        };
        let mut server =
            ServerConnection::new(Arc::new(self.config())).expect("TLS takes its settings");
        server.set_buffer_limit(None);
        let (mut hello, mut request, mut notified, mut replied) =
            (Vec::new(), Vec::new(), false, false);
        let mut inbox = Vec::new();
        loop {
            let mut out = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut out).expect("a vector takes all");
            }
            if hello.is_empty() {
                hello.clone_from(&out);
            }
            let mut rest = &out[..];
            while !rest.is_empty() {
                if server.read_tls(&mut rest).is_err() {
                    break;
                }
                match server.process_new_packets() {
                    Ok(state) => notified |= state.peer_has_closed(),
                    Err(_) => break,
                }
            }
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = server.reader().read(&mut piece) {
                request.extend(&piece[..len]);
            }
            if !replied && message_len(&request).is_some() {
                replied = true;
                server.writer().write_all(&reply).expect("the buffer has no limit");
                server.send_close_notify();
            }
            let mut back = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut back).expect("a vector takes all");
            }
            inbox.extend(back);
            let before = inbox.len();
            // A client that has something to say first does not listen.
            while !inbox.is_empty() && client.wants_read() {
                let piece = inbox.len().min(if self.fragment < 100 { 1 } else { usize::MAX });
                let Ok(taken) = client.read_tls(&mut &inbox[..piece]) else { break };
                inbox.drain(..taken);
                client.process();
            }
            if inbox.len() == before && out.is_empty() {
                break;
            }
        }
        if !client.is_done() {
            client.peer_closed();
        }
        match fault.filter(|_| !request.is_empty()) {
            Some(Fault::SendsError) => request.splice(0..0, [0x80, 2, 0, 2, 0, 1]).for_each(drop),
            Some(Fault::SendsCookie) => request.splice(0..0, [0, 5, 0, 2, 0, 1]).for_each(drop),
            _ => {}
        }
        Exchange { hello, request, notified, outcome: client.finish() }
    }

    /// TLS of a client that trusts the authority.
    pub fn client_tls(&self) -> ClientTls {
        let mut roots = TrustRoots::new();
        roots.add_der(&self.authority_der).expect("a certificate of ours");
        ClientTls::new(roots, Today)
    }

    /// TLS of the server.
    pub fn config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3 suites")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("key and certificate belong together");
        config.alpn_protocols.clone_from(&self.alpn);
        config.max_fragment_size = (self.fragment < 16_384).then_some(self.fragment);
        config
    }
}

/// What a faulty client makes of a reply.
fn spoil_reply(fault: Option<Fault>, asked: &KeRequest, reply: &[u8]) -> Vec<u8> {
    let (Some(fault), (mut records, [])) = (fault, cut(reply)) else { return reply.to_vec() };
    let count =
        |records: &[Record], kind| records.iter().filter(|record| record.kind == kind).count();
    let is_known = |record: &Record| record.kind <= PORT || record.kind == 1024;
    let keep_one = |records: &mut Vec<Record>, kind| {
        let mut left = count(records, kind);
        records.retain(|record| {
            left -= usize::from(record.kind == kind && left > 0);
            record.kind != kind || left == 0
        });
    };
    match fault {
        Fault::NeedsNoEnd if count(&records, END) == 0 => {
            records.push(Record { critical: true, kind: END, body: Vec::new() });
        }
        Fault::PassesCritical => records.retain(is_known),
        Fault::PassesSecondProtocol => keep_one(&mut records, NEXT_PROTOCOL),
        Fault::TakesUnofferedProtocol => {
            for record in records.iter_mut().filter(|record| record.kind == NEXT_PROTOCOL) {
                if record.numbers() == [0x8000] {
                    record.set_numbers(&[0]);
                }
            }
        }
        Fault::PassesShortError => {
            records.retain(|record| record.kind != ERROR || record.body.len() == 2);
        }
        Fault::PassesError => {
            records.retain(|record| record.kind != ERROR || record.body.len() != 2);
        }
        Fault::PassesWarning => records.retain(|record| record.kind != WARNING),
        Fault::TakesFirstOfTwo => {
            for record in records.iter_mut().filter(|record| record.kind == AEAD) {
                record.body.truncate(2);
            }
        }
        Fault::TakesUnofferedAead => {
            for record in records.iter_mut().filter(|record| record.kind == AEAD) {
                if let [number] = record.numbers()[..]
                    && !asked.aeads.contains(&number)
                {
                    record.set_numbers(&asked.aeads[..1]);
                }
            }
        }
        Fault::InventsCookie if count(&records, COOKIE) == 0 && count(&records, AEAD) == 1 => {
            let at = records.len() - 1;
            records.insert(at, Record { critical: false, kind: COOKIE, body: vec![1; 100] });
        }
        Fault::PassesBadName if count(&records, SERVER) == 1 => {
            records.retain(|record| {
                record.kind != SERVER || noonmark_nts::NtpServer::parse(&record.body).is_ok()
            });
        }
        Fault::TakesLastServer => keep_one(&mut records, SERVER),
        Fault::PassesBadPort => records.retain(|record| {
            record.kind != PORT || (record.body.len() == 2 && record.body != [0, 0])
        }),
        _ => {}
    }
    join(&records)
}

/// The exchange came to an agreement, or the check fails.
pub fn agreed(outcome: Result<Agreement, KeError>, what: &str) -> Result<Agreement, Failure> {
    outcome.map_err(|error| format!("{what}: {error}"))
}

/// It came to none.
pub fn refused(outcome: Result<Agreement, KeError>, what: &str) -> Result<KeError, Failure> {
    match outcome {
        Ok(_) => Err(format!("{what} is taken")),
        Err(error) => Ok(error),
    }
}
