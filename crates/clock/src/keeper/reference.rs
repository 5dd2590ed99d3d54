//! Which of the sources that are followed is named as the one we follow.

use super::Keeper;
use super::record::Record;
use crate::SourceId;
use crate::bounds::Bounds;
use crate::selection::SourceState;

impl Keeper {
    /// The followed source that is named as our reference: the one chosen, as long as it is followed.
    pub(super) fn reference(&self) -> Option<(SourceId, &Record)> {
        let id = self.present_reference().or_else(|| Some(self.best()?.id))?;
        Some((id, self.sources.get(&id)?))
    }

    /// Names another reference where the present one is not followed any more, or another is clearly better. Servers that follow us see
    /// stratum and reference id; how the clock is kept does not depend on it.
    pub(super) fn choose_reference(&mut self) {
        let best = self.best();
        let present = self.present_reference().and_then(|id| self.candidate(id));
        self.reference = match (present, best) {
            (Some(present), Some(best)) if !best.is_clearly_better_than(&present) => {
                Some(present.id)
            }
            (_, best) => best.map(|best| best.id),
        };
    }

    fn present_reference(&self) -> Option<SourceId> {
        let is_followed = |id: &SourceId| {
            self.sources.get(id).is_some_and(|source| source.state == SourceState::Followed)
        };
        self.reference.filter(is_followed)
    }

    /// Of the followed sources that are nearly as near as the nearest, the one with the lowest stratum.
    fn best(&self) -> Option<Candidate> {
        let followed = || {
            let all = self.sources.iter();
            let followed = all.filter(|(_, source)| source.state == SourceState::Followed);
            followed.filter_map(|(id, _)| self.candidate(*id))
        };
        let least_s = followed().map(|one| one.distance_s).min_by(f64::total_cmp)?;
        followed()
            .filter(|one| one.distance_s <= NEARLY_EQUAL * least_s)
            .min_by(|a, b| a.stratum.cmp(&b.stratum).then(a.distance_s.total_cmp(&b.distance_s)))
    }

    fn candidate(&self, id: SourceId) -> Option<Candidate> {
        let source = self.sources.get(&id)?;
        let half_s = source.bounds.map_or(f64::INFINITY, Bounds::half_s);
        let stratum = source.last.map_or(16, |last| last.stratum);
        Some(Candidate { id, stratum, distance_s: half_s + LEAST_OF_NOTE_S })
    }
}

/// A followed source, as far as it matters for being named.
struct Candidate {
    id: SourceId,
    stratum: u8,
    /// At its last answer: what grows since then is the oscillator's, and depends on who was asked last.
    distance_s: f64,
}

impl Candidate {
    /// Distances grow and shrink from one answer to the next, which must not make the reference change to and fro.
    fn is_clearly_better_than(&self, present: &Self) -> bool {
        let enough = if self.stratum < present.stratum { NEARLY_EQUAL } else { CLEARLY_LESS };
        self.distance_s < enough * present.distance_s
    }
}

/// Up to so many times another's distance, a distance is nearly equal to it.
const NEARLY_EQUAL: f64 = 1.1;
/// A distance below so much of the present reference's is clearly less.
const CLEARLY_LESS: f64 = 0.7;
/// Added to every distance, s, so that no small part of it matters.
const LEAST_OF_NOTE_S: f64 = 1e-3;
