//! The responder under test with a clock of its own, and a client that says anything.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use noonmark_conformance::check::{Effort, Failure};
use noonmark_nts::{CookieKey, CookieKeys, KeyRing};
use noonmark_os::random::RandomPool;
use noonmark_packet::ReferenceId;
use noonmark_server::{
    AccessRules, Action, Batch, ClockState, Counter, Envelope, Policy, RateLimit, RateTable,
    Responder,
};
use noonmark_units::{Mono, Precision, Span, Stratum, Timestamp, UnixTime};

use super::adaptor::Adaptor;
use super::octets::{
    Answer, COOKIE, Cipher, Draft, Field, Keys, PLACEHOLDER, UNIQUE, header, identifier, plain,
};
use crate::{FaultKind, Lab};

/// What a check comes to.
pub type Outcome = Result<(), Failure>;

/// Where ordinary clients sit.
pub const CLIENT: &str = "192.0.2.7:50123";
/// Where clients sit that a lab of [`NtpLab::strict`] denies.
pub const DENIED: &str = "198.51.100.9:50123";

/// A server, fresh for each check; change a field before the next request to change the server.
pub struct NtpLab {
    pub effort: Effort,
    /// What is said of the clock.
    pub state: ClockState,
    /// What the clock reads, and how far it moves with every reading.
    pub time: Timestamp,
    pub tick: Span,
    /// How long before `time` each request was received.
    pub age: Span,
    pub mono: Mono,
    /// When the last answer left, if the server wanted to hear that.
    pub left: Option<Timestamp>,
    /// The keys of the cookies, which key establishment has too.
    pub keys: Arc<CookieKeys>,
    adaptor: Option<Adaptor>,
    responder: Responder,
    batch: Batch,
    /// Control requests so far; each comes from another address, so that no limit touches them.
    controls: u32,
    /// Made once for the keys that are good now.
    control_requests: Option<[Vec<u8>; 2]>,
}

impl NtpLab {
    /// Stratum 1, all allowed, no limit.
    pub fn new(lab: &Lab) -> Self {
        Self::with(lab, Policy::default())
    }

    /// The same, but denying one prefix and limiting everybody to `burst` answers at once and one in a second, none leaked.
    pub fn strict(lab: &Lab, burst: u8) -> Self {
        let denied = "198.51.100.0/24".parse().expect("a prefix");
        let limit =
            RateLimit { interval: Duration::from_secs(1), burst, leak: 0, ..RateLimit::default() };
        Self::with(
            lab,
            Policy {
                access: AccessRules::new([(denied, Action::Deny)], Action::Allow),
                rate: Some(RateTable::new(RateLimit { table_size: 1 << 10, ..limit }, [3, 4])),
                ..Policy::default()
            },
        )
    }

    pub fn with(lab: &Lab, policy: Policy) -> Self {
        let mut pool = RandomPool::new().expect("the kernel gives random octets");
        let random = Box::new(move |out: &mut [u8]| pool.fill(out));
        let mut responder = Responder::new(Arc::new(policy), random);
        let keys = Arc::clone(cookie_keys());
        responder.set_cookie_keys(Some(Arc::clone(&keys)));
        let adaptor = match lab.fault {
            Some(FaultKind::Ntp(fault)) => Some(Adaptor::new(fault, Arc::clone(&keys), 5)),
            _ => None,
        };
        Self {
            effort: lab.effort,
            state: ClockState::local(Stratum::PRIMARY, ReferenceId(*b"LOCL"), Precision(-24)),
            time: Timestamp::from_bits(0xe9ff_fff3_1234_5678),
            tick: Span::from_nanos(100),
            age: Span::from_nanos(20_000),
            mono: Mono(1_000_000_000_000),
            left: None,
            keys,
            adaptor,
            responder,
            batch: Batch::new(),
            controls: 0,
            control_requests: None,
        }
    }

    /// How often a thing is tried.
    pub fn many(&self, quick: usize, usual: usize, long: usize) -> usize {
        match self.effort {
            Effort::Quick => quick,
            Effort::Usual => usual,
            Effort::Long => long,
        }
    }

    /// Asks as an ordinary client.
    pub fn ask(&mut self, request: &[u8]) -> Option<Answer> {
        self.ask_as(request, CLIENT)
    }

    pub fn ask_as(&mut self, request: &[u8], peer: &str) -> Option<Answer> {
        let envelope = self.envelope(peer);
        self.ask_in(request, envelope)
    }

    pub fn ask_in(&mut self, request: &[u8], mut envelope: Envelope) -> Option<Answer> {
        let mut given = request.to_vec();
        if let Some(adaptor) = &mut self.adaptor {
            adaptor.before(&mut given, &mut envelope);
        }
        let dropped = self.count(Counter::DroppedLimited);
        self.batch.clear();
        self.batch.push(&given, envelope);
        let (mut time, tick) = (self.time, self.tick);
        let mut clock = || {
            time = time + tick;
            time
        };
        self.responder.respond(&mut self.batch, &self.state, &mut clock, self.mono);
        self.time = time;
        self.send();
        let mut answer =
            self.batch.slots().first().and_then(|slot| slot.answer()).map(<[u8]>::to_vec);
        let limited = self.count(Counter::DroppedLimited) > dropped;
        if let Some(adaptor) = &mut self.adaptor {
            answer = adaptor.after(request, &envelope, answer, limited);
        }
        answer.as_deref().map(Answer::read)
    }

    /// What the kernel says of the answer, when that is awaited: it left a little later than it was ready.
    fn send(&mut self) {
        let Some(awaited) = self.batch.slots().first().and_then(|slot| slot.awaited()) else {
            return;
        };
        let mut left = self.time + Span::from_nanos(25_001);
        self.left = Some(left);
        if let Some(adaptor) = &self.adaptor {
            adaptor.before_departure(&mut left);
        }
        self.responder.departed(awaited, left, &self.state, self.mono);
    }

    pub fn envelope(&self, peer: &str) -> Envelope {
        let peer: SocketAddr = peer.parse().expect("an address");
        Envelope { peer, received: self.time - self.age, group: false, truncated: false }
    }

    /// How often something was counted.
    pub fn count(&self, counter: Counter) -> u64 {
        self.responder.counters().get(counter)
    }

    /// Lets time pass for clocks of both kinds.
    pub fn pass(&mut self, time: Duration) {
        self.mono = Mono(self.mono.0 + u64::try_from(time.as_nanos()).expect("a short time"));
        self.time = self.time + Span::from_duration(time);
    }

    /// Asks for time and must get it.
    pub fn time_for(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        match self.ask(request) {
            Some(answer) if answer.is_time() => Ok(answer),
            other => Err(format!("no time for {}: {}", shown(request), shown_answer(&other))),
        }
    }

    /// Asks and must get no time: silence or a kiss, with control requests around it.
    pub fn no_time_for(&mut self, request: &[u8]) -> Result<Option<Answer>, Failure> {
        self.control()?;
        let answer = self.ask(request);
        self.control()?;
        match answer {
            Some(answer) if answer.is_time() => {
                Err(format!("time for {}: {}", shown(request), shown(&answer.octets)))
            }
            other => Ok(other),
        }
    }

    /// Asks and must get silence, with control requests around it.
    pub fn silence_for(&mut self, request: &[u8]) -> Outcome {
        let envelope = self.envelope(CLIENT);
        self.silence_in(request, envelope)
    }

    pub fn silence_in(&mut self, request: &[u8], envelope: Envelope) -> Outcome {
        self.control()?;
        let answer = self.ask_in(request, envelope);
        self.control()?;
        ensure(answer.is_none(), || {
            format!("no silence for {}: {}", shown(request), shown_answer(&answer))
        })
    }

    /// The positive control beside everything that is shown by an absence: ordinary requests, plain and NTS, are answered.
    pub fn control(&mut self) -> Outcome {
        let requests = match self.control_requests.take() {
            Some(requests) => requests,
            None => [plain(), Session::new(self, Cipher::Siv256).request(0)],
        };
        for request in &requests {
            self.controls += 1;
            let [.., high, low] = self.controls.to_be_bytes();
            let envelope =
                Envelope { peer: ([198, 18, high, low], 123).into(), ..self.envelope(CLIENT) };
            let answer = self.ask_in(request, envelope);
            ensure(answer.is_some(), || {
                "the server does not answer the control request".to_owned()
            })?;
        }
        self.control_requests = Some(requests);
        Ok(())
    }

    /// Brings a ring of keys to the epoch of `now`.
    pub fn turn(&mut self, ring: &mut KeyRing, mut now: UnixTime) {
        if let Some(adaptor) = &self.adaptor {
            adaptor.before_turn(&mut now);
        }
        let mut pool = RandomPool::new().expect("the kernel gives random octets");
        ring.advance(now, &mut |out: &mut [u8]| pool.fill(out));
        self.take_keys(ring);
    }

    /// Goes on with the keys of a ring.
    pub fn take_keys(&mut self, ring: &KeyRing) {
        self.keys = Arc::new(CookieKeys::new(&ring.keys(), ring.current()));
        self.responder.set_cookie_keys(Some(Arc::clone(&self.keys)));
        self.control_requests = None;
        if let Some(adaptor) = &mut self.adaptor {
            adaptor.keys_changed(Arc::clone(&self.keys), ring.oldest());
        }
    }

    /// Another server, the first one gone, with what that left in its store.
    pub fn restart(lab: &Lab, stored: &[u8]) -> Result<Self, Failure> {
        let mut next = Self::new(lab);
        let mut stored = stored.to_vec();
        if let Some(adaptor) = &next.adaptor {
            adaptor.before_restart(&mut stored);
        }
        next.take_keys(&KeyRing::from_octets(&stored).map_err(|error| error.to_string())?);
        Ok(next)
    }
}

/// A client that has been through key establishment.
#[derive(Clone)]
pub struct Session {
    pub keys: Keys,
    pub cookie: Vec<u8>,
}

impl Session {
    /// With a cookie of the current epoch.
    pub fn new(lab: &NtpLab, cipher: Cipher) -> Self {
        let keys = Keys::new(cipher);
        let issuer = lab.keys.issuer().expect("the current epoch has its key");
        // Sessions are made anew all the time; what their cookies' nonces are worth is not looked at here.
        let cookie = issuer.seal(&keys.session(), &mut |out: &mut [u8]| out.fill(0x3c));
        Self { keys, cookie }
    }

    /// The request every client makes, still open: identifier, cookie, placeholders, authenticator around nothing.
    pub fn draft(&self, placeholders: usize) -> Draft {
        let placeholder = Field::new(PLACEHOLDER, vec![0; self.cookie.len()]);
        let mut clear =
            vec![Field::new(UNIQUE, identifier(32)), Field::new(COOKIE, self.cookie.clone())];
        clear.extend(vec![placeholder; placeholders]);
        Draft {
            header: header(4, 3),
            clear,
            nonce: vec![0x77; self.keys.cipher.nonce_len()],
            inner: Vec::new(),
            padding: 0,
            after: Vec::new(),
        }
    }

    /// Closes a request.
    pub fn seal(&self, draft: &Draft) -> Vec<u8> {
        draft.seal(self.keys.cipher, &self.keys.c2s)
    }

    /// The request every client makes.
    pub fn request(&self, placeholders: usize) -> Vec<u8> {
        self.seal(&self.draft(placeholders))
    }

    /// Another request with fields changed.
    pub fn request_with(&self, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
        let mut draft = self.draft(0);
        change(&mut draft);
        self.seal(&draft)
    }

    /// An answer opened by either key of the session: which of them is the business of one check alone.
    pub fn open(&self, answer: &Answer) -> Result<Draft, Failure> {
        self.open_with(answer, &self.keys.s2c)
            .or_else(|| self.open_with(answer, &self.keys.c2s))
            .ok_or_else(|| format!("cannot be opened: {}", shown(&answer.octets)))
    }

    /// An answer opened by this key.
    pub fn open_with(&self, answer: &Answer, key: &[u8]) -> Option<Draft> {
        Draft::open(&answer.octets, self.keys.cipher, key)
    }

    /// The cookies of the answer to a request that must give time, wherever in it they stand.
    pub fn cookies_for(&self, lab: &mut NtpLab, request: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let answer = lab.time_for(request)?;
        Ok(self.open(&answer)?.all(COOKIE).into_iter().map(|field| field.body).collect())
    }
}

/// Holds, or fails for the reason given.
pub fn ensure(holds: bool, why: impl FnOnce() -> Failure) -> Outcome {
    if holds { Ok(()) } else { Err(why()) }
}

/// Octets for people; the middle of long packets left out.
pub fn shown(octets: &[u8]) -> String {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    match octets {
        [head @ .., _] if octets.len() > 160 => {
            format!("{} octets {}...", octets.len(), hex(&head[..128]))
        }
        _ => format!("{} octets {}", octets.len(), hex(octets)),
    }
}

pub fn shown_answer(answer: &Option<Answer>) -> String {
    answer.as_ref().map_or_else(|| "silence".to_owned(), |answer| shown(&answer.octets))
}

/// Cookie keys of epochs 5 to 8, of which 7 is current.
fn cookie_keys() -> &'static Arc<CookieKeys> {
    static KEYS: OnceLock<Arc<CookieKeys>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = [5, 6, 7, 8].map(|epoch| CookieKey::new(epoch, [epoch as u8 + 50; 32]));
        Arc::new(CookieKeys::new(&keys, 7))
    })
}
