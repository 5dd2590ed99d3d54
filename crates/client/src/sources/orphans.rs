//! Servers that have lost their sources, as we may: which of them is followed meanwhile.
//!
//! A server without sources serves its own clock at a stratum agreed on. Several of them that ask each other must not follow each other
//! round in circles, so one is chosen by a rule that all apply alike: the smallest reference id. Nobody says which servers are such; a
//! stratum no less than the one agreed on shows it.

use std::net::IpAddr;

use noonmark_clock::{Reading, SourceId};
use noonmark_packet::ReferenceId;

use super::Sources;
use crate::keep::Keep;
use crate::member::Member;
use crate::reference::reference_id_of;

impl<K: Keep> Sources<K> {
    /// Takes sources at `stratum` or more for servers without sources of their own, which serve their clocks at `stratum` as we do; `None`:
    /// as for any others. Such a one is followed only while no better source answers or may soon, only at `stratum` itself, only if its
    /// reference id is the smallest of them, and if it is smaller than ours.
    pub fn set_orphan_stratum(&mut self, stratum: Option<u8>, now: Reading) {
        self.orphan_stratum = stratum;
        self.admit(now);
        self.settle(now);
    }

    /// Questions to this source leave from `address`, which makes the reference id that it knows us by.
    pub fn handle_local_address(&mut self, id: SourceId, address: IpAddr) {
        if let Some(member) = self.member_mut(id) {
            member.local_id = Some(reference_id_of(address));
        }
    }

    /// Lets the keeper hear of those sources only that may be followed.
    pub(super) fn admit(&mut self, now: Reading) {
        let leader = self.leader();
        for place in 0..self.members.len() {
            let Some(member) = self.members.get_mut(place) else { continue };
            let (id, may_be_heard) = (member.id, !member.is_orphan || Some(member.id) == leader);
            match (may_be_heard, member.is_kept, member.address) {
                (false, true, _) => {
                    member.is_kept = false;
                    self.keeper.remove_source(id, now);
                }
                (true, false, Some(address)) => self.settle_on(id, address, now),
                _ => {}
            }
        }
    }

    /// Notes whether what a source said last shows that it has no source itself.
    pub(super) fn judge(&mut self, place: usize) {
        let Self { members, orphan_stratum, .. } = self;
        let Some(member) = members.get_mut(place) else { return };
        let stratum = member.last.map(|last| last.stratum);
        member.is_orphan = stratum.zip(*orphan_stratum).is_some_and(|(is, agreed)| is >= agreed);
    }

    /// The server without sources that is followed, if one is.
    fn leader(&self) -> Option<SourceId> {
        let agreed = self.orphan_stratum?;
        if self.members.iter().any(|member| !member.is_orphan && self.is_hopeful(member)) {
            return None;
        }
        let (first, id) = self
            .members
            .iter()
            .filter(|member| member.association.reach() != 0)
            .filter(|member| member.last.is_some_and(|last| last.stratum == agreed))
            .filter_map(|member| Some((member, reference_id_of(member.address?.ip()))))
            .min_by_key(|(_, id)| id.0)?;
        first.local_id.filter(|ours| id.0 < ours.0).map(|_| first.id)
    }

    /// Whether a source answers with time of its own, or can be expected to.
    fn is_hopeful(&self, member: &Member) -> bool {
        if member.last.is_some_and(|last| self.is_loop(last.stratum, last.reference_id)) {
            return false;
        }
        let association = &member.association;
        let is_new = association.unanswered_in_a_row() < HOPELESS
            && member.ke_failures == 0
            && association.gave_up().is_none();
        association.reach() != 0 || is_new
    }

    /// Whether a server that says this of itself gets its time from us.
    pub(super) fn is_loop(&self, stratum: u8, reference_id: ReferenceId) -> bool {
        stratum > 1 && self.own_ids.contains(&reference_id)
    }
}

/// Unanswered questions in a row after which no answer is expected soon.
const HOPELESS: u32 = 8;
