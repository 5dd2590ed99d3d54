//! The responder: a batch of requests becomes a batch of answers, in stages.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use noonmark_nts::{
    AnswerPlan, AnswerSealing, CookieFault, CookieKeys, Opening, Random, RequestFault,
    RequestFields, SHORTEST_REQUEST_LEN, Sealing, SessionKeys, UniqueIdentifier, Verification,
    open_requests, seal_answers,
};
use noonmark_packet::{Header, KissCode, Packet};
use noonmark_units::{Mono, Timestamp};

use crate::batch::{BATCH, Batch, Slot};
use crate::face::{Face, served};
use crate::handover::hand_over;
use crate::interleaved::{Awaited, MARK_LEN, mark, names_an_answer};
use crate::lead::{Lead, Wanted, Work};
use crate::past::Asker;
use crate::request::{Request, refusal};
use crate::{Action, ClockState, Counter, Counters, Envelope, Policy, Pressure, Purse, Share};

/// Reads the clock that is served.
pub trait Clock {
    /// The time now.
    fn now(&mut self) -> Timestamp;
}

impl<F: FnMut() -> Timestamp> Clock for F {
    fn now(&mut self) -> Timestamp {
        self()
    }
}

/// Answers requests, a batch at a time, without I/O: octets, time and randomness come in, answers and counts go out.
///
/// The stages work on the whole batch, so that what is alike is done side by side: classify, open cookies, verify tags, choose
/// the transmit time, write, seal. Nothing is allocated, nothing is locked, and a datagram that fails a check changes no state
/// but counters and the rate table. One per thread.
pub struct Responder {
    policy: Arc<Policy>,
    pressure: Pressure,
    cookies: Option<Arc<CookieKeys>>,
    random: Box<dyn Random + Send>,
    counters: Counters,
    lead: Lead,
    desks: Box<[Desk]>,
    /// Whether any datagram of the batch is under NTS.
    is_protected: bool,
    /// When the last batch was ready to be sent.
    ready_at: Timestamp,
    /// The last answer whose departure would teach something.
    probe: Option<Probe>,
    /// Whether it is one of the last batch.
    is_probing: bool,
}

/// An answer like any other, of whom it is to be learned how long answers take to leave.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    slot: usize,
    place: usize,
    receive: Timestamp,
    transmit: Timestamp,
    /// When its batch was ready to be sent.
    ready_at: Timestamp,
}

impl Probe {
    /// Which slot of the batch it is in.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// What stands in octets 32 to 47 of it, by which it is known again.
    pub fn mark(&self) -> [u8; MARK_LEN] {
        mark(self.receive, self.transmit)
    }
}

/// What is known about one datagram between stages.
struct Desk {
    plan: Plan,
    /// Keys from the cookie; overwritten by the next one in this place.
    keys: SessionKeys,
    opened: Result<(), CookieFault>,
    verified: Result<usize, RequestFault>,
}

/// What will be answered, as far as it has been decided.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// Nothing.
    Silence,
    /// A header and perhaps an echoed identifier, with time or a kiss.
    Plain { unique: Option<UniqueIdentifier>, kiss: Option<KissCode> },
    /// An NTS request, not yet proven.
    Unproven { fields: RequestFields, denied: bool },
    /// An authentic answer with new cookies, with time or a kiss.
    Authentic { shape: AnswerPlan, kiss: Option<KissCode> },
}

impl Responder {
    /// A responder that knows no cookie keys yet, so that it is silent to NTS requests.
    pub fn new(policy: Arc<Policy>, random: Box<dyn Random + Send>) -> Self {
        let desk = |_| Desk {
            plan: Plan::Silence,
            keys: SessionKeys::blank(),
            opened: Ok(()),
            verified: Ok(0),
        };
        Self {
            policy,
            pressure: Pressure::NONE,
            cookies: None,
            random,
            counters: Counters::new(),
            lead: Lead::new(),
            desks: (0..BATCH).map(desk).collect(),
            is_protected: false,
            ready_at: Timestamp::UNSET,
            probe: None,
            is_probing: false,
        }
    }

    /// Takes another policy from the next batch on.
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        self.policy = policy;
    }

    /// The policy in use.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Sheds more or less from the next batch on: what [`Load::look`](crate::Load::look) says.
    pub fn set_pressure(&mut self, pressure: Pressure) {
        self.pressure = pressure;
    }

    /// Takes other cookie keys from the next batch on.
    pub fn set_cookie_keys(&mut self, keys: Option<Arc<CookieKeys>>) {
        self.cookies = keys;
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Notes something that happened to datagrams outside.
    pub fn count(&mut self, counter: Counter, number: u64) {
        self.counters.add(counter, number);
    }

    /// Answers a batch: afterwards every slot has its answer, or none.
    ///
    /// `state` is what is known of the clock that `clock` reads; `now` is the local clock for everything that must not jump: the
    /// rate table and the age of `state`. Send the answers at once and in order, then call [`Responder::sent`]. Of a large batch
    /// the last answers leave long after the clock was read; who sends it in parts has [`Responder::examine`] and [`Responder::answer`].
    pub fn respond(
        &mut self,
        batch: &mut Batch,
        state: &ClockState,
        clock: &mut dyn Clock,
        now: Mono,
    ) {
        self.examine(batch, now);
        self.answer(batch, 0..BATCH, state, clock, now);
    }

    /// Finds out what each datagram of a batch gets; none is answered yet.
    pub fn examine(&mut self, batch: &mut Batch, now: Mono) {
        self.is_probing = false;
        let slots = batch.slots_mut();
        self.is_protected = self.classify(slots, now);
        // Where nothing is to be encrypted, not even the room for it is made ready.
        if self.is_protected {
            self.open_cookies(slots);
            if self.pressure.is_on() {
                self.shed_unproven(slots, now);
            }
            self.verify_tags(slots, now);
        }
    }

    /// Answers those datagrams of the batch last examined that are in `part`, as [`Responder::respond`] does all. Send them before the next part is
    /// answered.
    pub fn answer(
        &mut self,
        batch: &mut Batch,
        part: Range<usize>,
        state: &ClockState,
        clock: &mut dyn Clock,
        now: Mono,
    ) {
        let part = part.start.min(BATCH)..part.end.min(batch.slots().len());
        let Some(slots) = batch.slots_mut().get_mut(part.clone()) else { return };
        let (work, chosen) = self.write(slots, part.start, state, clock, now);
        if self.is_protected {
            self.seal(slots, part.start);
        }
        self.ready_at = clock.now();
        self.lead.learn_seal(work, chosen, self.ready_at);
        if let Some(probe) = &mut self.probe
            && probe.ready_at.is_unset()
        {
            probe.ready_at = self.ready_at;
        }
    }

    /// The answer of the last batch whose departure would teach how long answers take to leave, if there is one: its mark is then to be looked for in what leaves.
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref().filter(|_| self.is_probing)
    }

    /// Whether a packet that left has the last [`Probe`] in it, which left at `left`, by the machine's clock. The next batches' transmit times are
    /// chosen with what this teaches.
    pub fn has_left(&mut self, packet: &[u8], left: Timestamp) -> bool {
        let is_it = |probe: &mut Probe| {
            let mark = probe.mark();
            packet.windows(MARK_LEN).any(|octets| octets == mark)
        };
        let Some(probe) = self.probe.take_if(is_it) else { return false };
        self.lead.learn_departure(probe.place, probe.ready_at, left);
        true
    }

    /// Says that the answers of the last batch, or the last part of one, have been handed to the kernel, `sent` of them taken and `failed` not, and that it is
    /// now `at`. The next batches' transmit times are chosen with what this teaches.
    pub fn sent(&mut self, sent: usize, failed: usize, at: Timestamp) {
        self.counters.add(Counter::SendFailed, failed as u64);
        self.lead.learn_send(sent + failed, self.ready_at, at);
    }

    /// Says that an answer of before that was [awaited](Slot::awaited) left at `left`, by the machine's clock, whose state this is. When its
    /// client asks for that, it is told.
    pub fn departed(&mut self, awaited: &Awaited, left: Timestamp, state: &ClockState, now: Mono) {
        let Some(past) = &self.policy.interleaved else { return };
        if let Some(transmit) = awaited.departed(served(state, left, now)) {
            past.remember(awaited.asker, awaited.receive, transmit);
            self.counters.count(Counter::DeparturesKnown);
        }
    }

    /// Stage 1: what each datagram asks for, and whether its sender may ask. Needs no key. Whether any is under NTS.
    fn classify(&mut self, slots: &[Slot], now: Mono) -> bool {
        self.counters.add(Counter::Received, slots.len() as u64);
        let is_pressed = self.pressure.is_on();
        let mut is_protected = false;
        for (place, slot) in slots.iter().enumerate() {
            let plan =
                if is_pressed { self.plan_under_pressure(slot, now) } else { self.plan(slot, now) };
            let plan = plan.unwrap_or_else(|reason| self.silence(reason));
            is_protected |= matches!(plan, Plan::Unproven { .. });
            if let Some(desk) = self.desks.get_mut(place) {
                desk.plan = plan;
            }
        }
        is_protected
    }

    /// In overload what is too short to prove anything, or turns out to prove nothing, is left out but for a share. On most nothing has been
    /// spent by then.
    fn plan_under_pressure(&mut self, slot: &Slot, now: Mono) -> Result<Plan, Counter> {
        if self.policy.shedding.is_listed(slot.envelope().peer.ip()) {
            return self.plan(slot, now);
        }
        if slot.request_len() < SHORTEST_REQUEST_LEN {
            let is_spared = self.is_within(self.pressure.rest_of_short());
            return if is_spared { self.plan(slot, now) } else { Err(Counter::ShedPlain) };
        }
        match self.plan(slot, now)? {
            Plan::Plain { .. } if !self.is_within(self.pressure.rest()) => Err(Counter::ShedPlain),
            plan => Ok(plan),
        }
    }

    fn plan(&mut self, slot: &Slot, now: Mono) -> Result<Plan, Counter> {
        let envelope = slot.envelope();
        if envelope.group {
            return Err(Counter::DroppedGroup);
        }
        if envelope.truncated {
            return Err(Counter::DroppedLong);
        }
        if envelope.peer.port() == 0 {
            return Err(Counter::DroppedPort);
        }
        let client = envelope.peer.ip();
        let action = self.policy.access.action(client);
        if action == Action::Ignore {
            return Err(Counter::DroppedIgnored);
        }
        match Request::read(slot.datagram(), self.policy.versions, &mut self.counters)? {
            Request::HandOver(kind) => {
                hand_over(slot, kind, &mut self.counters);
                Ok(Plan::Silence)
            }
            Request::Nts(fields) => Ok(Plan::Unproven { fields, denied: action == Action::Deny }),
            Request::Plain(_) if action == Action::Deny => Err(Counter::DroppedDenied),
            Request::Plain(unique) if self.admit(client, Purse::Plain, now) => {
                Ok(Plan::Plain { unique, kiss: None })
            }
            Request::Plain(unique) if self.take(client, Purse::Kiss, now) => {
                Ok(Plan::Plain { unique, kiss: Some(KissCode::RATE) })
            }
            Request::Plain(_) => Err(Counter::DroppedLimited),
        }
    }

    /// Stage 2: all cookies of the batch, side by side. Without the key for new cookies no answer could be complete.
    fn open_cookies(&mut self, slots: &[Slot]) {
        let Some(keys) = self.cookies.as_ref().filter(|keys| keys.issuer().is_some()) else {
            for desk in self.desks.iter_mut().take(slots.len()) {
                if let Plan::Unproven { .. } = desk.plan {
                    desk.plan = Plan::Silence;
                    self.counters.count(Counter::DroppedNoCookieKeys);
                }
            }
            return;
        };
        keys.open_many(slots.iter().zip(&mut self.desks).filter_map(
            |(slot, desk)| match &desk.plan {
                Plan::Unproven { fields, .. } => {
                    let cookie = fields.cookie(slot.datagram());
                    Some(Opening { cookie, keys: &mut desk.keys, result: &mut desk.opened })
                }
                _ => None,
            },
        ));
    }

    /// In overload, before more is spent: whose cookie did not open is shed as plain requests are, whose cookie did is held to the share of its
    /// prefix. Before the cookie was opened that share would be anybody's to use up who writes an address of the prefix into a datagram.
    fn shed_unproven(&mut self, slots: &[Slot], now: Mono) {
        for (place, slot) in slots.iter().enumerate() {
            let Some(desk) = self.desks.get(place) else { continue };
            let Plan::Unproven { .. } = desk.plan else { continue };
            let client = slot.envelope().peer.ip();
            if self.policy.shedding.is_listed(client) {
                continue;
            }
            let shed = match (desk.opened, self.pressure.interval) {
                (Err(_), _) => {
                    (!self.is_within(self.pressure.rest())).then_some(Counter::ShedForged)
                }
                (Ok(()), None) => None,
                (Ok(()), Some(interval)) => {
                    let is_within = self.policy.shedding.take_share(client, interval, now);
                    (!is_within).then_some(Counter::ShedAuthentic)
                }
            };
            if let Some(reason) = shed
                && let Some(desk) = self.desks.get_mut(place)
            {
                desk.plan = Plan::Silence;
                self.counters.count(reason);
            }
        }
    }

    /// Whether one of those that prove nothing is within the share that is left to them.
    fn is_within(&mut self, share: Share) -> bool {
        if share == Share::NONE {
            return false;
        }
        let mut chance = [0; 2];
        self.random.fill(&mut chance);
        share.admits(u16::from_ne_bytes(chance))
    }

    /// Stage 3: whose tag is right, and what that client may have.
    fn verify_tags(&mut self, slots: &mut [Slot], now: Mono) {
        open_requests(slots.iter_mut().zip(&mut self.desks).filter_map(
            |(slot, desk)| match desk {
                Desk {
                    plan: Plan::Unproven { fields, .. },
                    keys,
                    opened: Ok(()),
                    verified: result,
                } => Some(Verification { datagram: slot.datagram_mut(), fields, keys, result }),
                _ => None,
            },
        ));
        for (place, slot) in slots.iter().enumerate() {
            let Some(desk) = self.desks.get(place) else { continue };
            let Plan::Unproven { fields, denied } = desk.plan else { continue };
            let aead = desk.keys.aead();
            let proven = match (desk.opened, desk.verified) {
                (Ok(()), Ok(wanted)) => Ok(wanted),
                (Ok(()), Err(RequestFault::Violation(violation))) => {
                    Err(Fault::Authentic(refusal(violation)))
                }
                (Ok(()), Err(RequestFault::Forged)) => Err(Fault::NotAuthentic(Counter::TagForged)),
                (Err(CookieFault::Length), _) => Err(Fault::NotAuthentic(Counter::CookieLength)),
                (Err(CookieFault::UnknownEpoch), _) => {
                    Err(Fault::NotAuthentic(Counter::CookieEpoch))
                }
                (Err(CookieFault::Forged), _) => Err(Fault::NotAuthentic(Counter::CookieForged)),
            };
            let client = slot.envelope().peer.ip();
            let plan = match proven {
                Ok(wanted) => self.admit_authentic(client, denied, now).and_then(|kiss| {
                    let shape = AnswerPlan::new(&fields, aead, wanted, slot.request_len());
                    Ok(Plan::Authentic { shape: shape.ok_or(Counter::DroppedNoRoom)?, kiss })
                }),
                Err(Fault::Authentic(reason)) => Err(reason),
                Err(Fault::NotAuthentic(detail)) => {
                    self.counters.count(detail);
                    self.negative(client, denied, now)
                        .map(|kiss| Plan::Plain { unique: Some(fields.unique()), kiss: Some(kiss) })
                }
            };
            let plan = plan.unwrap_or_else(|reason| self.silence(reason));
            if let Some(desk) = self.desks.get_mut(place) {
                desk.plan = plan;
            }
        }
    }

    /// What an authentic client gets: time (`None`), or a kiss it can believe.
    fn admit_authentic(
        &mut self,
        client: IpAddr,
        denied: bool,
        now: Mono,
    ) -> Result<Option<KissCode>, Counter> {
        if denied {
            return match self.take(client, Purse::Authentic, now) {
                true => Ok(Some(KissCode::DENY)),
                false => Err(Counter::DroppedLimitedAuthentic),
            };
        }
        if self.admit(client, Purse::Authentic, now) {
            return Ok(None);
        }
        match self.take(client, Purse::AuthenticKiss, now) {
            true => Ok(Some(KissCode::RATE)),
            false => Err(Counter::DroppedLimitedAuthentic),
        }
    }

    /// What a client gets whose cookie or tag is not good: it proves nothing, so it counts as any plain request.
    fn negative(&mut self, client: IpAddr, denied: bool, now: Mono) -> Result<KissCode, Counter> {
        if denied {
            return Err(Counter::DroppedDenied);
        }
        if self.admit(client, Purse::Plain, now) {
            Ok(KissCode::NTSN)
        } else {
            Err(Counter::DroppedNtsnLimited)
        }
    }

    /// Whether a client is within its limit, or is let through by chance.
    fn admit(&mut self, client: IpAddr, purse: Purse, now: Mono) -> bool {
        let Some(rate) = &self.policy.rate else { return true };
        if rate.take(client, purse, now) {
            return true;
        }
        let leak = rate.limit().leak;
        let mut chance = [0; 2];
        self.random.fill(&mut chance);
        let leaked = leak > 0 && u16::from_ne_bytes(chance).is_multiple_of(leak.into());
        if leaked {
            self.counters.count(Counter::AnsweredOverLimit);
        }
        leaked
    }

    fn take(&self, client: IpAddr, purse: Purse, now: Mono) -> bool {
        self.policy.rate.as_ref().is_none_or(|rate| rate.take(client, purse, now))
    }

    fn silence(&mut self, reason: Counter) -> Plan {
        self.counters.count(reason);
        Plan::Silence
    }

    /// Stages 4 and 5, for those slots of the batch from `first` on: choose every transmit time, then write every answer up to what has to be sealed. The tag covers the transmit
    /// time, so it is chosen for the moment at which the answer will leave.
    fn write(
        &mut self,
        slots: &mut [Slot],
        first: usize,
        state: &ClockState,
        clock: &mut dyn Clock,
        now: Mono,
    ) -> (Work, Timestamp) {
        let desks = self.desks.get(first..).unwrap_or_default();
        let work =
            desks.iter().take(slots.len()).fold(Work::default(), |work, desk| match &desk.plan {
                Plan::Authentic { shape, .. } => work.and(Work::nts(shape.cookies())),
                Plan::Plain { .. } => work.and(Work::PLAIN),
                Plan::Silence | Plan::Unproven { .. } => work,
            });
        let face = Face::of(state, now);
        // One for each batch: what leaves is asked about when all of it has been sent.
        let wanted = self.lead.wanted().filter(|_| !self.is_probing);
        let chosen = clock.now();
        let mut place = 0;
        for (number, (slot, desk)) in (first..).zip(slots.iter_mut().zip(desks)) {
            let (Plan::Plain { kiss, .. } | Plan::Authentic { kiss, .. }) = desk.plan else {
                continue;
            };
            let Ok(request) = Packet::parse(slot.datagram()) else { continue };
            let Envelope { peer, received, .. } = *slot.envelope();
            let mut bits = [0; 8];
            self.random.fill(&mut bits);
            let leaves = chosen + self.lead.ahead(work, place);
            let table = self.policy.interleaved.as_ref();
            let asked = table.filter(|_| kiss.is_none() && names_an_answer(&request));
            let is_proven = matches!(desk.plan, Plan::Authentic { .. });
            let asker = Asker { address: peer.ip(), is_proven };
            let past = asked.and_then(|past| past.take(asker, request.origin()));
            let header = face.header(&request, received, kiss, leaves, past, bits);
            // In overload the kernel's stamps are for those who prove something, and for whoever goes first anyway.
            let is_first = || self.policy.shedding.is_listed(peer.ip());
            if asked.is_some() && (is_proven || !self.pressure.is_on() || is_first()) {
                let Header { receive, transmit, .. } = header;
                slot.await_departure(Awaited { asker, receive, transmit });
                self.counters.count(Counter::DeparturesAwaited);
            }
            let Some(answer) = slot.reply() else { continue };
            match &desk.plan {
                Plan::Plain { unique, .. } => answer.write_plain(&header, *unique),
                Plan::Authentic { shape, .. } => {
                    answer.write_protected(&header, shape, &mut *self.random);
                    self.counters.add(Counter::CookiesIssued, shape.cookies() as u64);
                }
                Plan::Silence | Plan::Unproven { .. } => continue,
            }
            self.counters.count(desk.plan.fate());
            self.counters.add(Counter::AnsweredInterleaved, past.is_some().into());
            if wanted == Some(Wanted::Last) || (wanted == Some(Wanted::First) && place == 0) {
                let Header { receive, transmit, .. } = header;
                let ready_at = Timestamp::UNSET;
                self.probe = Some(Probe { slot: number, place, receive, transmit, ready_at });
                self.is_probing = true;
            }
            place += 1;
        }
        (work, chosen)
    }

    /// Stage 6, for those slots of the batch from `first` on: all new cookies side by side, then every answer under its own key.
    fn seal(&mut self, slots: &mut [Slot], first: usize) {
        let desks = self.desks.get(first..).unwrap_or_default();
        let Some(issuer) = self.cookies.as_ref().and_then(|keys| keys.issuer()) else { return };
        issuer.seal_many(protected(slots, desks).flat_map(|(slot, shape, keys)| {
            shape.cookie_places(slot.answer_mut()).map(move |cookie| Sealing { keys, cookie })
        }));
        seal_answers(protected(slots, desks).map(|(slot, plan, keys)| AnswerSealing {
            datagram: slot.answer_mut(),
            plan,
            keys,
        }));
    }
}

/// The slots whose answers are to be sealed, with their shapes and keys.
fn protected<'a>(
    slots: &'a mut [Slot],
    desks: &'a [Desk],
) -> impl Iterator<Item = (&'a mut Slot, &'a AnswerPlan, &'a SessionKeys)> {
    slots.iter_mut().zip(desks).filter_map(|(slot, desk)| match &desk.plan {
        Plan::Authentic { shape, .. } => Some((slot, shape, &desk.keys)),
        _ => None,
    })
}

impl Plan {
    /// What an answer that has been written is counted as.
    fn fate(&self) -> Counter {
        match self {
            Self::Plain { kiss: None, .. } => Counter::AnsweredPlain,
            Self::Plain { kiss: Some(KissCode::NTSN), .. } => Counter::KissNtsn,
            Self::Plain { kiss: Some(_), .. } => Counter::KissRate,
            Self::Authentic { kiss: None, .. } => Counter::AnsweredNts,
            Self::Authentic { kiss: Some(KissCode::DENY), .. } => Counter::KissDenyAuthentic,
            Self::Authentic { kiss: Some(_), .. } => Counter::KissRateAuthentic,
            Self::Silence | Self::Unproven { .. } => Counter::DroppedNoRoom,
        }
    }
}

/// Why an NTS request gets no authentic answer.
enum Fault {
    /// Cookie or tag: NTSN.
    NotAuthentic(Counter),
    /// The tag was right, what it covers was not: silence.
    Authentic(Counter),
}
