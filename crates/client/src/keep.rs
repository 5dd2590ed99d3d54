//! What sources want of the one who keeps the clock.

use noonmark_clock::leap::{Handling, LeapSecond};
use noonmark_clock::{
    Adjusted, Keeper, NotAdjusted, Output, Reading, Sample, SourceId, SourceOptions, SourceReport,
    SourceState,
};
use noonmark_units::{Mono, Span};

/// The keeper of a clock as [`Sources`](crate::Sources) sees it: answers go in, corrections and paces come out.
///
/// [`noonmark_clock::Keeper`] is the real one; a test has others.
pub trait Keep {
    /// A source begins to be asked.
    fn add_source(&mut self, id: SourceId, options: SourceOptions, now: Reading);
    /// The operator says something else of a source.
    fn set_options(&mut self, id: SourceId, options: SourceOptions, now: Reading);
    /// A source is not asked any more.
    fn remove_source(&mut self, id: SourceId, now: Reading);
    /// An answer that may be used.
    fn handle_sample(&mut self, id: SourceId, sample: &Sample, now: Reading);
    /// A question brought no usable answer.
    fn handle_unanswered(&mut self, id: SourceId, now: Reading);
    /// An adjustment was made, or not.
    fn handle_adjusted(&mut self, outcome: &Result<Adjusted, NotAdjusted>, now: Reading);
    /// Somebody else stepped the clock by so much.
    fn handle_step(&mut self, by: Span, now: Reading);
    /// A leap second comes at the end of this day, or none does, and this is what becomes of the clock then.
    fn plan_leap(&mut self, _leap: Option<LeapSecond>, _handling: Handling, _now: Reading) {}
    /// The machine slept.
    fn handle_resume(&mut self, now: Reading);
    /// Time has passed.
    fn handle_timeout(&mut self, now: Reading);
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn deadline(&self) -> Mono;
    /// What to do next; drained after every `handle_*`.
    fn poll_output(&mut self) -> Option<Output>;
    /// Whether a source's time contradicts the majority's.
    fn is_false(&self, id: SourceId, now: Reading) -> bool;
}

impl Keep for Keeper {
    fn add_source(&mut self, id: SourceId, options: SourceOptions, now: Reading) {
        Keeper::add_source(self, id, options, now);
    }

    fn set_options(&mut self, id: SourceId, options: SourceOptions, now: Reading) {
        Keeper::set_options(self, id, options, now);
    }

    fn remove_source(&mut self, id: SourceId, now: Reading) {
        Keeper::remove_source(self, id, now);
    }

    fn handle_sample(&mut self, id: SourceId, sample: &Sample, now: Reading) {
        Keeper::handle_sample(self, id, sample, now);
    }

    fn handle_unanswered(&mut self, id: SourceId, now: Reading) {
        Keeper::handle_unanswered(self, id, now);
    }

    fn handle_adjusted(&mut self, outcome: &Result<Adjusted, NotAdjusted>, now: Reading) {
        Keeper::handle_adjusted(self, outcome, now);
    }

    fn handle_step(&mut self, by: Span, now: Reading) {
        Keeper::handle_step(self, by, now);
    }

    fn plan_leap(&mut self, leap: Option<LeapSecond>, handling: Handling, now: Reading) {
        Keeper::plan_leap(self, leap, handling, now);
    }

    fn handle_resume(&mut self, now: Reading) {
        Keeper::handle_resume(self, now);
    }

    fn handle_timeout(&mut self, now: Reading) {
        Keeper::handle_timeout(self, now);
    }

    fn deadline(&self) -> Mono {
        Keeper::deadline(self)
    }

    fn poll_output(&mut self) -> Option<Output> {
        Keeper::poll_output(self)
    }

    fn is_false(&self, id: SourceId, now: Reading) -> bool {
        let is_false = |report: &SourceReport| {
            report.id == id
                && matches!(report.state, SourceState::Falseticker | SourceState::AgainstHistory)
        };
        self.sources(now).iter().any(is_false)
    }
}
