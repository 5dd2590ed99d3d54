//! One line of the configuration: the servers it stands for, and which of them are asked.

use core::time::Duration;
use std::net::SocketAddr;

use noonmark_clock::SourceId;
use noonmark_units::Mono;

use crate::member::{Member, Peer};
use crate::{Endpoint, Family, SourceKind, SourceSpec, SourceStatus, Tally};

/// A [`SourceSpec`] and the servers known for it.
pub(crate) struct Group {
    pub(crate) spec: SourceSpec,
    /// The servers known, the next to be tried first. At most [`MOST_CANDIDATES`].
    candidates: Vec<Peer>,
    lookup: Lookup,
    /// When the oldest member of a pool has had its turn.
    pub(crate) turn_at: Mono,
    detours_left: usize,
    /// Servers that do not want us, and until when they are left alone.
    resting: Vec<(Peer, Mono)>,
}

/// The state of a name's resolution.
#[derive(Clone, Copy, Debug)]
enum Lookup {
    /// There is no name to resolve.
    Needless,
    /// To be asked for at `at`; not before `not_before` where more servers are wanted, and not before `soonest` whatever happens.
    /// `failures` so far in a row.
    Due { at: Mono, not_before: Mono, soonest: Mono, failures: u32 },
    /// Asked for.
    Running { failures: u32 },
}

impl Group {
    pub(crate) fn new(spec: SourceSpec, now: Mono) -> Self {
        let known = |endpoint: &Endpoint| endpoint.address().map(Peer::Address);
        let (candidates, lookup) = match &spec.kind {
            SourceKind::Server(endpoint) | SourceKind::Pool { name: endpoint, .. } => {
                match known(endpoint) {
                    Some(peer) => (vec![peer], Lookup::Needless),
                    None => {
                        let due =
                            Lookup::Due { at: now, not_before: now, soonest: now, failures: 0 };
                        (Vec::new(), due)
                    }
                }
            }
            SourceKind::Nts(host) => (vec![Peer::KeyServer(host.clone())], Lookup::Needless),
            SourceKind::NtsPool { hosts, .. } => {
                (hosts.iter().cloned().map(Peer::KeyServer).collect(), Lookup::Needless)
            }
        };
        let detours_left = candidates.len();
        Self { spec, candidates, lookup, turn_at: now + TURN, detours_left, resting: Vec::new() }
    }

    /// The same source with everything known of its servers, asked as `spec` says.
    pub(crate) fn respecified(mut self, spec: SourceSpec) -> Self {
        if let SourceKind::NtsPool { hosts, .. } = &spec.kind {
            let named = |peer: &Peer| matches!(peer, Peer::KeyServer(host) if hosts.contains(host));
            self.candidates.retain(named);
            let new = hosts.iter().cloned().map(Peer::KeyServer);
            let new: Vec<Peer> = new.filter(|peer| !self.candidates.contains(peer)).collect();
            self.detours_left += new.len();
            self.candidates.extend(new);
        }
        Self { spec, ..self }
    }

    /// The name that wants to be resolved now; notes that it is.
    pub(crate) fn begin_lookup(&mut self, now: Mono) -> Option<(Endpoint, Family)> {
        let Lookup::Due { at, failures, .. } = self.lookup else { return None };
        if now < at {
            return None;
        }
        self.lookup = Lookup::Running { failures };
        self.name().cloned().map(|name| (name, self.spec.family))
    }

    /// Whether this is what the group waits to have resolved.
    pub(crate) fn awaits(&self, endpoint: &Endpoint, family: Family) -> bool {
        matches!(self.lookup, Lookup::Running { .. })
            && self.name() == Some(endpoint)
            && self.spec.family == family
    }

    /// The resolver has spoken; nothing found counts as a failure.
    pub(crate) fn resolved(&mut self, found: &[SocketAddr], now: Mono) {
        let Lookup::Running { failures } = self.lookup else { return };
        if found.is_empty() {
            let wait = (FIRST_RETRY * (1 << failures.min(16))).min(LONGEST_RETRY);
            let (at, soonest) = (now + wait, now + wait.min(HASTENED_RETRY));
            let failures = failures.saturating_add(1);
            self.lookup = Lookup::Due { at, not_before: at, soonest, failures };
            return;
        }
        // To look up the number of an interface costs nobody anything.
        let again = if self.has_zone() { FIRST_RETRY } else { AGAIN };
        self.lookup = Lookup::Due {
            at: now + REFRESH,
            not_before: now + again,
            soonest: now + FIRST_RETRY,
            failures: 0,
        };
        self.detours_left = found.len().min(MOST_CANDIDATES);
        self.candidates.clear();
        for address in found {
            let peer = Peer::Address(*address);
            if self.candidates.len() < MOST_CANDIDATES && !self.candidates.contains(&peer) {
                self.candidates.push(peer);
            }
        }
    }

    /// Wants the name resolved anew, as soon as some time has passed since the last time.
    pub(crate) fn look_up_again(&mut self, now: Mono) {
        if let Lookup::Due { at, not_before, .. } = &mut self.lookup {
            *at = (*at).min((*not_before).max(now));
        }
    }

    /// Wants the name resolved soon: what kept it from being resolved may be over.
    pub(crate) fn look_up_now(&mut self, now: Mono) {
        if let Lookup::Due { at, soonest, .. } = &mut self.lookup {
            *at = (*at).min((*soonest).max(now));
        }
    }

    /// Interfaces may have come, gone or changed their numbers: if the name has one in it, it is resolved soon.
    pub(crate) fn look_up_zone(&mut self, now: Mono) {
        if self.has_zone() {
            self.look_up_now(now);
        }
    }

    fn has_zone(&self) -> bool {
        self.name().is_some_and(Endpoint::has_zone)
    }

    /// Whether another server may be tried soon in place of one that does not answer. As often as there are servers, until the
    /// name is resolved again or the ways change; without any network we would try them in circles.
    pub(crate) fn take_detour(&mut self) -> bool {
        let is_left = self.detours_left > 0;
        self.detours_left = self.detours_left.saturating_sub(1);
        is_left
    }

    /// The ways to the servers may have changed.
    pub(crate) fn allow_detours(&mut self) {
        self.detours_left = self.candidates.len();
    }

    /// Whether there are, or may once be, more servers than are asked.
    pub(crate) fn may_know_others(&self) -> bool {
        !matches!(self.lookup, Lookup::Needless) || self.candidates.len() > self.spec.kind.wanted()
    }

    /// The servers known that may be asked.
    pub(crate) fn candidates(&self, now: Mono) -> impl Iterator<Item = &Peer> {
        self.candidates.iter().filter(move |peer| !self.is_resting(peer, now))
    }

    /// Leaves a server alone until then.
    pub(crate) fn rest(&mut self, peer: Peer, until: Mono, now: Mono) {
        self.resting.retain(|(_, until)| *until > now);
        if self.resting.len() < MOST_CANDIDATES {
            self.resting.push((peer, until));
        }
    }

    fn is_resting(&self, peer: &Peer, now: Mono) -> bool {
        self.resting.iter().any(|(resting, until)| resting == peer && *until > now)
    }

    /// Whether `peer` is among the servers its name stands for now.
    pub(crate) fn knows(&self, peer: &Peer) -> bool {
        self.candidates.contains(peer)
    }

    /// Whether what `member` asks is among the servers its name stands for now.
    pub(crate) fn knows_server_of(&self, member: &Member) -> bool {
        self.candidates.iter().any(|peer| member.is_at(peer))
    }

    /// The first candidate for which `is_free` holds; it goes to the end of the line.
    pub(crate) fn next_candidate(
        &mut self,
        now: Mono,
        is_free: impl Fn(&Peer) -> bool,
    ) -> Option<Peer> {
        let may_be_asked = |peer: &Peer| !self.is_resting(peer, now) && is_free(peer);
        let place = self.candidates.iter().position(may_be_asked)?;
        let peer = self.candidates.remove(place);
        self.candidates.push(peer.clone());
        Some(peer)
    }

    /// Where a name without any server stands; `asked_as` is who asks one of those that it stands for.
    pub(crate) fn status(&self, place: usize, asked_as: Option<SourceId>) -> SourceStatus {
        SourceStatus {
            id: None,
            place,
            name: self.spec.kind.name().to_owned(),
            address: None,
            asked_as,
            nts: None,
            interleaved: false,
            reach: 0,
            interval: self.spec.polling().shortest(),
            next_question: None,
            last: None,
            instead: None,
            gave_up: None,
            is_orphan: false,
            tally: Tally::default(),
        }
    }

    /// When [`begin_lookup`](Self::begin_lookup) has something to do.
    pub(crate) fn deadline(&self) -> Mono {
        match self.lookup {
            Lookup::Due { at, .. } => at,
            Lookup::Running { .. } | Lookup::Needless => Mono::NEVER,
        }
    }

    fn name(&self) -> Option<&Endpoint> {
        match &self.spec.kind {
            SourceKind::Server(name) | SourceKind::Pool { name, .. } => Some(name),
            SourceKind::Nts(_) | SourceKind::NtsPool { .. } => None,
        }
    }
}

/// After the first failure of a name, for instance because the network is not there yet; then twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// Where there is a reason to hope, the next attempt comes so long after the last at the latest.
const HASTENED_RETRY: Duration = Duration::from_secs(16);
const LONGEST_RETRY: Duration = Duration::from_secs(1024);
/// A name that resolved is resolved again after so long: two weeks, as chrony does.
const REFRESH: Duration = Duration::from_secs(1_209_600);
/// No sooner than this after the last success, if servers are to be replaced.
const AGAIN: Duration = Duration::from_secs(1024);
/// How long a pool keeps the same members before one is replaced.
pub(crate) const TURN: Duration = Duration::from_secs(1_209_600);
/// A name may have hundreds of addresses; more than these are not kept.
const MOST_CANDIDATES: usize = 64;
