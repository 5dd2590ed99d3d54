//! An association in virtual time, perhaps a broken one, and what it hears and says.

use std::time::Duration;

use noonmark_client::{Association, Exchange, Output, Plan, Polling, Settings};
use noonmark_conformance::check::{Effort, Failure};
use noonmark_nts::{Aead, Random, SessionKeys, UNIQUE_LEN};
use noonmark_packet::{FieldKind, Header, KissCode, Leap, Mode, Packet, PacketWriter, ReferenceId};
use noonmark_units::{Mono, PollExponent, Precision, Short, Span, Timestamp};

use super::Fault;
use super::server::{Answer, agreement, cookies, fields, keys};
use crate::{FaultKind, Lab};

/// An association under test, its time, and the faults between it and the world.
pub struct Bench {
    pub fault: Option<Fault>,
    pub effort: Effort,
    pub association: Association,
    pub now: Mono,
    /// Keys of an association with NTS, which the server has too.
    pub session: Option<SessionKeys>,
    /// What the association really sent last.
    sent: Vec<u8>,
    /// What the world saw of it.
    shown: Vec<u8>,
    first_cookie: Option<Vec<u8>>,
    first_unique: Option<Vec<u8>>,
    accepted: Option<Vec<u8>>,
    interleaved_once: bool,
    questions: usize,
}

/// A source of 16 s to 17 min.
pub const POLLED: Plan = Plan::Polled(Polling {
    min_poll: PollExponent(4),
    max_poll: PollExponent(10),
    initial_burst: false,
    burst: false,
});

impl Bench {
    /// Plain NTP.
    pub fn plain(lab: &Lab, plan: Plan) -> Self {
        Self::new(lab, plan, false, false)
    }

    /// Plain NTP that asks for interleaved answers.
    pub fn interleaved(lab: &Lab, plan: Plan) -> Self {
        Self::new(lab, plan, false, true)
    }

    /// NTS that asks for interleaved answers, with keys and eight cookies of 100 octets.
    pub fn interleaved_nts(lab: &Lab, plan: Plan) -> Self {
        Self::new(lab, plan, true, true).keyed(keys(Aead::SivCmac256, 3), 100)
    }

    /// NTS, nothing established.
    pub fn bare_nts(lab: &Lab, plan: Plan) -> Self {
        Self::new(lab, plan, true, false)
    }

    /// NTS with keys and eight cookies of 100 octets.
    pub fn nts(lab: &Lab, plan: Plan) -> Self {
        Self::nts_with(lab, plan, keys(Aead::SivCmac256, 3), 100)
    }

    /// NTS with these keys and eight cookies of this length.
    pub fn nts_with(lab: &Lab, plan: Plan, session: SessionKeys, cookie_len: usize) -> Self {
        Self::bare_nts(lab, plan).keyed(session, cookie_len)
    }

    fn keyed(mut self, session: SessionKeys, cookie_len: usize) -> Self {
        self.time_out();
        let agreed = agreement(session.clone(), None, cookies(8, cookie_len, 0));
        self.association.handle_agreement(agreed, self.now);
        self.session = Some(session);
        self
    }

    fn new(lab: &Lab, plan: Plan, nts: bool, interleaved: bool) -> Self {
        let fault = match lab.fault {
            Some(FaultKind::Client(fault)) => Some(fault),
            _ => None,
        };
        let mut settings = Settings::new(plan, Precision(-25));
        settings.interleaved = interleaved;
        if fault == Some(Fault::WaitsLong) {
            settings.window = Duration::from_secs(60);
        }
        let now = Mono(5_000_000_000);
        let random = random(1, fault == Some(Fault::NoChance));
        let association = if nts {
            Association::nts(settings, random, now)
        } else {
            Association::plain(settings, random, now)
        };
        Self {
            fault,
            effort: lab.effort,
            association,
            now,
            session: None,
            sent: Vec::new(),
            shown: Vec::new(),
            first_cookie: None,
            first_unique: None,
            accepted: None,
            interleaved_once: false,
            questions: 0,
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

    /// Our clock: the virtual time since some day in 2026.
    pub fn clock(&self) -> Timestamp {
        Timestamp::from_bits(0xee00_0000 << 32) + Span::from_nanos(self.now.0.cast_signed())
    }

    /// Lets time pass to the deadline, and returns what is done then. A question that goes out is sent.
    pub fn time_out(&mut self) -> Vec<Output> {
        self.now = self.now.max(self.association.deadline());
        self.association.handle_timeout(self.now);
        let mut outputs = self.drain();
        for output in &mut outputs {
            if let Output::Transmit(datagram) = output {
                let sent = match self.fault {
                    Some(Fault::LateOrigin) => self.clock() + Span::from_nanos(1000),
                    _ => self.clock(),
                };
                self.association.handle_sent(sent);
                self.sent.clone_from(datagram);
                self.questions += 1;
                self.spoil_request(datagram);
                self.shown.clone_from(datagram);
            }
        }
        outputs
    }

    /// Lets time pass until a question goes out.
    pub fn question(&mut self) -> Result<Vec<u8>, Failure> {
        for _ in 0..10 {
            if self.association.deadline() == Mono::NEVER {
                return Err("it waits for nothing".to_owned());
            }
            let outputs = self.time_out();
            if outputs.iter().any(|output| matches!(output, Output::Transmit(_))) {
                return Ok(self.shown.clone());
            }
        }
        Err("no question goes out".to_owned())
    }

    /// The honest answer to the last question, with NTS if there are keys, and as many cookies as it asks for.
    pub fn answer(&self) -> Answer {
        let mut answer = Answer::plain(&self.sent, self.clock(), Span::ZERO);
        if let Some(session) = &self.session {
            let mark = (self.now.0 / 1_000_000) as u8;
            let asked = fields(&self.sent).into_iter().filter(|(kind, _)| {
                matches!(*kind, FieldKind::NTS_COOKIE | FieldKind::NTS_COOKIE_PLACEHOLDER)
            });
            let count = asked.count() as u8;
            answer.sealed = Some((session.clone(), cookies(count, 100, mark)));
        }
        answer
    }

    /// The answer arrives a millisecond later; returns the names of what follows.
    pub fn arrive(&mut self, answer: &Answer) -> Vec<String> {
        self.names_of_arrival(answer, Duration::from_millis(1))
    }

    /// The same after another time.
    pub fn names_of_arrival(&mut self, answer: &Answer, time: Duration) -> Vec<String> {
        self.outputs_of_arrival(answer, time).iter().map(name).collect()
    }

    /// The same, whole.
    pub fn outputs_of_arrival(&mut self, answer: &Answer, time: Duration) -> Vec<Output> {
        self.now = self.now + time;
        let mut answer = answer.copy();
        if !self.spoil_answer(&mut answer) {
            return Vec::new();
        }
        let octets = answer.octets();
        if self.fault == Some(Fault::TakesTwice) && self.accepted.as_ref() == Some(&octets) {
            return vec![Output::Unanswered, Output::Done];
        }
        let outputs = self.hear(&octets);
        if matches!(outputs.first(), Some(Output::Measured(_))) {
            self.accepted = Some(octets);
        }
        self.interleaved_once |= self.association.is_interleaved();
        outputs
    }

    /// Any octets arrive, now.
    pub fn arrive_octets(&mut self, octets: &[u8]) -> Vec<String> {
        if self.fault == Some(Fault::ObeysCryptoNak) && octets.len() == 52 {
            return vec!["give up".to_owned()];
        }
        self.hear(octets).iter().map(name).collect()
    }

    fn hear(&mut self, octets: &[u8]) -> Vec<Output> {
        self.association.handle_datagram(octets, self.clock(), self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.association.poll_output()).collect()
    }

    /// What the world sees of a request of a faulty client.
    fn spoil_request(&mut self, request: &mut Vec<u8>) {
        let Some(session) = self.session.clone() else {
            if self.fault == Some(Fault::ShowsStratum) {
                request[1] = 3;
            }
            return;
        };
        let mut all: Vec<(FieldKind, Vec<u8>)> =
            fields(request).into_iter().map(|(kind, body)| (kind, body.to_vec())).collect();
        all.pop();
        let body_of = |all: &[(FieldKind, Vec<u8>)], kind| {
            all.iter().find(|(of, _)| *of == kind).map(|(_, body)| body.clone()).unwrap_or_default()
        };
        let cookie = body_of(&all, FieldKind::NTS_COOKIE);
        if cookie.len() != 100 {
            return; // so that no other length of a request is touched
        }
        let unique = body_of(&all, FieldKind::UNIQUE_IDENTIFIER);
        let first_cookie = self.first_cookie.get_or_insert(cookie).clone();
        let first_unique = self.first_unique.get_or_insert(unique.clone()).clone();
        let placeholders = all.len() - 2;
        let mut key = session.c2s_key();
        match self.fault {
            Some(Fault::SecondIdentifier) if self.questions > 3 && placeholders == 0 => {
                all.push((FieldKind::UNIQUE_IDENTIFIER, unique));
            }
            Some(Fault::OneIdentifier) => all[0].1 = first_unique,
            Some(Fault::SealsWithServerKey) => key = session.s2c_key(),
            Some(Fault::ReusesCookie) => all[1].1 = first_cookie,
            Some(Fault::OnePlaceholderLess) if placeholders >= 2 => {
                all.pop();
            }
            Some(Fault::LongPlaceholder) if placeholders >= 1 => all[2].1.extend([0; 4]),
            Some(Fault::FilledPlaceholder) if placeholders >= 1 => all[2].1[50] = 1,
            _ => return,
        }
        *request = sealed_request(request, &all, &key);
    }

    /// Bends an answer so that the association believes what a faulty client would; `false` drops it.
    fn spoil_answer(&self, answer: &mut Answer) -> bool {
        let Some(fault) = self.fault else { return true };
        let asked = Header::from_octets(self.sent[..48].try_into().expect("a header"));
        let unique = super::server::unique_of(&self.sent).map(<[u8]>::to_vec);
        let header = &mut answer.header;
        let wrong_bits = (header.origin.to_bits() ^ asked.transmit.to_bits()).count_ones();
        let is_kiss = header.stratum == 0;
        let code = header.reference_id.0;
        let rate = ReferenceId(KissCode::RATE.0);
        match fault {
            Fault::TakesNearOrigin if wrong_bits == 1 && !is_kiss => header.origin = asked.transmit,
            Fault::TakesZeroOrigin
                if header.origin.is_unset()
                    && asked.receive.is_unset()
                    && answer.after.len() != 9 =>
            {
                header.origin = asked.transmit;
            }
            Fault::ForcedInterleaved
                if header.origin.is_unset()
                    && asked.receive.is_unset()
                    && answer.after.len() == 9 =>
            {
                header.origin = asked.transmit;
            }
            Fault::TakesZeroStamps => {
                if header.receive.is_unset() {
                    header.receive = header.transmit;
                }
                if header.transmit.is_unset() {
                    header.transmit = header.receive;
                }
            }
            Fault::TakesUnsynchronised if !is_kiss => header.leap = Leap::None,
            Fault::IgnoresDistance => {
                header.root_delay = Short::ZERO;
                header.root_dispersion = Short::ZERO;
            }
            Fault::IgnoresReference => header.reference_time = Timestamp::UNSET,
            Fault::TakesAnyMode => header.mode = Mode::Server,
            Fault::TakesLongHeld
                if !header.receive.is_unset()
                    && !header.transmit.is_unset()
                    && header.transmit - header.receive > Span::from_seconds(4) =>
            {
                header.transmit = header.receive;
            }
            Fault::TakesOtherIdentifier
                if answer.sealed.is_some() && !is_kiss && answer.unique.is_some() =>
            {
                answer.unique = unique;
            }
            Fault::TakesUnprotected if answer.sealed.is_none() && !is_kiss => {
                if let Some(session) = &self.session {
                    answer.unique = unique;
                    answer.sealed = Some((session.clone(), Vec::new()));
                }
            }
            Fault::KeepsClearCookies => {
                if let Some((_, sealed)) = &mut answer.sealed {
                    let cookies =
                        answer.clear.extract_if(.., |(kind, _)| *kind == FieldKind::NTS_COOKIE);
                    sealed.extend(cookies.map(|(_, body)| body));
                }
            }
            Fault::DropsTrailing if self.session.is_some() && !answer.after.is_empty() => {
                return false;
            }
            Fault::TakesForeignKiss if is_kiss && unique.is_some() => answer.unique = unique,
            Fault::IgnoresDeny if is_kiss && answer.sealed.is_some() => return false,
            Fault::IgnoresRate if self.session.is_none() && wrong_bits == 0 => {
                return code != KissCode::RATE.0;
            }
            Fault::ObeysX if is_kiss && code == *b"XABC" => header.reference_id = rate,
            Fault::ObeysStep if is_kiss && code == *b"STEP" => header.reference_id = rate,
            Fault::TakesKissTime if is_kiss && code == *b"ACST" => {
                header.stratum = 2;
                header.leap = Leap::None;
            }
            Fault::TakesAnyKiss if is_kiss => header.origin = asked.transmit,
            Fault::TakesForBasic
                if self.session.is_none()
                    && header.origin == asked.receive
                    && !asked.receive.is_unset() =>
            {
                header.origin = asked.transmit;
                header.receive = header.transmit;
                header.reference_time = Timestamp::UNSET;
            }
            Fault::NeedsInterleaved if self.interleaved_once && header.origin == asked.transmit => {
                return false;
            }
            _ => {}
        }
        true
    }
}

impl Answer {
    /// Another like it.
    pub fn copy(&self) -> Self {
        Self {
            header: self.header,
            unique: self.unique.clone(),
            clear: self.clear.clone(),
            sealed: self.sealed.clone(),
            after: self.after.clone(),
        }
    }

    /// Makes a kiss of it.
    pub fn kiss(&mut self, code: KissCode) {
        self.header.stratum = 0;
        self.header.leap = Leap::Unsynchronised;
        self.header.reference_id = ReferenceId(code.0);
    }
}

/// A request with the header of `request` and these fields, sealed.
fn sealed_request(
    request: &[u8],
    all: &[(FieldKind, Vec<u8>)],
    key: &noonmark_nts::AeadKey,
) -> Vec<u8> {
    let header = Header::from_octets(request[..48].try_into().expect("a header"));
    let mut buffer = vec![0; 4096];
    let mut writer = PacketWriter::new(&mut buffer, &header).expect("room");
    for (kind, body) in all {
        writer.field(*kind, body).expect("room");
    }
    let nonce = vec![0x77; key.aead().nonce_len()];
    let body_len = 4 + nonce.len() + 16;
    writer
        .field_over(FieldKind::NTS_AUTHENTICATOR, body_len, |before, body| {
            let tag = key.seal(before, &nonce, &mut []).expect("a good nonce");
            let mut octets = u16::try_from(nonce.len()).expect("short").to_be_bytes().to_vec();
            octets.extend(16_u16.to_be_bytes());
            octets.extend(&nonce);
            octets.extend(tag);
            body.copy_from_slice(&octets);
        })
        .expect("room");
    let len = writer.len();
    buffer.truncate(len);
    buffer
}

/// The header of a datagram.
pub fn header(datagram: &[u8]) -> Header {
    Packet::parse(datagram).expect("a packet");
    Header::from_octets(datagram[..48].try_into().expect("a header"))
}

/// The exchange that was measured.
pub fn measured(outputs: &[Output]) -> Result<Exchange, Failure> {
    match outputs.first() {
        Some(Output::Measured(exchange)) => Ok(*exchange),
        other => Err(format!("not measured but {other:?}")),
    }
}

/// Holds, or fails for the reason given.
pub fn ensure(holds: bool, why: impl FnOnce() -> Failure) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(why()) }
}

/// What follows is this, or the check fails.
pub fn expect(found: &[String], expected: &[&str], what: &str) -> Result<(), Failure> {
    ensure(found == expected, || format!("{what}: {found:?}, not {expected:?}"))
}

fn name(output: &Output) -> String {
    match output {
        Output::Transmit(_) => "transmit".to_owned(),
        Output::Measured(_) => "measured".to_owned(),
        Output::Rekey => "rekey".to_owned(),
        Output::Refused(refusal) => refusal.name().to_owned(),
        Output::Kiss { code, .. } => format!("kiss {code}"),
        Output::LengthFilterSuspected => "length filter".to_owned(),
        Output::Unanswered => "unanswered".to_owned(),
        Output::Done => "done".to_owned(),
        Output::GiveUp(_) => "give up".to_owned(),
    }
}

/// Octets that differ (SplitMix64), the same in every run. Where nothing is left to chance, what decides on intervals, four octets at
/// a time, is always zero.
fn random(seed: u64, no_chance: bool) -> Box<dyn Random + Send> {
    let mut state = seed;
    Box::new(move |out: &mut [u8]| {
        let is_interval = no_chance && out.len() == 4;
        for chunk in out.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..chunk.len()]);
        }
        if is_interval {
            out.fill(0);
        }
    })
}

const _: () = assert!(UNIQUE_LEN == 32);
