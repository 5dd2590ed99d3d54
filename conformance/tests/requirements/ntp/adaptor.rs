//! What stands around the responder and breaks one promise.
//!
//! The adaptor knows the keys of the cookies, as the server does, so it can open a request or an answer, change one thing and
//! close it again. What it is given was sealed by the client's key or the server's, and is again when it leaves.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use noonmark_nts::CookieKeys;
use noonmark_server::Envelope;
use noonmark_units::{Span, Timestamp, UnixTime};

use super::fault::Fault;
use super::octets::{
    AUTHENTICATOR, Answer, COMPLEMENT, COOKIE, Cipher, Draft, EXPERIMENTAL, Field, Keys,
    PLACEHOLDER, UNIQUE, UNKNOWN, cut,
};
use super::past::{Asked, Past};

/// A faulty server's other half.
pub struct Adaptor {
    fault: Fault,
    keys: Arc<CookieKeys>,
    /// The oldest epoch honoured.
    oldest: u32,
    last: Vec<u8>,
    kept: Vec<Vec<u8>>,
    clients: HashSet<IpAddr>,
    limited: HashMap<IpAddr, u32>,
    cookies_made: u64,
    past: Past,
}

impl Adaptor {
    pub fn new(fault: Fault, keys: Arc<CookieKeys>, oldest: u32) -> Self {
        Self {
            fault,
            keys,
            oldest,
            last: Vec::new(),
            kept: Vec::new(),
            clients: HashSet::new(),
            limited: HashMap::new(),
            cookies_made: 0,
            past: Past::default(),
        }
    }

    pub fn keys_changed(&mut self, keys: Arc<CookieKeys>, oldest: u32) {
        (self.keys, self.oldest) = (keys, oldest);
    }

    /// What the ring of keys is told of the time.
    pub fn before_turn(&self, now: &mut UnixTime) {
        if self.fault == Fault::EpochsIn32Bits {
            now.seconds = i64::from(now.seconds as i32);
        }
    }

    /// What a server finds in its store.
    pub fn before_restart(&self, stored: &mut [u8]) {
        if let (Fault::ForgetsAtRestart, [.., secret]) = (self.fault, stored) {
            *secret ^= 1;
        }
    }

    /// What the server is given instead of a request.
    pub fn before(&mut self, request: &mut Vec<u8>, envelope: &mut Envelope) {
        self.before_framing(request, envelope);
        self.before_nts(request);
        self.before_stamps(request, envelope);
    }

    fn before_stamps(&self, request: &mut [u8], envelope: &Envelope) {
        let Some(asked) = Asked::read(request, envelope.peer.port()) else { return };
        if has(request, AUTHENTICATOR) {
            return;
        }
        let given = self.past.before(self.fault, asked);
        set_time(request, ORIGIN, given.origin);
        set_time(request, RECEIVE, given.receive);
    }

    /// When the kernel says that an answer left.
    pub fn before_departure(&self, left: &mut Timestamp) {
        if self.fault == Fault::TellsTooEarly {
            *left = *left - Span::from_nanos(10_000);
        }
    }

    fn before_framing(&self, request: &mut Vec<u8>, envelope: &mut Envelope) {
        let tail = request.get(48..).unwrap_or_default();
        let tail_len = tail.len();
        let first = first_field(tail);
        let key_id = tail.first_chunk().map(|octets| u32::from_be_bytes(*octets));
        let (version, mode) = request.first().map_or((0, 0), |octet| (octet >> 3 & 7, octet & 7));
        let answer_as = |request: &mut Vec<u8>, version: u8, mode: u8| {
            if let Some(first) = request.first_mut() {
                *first = version << 3 | mode;
            }
        };
        match (self.fault, first) {
            (Fault::RoundsLengths, Some((UNKNOWN, claimed))) if claimed > 16 => {
                claim(request, claimed.next_multiple_of(4));
            }
            (Fault::ClipsLongFields, Some((UNKNOWN, claimed))) if claimed > tail_len => {
                claim(request, tail_len);
            }
            (Fault::StretchesShortFields, Some((UNKNOWN, 4 | 8 | 12))) => claim(request, 16),
            (Fault::TakesLoneField, Some((_, claimed @ (16 | 20 | 24)))) if claimed == tail_len => {
                request.resize(48 + 28, 0);
                claim(request, 28);
            }
            (Fault::TakesLastField, _) => {
                let (mut fields, rest) = cut(tail);
                if let ([_, .., last], []) = (&mut fields[..], rest)
                    && last.body.len() < 24
                {
                    last.body.resize(24, 0);
                    *request = with_fields(request, &fields);
                }
            }
            (Fault::PassesLongMac, _) if tail_len > 24 && key_id < Some(1 << 16) => {
                request.truncate(48);
            }
            (Fault::PassesMac, _) if matches!(tail_len, 20 | 24) && key_id < Some(1 << 16) => {
                request.truncate(48);
            }
            (Fault::PassesSecondMac, _) if has(request, AUTHENTICATOR) => {
                let rest = cut(tail).1.len();
                request.truncate(request.len() - rest);
            }
            (Fault::PassesSecondIdentifier, _) if !has(request, AUTHENTICATOR) => {
                let mut fields = cut(tail).0;
                let is_unique = |field: &Field| field.kind == UNIQUE;
                if fields.iter().filter(|field| is_unique(field)).count() == 2 {
                    fields.dedup_by(|field, other| is_unique(field) && is_unique(other));
                    *request = with_fields(request, &fields);
                }
            }
            (Fault::ReadsFieldsInVersion3, Some((UNIQUE, _))) if matches!(version, 1..=3) => {
                answer_as(request, 4, mode);
            }
            (Fault::FillsShortHeader, _) if (45..48).contains(&request.len()) => {
                request.resize(48, 0);
            }
            (Fault::TakesVersion7, _) if version == 7 => answer_as(request, 4, mode),
            (Fault::AnswersAnswers, None) if mode == 4 => answer_as(request, version, 3),
            (Fault::AnswersPeers, None) if mode == 1 => answer_as(request, version, 3),
            (Fault::AnswersBroadcasts, None) if mode == 5 => answer_as(request, version, 3),
            (Fault::AnswersGroups, _) => envelope.group = false,
            (Fault::DwellsOnFields, _) => {
                let beyond = cut(tail).0.len().saturating_sub(16);
                std::thread::sleep(Duration::from_millis(beyond as u64));
            }
            _ => {}
        }
    }

    fn before_nts(&self, request: &mut Vec<u8>) {
        match self.fault {
            Fault::PollNotCovered if has(request, AUTHENTICATOR) => request[2] = 6,
            Fault::ForgetsEarly => {
                if let Some(cookie) = cookie_at(request).and_then(|at| request.get_mut(at))
                    && cookie.first_chunk() == Some(&self.oldest.to_be_bytes())
                    && self.oldest < self.keys.current()
                {
                    cookie[24] ^= 1;
                }
            }
            Fault::NeedsNoAuthenticator => self.add_authenticator(request),
            Fault::HonoursOddPlaceholder => self.reseal_request(request, |draft, keys| {
                let right = cookie_len(keys.cipher);
                for field in draft.clear.iter_mut().filter(|field| field.kind == PLACEHOLDER) {
                    if field.body.len().abs_diff(right) <= 4 {
                        field.body.resize(right, 0);
                    }
                }
            }),
            Fault::PassesEncryptedPlaceholders => self.reseal_request(request, |draft, _| {
                draft.inner.retain(|field| field.kind != PLACEHOLDER);
            }),
            Fault::MakesRoomForNonce => self.reseal_request(request, |draft, keys| {
                let room = draft.nonce.len().next_multiple_of(4) + draft.padding;
                draft.padding += keys.cipher.nonce_len().saturating_sub(room);
            }),
            Fault::NtsInMode5 => self.reseal_request(request, |draft, _| {
                if draft.header[0] & 7 == 5 {
                    draft.header[0] = 4 << 3 | 3;
                }
            }),
            Fault::BasicUnderNts => self.reseal_request(request, |draft, _| {
                set_time(&mut draft.header, ORIGIN, 0);
            }),
            Fault::PassesSecondCookie => self.reseal_request(request, |draft, _| {
                let mut seen = 0;
                draft.clear.retain(|field| {
                    seen += usize::from(field.kind == COOKIE);
                    field.kind != COOKIE || seen == 1
                });
            }),
            Fault::StretchesIdentifier => self.reseal_request(request, |draft, _| {
                for field in draft.clear.iter_mut().filter(|field| field.kind == UNIQUE) {
                    field.body.resize(field.body.len().max(32), 0);
                }
            }),
            _ => {}
        }
    }

    /// What the client gets instead of an answer, or of silence.
    pub fn after(
        &mut self,
        request: &[u8],
        envelope: &Envelope,
        answer: Option<Vec<u8>>,
        limited: bool,
    ) -> Option<Vec<u8>> {
        let client = envelope.peer.ip();
        if limited {
            *self.limited.entry(client).or_default() += 1;
        }
        self.remember(request, client);
        let Some(answer) = answer else { return self.break_silence(request, limited) };
        if self.falls_silent(request, &answer, client) {
            return None;
        }
        let answer = self.change_header(request, answer);
        let answer = self.change_stamps(request, envelope, answer);
        let answer = self.change_kiss(request, answer);
        let answer = self.change_nts(request, answer);
        Some(self.append(request, answer))
    }

    fn remember(&mut self, request: &[u8], client: IpAddr) {
        let names_an_answer = Asked::read(request, 0).is_some_and(Asked::names_an_answer);
        let is_kept = match self.fault {
            Fault::RemembersReplays => request == self.last && has(request, AUTHENTICATOR),
            Fault::RemembersClients => !names_an_answer && self.clients.insert(client),
            Fault::KeepsEveryTime => names_an_answer,
            _ => false,
        };
        if is_kept {
            self.kept.push(vec![1; 1 << 16]);
        }
        self.last = request.to_vec();
    }

    fn break_silence(&self, request: &[u8], limited: bool) -> Option<Vec<u8>> {
        let fields = fields_of(request);
        match self.fault {
            Fault::TakesAutokeyForNts
                if !fields.is_empty()
                    && fields.iter().all(|field| field.kind == COOKIE)
                    && Keys::in_cookie(&fields[0].body, &self.keys).is_none() =>
            {
                Some(kiss(request, *b"NTSN"))
            }
            Fault::KissesEverybody if limited => {
                let unique = fields.iter().filter(|field| field.kind == UNIQUE);
                let echo = unique.flat_map(Field::octets);
                Some(kiss(request, *b"RATE").into_iter().chain(echo).collect())
            }
            Fault::AnswersMonlist if request.len() >= 48 && request[..4] == *b"\x27\0\x03\x2a" => {
                let mut answer = request.to_vec();
                answer[0] |= 0x80;
                Some(answer)
            }
            _ => None,
        }
    }

    fn falls_silent(&self, request: &[u8], answer: &[u8], client: IpAddr) -> bool {
        let open = || self.open_request(request).map(|(_, draft)| draft);
        let is_time = || Answer::read(answer).is_time();
        match self.fault {
            Fault::TakesFieldForMac => request.len() == 48 + 32,
            Fault::DropsExperimental => has(request, EXPERIMENTAL),
            Fault::DropsComplement => has(request, COMPLEMENT),
            Fault::DropsShortEncrypted => {
                open().is_some_and(|draft| draft.inner.iter().any(|field| field.body.len() < 12))
            }
            Fault::ReadsPlaceholders => fields_of(request).iter().any(|field| {
                field.kind == PLACEHOLDER && field.body.iter().any(|octet| *octet != 0)
            }),
            Fault::DropsLongNonces => open().is_some_and(|draft| draft.nonce.len() > 16),
            Fault::DropsTrailing => open().is_some_and(|draft| !draft.after.is_empty()),
            Fault::SilentToForgedTags => {
                self.keys_of(request).is_some() && self.open_request(request).is_none()
            }
            Fault::FloodStarvesClient => {
                is_time()
                    && has(request, AUTHENTICATOR)
                    && self.limited.get(&client).is_some_and(|limited| *limited > 20)
            }
            Fault::NtsEndsWithEra => {
                is_time() && has(request, AUTHENTICATOR) && time_at(answer, TRANSMIT) >> 63 == 0
            }
            Fault::ChokesOnExponents => request[2] == request[3] && request[3] >= 64,
            _ => false,
        }
    }

    fn change_header(&self, request: &[u8], answer: Vec<u8>) -> Vec<u8> {
        let read = Answer::read(&answer);
        let (receive, transmit) = (read.receive(), read.transmit());
        let mut header = answer[..48].to_vec();
        let version = |number: u8, first: u8| first & 0xc7 | number << 3;
        match self.fault {
            Fault::ReadsFieldsInVersion3 => header[0] = version(request[0] >> 3 & 7, header[0]),
            Fault::SaysVersion4 => header[0] = version(4, header[0]),
            Fault::RoundsOrigin if read.is_time() => header[30..32].fill(0),
            // A multiple of 2^-10 s, so that what is below the precision stays as it is.
            // Who names an answer names its receive stamp, and would have to name this one.
            Fault::ReceivesEarly if time_at(request, ORIGIN) == 0 => {
                set_time(&mut header, RECEIVE, receive.wrapping_sub(10 << 22));
            }
            Fault::SaysMode2 => header[0] = header[0] & 0xf8 | 2,
            Fault::ClampsPoll => header[2] = read.poll().clamp(4, 17).cast_unsigned(),
            Fault::SaysStratum16 if read.stratum() == 0 && read.kiss().is_none() => header[1] = 16,
            Fault::PrecisionWithoutSign => header[3] = read.precision().unsigned_abs(),
            Fault::DispersionStays if header[8..11] == [0, 0, 1] => {
                header[8..12].copy_from_slice(&[0, 0, 1, 0]);
            }
            Fault::RightAlignsId if read.stratum() == 1 && header[15] == 0 => {
                header[12..16].rotate_right(1);
            }
            Fault::SetInTheFuture if read.is_time() => {
                set_time(&mut header, REFERENCE, transmit.wrapping_add(1 << 32));
            }
            Fault::AnnouncesInMarch if END_OF_MARCH.contains(&(transmit >> 32)) => {
                header[0] = header[0] & 0x3f | 0x40;
            }
            Fault::NoNoise if read.precision() == -10 => {
                set_time(&mut header, RECEIVE, receive & !0x3f_ffff);
                set_time(&mut header, TRANSMIT, transmit & !0x3f_ffff);
            }
            Fault::ReceivesAtZero if receive == 1 => set_time(&mut header, RECEIVE, 0),
            // In an interleaved answer transmit is of the answer before, so it is the earlier one.
            Fault::ComparesCounts if transmit.wrapping_sub(receive) >> 63 == 0 => {
                set_time(&mut header, TRANSMIT, transmit.max(receive));
            }
            Fault::SetAtZero if read.reference_time() == 1 => set_time(&mut header, REFERENCE, 0),
            Fault::WrapsIn2038 if (YEAR_2038..YEAR_2038 + 4096).contains(&(transmit >> 32)) => {
                set_time(&mut header, TRANSMIT, transmit ^ 1 << 63);
            }
            _ => {}
        }
        if header == answer[..48] {
            return answer;
        }
        let sealed =
            self.reseal_answer(request, &answer, |draft, _| draft.header.clone_from(&header));
        sealed.unwrap_or_else(|| [&header, &answer[48..]].concat())
    }

    fn change_stamps(
        &mut self,
        request: &[u8],
        envelope: &Envelope,
        mut answer: Vec<u8>,
    ) -> Vec<u8> {
        let read = Answer::read(&answer);
        if let Some(asked) = Asked::read(request, envelope.peer.port())
            && read.is_time()
            && !read.is_nts()
        {
            let stamps = self.past.after(self.fault, asked, &read);
            for (at, stamp) in [ORIGIN, RECEIVE, TRANSMIT, REFERENCE].into_iter().zip(stamps) {
                set_time(&mut answer, at, stamp);
            }
        }
        answer
    }

    fn change_kiss(&self, request: &[u8], mut answer: Vec<u8>) -> Vec<u8> {
        let read = Answer::read(&answer);
        let is_authentic = read.has(AUTHENTICATOR);
        match (self.fault, read.kiss().as_ref()) {
            (Fault::RateWithoutIdentifier, Some(b"RATE")) if !is_authentic => answer.truncate(48),
            (Fault::RateSaysSynchronised, Some(b"RATE")) if !is_authentic => answer[0] &= 0x3f,
            (Fault::NtsnWithCookie, Some(b"NTSN")) => {
                answer.extend(Field::new(COOKIE, vec![0x66; 24]).octets());
            }
            (Fault::NtsnWithoutOrigin, Some(b"NTSN")) => set_time(&mut answer, ORIGIN, 0),
            (Fault::LongNtsn, Some(b"NTSN")) => {
                let len = request.len() - answer.len();
                answer.extend(Field::new(UNKNOWN, vec![0; len]).octets());
            }
            (Fault::PlainDeny, Some(b"DENY")) => {
                let unique: Vec<Field> =
                    read.fields.into_iter().filter(|field| field.kind == UNIQUE).collect();
                answer = with_fields(&answer, &unique);
            }
            _ => {}
        }
        answer
    }

    fn change_nts(&mut self, request: &[u8], answer: Vec<u8>) -> Vec<u8> {
        let mut made = self.cookies_made;
        let reseal = |change: &mut dyn FnMut(&mut Draft, &Keys)| {
            self.reseal_answer(request, &answer, change)
        };
        let changed = match self.fault {
            Fault::MovesIdentifier => reseal(&mut |draft, _| {
                let (moved, kept): (Vec<_>, Vec<_>) =
                    draft.clear.drain(..).partition(|field| field.kind == UNIQUE);
                draft.clear = kept;
                draft.after.extend(moved.iter().flat_map(Field::octets));
            }),
            Fault::CookieInClear => reseal(&mut |draft, _| {
                if draft.inner.len() >= 2 {
                    draft.clear.extend(draft.inner.pop());
                }
            }),
            Fault::OneCookieLess => reseal(&mut |draft, _| {
                if let [_, _, _, .., last] = &mut draft.inner[..] {
                    last.kind = UNKNOWN;
                }
            }),
            Fault::LastCookieBroken => reseal(&mut |draft, _| {
                if let [_, .., last] = &mut draft.inner[..] {
                    last.body[40] ^= 1;
                }
            }),
            Fault::PadsAuthenticator => reseal(&mut |draft, _| {
                if draft.nonce.len() == 16 {
                    draft.nonce.truncate(12);
                    draft.padding += 4;
                }
            }),
            Fault::OneNonce => reseal(&mut |draft, _| draft.nonce.fill(0x5a)),
            Fault::LinkableCookies => reseal(&mut |draft, keys| {
                for cookie in draft.inner.iter_mut().filter(|field| field.kind == COOKIE) {
                    cookie.body = self.linkable_cookie(keys, &mut made);
                }
            }),
            Fault::NinthCookie => reseal(&mut |draft, keys| {
                let len = cookie_len(keys.cipher);
                let is_right =
                    |field: &&Field| field.kind == PLACEHOLDER && field.body.len() == len;
                let asked = fields_of(request).iter().filter(is_right).count();
                if draft.inner.len() == 8 && asked > 8 {
                    draft.inner.push(draft.inner[0].clone());
                }
            }),
            Fault::SealsWithClientKey => self.keys_of(request).and_then(|keys| {
                let draft = Draft::open(&answer, keys.cipher, &keys.s2c)?;
                Some(draft.seal(keys.cipher, &keys.c2s))
            }),
            _ => None,
        };
        self.cookies_made = made;
        changed.unwrap_or(answer)
    }

    fn append(&self, request: &[u8], mut answer: Vec<u8>) -> Vec<u8> {
        let more = match self.fault {
            Fault::EchoesUnknown => {
                let mut fields = fields_of(request);
                let covered = fields.iter().position(|field| field.kind == AUTHENTICATOR);
                fields.truncate(covered.unwrap_or(fields.len()));
                fields.retain(|field| field.kind == UNKNOWN);
                fields.iter().flat_map(Field::octets).collect()
            }
            Fault::SendsExperimental => Field::new(0xf501, vec![0; 24]).octets(),
            Fault::AddsMac => [&[0, 0, 0, 1][..], &[0xaa; 16]].concat(),
            _ => Vec::new(),
        };
        if answer.len() + more.len() <= request.len() {
            answer.extend(more);
        }
        if self.fault == Fault::LongVersion2 && request[0] >> 3 & 7 == 2 {
            answer.extend([0; 4]);
        }
        answer
    }

    /// The keys in the first cookie of a request.
    fn keys_of(&self, request: &[u8]) -> Option<Keys> {
        Keys::in_cookie(request.get(cookie_at(request)?)?, &self.keys)
    }

    fn open_request(&self, request: &[u8]) -> Option<(Keys, Draft)> {
        let keys = self.keys_of(request)?;
        let draft = Draft::open(request, keys.cipher, &keys.c2s)?;
        Some((keys, draft))
    }

    fn reseal_request(&self, request: &mut Vec<u8>, change: impl FnOnce(&mut Draft, &Keys)) {
        if let Some((keys, mut draft)) = self.open_request(request) {
            let before = draft.clone();
            change(&mut draft, &keys);
            // What is not changed stays as it came, octet by octet.
            if draft != before {
                *request = draft.seal(keys.cipher, &keys.c2s);
            }
        }
    }

    fn add_authenticator(&self, request: &mut Vec<u8>) {
        let Some(keys) = self.keys_of(request) else { return };
        let (clear, rest) = cut(&request[48..]);
        let is_cut = matches!(clear[..], [Field { kind: UNIQUE, .. }, Field { kind: COOKIE, .. }]);
        if is_cut && rest.is_empty() {
            let draft = Draft {
                header: request[..48].to_vec(),
                clear,
                nonce: vec![1; keys.cipher.nonce_len()],
                inner: Vec::new(),
                padding: 0,
                after: Vec::new(),
            };
            *request = draft.seal(keys.cipher, &keys.c2s);
        }
    }

    /// The answer with a change; `None` if it is not protected.
    fn reseal_answer(
        &self,
        request: &[u8],
        answer: &[u8],
        change: impl FnOnce(&mut Draft, &Keys),
    ) -> Option<Vec<u8>> {
        let keys = self.keys_of(request)?;
        let mut draft = Draft::open(answer, keys.cipher, &keys.s2c)?;
        change(&mut draft, &keys);
        Some(draft.seal(keys.cipher, &keys.s2c))
    }

    /// A cookie that works, and that shares eight octets of nonce with every other.
    fn linkable_cookie(&self, keys: &Keys, made: &mut u64) -> Vec<u8> {
        *made += 1;
        let own = made.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let nonce = [[0x77; 8], own].concat();
        let issuer = self.keys.issuer().expect("the current epoch has its key");
        issuer.seal(&keys.session(), &mut |out: &mut [u8]| out.copy_from_slice(&nonce))
    }
}

/// Where the stamps stand in a header.
const REFERENCE: usize = 16;
const ORIGIN: usize = 24;
const RECEIVE: usize = 32;
const TRANSMIT: usize = 40;

/// 2029-03-31, in seconds since 1900.
const END_OF_MARCH: std::ops::Range<u64> = 4_078_598_400..4_078_684_800;
/// 2^31 s since 1970, in seconds of era 1.
const YEAR_2038: u64 = 61_505_152;

fn time_at(packet: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(*packet[at..].first_chunk().expect("a header"))
}

fn set_time(packet: &mut [u8], at: usize, time: u64) {
    packet[at..at + 8].copy_from_slice(&time.to_be_bytes());
}

/// The first field's type and the length it claims.
fn first_field(tail: &[u8]) -> Option<(u16, usize)> {
    let &[kind_high, kind_low, high, low] = tail.first_chunk()?;
    Some((u16::from_be_bytes([kind_high, kind_low]), u16::from_be_bytes([high, low]).into()))
}

/// Lets the first field claim another length.
fn claim(packet: &mut [u8], len: usize) {
    packet[50..52].copy_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
}

fn fields_of(packet: &[u8]) -> Vec<Field> {
    cut(packet.get(48..).unwrap_or_default()).0
}

fn has(packet: &[u8], kind: u16) -> bool {
    fields_of(packet).iter().any(|field| field.kind == kind)
}

/// The packet's header with these fields behind it.
fn with_fields(packet: &[u8], fields: &[Field]) -> Vec<u8> {
    packet[..48].iter().copied().chain(fields.iter().flat_map(Field::octets)).collect()
}

/// Where the first cookie lies.
fn cookie_at(packet: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut at = 48;
    for field in fields_of(packet) {
        let end = at + 4 + field.body.len();
        if field.kind == COOKIE {
            return Some(at + 4..end);
        }
        at = end;
    }
    None
}

fn cookie_len(cipher: Cipher) -> usize {
    cipher.aead().cookie_len()
}

/// A kiss without anything behind the header.
fn kiss(request: &[u8], code: [u8; 4]) -> Vec<u8> {
    let mut header = vec![0; 48];
    header[0] = 0xe4;
    header[12..16].copy_from_slice(&code);
    header[24..32].copy_from_slice(&request[40..48]);
    header
}
