//! Which servers are asked: names, pools, replacements.

use core::time::Duration;
use std::net::SocketAddr;

use noonmark_clock::{Reading, SourceId};
use noonmark_nts::Random;

use super::{REST, STAGGER, Sources};
use crate::group::{Group, TURN};
use crate::keep::Keep;
use crate::member::{Member, Peer};
use crate::{Action, Association, Plan, Removal, Settings, SourceEvent, SourceKind, Tally};

impl<K: Keep> Sources<K> {
    pub(super) fn look_up(&mut self, now: Reading) {
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
    pub(super) fn look_up_waiting(&mut self, now: Reading) {
        for place in 0..self.groups.len() {
            let is_empty = !self.members.iter().any(|member| member.group == place);
            if let Some(group) = self.groups.get_mut(place).filter(|_| is_empty) {
                group.look_up_now(now.mono);
            }
        }
        self.look_up(now);
    }

    /// Removes members that are of no use, as far as there is a better use for their place.
    pub(super) fn replace_members(&mut self, now: Reading) {
        for place in (0..self.members.len()).rev() {
            let Some(why) = self.complaint(place, now) else { continue };
            let Some(member) = self.members.get(place) else { continue };
            let (group, peer) = (member.group, member.peer.clone());
            let rests_until = member.association.next_question() + REST;
            let is_new = now.mono.since(member.added_at) < LEAST_TIME;
            if self.has_candidate(group, |_| true, now)
                // Where nobody answers, going round faster helps nobody.
                && (!is_new || self.groups.get_mut(group).is_some_and(Group::take_detour))
            {
                self.remove(place, why, now);
                if let (Removal::GaveUp(_), Some(group)) = (why, self.groups.get_mut(group)) {
                    group.rest(peer.clone(), now.mono + REST, now.mono);
                }
                // Its place must not go to itself.
                self.fill_group(group, |other| *other != peer, now);
            } else if let Removal::GaveUp(_) = why
                && now.mono >= rests_until
            {
                self.remove(place, why, now);
                self.fill_group(group, |_| true, now);
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

    /// Whether the group knows a server that will do and that nobody asks.
    pub(super) fn has_candidate(
        &self,
        group: usize,
        will_do: impl Fn(&Peer) -> bool,
        now: Reading,
    ) -> bool {
        let Self { groups, members, .. } = self;
        let is_free =
            |peer: &&Peer| will_do(peer) && !members.iter().any(|member| member.is_at(peer));
        groups.get(group).is_some_and(|group| group.candidates(now.mono).any(|peer| is_free(&peer)))
    }

    /// Who asks one of the servers that the group knows, where others do in its stead.
    pub(super) fn asked_as(&self, group: usize) -> Option<SourceId> {
        let group = self.groups.get(group)?;
        self.members.iter().find(|member| group.knows_server_of(member)).map(|member| member.id)
    }

    /// Ends members whose name stands for other servers now; a pool's name names other servers every time.
    pub(super) fn drop_vanished(&mut self, group: usize, now: Reading) {
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

    pub(super) fn remove(&mut self, place: usize, why: Removal, now: Reading) {
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

    /// Asks as many servers as are wanted, known, and will do.
    pub(super) fn fill_group(
        &mut self,
        place: usize,
        will_do: impl Fn(&Peer) -> bool,
        now: Reading,
    ) {
        loop {
            let Self { groups, members, .. } = self;
            let Some(group) = groups.get_mut(place) else { return };
            let count = members.iter().filter(|member| member.group == place).count();
            if count >= group.spec.kind.wanted() {
                return;
            }
            let is_free =
                |peer: &Peer| will_do(peer) && !members.iter().any(|member| member.is_at(peer));
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
                    SourceKind::Server(name) | SourceKind::Pool { name, .. } => name.host.clone(),
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
            is_orphan: false,
            local_id: None,
            told_reachable: None,
            false_since: None,
            added_at: now.mono,
            ke_failures: 0,
            last: None,
            instead: None,
            dropped: None,
            tally: Tally::default(),
        });
        self.tell(SourceEvent::Added { id, name, address });
        if let Some(address) = address {
            self.settle_on(id, address, now);
        }
    }

    /// A member's address is known: the keeper hears of it.
    pub(super) fn settle_on(&mut self, id: SourceId, address: SocketAddr, now: Reading) {
        let Self { groups, members, keeper, .. } = self;
        let Some(member) = members.iter_mut().find(|member| member.id == id) else { return };
        member.address = Some(address);
        if !member.is_kept
            && let Some(group) = groups.get(member.group)
        {
            member.is_kept = true;
            keeper.add_source(id, group.spec.options_of_member(Some(address)), now);
        }
    }

    /// Ends a member of a pool with NTS whose keys lead to a server that another source with NTS asks already: another name of the pool
    /// has its place. The last member of its pool stays for want of another name; at one address, both are one voice.
    pub(super) fn end_double(&mut self, id: SourceId, now: Reading) {
        let Some(place) = self.members.iter().position(|member| member.id == id) else { return };
        let Some(member) = self.members.get(place) else { return };
        let (group, peer, address) = (member.group, member.peer.clone(), member.address);
        let is_of_pool = self
            .groups
            .get(group)
            .is_some_and(|group| matches!(group.spec.kind, SourceKind::NtsPool { .. }));
        let mut others = self.members.iter().filter(|other| other.id != id);
        let is_double = address.is_some()
            && others
                .clone()
                .any(|other| matches!(other.peer, Peer::KeyServer(_)) && other.address == address);
        if !is_of_pool || !is_double {
            return;
        }
        if others.any(|other| other.group == group) || self.has_candidate(group, |_| true, now) {
            self.remove(place, Removal::Double, now);
            if let Some(group) = self.groups.get_mut(group) {
                group.rest(peer, now.mono + DOUBLE_REST, now.mono);
            }
            self.fill_group(group, |_| true, now);
        }
    }
}

/// Unanswered questions after which a server is replaced, if there is another.
const BAD_POLLS: u32 = 8;
/// Failures of key establishment in a row after which a server is replaced, if there is another.
const BAD_ESTABLISHMENTS: u32 = 4;
/// After so long, key establishment may lead to another server than one that was asked already.
const DOUBLE_REST: Duration = Duration::from_secs(3600);
/// How long a server is tried at least, once every other has been tried.
const LEAST_TIME: Duration = Duration::from_secs(3600);
