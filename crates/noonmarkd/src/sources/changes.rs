//! What becomes of the sources and the clock as lines for the log: one for each change that lasts, none that a single packet causes.

use std::collections::BTreeMap;
use std::time::Duration;

use noonmark_clock::{ClockState, SourceId, SourceReport, SourceState};
use noonmark_units::Mono;

/// Something that is said when it has become otherwise and stays so.
#[derive(Debug)]
struct Lasting<T> {
    said: T,
    /// What it has become, when, and how many answers there were by then.
    other: Option<(T, Mono, u64)>,
}

impl<T: Copy + PartialEq> Lasting<T> {
    fn new(said: T) -> Self {
        Self { said, other: None }
    }

    /// It is `value` at `now`, after `answers`. Gives what it was if that has changed for good: some more answers leave it so, or
    /// `silence` without them.
    fn update(&mut self, value: T, now: Mono, answers: u64, silence: Duration) -> Option<T> {
        if value == self.said {
            self.other = None;
            return None;
        }
        match self.other {
            Some((other, since, before)) if other == value => {
                let is_sure =
                    answers >= before.saturating_add(ANSWERS) || now.since(since) >= silence;
                is_sure.then(|| {
                    self.other = None;
                    std::mem::replace(&mut self.said, value)
                })
            }
            _ => {
                self.other = Some((value, now, answers));
                None
            }
        }
    }
}

/// What was last said of the clock and of each source.
#[derive(Debug)]
pub struct Changes {
    clock: Lasting<ClockState>,
    majority: Lasting<bool>,
    falsetickers: BTreeMap<SourceId, Lasting<bool>>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            clock: Lasting::new(ClockState::Unsynchronised),
            majority: Lasting::new(true),
            falsetickers: BTreeMap::new(),
        }
    }
}

impl Changes {
    /// Looks at `now`, and logs what has changed. `answered` counts the answers of a source, which are asked every `interval`.
    pub fn look(
        &mut self,
        now: Mono,
        state: ClockState,
        interval: Duration,
        reports: &[SourceReport],
        answered: impl Fn(SourceId) -> u64,
    ) {
        let all = reports.iter().fold(0_u64, |sum, one| sum.saturating_add(answered(one.id)));
        // Longer than one packet has the last word.
        let silence = interval.saturating_mul(2);
        if let Some(before) = self.clock.update(state, now, all, silence) {
            match (before, state) {
                (ClockState::Holdover, ClockState::Synchronised) => {
                    tracing::info!("sources are followed again: the end of holdover");
                }
                (_, ClockState::Synchronised) => tracing::info!("sources are followed"),
                (_, ClockState::Holdover) => {
                    tracing::warn!("no source is followed any more: holdover, by what is known");
                }
                (_, ClockState::Unsynchronised) => {
                    tracing::warn!("nothing is known of the clock any more");
                }
            }
        }
        let is_majority =
            !reports.iter().any(|one| matches!(one.state, SourceState::NoMajority { .. }));
        match self.majority.update(is_majority, now, all, silence).map(|_| is_majority) {
            Some(false) => {
                tracing::warn!("the sources contradict each other, and no majority agrees");
            }
            Some(true) => {
                tracing::info!("a majority of the sources agrees, or none contradicts another");
            }
            None => {}
        }
        self.falsetickers.retain(|id, _| reports.iter().any(|one| one.id == *id));
        for SourceReport { id, state, .. } in reports {
            let is_false = *state == SourceState::Falseticker;
            let known = self.falsetickers.entry(*id).or_insert_with(|| Lasting::new(false));
            match known.update(is_false, now, answered(*id), Duration::MAX).map(|_| is_false) {
                Some(true) => {
                    tracing::warn!(source = id.0, "source contradicts the majority: a falseticker");
                }
                Some(false) => {
                    tracing::info!(source = id.0, %state, "source does not contradict the majority any more");
                }
                None => {}
            }
        }
    }
}

/// So many answers more leave it as it has become.
const ANSWERS: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_is_a_change() {
        let seconds = |seconds: u64| Mono(seconds * 1_000_000_000);
        let mut lasting = Lasting::new(false);
        let mut check = |value, at, answers, expected| {
            let found = lasting.update(value, seconds(at), answers, Duration::from_secs(128));
            assert_eq!(found, expected, "{value} at {at} s after {answers} answers");
        };
        check(true, 1, 1, None);
        check(true, 2, 2, None);
        check(false, 3, 3, None);
        check(true, 4, 4, None);
        check(true, 5, 5, None);
        check(true, 6, 6, Some(false));
        check(true, 7, 9, None);
        check(false, 8, 9, None);
        check(false, 135, 9, None);
        check(false, 136, 9, Some(true));
    }
}
