//! A key exchange server with one thing wrong: the adaptor ends the client's TLS itself, passes the request on to the server
//! under test over a session of its own, and passes the answer back with cookies made anew for the client's keys.
//! One promise is broken on the way, in one line of one of the functions below; everything else is the server's doing.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use noonmark_conformance::check;
use noonmark_nts::{Aead, SessionKeys};
use noonmark_os::random::RandomPool;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::{ServerConfig, ServerConnection};

use super::lab::{KeLab, Plain, Server, Talk, client, client_config, cookie_keys, paper};
use super::octets::{
    AEAD, COMPLIANT_EXPORT, COOKIE, END, ERROR, KEEP_ALIVE, NEXT_PROTOCOL, PORT, Record, SERVER,
    WARNING, cut, join, message, message_len, server_hello_of_tls12,
};
use crate::FaultKind;

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    TakesTls12,
    PicksOtherProtocol,
    AnswersOtherProtocols,
    TakesEarlyData,
    AnswersTwice,
    ClosesWithoutNotice,
    EndNotCritical,
    TakesEndWithBody,
    ReadsPastEnd,
    KindsOf14Bits,
    RefusesOddBodies,
    RefusesUnknown,
    TakesUnknownCritical,
    RefusesManyRecords,
    WantsAllAtOnce,
    SilentWhenTimeIsUp,
    SeatsUnbounded,
    NextProtocolNotCritical,
    TakesNoProtocol,
    TakesOddProtocolList,
    AddsProtocol,
    PretendsProtocol,
    ReadsFirstProtocolOnly,
    ErrorNotCritical,
    TakesServerRecords,
    SilentInTrouble,
    SendsOddWarning,
    TakesTwoAeadLists,
    ListsTwoAeads,
    PretendsAead,
    LosesAead15,
    PicksUnofferedAead,
    WantsCriticalAead,
    SevenCookies,
    CookiesCritical,
    CookieOfOddLength,
    CookieTwice,
    TakesZone,
    TakesTwoServers,
    GrantsNoServer,
    OtherFamily,
    CriticalServerUnknown,
    TakesLongPort,
    KeepsSessions,
    EchoesExport,
    OldLabel,
    NoProtocolInContext,
    NoContext,
    ShortKeys,
    ContextIgnoresAgreement,
    MixesContexts,
    LongContext,
    KeepsAlive,
}

const fn fault(id: &'static str, name: &'static str, kind: Fault) -> check::Fault<FaultKind> {
    check::Fault { id, name, kind: FaultKind::Ke(kind) }
}

/// Each fault and the promise it breaks.
#[rustfmt::skip]
pub const FAULTS: &[check::Fault<FaultKind>] = &[
    fault("KE-01", "a client of TLS 1.2 gets a ServerHello", Fault::TakesTls12),
    fault("KE-02", "`ntske/10` is preferred where it is offered", Fault::PicksOtherProtocol),
    fault("KE-03", "any ALPN protocol is answered, and none", Fault::AnswersOtherProtocols),
    fault("KE-05", "tickets allow early data", Fault::TakesEarlyData),
    fault("KE-07", "a second request is answered too", Fault::AnswersTwice),
    fault("KE-08", "the connection ends without close_notify", Fault::ClosesWithoutNotice),
    fault("KE-09", "End of Message is not critical", Fault::EndNotCritical),
    fault("KE-10", "End of Message may have a body", Fault::TakesEndWithBody),
    fault("KE-11", "records behind End of Message count", Fault::ReadsPastEnd),
    fault("KE-12", "kinds are read as 14 bits", Fault::KindsOf14Bits),
    fault("KE-13", "unknown records of odd length are refused", Fault::RefusesOddBodies),
    fault("KE-14", "unknown records below 1024 are refused", Fault::RefusesUnknown),
    fault("KE-15", "unknown critical records are passed over", Fault::TakesUnknownCritical),
    fault("KE-17", "more than 128 records are refused", Fault::RefusesManyRecords),
    fault("KE-19", "a request that comes in parts is refused", Fault::WantsAllAtOnce),
    fault("KE-20", "an incomplete request is dropped in silence", Fault::SilentWhenTimeIsUp),
    fault("KE-21", "seats are not counted by prefix", Fault::SeatsUnbounded),
    fault("KE-30", "Next Protocol is not critical", Fault::NextProtocolNotCritical),
    fault("KE-31", "an empty list of protocols means NTPv4", Fault::TakesNoProtocol),
    fault("KE-32", "a list of protocols loses its odd octet", Fault::TakesOddProtocolList),
    fault("KE-33", "a protocol nobody offered is answered", Fault::AddsProtocol),
    fault("KE-34", "NTPv4 is agreed on unasked", Fault::PretendsProtocol),
    fault("KE-35", "only the first protocol is read", Fault::ReadsFirstProtocolOnly),
    fault("KE-36", "Error is not critical", Fault::ErrorNotCritical),
    fault("KE-38", "Error, Warning and New Cookie are passed over", Fault::TakesServerRecords),
    fault("KE-41", "trouble inside resets the connection", Fault::SilentInTrouble),
    fault("KE-43", "a warning of one octet is sent", Fault::SendsOddWarning),
    fault("KE-45", "a second list of AEADs is passed over", Fault::TakesTwoAeadLists),
    fault("KE-46", "two AEADs are answered", Fault::ListsTwoAeads),
    fault("KE-47", "AEAD 15 is agreed on where none is shared", Fault::PretendsAead),
    fault("KE-48", "AEAD 15 is lost behind an unknown one", Fault::LosesAead15),
    fault("KE-49", "AEAD 15 is chosen unasked", Fault::PicksUnofferedAead),
    fault("KE-50", "an AEAD record that is not critical is refused", Fault::WantsCriticalAead),
    fault("KE-53", "seven cookies are given", Fault::SevenCookies),
    fault("KE-54", "cookies are critical", Fault::CookiesCritical),
    fault("KE-57", "the last cookie has two octets more", Fault::CookieOfOddLength),
    fault("KE-58", "the second cookie is the first again", Fault::CookieTwice),
    fault("KE-59", "a server named with a zone is passed over", Fault::TakesZone),
    fault("KE-62", "a second server is passed over", Fault::TakesTwoServers),
    fault("KE-63", "the client's wish for a server is passed over", Fault::GrantsNoServer),
    fault("KE-64", "address families are taken for each other", Fault::OtherFamily),
    fault("KE-65", "critical Server and Port records are unknown", Fault::CriticalServerUnknown),
    fault("KE-66", "a port of three octets loses the last", Fault::TakesLongPort),
    fault("KE-67", "buffers of each session are kept", Fault::KeepsSessions),
    fault("KE-73", "record 1024 comes back with every AEAD", Fault::EchoesExport),
    fault("KX-01", "the label of old drafts is used", Fault::OldLabel),
    fault("KX-02", "the context lacks the protocol", Fault::NoProtocolInContext),
    fault("KX-03", "no context is given", Fault::NoContext),
    fault("KX-04", "keys of AEAD 17 are half zeros", Fault::ShortKeys),
    fault("KX-05", "the context says 15 though 1024 was agreed", Fault::ContextIgnoresAgreement),
    fault("KX-06", "the last cookies hold keys of another context", Fault::MixesContexts),
    fault("KX-07", "the context has a sixth octet", Fault::LongContext),
    fault("KX-08", "a connection is kept alive when asked to", Fault::KeepsAlive),
];

/// What a client of ours asks for where a wish is granted; the second of two servers.
pub const SECOND_SERVER: &str = "second.example";

/// The faulty server.
pub struct Adaptor {
    fault: Fault,
    lab: KeLab,
    tls: ServerConnection,
    /// What goes out in front of TLS.
    forged: Vec<u8>,
    asked: Vec<u8>,
    answered: bool,
    over: bool,
}

/// How a request that has not ended ends.
#[derive(Clone, Copy)]
enum Ending {
    Message,
    TimeOut,
    Input,
}

impl Adaptor {
    pub fn new(fault: Fault, mut lab: KeLab) -> Self {
        if fault == Fault::OtherFamily {
            lab.peer = other_family(lab.peer);
        }
        let config = match fault {
            Fault::TakesEarlyData => early_data_config(),
            _ => Arc::new(config_for(fault)),
        };
        let mut tls = ServerConnection::new(config).expect("TLS takes its settings");
        tls.set_buffer_limit(None);
        let (forged, asked) = (Vec::new(), Vec::new());
        Self { fault, lab, tls, forged, asked, answered: false, over: false }
    }

    fn is_welcome(&self) -> bool {
        match self.tls.alpn_protocol() {
            Some(b"ntske/1") => true,
            Some(_) => {
                matches!(self.fault, Fault::PicksOtherProtocol | Fault::AnswersOtherProtocols)
            }
            None => self.fault == Fault::AnswersOtherProtocols,
        }
    }

    fn hear(&mut self) {
        let mut piece = [0; 4096];
        if let Some(mut early) = self.tls.early_data() {
            while let Ok(len @ 1..) = early.read(&mut piece) {
                self.asked.extend(&piece[..len]);
            }
        }
        while let Ok(len @ 1..) = self.tls.reader().read(&mut piece) {
            self.asked.extend(&piece[..len]);
        }
    }

    /// Answers once there is something to answer to.
    fn consider(&mut self) {
        if self.tls.is_handshaking() || self.answered {
            return;
        }
        if !self.is_welcome() {
            return self.end();
        }
        let complete = message_len(&self.asked).is_some();
        if self.fault == Fault::WantsAllAtOnce && !complete && !self.asked.is_empty() {
            self.asked.clear();
            return self.answer(&refusal(1));
        }
        if complete || self.asked.len() > TOO_LONG {
            self.relay(Ending::Message);
        }
    }

    /// Carries the request to the server under test and the answer back.
    fn relay(&mut self, ending: Ending) {
        let asked = core::mem::take(&mut self.asked);
        let (request, behind) = asked.split_at(message_len(&asked).unwrap_or(asked.len()));
        let (mut records, cut_short) = cut(request);
        let wished = records.clone();
        let mut answer = match refuses(self.fault, &records) {
            Some(code) => cut(&refusal(code)).0,
            None => {
                rewrite(self.fault, &mut records, behind);
                let mut inner = Talk::to(client(client_config()), Box::new(Plain::new(&self.lab)));
                inner.say(&[&join(&records), cut_short, behind].concat());
                match ending {
                    Ending::Message => {}
                    Ending::TimeOut => inner.time_out(),
                    Ending::Input => inner.half_close(),
                }
                cut(&inner.heard).0
            }
        };
        self.make_cookies(&mut answer);
        spoil(self.fault, &wished, &mut answer);
        if self.fault == Fault::KeepsSessions {
            // As a server does that never takes a session off its list. What nobody looks at is not even allocated when optimised.
            std::hint::black_box(Vec::leak(vec![1_u8; 1 << 18]));
        }
        if self.fault == Fault::AnswersTwice && message_len(behind).is_some() {
            self.tls.writer().write_all(&join(&answer)).expect("the buffer has no limit");
        }
        self.answer(&join(&answer));
    }

    fn answer(&mut self, octets: &[u8]) {
        let has = |kind| cut(octets).0.iter().any(|record| record.kind == kind);
        self.answered = true;
        if self.fault == Fault::SilentInTrouble && octets == refusal(2) {
            self.over = true;
            return;
        }
        self.tls.writer().write_all(octets).expect("the buffer has no limit");
        match self.fault {
            Fault::ClosesWithoutNotice => self.over = true,
            Fault::KeepsAlive if has(KEEP_ALIVE) => {}
            _ => self.end(),
        }
    }

    fn end(&mut self) {
        self.tls.send_close_notify();
        self.answered = true;
        self.over = true;
    }

    /// No more will be asked.
    fn stop(&mut self, ending: Ending) {
        if self.answered {
            return;
        }
        let silent = self.fault == Fault::SilentWhenTimeIsUp;
        let timed_out = matches!(ending, Ending::TimeOut);
        if self.tls.is_handshaking() || silent || (self.asked.is_empty() && !timed_out) {
            self.end();
        } else {
            self.relay(ending);
        }
    }

    /// The server under test made cookies for the adaptor's session; the client needs some for its own.
    fn make_cookies(&self, answer: &mut [Record]) {
        let number = answer.iter().find(|record| record.kind == AEAD).map(Record::numbers);
        let aead = number.and_then(|numbers| Aead::from_id(*numbers.first()?));
        let Some(aead) = aead else { return };
        let compliant = answer.iter().any(|record| record.kind == COMPLIANT_EXPORT);
        let issuer = cookie_keys().issuer().expect("the current key is there");
        let mut random = RandomPool::new().expect("the kernel gives random octets");
        let cookies = answer.iter_mut().filter(|record| record.kind == COOKIE);
        for (place, cookie) in cookies.enumerate() {
            let id = self.context_id(aead, compliant, place);
            let [c2s, s2c] = [0, 1].map(|direction| self.export(aead, id, direction));
            let keys = SessionKeys::new(aead, &c2s, &s2c).expect("keys of the right length");
            cookie.body = issuer.seal(&keys, &mut |out: &mut [u8]| random.fill(out));
        }
    }

    fn context_id(&self, aead: Aead, compliant: bool, place: usize) -> u16 {
        let agreed = compliant && self.fault != Fault::ContextIgnoresAgreement;
        let other = self.fault == Fault::MixesContexts && place >= 4;
        match aead {
            Aead::Aes128GcmSiv if agreed == other => 15,
            _ => aead.id(),
        }
    }

    fn export(&self, aead: Aead, id: u16, direction: u8) -> Vec<u8> {
        let [high, low] = id.to_be_bytes();
        let mut context = vec![0, 0, high, low, direction];
        let mut label = "EXPORTER-network-time-security";
        let mut len = aead.key_len();
        match self.fault {
            Fault::OldLabel => label = "EXPORTER-network-time-security/1",
            Fault::NoProtocolInContext => context = vec![high, low, direction],
            Fault::LongContext => context.push(0),
            Fault::ShortKeys => len = len.min(32),
            _ => {}
        }
        let context = (self.fault != Fault::NoContext).then_some(&context[..]);
        let mut key = self
            .tls
            .export_keying_material(vec![0; len], label.as_bytes(), context)
            .expect("the handshake is done");
        key.resize(aead.key_len(), 0);
        key
    }
}

impl Server for Adaptor {
    fn take(&mut self, mut octets: &[u8]) {
        if self.fault == Fault::TakesTls12 && is_hello_without_tls13(octets) {
            self.forged = server_hello_of_tls12();
            return;
        }
        while !octets.is_empty() && !self.over {
            let read = self.tls.read_tls(&mut octets).map(|_| self.tls.process_new_packets());
            let Ok(Ok(state)) = read else {
                self.over = true;
                return;
            };
            self.hear();
            if state.peer_has_closed() {
                self.consider();
                self.stop(Ending::Input);
            }
        }
        self.consider();
    }

    fn give(&mut self) -> Vec<u8> {
        let mut out = core::mem::take(&mut self.forged);
        while self.tls.wants_write() {
            self.tls.write_tls(&mut out).expect("a vector takes all");
        }
        out
    }

    fn time_out(&mut self) {
        self.stop(Ending::TimeOut);
    }

    fn end_of_input(&mut self) {
        self.stop(Ending::Input);
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

/// The error with which a faulty server refuses what it should take.
fn refuses(fault: Fault, request: &[Record]) -> Option<u16> {
    let any = |test: fn(&Record) -> bool| request.iter().any(test);
    let (refused, code) = match fault {
        Fault::RefusesOddBodies => (any(|r| !r.is_known() && !r.body.len().is_multiple_of(2)), 1),
        Fault::RefusesUnknown => (any(|r| !r.critical && (8..1024).contains(&r.kind)), 0),
        Fault::RefusesManyRecords => (request.len() > 128, 1),
        Fault::WantsCriticalAead => (any(|r| !r.critical && r.kind == AEAD), 1),
        Fault::CriticalServerUnknown => (any(|r| r.critical && matches!(r.kind, SERVER | PORT)), 0),
        _ => (false, 0),
    };
    refused.then_some(code)
}

/// What a faulty server reads into a request. `behind` came behind its end.
fn rewrite(fault: Fault, request: &mut Vec<Record>, behind: &[u8]) {
    match fault {
        Fault::ReadsPastEnd => {
            let at = request.iter().position(|record| record.kind == END).unwrap_or(0);
            request.splice(at..at, cut(behind).0);
        }
        Fault::TakesUnknownCritical => request.retain(|r| !r.critical || r.is_known()),
        Fault::TakesServerRecords => {
            request.retain(|r| !matches!(r.kind, ERROR | WARNING | COOKIE));
        }
        Fault::TakesZone => request.retain(|r| r.kind != SERVER || !r.body.contains(&b'%')),
        Fault::TakesTwoAeadLists => keep_first(request, AEAD),
        Fault::TakesTwoServers => keep_first(request, SERVER),
        Fault::GrantsNoServer => {
            if request.iter().filter(|record| record.kind == SERVER).count() == 1 {
                request.retain(|r| r.kind != SERVER || r.body != SECOND_SERVER.as_bytes());
            }
        }
        _ => request.iter_mut().for_each(|record| misread(fault, record)),
    }
}

fn misread(fault: Fault, record: &mut Record) {
    let numbers = record.numbers();
    let even = record.body.len().is_multiple_of(2);
    match (fault, record.kind) {
        (Fault::TakesEndWithBody, END) => record.body.clear(),
        (Fault::KindsOf14Bits, kind) => record.kind = kind & 0x3fff,
        (Fault::TakesNoProtocol, NEXT_PROTOCOL) if record.body.is_empty() => {
            record.set_numbers(&[0]);
        }
        (Fault::TakesOddProtocolList, NEXT_PROTOCOL) => record.set_numbers(&numbers),
        (Fault::PretendsProtocol, NEXT_PROTOCOL)
            if even && !numbers.is_empty() && !numbers.contains(&0) =>
        {
            record.set_numbers(&[0]);
        }
        (Fault::ReadsFirstProtocolOnly, NEXT_PROTOCOL) if even => record.body.truncate(2),
        (Fault::PretendsAead, AEAD) if !numbers.is_empty() && !numbers.iter().any(is_ours) => {
            record.set_numbers(&[15]);
        }
        (Fault::LosesAead15, AEAD) if numbers.first().is_some_and(|first| !is_ours(first)) => {
            let rest: Vec<u16> = numbers.into_iter().filter(|number| *number != 15).collect();
            record.set_numbers(&rest);
        }
        (Fault::PicksUnofferedAead, AEAD)
            if !numbers.iter().all(is_ours) && numbers.iter().any(|id| matches!(id, 17 | 30)) =>
        {
            record.set_numbers(&[15]);
        }
        (Fault::TakesLongPort, PORT) if record.body.len() == 3 => record.body.truncate(2),
        _ => {}
    }
}

/// What a faulty server makes of a good answer to `request`.
fn spoil(fault: Fault, request: &[Record], answer: &mut Vec<Record>) {
    let asked_for = |kind| request.iter().any(|record| record.kind == kind);
    let cookie = answer.iter().position(|record| record.kind == COOKIE);
    let before_end = answer.len().saturating_sub(1);
    match fault {
        Fault::EndNotCritical => each(answer, END, |end| end.critical = false),
        Fault::NextProtocolNotCritical => each(answer, NEXT_PROTOCOL, |r| r.critical = false),
        Fault::AddsProtocol => each(answer, NEXT_PROTOCOL, |record| {
            if !record.body.is_empty() {
                record.body.extend([0x80, 1]);
            }
        }),
        Fault::ErrorNotCritical => each(answer, ERROR, |error| error.critical = false),
        Fault::SendsOddWarning if cookie.is_some() => {
            let warning = Record { critical: true, kind: WARNING, body: vec![0] };
            answer.insert(before_end, warning);
        }
        Fault::ListsTwoAeads => each(answer, AEAD, |record| {
            if !record.body.is_empty() {
                record.body.extend([0, 17]);
            }
        }),
        Fault::SevenCookies if cookie.is_some_and(|at| before_end - at == 8) => {
            answer.remove(before_end - 1);
        }
        Fault::CookiesCritical => each(answer, COOKIE, |cookie| cookie.critical = true),
        Fault::CookieOfOddLength => {
            if let Some(last) = answer.iter_mut().rfind(|record| record.kind == COOKIE) {
                last.body.extend([0, 0]);
            }
        }
        Fault::CookieTwice => {
            if let Some(at) = cookie.filter(|at| at + 1 < before_end) {
                answer[at + 1] = answer[at].clone();
            }
        }
        Fault::EchoesExport if cookie.is_some() && asked_for(COMPLIANT_EXPORT) => {
            answer.retain(|record| record.kind != COMPLIANT_EXPORT);
            let echo = Record { critical: false, kind: COMPLIANT_EXPORT, body: Vec::new() };
            answer.insert(answer.len().saturating_sub(1), echo);
        }
        Fault::KeepsAlive if asked_for(KEEP_ALIVE) => {
            let echo = Record { critical: false, kind: KEEP_ALIVE, body: vec![0, 0] };
            answer.insert(before_end, echo);
        }
        _ => {}
    }
}

fn each(answer: &mut [Record], kind: u16, change: impl Fn(&mut Record)) {
    answer.iter_mut().filter(|record| record.kind == kind).for_each(change);
}

fn keep_first(request: &mut Vec<Record>, kind: u16) {
    let mut seen = false;
    request.retain(|record| record.kind != kind || !core::mem::replace(&mut seen, true));
}

fn refusal(code: u16) -> Vec<u8> {
    message(&[(true, ERROR, &code.to_be_bytes())])
}

fn is_ours(id: &u16) -> bool {
    Aead::from_id(*id).is_some()
}

fn other_family(peer: IpAddr) -> IpAddr {
    if peer.is_ipv4() { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into() } else { [192, 0, 2, 1].into() }
}

/// Whether this is a whole ClientHello whose supported_versions do not begin with TLS 1.3, as those of our clients do.
fn is_hello_without_tls13(octets: &[u8]) -> bool {
    let Some(&[22, _, _, high, low, 1]) = octets.first_chunk() else { return false };
    let is_whole = octets.len() == 5 + usize::from(u16::from_be_bytes([high, low]));
    is_whole && !octets.windows(7).any(|at| at[..3] == [0, 43, 0] && at[5..] == [3, 4])
}

fn config_for(fault: Fault) -> ServerConfig {
    let paper = paper();
    let chain = vec![CertificateDer::from(paper.der.clone())];
    let key = PrivateKeyDer::from_pem_slice(paper.key.as_bytes()).expect("a key of ours");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3 suites")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("an identity of ours");
    let protocols: &[&[u8]] = match fault {
        Fault::PicksOtherProtocol => &[b"ntske/10", b"ntske/1"],
        Fault::AnswersOtherProtocols => &[b"ntske/1", b"h2"],
        _ => &[b"ntske/1"],
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.send_tls13_tickets = 0;
    config
}

/// Tickets are good for the next connection, so all share one store.
fn early_data_config() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut config = config_for(Fault::TakesEarlyData);
        config.session_storage = ServerSessionMemoryCache::new(64);
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 4096;
        Arc::new(config)
    });
    Arc::clone(config)
}

/// More octets without an end than the server under test reads.
const TOO_LONG: usize = 1 << 18;
