//! All sources and the keeper of the clock, as one machine.

mod membership;
mod orphans;
mod reconfiguration;

use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use noonmark_clock::leap::{Handling, LeapSecond};
use noonmark_clock::{
    Adjusted, Adjustment, Keeper, NotAdjusted, Output as KeeperOutput, Reading, SourceId,
};
use noonmark_nts::{Agreement, Random};
use noonmark_packet::ReferenceId;
use noonmark_units::{Mono, Precision, Span, Timestamp};

use zeroize::Zeroizing;

use crate::group::Group;
use crate::keep::Keep;
use crate::kept::{self, Kept};
use crate::member::{Member, Peer, sample};
use crate::ways::Target;
use crate::{
    Action, Endpoint, Family, Instead, KeFailure, Output, Refusal, Removal, SourceEvent,
    SourceSpec, SourceStatus,
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
    /// From which stratum on a server is taken for one without sources.
    orphan_stratum: Option<u8>,
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
            orphan_stratum: None,
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

    /// The datagram of the last [`Action::Transmit`] of this source could not be sent: there is no way to its address. `has_way` says
    /// whether there is one to another address.
    ///
    /// Another server of the same name to which there is one, perhaps of the other address family, is asked at once. Without such a
    /// server the question counts as unanswered, and nothing was spent on it.
    pub fn handle_no_route(
        &mut self,
        id: SourceId,
        has_way: impl Fn(SocketAddr) -> bool,
        now: Reading,
    ) {
        let Some(place) = self.members.iter().position(|member| member.id == id) else { return };
        let Some(member) = self.members.get(place) else { return };
        let (group, peer, server) = (member.group, member.peer.clone(), member.address);
        let is_open = |other: &Peer| {
            *other != peer && matches!(other, Peer::Address(address) if has_way(*address))
        };
        if self.has_candidate(group, is_open, now) {
            self.remove(place, Removal::NoRoute, now);
            self.fill_group(group, is_open, now);
        } else {
            let is_other = |target: &Target| {
                server.is_some_and(|server| server.is_ipv4() != target.address.is_ipv4())
                    && has_way(SocketAddr::new(target.address, NTP_PORT))
            };
            let is_elsewhere = Target::ANYWHERE.iter().any(is_other);
            if let Some(member) = self.members.get_mut(place) {
                member.association.handle_not_sent(now.mono);
                // Key establishment finds its own way, and names an address that goes with it.
                if is_elsewhere {
                    member.association.renew_keys(now.mono);
                }
            }
            if let Some(group) = self.groups.get_mut(group) {
                group.look_up_again(now.mono);
            }
        }
        self.finish(now);
    }

    /// The resolver answered an [`Action::Resolve`]; no address means that it knows none of this family now.
    pub fn handle_resolved(
        &mut self,
        endpoint: &Endpoint,
        family: Family,
        found: &[SocketAddr],
        now: Reading,
    ) {
        for place in 0..self.groups.len() {
            let group = self.groups.get_mut(place);
            let Some(group) = group.filter(|group| group.awaits(endpoint, family)) else {
                continue;
            };
            group.resolved(found, now.mono);
            if found.is_empty() {
                self.tell(SourceEvent::Unresolved { name: endpoint.host.clone() });
            } else {
                self.tell(SourceEvent::Resolved { name: endpoint.host.clone() });
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
            member.is_orphan = false;
            if core::mem::take(&mut member.is_kept) {
                self.keeper.remove_source(before, now);
            }
            self.tell(SourceEvent::Removed { id: before, why: Removal::Moved });
        }
        self.tell(SourceEvent::Established { id, server });
        self.settle_on(id, server, now);
        self.end_double(id, now);
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

    /// Says what leap second comes at the end of this UTC day, if one does, and what becomes of our clock then.
    pub fn plan_leap(&mut self, leap: Option<LeapSecond>, handling: Handling, now: Reading) {
        self.keeper.plan_leap(leap, handling, now);
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

    /// An interface, an address or a route of this machine came, went or changed; `has_changed` says whether another way leads to a
    /// server than before, or, for one whose address is not known, whether any way of note is another.
    ///
    /// What was learned over another way is worth little, so these servers are asked anew. Names that do not resolve, and addresses on a
    /// link by the name of an interface, are looked up.
    pub fn handle_route_change(
        &mut self,
        has_changed: impl Fn(Option<SocketAddr>) -> bool,
        now: Reading,
    ) {
        for place in 0..self.members.len() {
            let Some(member) = self.members.get_mut(place) else { continue };
            if has_changed(member.address) {
                member.association.forget_question(now.mono);
                self.burst(place, now);
            }
        }
        if has_changed(None) {
            for group in &mut self.groups {
                group.allow_detours();
            }
        }
        for group in &mut self.groups {
            group.look_up_zone(now.mono);
        }
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
            self.end_double(id, now);
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
                all.push(group.status(place, self.asked_as(place)));
            }
        }
        all
    }

    /// Where questions go, all sources together.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.members.iter().filter_map(|member| member.address)
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
            self.fill_group(group, |_| true, now);
        }
        self.settle(now);
        // Last, since a name is also looked up because a member is of no use.
        self.look_up(now);
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
                member.dropped = None;
                if let Some(to) = member.address {
                    self.actions.push_back(Action::Transmit { id, to, datagram });
                }
            }
            Output::Measured(exchange) => {
                member.tally.measured += 1;
                member.last = Some(exchange);
                (member.instead, member.dropped) = (None, None);
                let is_loop = self.is_loop(exchange.stratum, exchange.reference_id);
                self.note_reach(place);
                self.judge(place);
                self.admit(now);
                let is_kept = self.members.get(place).is_some_and(|member| member.is_kept);
                if is_loop {
                    self.tell(SourceEvent::Loop(id));
                    if is_kept {
                        self.keeper.handle_unanswered(id, now);
                    }
                } else if is_kept {
                    self.keeper.handle_sample(id, &sample(&exchange), now);
                }
            }
            Output::Unanswered => {
                member.tally.unanswered += 1;
                if let Some(refusal) = member.dropped.take() {
                    member.instead = Some(Instead::Dropped(refusal));
                }
                if member.is_kept {
                    self.keeper.handle_unanswered(id, now);
                }
                self.note_reach(place);
                self.admit(now);
            }
            Output::Refused(refusal) => {
                *member.tally.refused.entry(refusal.name()).or_default() += 1;
                // A proven answer without time closes its question; any other leaves it open.
                let is_proven = matches!(&refusal, Refusal::Unusable { exchange, .. } if exchange.authenticated);
                match refusal {
                    // These came for no question, or for one that is closed.
                    Refusal::Unsolicited | Refusal::Late => {}
                    _ if is_proven => member.instead = Some(Instead::Dropped(refusal)),
                    _ => member.dropped = Some(refusal),
                }
                if is_proven && member.is_kept {
                    self.keeper.handle_unanswered(id, now);
                    self.note_reach(place);
                }
                self.tell(SourceEvent::Refused { id, refusal });
            }
            Output::Kiss { code, authenticated } => {
                member.tally.kisses += 1;
                // A right answer to the same question, and only that, shows that it does not hold.
                (member.instead, member.dropped) =
                    (Some(Instead::Kiss { code, authenticated }), None);
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
        let missed = member.association.unanswered_in_a_row() + member.association.unsent();
        let is_silent = !is_reachable && missed >= 8;
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
        for place in 0..self.members.len() {
            self.burst(place, now);
        }
    }

    fn burst(&mut self, place: usize, now: Reading) {
        let start = now.mono + self.random.up_to(STAGGER);
        if let Some(member) = self.members.get_mut(place) {
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

/// How long a server that does not want us, and has no replacement, is left alone.
const REST: Duration = Duration::from_secs(86_400);
/// Spread of the first questions of different sources.
const STAGGER: Duration = Duration::from_secs(1);
/// The registered port of NTP.
const NTP_PORT: u16 = 123;
const BURST_QUESTIONS: u32 = 4;
const BURST_SPACING: Duration = Duration::from_secs(2);
/// How many actions may wait before further events are left out.
const MOST_WAITING: usize = 1024;
