//! Other sources than before, while those that stay go on as they are.

use noonmark_clock::{Keeper, Reading, Settings};

use super::Sources;
use crate::group::Group;
use crate::keep::Keep;
use crate::member::Peer;
use crate::{Endpoint, Removal, SourceSpec};

impl<K: Keep> Sources<K> {
    /// Asks the sources of `specs` from now on, in place of those before.
    ///
    /// One that was there before, by its kind, name, port and address family, goes on with everything known of it: servers, keys, reach,
    /// measurements. What else is said of it is taken over. Only members with a key server in `distrusted`, who is no longer believed for
    /// the same reason as before, begin anew.
    pub fn reconfigure(&mut self, specs: Vec<SourceSpec>, distrusted: &[Endpoint], now: Reading) {
        let mut before: Vec<Option<Group>> = self.groups.drain(..).map(Some).collect();
        let mut moved_to = vec![None; before.len()];
        for (place, spec) in specs.into_iter().enumerate() {
            let same = |group: &Option<Group>| {
                group.as_ref().is_some_and(|group| group.spec.is_of_same_source(&spec))
            };
            let found = before.iter().position(same);
            let known = found.and_then(|old| before.get_mut(old)?.take());
            if let Some(moved) = found.and_then(|old| moved_to.get_mut(old)) {
                *moved = Some(place);
            }
            self.groups.push(match known {
                Some(group) => group.respecified(spec),
                None => Group::new(spec, now.mono),
            });
        }
        for place in (0..self.members.len()).rev() {
            let Some(member) = self.members.get_mut(place) else { continue };
            let group = moved_to.get(member.group).copied().flatten();
            let goes_on = group.and_then(|at| self.groups.get(at)).is_some_and(|group| {
                !matches!(&member.peer, Peer::KeyServer(endpoint)
                    if distrusted.contains(endpoint) || !group.knows(&member.peer))
            });
            match group.filter(|_| goes_on) {
                Some(group) => member.group = group,
                None => self.remove(place, Removal::Reconfigured, now),
            }
        }
        for place in 0..self.groups.len() {
            self.dismiss_surplus(place, now);
        }
        self.take_options(now);
        self.look_up(now);
        self.finish(now);
    }

    /// Ends the newest members of a group that has more than are wanted.
    fn dismiss_surplus(&mut self, group: usize, now: Reading) {
        let wanted = self.groups.get(group).map_or(0, |group| group.spec.kind.wanted());
        let mut places: Vec<usize> = (0..self.members.len())
            .filter(|&at| self.members.get(at).is_some_and(|member| member.group == group))
            .collect();
        while places.len() > wanted {
            let Some(newest) = places.pop() else { return };
            self.remove(newest, Removal::Reconfigured, now);
        }
    }

    /// Members and keeper hear what is said of their sources now.
    fn take_options(&mut self, now: Reading) {
        let Self { groups, members, keeper, .. } = self;
        for member in members {
            let Some(spec) = groups.get(member.group).map(|group| &group.spec) else { continue };
            member.association.set_polling(spec.polling(), spec.interleaved, now.mono);
            if member.is_kept {
                keeper.set_options(member.id, spec.options_of_member(member.address), now);
            }
        }
    }
}

impl Sources<Keeper> {
    /// Keeps the clock by other rules from now on.
    pub fn set_rules(&mut self, rules: Settings, now: Reading) {
        self.keeper.set_settings(rules, now);
        self.finish(now);
    }
}
