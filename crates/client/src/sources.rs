//! All sources and the keeper of the clock, as one machine.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use noonmark_clock::{
    Adjusted, Adjustment, Keeper, NotAdjusted, Output as KeeperOutput, Reading, SourceId,
    SourceOptions,
};
use noonmark_nts::{Agreement, Random};
use noonmark_packet::ReferenceId;
use noonmark_units::{Mono, Precision, Span, Timestamp};

use zeroize::Zeroizing;

use crate::group::{Group, TURN};
use crate::keep::Keep;
use crate::kept::{self, Kept};
use crate::member::{Member, Peer, sample};
use crate::{
    Action, Association, Endpoint, KeFailure, Output, Plan, Refusal, Removal, Settings,
    SourceEvent, SourceSpec, SourceStatus, Tally,
};

/// The whole of keeping time from servers, without sockets, clocks or resolver: every association, which servers are asked for a
/// name, and the keeper of the clock behind them.
///
/// Feed it one input (`handle_*`), drain [`poll_output`](Self::poll_output), wait for an input or for [`deadline`](Self::deadline),
/// and so on. The same inputs and the same randomness give the same outputs.
pub struct Sources<K = Keeper> {
    keeper: K,
    random: SharedRandom,
    local_precision: Precision,
    groups: Vec<Group>,
    members: Vec<Member>,
    next_id: u32,
    /// What servers that follow us call us.
    own_ids: Vec<ReferenceId>,
    actions: VecDeque<Action>,
}

impl<K: Keep> Sources<K> {
    /// Sources as configured, with the keeper they feed; `local_precision` is that of our clock.
    #[must_use]
    pub fn new(
        specs: Vec<SourceSpec>,
        keeper: K,
        local_precision: Precision,
        random: Box<dyn Random + Send>,
        now: Reading,
    ) -> Self {
        let mut sources = Self {
            keeper,
            random: SharedRandom(Arc::new(Mutex::new(random))),
            local_precision,
            groups: specs.into_iter().map(|spec| Group::new(spec, now.mono)).collect(),
            members: Vec::new(),
            next_id: 1,
            own_ids: Vec::new(),
            actions: VecDeque::new(),
        };
        sources.handle_timeout(now);
        sources
    }

    /// What to do next; drain it after every `handle_*`. `None` means settled until [`deadline`](Self::deadline).
    pub fn poll_output(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        let members = self.members.iter().map(|member| match member.association.is_over() {
            true => member.association.next_question() + REST,
            false => member.association.deadline(),
        });
        let groups = self.groups.iter().map(Group::deadline);
        members.chain(groups).min().unwrap_or(Mono::NEVER).min(self.keeper.deadline())
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Reading) {
        if self.keeper.deadline() <= now.mono {
            self.keeper.handle_timeout(now);
        }
        for member in &mut self.members {
            if member.association.deadline() <= now.mono {
                member.association.handle_timeout(now.mono);
            }
        }
        self.look_up(now);
        self.finish(now);
    }

    /// The datagram of the last [`Action::Transmit`] of this source has left, at `sent` by our clock: T1. May be called again with
    /// a better stamp before the answer comes. Without it no answer is taken.
    pub fn handle_sent(&mut self, id: SourceId, sent: Timestamp) {
        if let Some(member) = self.member_mut(id) {
            member.association.handle_sent(sent);
        }
    }

    /// A datagram from the source's address came at `received` by our clock (T4). Whatever it holds, it has an effect only if it
    /// answers the question that is open.
    pub fn handle_datagram(
        &mut self,
        id: SourceId,
        datagram: &[u8],
        received: Timestamp,
        now: Reading,
    ) {
        if let Some(member) = self.member_mut(id) {
            member.association.handle_datagram(datagram, received, now.mono);
        }
        self.finish(now);
    }

    /// The datagram of the last [`Action::Transmit`] of this source could not be sent: there is no way to its address.
    pub fn handle_no_route(&mut self, id: SourceId, now: Reading) {
        let Some(place) = self.members.iter().position(|member| member.id == id) else { return };
        let Some(member) = self.members.get(place) else { return };
        // One that has answered may answer again; one that never has gives way to another address, perhaps of another family.
        let (group, peer) = (member.group, member.peer.clone());
        if member.last.is_none()
            && self.has_candidate(group, now)
            && self.groups.get_mut(group).is_some_and(Group::take_detour)
        {
            self.remove(place, Removal::NoRoute, now);
            self.fill_group(group, Some(&peer), now);
        }
        self.finish(now);
    }

    /// The resolver answered an [`Action::Resolve`]; no address means that it knows none now.
    pub fn handle_resolved(&mut self, endpoint: &Endpoint, found: &[SocketAddr], now: Reading) {
        for place in 0..self.groups.len() {
            let Some(group) = self.groups.get_mut(place).filter(|group| group.awaits(endpoint))
            else {
                continue;
            };
            group.resolved(found, now.mono);
            if found.is_empty() {
                self.tell(SourceEvent::Unresolved { name: endpoint.host.clone() });
            } else {
                self.drop_vanished(place, now);
            }
        }
        self.finish(now);
    }

    /// Keys were established for a source, whose questions go to `server` from now on.
    pub fn handle_agreement(
        &mut self,
        id: SourceId,
        agreement: Agreement,
        server: SocketAddr,
        now: Reading,
    ) {
        let Some(member) = self.members.iter_mut().find(|member| member.id == id) else { return };
        member.ke_failures = 0;
        member.association.handle_agreement(agreement, now.mono);
        let mut id = id;
        if member.address.is_some_and(|before| before != server) {
            // Another server is another source: nothing learned of the first holds for it.
            let before = member.id;
            id = SourceId(self.next_id);
            self.next_id = self.next_id.saturating_add(1);
            member.id = id;
            member.last = None;
            if core::mem::take(&mut member.is_kept) {
                self.keeper.remove_source(before, now);
            }
            self.tell(SourceEvent::Removed { id: before, why: Removal::Moved });
        }
        self.tell(SourceEvent::Established { id, server });
        self.settle_on(id, server, now);
        self.settle(now);
    }

    /// Key establishment for a source failed.
    pub fn handle_ke_failure(&mut self, id: SourceId, failure: KeFailure, now: Reading) {
        let Some(member) = self.member_mut(id) else { return };
        member.ke_failures = member.ke_failures.saturating_add(1);
        member.association.handle_ke_failure(failure, now.mono);
        self.tell(SourceEvent::NotEstablished { id, failure });
        self.finish(now);
    }

    /// The answer to an [`Action::Adjust`].
    pub fn handle_adjusted(&mut self, outcome: &Result<Adjusted, NotAdjusted>, now: Reading) {
        if let Ok(Adjusted { adjustment: Adjustment::Step(by), .. }) = outcome {
            self.move_stamps(*by);
        }
        self.keeper.handle_adjusted(outcome, now);
        self.settle(now);
    }

    /// Somebody else stepped our clock by so much, positive is forward.
    pub fn handle_step(&mut self, by: Span, now: Reading) {
        self.move_stamps(by);
        self.keeper.handle_step(by, now);
        self.settle(now);
    }

    /// The machine slept.
    pub fn handle_resume(&mut self, now: Reading) {
        self.forget_questions(now);
        self.keeper.handle_resume(now);
        self.burst_all(now);
        self.look_up_waiting(now);
        self.settle(now);
    }

    /// The ways to the servers may have changed: an interface or a route came or went.
    pub fn handle_route_change(&mut self, now: Reading) {
        self.forget_questions(now);
        for group in &mut self.groups {
            group.allow_detours();
        }
        self.burst_all(now);
        self.look_up_waiting(now);
        self.settle(now);
    }

    /// Says what servers that follow us call us: our addresses as reference ids (RFC 5905 §7.3). Their time is not taken back.
    pub fn set_own_reference_ids(&mut self, ids: Vec<ReferenceId>) {
        self.own_ids = ids;
    }

    /// Ends everything for the NTS keys and unspent cookies that are left, as octets for [`restore_keys`](Self::restore_keys). They
    /// are secrets, and good for one restart only: a cookie is used once.
    #[must_use]
    pub fn into_keys(self) -> Zeroizing<Vec<u8>> {
        let kept = |member: Member| {
            let (Peer::KeyServer(endpoint), Some(server)) = (member.peer, member.address) else {
                return None;
            };
            let (keys, cookies) = member.association.into_keys()?;
            Some(Kept { endpoint, server, keys, cookies })
        };
        kept::write(&self.members.into_iter().filter_map(kept).collect::<Vec<_>>())
    }

    /// Lets NTS sources begin with the keys of before in place of key establishment, and returns how many can. Whatever `octets` came
    /// from must be gone already, so that no cookie can be used again. To be called before anything else.
    pub fn restore_keys(&mut self, octets: &[u8], now: Reading) -> usize {
        let mut restored = 0;
        for kept in kept::read(octets).unwrap_or_default() {
            let peer = Peer::KeyServer(kept.endpoint);
            let Some(member) = self.members.iter_mut().find(|member| {
                member.peer == peer && member.address.is_none() && !kept.cookies.is_empty()
            }) else {
                continue;
            };
            let agreement = Agreement {
                keys: kept.keys,
                alternative: None,
                cookies: kept.cookies,
                server: None,
                port: kept.server.port(),
                compliant_export: false,
                certificates: Vec::new(),
            };
            member.association.restore(agreement, now.mono);
            let id = member.id;
            self.settle_on(id, kept.server, now);
            restored += 1;
        }
        self.settle(now);
        restored
    }

    /// Where each source stands, in the order of the configuration; names without a server too.
    #[must_use]
    pub fn statuses(&self) -> Vec<SourceStatus> {
        let mut all = Vec::new();
        for (place, group) in self.groups.iter().enumerate() {
            let members = self.members.iter().filter(|member| member.group == place);
            let before = all.len();
            all.extend(members.map(|member| {
                let name = match &member.peer {
                    Peer::KeyServer(endpoint) => endpoint.host.clone(),
                    Peer::Address(_) => group.spec.kind.name().to_owned(),
                };
                member.status(name)
            }));
            if all.len() == before {
                all.push(group.status(place));
            }
        }
        all
    }

    /// The address a source is asked at; `None` if it is not known, or the source is not.
    #[must_use]
    pub fn address(&self, id: SourceId) -> Option<SocketAddr> {
        self.members.iter().find(|member| member.id == id)?.address
    }

    /// The keeper behind the sources.
    pub const fn keeper(&self) -> &K {
        &self.keeper
    }

    /// What follows from an input: outputs go where they belong, and members that are of no use give way to others.
    fn finish(&mut self, now: Reading) {
        self.settle(now);
        self.replace_members(now);
        for group in 0..self.groups.len() {
            self.fill_group(group, None, now);
        }
        self.settle(now);
    }

    /// Carries outputs of associations and keeper to where they belong, until there are none.
    fn settle(&mut self, now: Reading) {
        loop {
            let mut is_settled = true;
            for place in 0..self.members.len() {
                while let Some(output) =
                    self.members.get_mut(place).and_then(|member| member.association.poll_output())
                {
                    is_settled = false;
                    self.carry(place, output, now);
                }
            }
            while let Some(output) = self.keeper.poll_output() {
                is_settled = false;
                self.obey(output, now);
            }
            if is_settled {
                return;
            }
        }
    }

    /// Does what a member's association puts out.
    fn carry(&mut self, place: usize, output: Output, now: Reading) {
        let Some(member) = self.members.get_mut(place) else { return };
        let id = member.id;
        match output {
            Output::Transmit(datagram) => {
                member.tally.asked += 1;
                if let Some(to) = member.address {
                    self.actions.push_back(Action::Transmit { id, to, datagram });
                }
            }
            Output::Measured(exchange) => {
                member.tally.measured += 1;
                member.last = Some(exchange);
                let is_loop = exchange.stratum > 1 && self.own_ids.contains(&exchange.reference_id);
                self.note_reach(place);
                if is_loop {
                    self.tell(SourceEvent::Loop(id));
                    self.keeper.handle_unanswered(id, now);
                } else {
                    self.keeper.handle_sample(id, &sample(&exchange), now);
                }
            }
            Output::Unanswered => {
                member.tally.unanswered += 1;
                if member.is_kept {
                    self.keeper.handle_unanswered(id, now);
                }
                self.note_reach(place);
            }
            Output::Refused(refusal) => {
                *member.tally.refused.entry(refusal.name()).or_default() += 1;
                // A proven answer without time closes its question; any other leaves it open.
                if matches!(&refusal, Refusal::Unusable { exchange, .. } if exchange.authenticated)
                {
                    self.keeper.handle_unanswered(id, now);
                    self.note_reach(place);
                }
                self.tell(SourceEvent::Refused { id, refusal });
            }
            Output::Kiss { code, authenticated } => {
                member.tally.kisses += 1;
                self.tell(SourceEvent::Kiss { id, code, authenticated });
            }
            Output::Rekey => {
                let family = self.groups.get(member.group).map(|group| group.spec.family);
                if let (Peer::KeyServer(endpoint), Some(family)) = (&member.peer, family) {
                    let endpoint = endpoint.clone();
                    self.actions.push_back(Action::Rekey { id, endpoint, family });
                }
            }
            Output::LengthFilterSuspected => self.tell(SourceEvent::LengthFilterSuspected(id)),
            // `replace_members` sees that it is over.
            Output::GiveUp(_) | Output::Done => {}
        }
    }

    /// Does what the keeper puts out.
    fn obey(&mut self, output: KeeperOutput, now: Reading) {
        match output {
            KeeperOutput::Adjust(adjustment) => self.actions.push_back(Action::Adjust(adjustment)),
            KeeperOutput::Pace { source, interval } => {
                if let Some(member) = self.member_mut(source) {
                    member.association.set_interval(interval, now.mono);
                }
            }
            KeeperOutput::Burst { source, questions, spacing } => {
                let start = now.mono + self.random.up_to(STAGGER);
                if let Some(member) = self.member_mut(source) {
                    member.association.burst(questions, spacing, start);
                }
            }
        }
    }

    /// Tells when a member becomes reachable or stops being it.
    fn note_reach(&mut self, place: usize) {
        let Some(member) = self.members.get_mut(place) else { return };
        let is_reachable = member.association.reach() != 0;
        let is_silent = member.association.unanswered_in_a_row() >= 8;
        let before = member.told_reachable;
        let id = member.id;
        if is_reachable && before != Some(true) {
            member.told_reachable = Some(true);
            self.tell(SourceEvent::Reachable(id));
        } else if is_silent && before != Some(false) {
            member.told_reachable = Some(false);
            self.tell(SourceEvent::Unreachable(id));
        }
    }

    fn look_up(&mut self, now: Reading) {
        for group in &mut self.groups {
            if let Some((endpoint, family)) = group.begin_lookup(now.mono) {
                // Two sources of one name share the answer.
                let resolve = Action::Resolve { endpoint, family };
                if !self.actions.contains(&resolve) {
                    self.actions.push_back(resolve);
                }
            }
        }
    }

    /// Names that do not resolve are tried at once: what kept them from it may be over.
    fn look_up_waiting(&mut self, now: Reading) {
        for place in 0..self.groups.len() {
            let is_empty = !self.members.iter().any(|member| member.group == place);
            if let Some(group) = self.groups.get_mut(place).filter(|_| is_empty) {
                group.look_up_now(now.mono);
            }
        }
        self.look_up(now);
    }

    /// Removes members that are of no use, as far as there is a better use for their place.
    fn replace_members(&mut self, now: Reading) {
        for place in (0..self.members.len()).rev() {
            let Some(why) = self.complaint(place, now) else { continue };
            let Some(member) = self.members.get(place) else { continue };
            let (group, peer) = (member.group, member.peer.clone());
            let rests_until = member.association.next_question() + REST;
            let is_new = now.mono.since(member.added_at) < LEAST_TIME;
            if self.has_candidate(group, now)
                // Where nobody answers, going round faster helps nobody.
                && (!is_new || self.groups.get_mut(group).is_some_and(Group::take_detour))
            {
                self.remove(place, why, now);
                if let (Removal::GaveUp(_), Some(group)) = (why, self.groups.get_mut(group)) {
                    group.rest(peer.clone(), now.mono + REST, now.mono);
                }
                // Its place must not go to itself.
                self.fill_group(group, Some(&peer), now);
            } else if let Removal::GaveUp(_) = why
                && now.mono >= rests_until
            {
                self.remove(place, why, now);
                self.fill_group(group, None, now);
            } else if let Some(group) = self.groups.get_mut(group) {
                group.look_up_again(now.mono);
            }
        }
    }

    /// Why a member should not be asked any more.
    fn complaint(&mut self, place: usize, now: Reading) -> Option<Removal> {
        let member = self.members.get_mut(place)?;
        if let Some(reason) = member.association.gave_up() {
            return Some(Removal::GaveUp(reason));
        }
        if member.association.unanswered_in_a_row() >= BAD_POLLS
            || member.ke_failures >= BAD_ESTABLISHMENTS
        {
            return Some(Removal::Unreachable);
        }
        let is_replaceable = self.groups.get(member.group).is_some_and(Group::may_know_others);
        let is_false = member.is_kept && is_replaceable && self.keeper.is_false(member.id, now);
        let since = is_false.then(|| *member.false_since.get_or_insert(now.mono));
        member.false_since = since;
        let patience = member.association.interval() * BAD_POLLS;
        if since.is_some_and(|since| now.mono.since(since) >= patience) {
            return Some(Removal::False);
        }
        let (group, added_at) = (member.group, member.added_at);
        let turn_at = self.groups.get(group).filter(|group| group.spec.kind.wanted() > 1)?.turn_at;
        let is_oldest = self
            .members
            .iter()
            .filter(|other| other.group == group)
            .all(|other| added_at <= other.added_at);
        (is_oldest && now.mono >= turn_at).then_some(Removal::Turn)
    }

    /// Whether the group knows a server that nobody asks.
    fn has_candidate(&self, group: usize, now: Reading) -> bool {
        let Self { groups, members, .. } = self;
        groups.get(group).is_some_and(|group| {
            group.candidates(now.mono).any(|peer| !members.iter().any(|member| member.is_at(peer)))
        })
    }

    /// Ends members whose name stands for other servers now; a pool's name names other servers every time.
    fn drop_vanished(&mut self, group: usize, now: Reading) {
        for place in (0..self.members.len()).rev() {
            let is_gone = self.members.get(place).is_some_and(|member| {
                member.group == group
                    && self.groups.get(group).is_some_and(|group| {
                        group.spec.kind.wanted() == 1 && !group.knows(&member.peer)
                    })
            });
            if is_gone {
                self.remove(place, Removal::AddressGone, now);
            }
        }
    }

    fn remove(&mut self, place: usize, why: Removal, now: Reading) {
        let member = self.members.remove(place);
        if member.is_kept {
            self.keeper.remove_source(member.id, now);
        }
        self.tell(SourceEvent::Removed { id: member.id, why });
        if why == Removal::Turn
            && let Some(group) = self.groups.get_mut(member.group)
        {
            group.turn_at = now.mono + TURN;
        }
    }

    /// Asks as many servers as are wanted and known.
    fn fill_group(&mut self, place: usize, not: Option<&Peer>, now: Reading) {
        loop {
            let Self { groups, members, .. } = self;
            let Some(group) = groups.get_mut(place) else { return };
            let count = members.iter().filter(|member| member.group == place).count();
            if count >= group.spec.kind.wanted() {
                return;
            }
            let is_free =
                |peer: &Peer| Some(peer) != not && !members.iter().any(|member| member.is_at(peer));
            let Some(peer) = group.next_candidate(now.mono, is_free) else {
                // A pool that is not full looks for more from time to time.
                group.look_up_again(now.mono);
                return;
            };
            self.add(place, peer, now);
        }
    }

    fn add(&mut self, group: usize, peer: Peer, now: Reading) {
        let Some(spec) = self.groups.get(group).map(|group| &group.spec) else { return };
        let id = SourceId(self.next_id);
        let mut settings = Settings::new(Plan::Polled(spec.polling()), self.local_precision);
        settings.interleaved = spec.interleaved;
        let random: Box<dyn Random + Send> = Box::new(self.random.clone());
        // Questions to different servers do not all leave at one instant.
        let start = now.mono + self.random.up_to(STAGGER);
        let (association, name, address) = match &peer {
            Peer::Address(address) => {
                let name = match &spec.kind {
                    crate::SourceKind::Server(name) | crate::SourceKind::Pool { name, .. } => {
                        name.host.clone()
                    }
                    _ => address.to_string(),
                };
                (Association::plain(settings, random, start), name, Some(*address))
            }
            Peer::KeyServer(endpoint) => {
                (Association::nts(settings, random, start), endpoint.host.clone(), None)
            }
        };
        self.next_id = self.next_id.saturating_add(1);
        self.members.push(Member {
            id,
            group,
            peer,
            association,
            address: None,
            is_kept: false,
            told_reachable: None,
            false_since: None,
            added_at: now.mono,
            ke_failures: 0,
            last: None,
            tally: Tally::default(),
        });
        self.tell(SourceEvent::Added { id, name, address });
        if let Some(address) = address {
            self.settle_on(id, address, now);
        }
    }

    /// A member's address is known: the keeper hears of it.
    fn settle_on(&mut self, id: SourceId, address: SocketAddr, now: Reading) {
        let Self { groups, members, keeper, .. } = self;
        let Some(member) = members.iter_mut().find(|member| member.id == id) else { return };
        member.address = Some(address);
        if !member.is_kept
            && let Some(group) = groups.get(member.group)
        {
            member.is_kept = true;
            let bursts = group.spec.initial_burst || group.spec.burst;
            let options = SourceOptions { bursts, ..group.spec.options.clone() };
            keeper.add_source(id, options, now);
        }
    }

    /// Our clock was stepped: what was stamped before is moved along.
    fn move_stamps(&mut self, by: Span) {
        for member in &mut self.members {
            member.association.handle_step(by);
        }
    }

    fn forget_questions(&mut self, now: Reading) {
        for member in &mut self.members {
            member.association.forget_question(now.mono);
        }
    }

    /// A few questions to everybody: what was known is worth nothing any more.
    fn burst_all(&mut self, now: Reading) {
        let Self { members, random, .. } = self;
        for member in members {
            let start = now.mono + random.up_to(STAGGER);
            member.association.burst(BURST_QUESTIONS, BURST_SPACING, start);
        }
    }

    fn tell(&mut self, event: SourceEvent) {
        // Whoever floods us must not fill our memory, should the caller be slow to drain.
        if self.actions.len() < MOST_WAITING {
            self.actions.push_back(Action::Told(event));
        }
    }

    fn member_mut(&mut self, id: SourceId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.id == id)
    }
}

/// One source of randomness for all associations.
#[derive(Clone)]
struct SharedRandom(Arc<Mutex<Box<dyn Random + Send>>>);

impl Random for SharedRandom {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
    }
}

impl SharedRandom {
    /// Evenly between nothing and `longest`.
    fn up_to(&mut self, longest: Duration) -> Duration {
        let mut octets = [0; 4];
        self.fill(&mut octets);
        longest.mul_f64(f64::from(u32::from_le_bytes(octets)) / f64::from(u32::MAX))
    }
}

/// Unanswered questions after which a server is replaced, if there is another.
const BAD_POLLS: u32 = 8;
/// Failures of key establishment in a row after which a server is replaced, if there is another.
const BAD_ESTABLISHMENTS: u32 = 4;
/// How long a server is tried at least, once every other has been tried.
const LEAST_TIME: Duration = Duration::from_secs(3600);
/// How long a server that does not want us, and has no replacement, is left alone.
const REST: Duration = Duration::from_secs(86_400);
/// Spread of the first questions of different sources.
const STAGGER: Duration = Duration::from_secs(1);
const BURST_QUESTIONS: u32 = 4;
const BURST_SPACING: Duration = Duration::from_secs(2);
/// How many actions may wait before further events are left out.
const MOST_WAITING: usize = 1024;
