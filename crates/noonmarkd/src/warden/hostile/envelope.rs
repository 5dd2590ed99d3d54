//! Whether the clock stayed within what is allowed, by what it did.

use noonmark_clock::KernelStatus;
use noonmark_clock::guard::Facts;
use noonmark_packet::Leap;
use noonmark_units::UnixTime;

use super::simulated::{DAY, Deed, Moment, SECOND};
use super::{Doer, SLACK, Siege, TINY};

impl Siege {
    /// What was done to the clock since the last time, by whom it may have been.
    pub(super) fn judge(&mut self, doer: Doer) -> Result<(), String> {
        let deeds = std::mem::take(&mut self.body.borrow_mut().deeds);
        for deed in deeds {
            match deed {
                Deed::Step { by, from } => self.judge_step(by, from, doer)?,
                Deed::Rate(rate) => self.judge_rate(rate.as_ratio().abs(), doer)?,
                Deed::Status(status) => self.judge_status(&status, doer)?,
                Deed::Leap { day_end } => self.judge_leap(day_end)?,
            }
        }
        Ok(())
    }

    fn judge_step(&mut self, by: i128, from: i128, doer: Doer) -> Result<(), String> {
        let to = from + by;
        match doer {
            Doer::Start => {
                let floor = self.latest_synchronised;
                self.require(by > 0 && to <= floor + SLACK, || {
                    format!("start: the clock was set to {to} and no time after {floor} is over")
                })
            }
            Doer::Leap(facts) => {
                self.enough(facts)?;
                let day_end = ((from + 2 * SECOND).div_euclid(DAY) * 86_400) as i64;
                self.require(by.abs() == SECOND, || format!("leap: a step by {by} ns"))?;
                self.judge_leap(day_end)
            }
            Doer::Wish(facts) => {
                self.enough(facts)?;
                self.steps += 1;
                if let Some(first) = self.allowed.first_updates {
                    self.require(self.steps <= first, || {
                        format!("steps: this is number {} and {first} are allowed", self.steps)
                    })?;
                }
                self.require(to + SLACK >= self.known_over, || {
                    format!("floor: set to {to} and {} is over", self.known_over)
                })?;
                let within = |limit: Option<u32>| {
                    limit.is_some_and(|limit| by.abs() <= i128::from(limit) * SECOND + SLACK)
                };
                let is_first = !self.has_stepped_since_boot && within(self.allowed.boot_step);
                if !is_first {
                    self.require(
                        self.allowed.largest_step.is_none() || within(self.allowed.largest_step),
                        || format!("largest: a step by {by} ns"),
                    )?;
                    self.body.borrow_mut().count(by);
                }
                self.has_stepped_since_boot = true;
                // Without a budget the clock is kept even where nothing can be stored, and then the next warden does not know of this.
                self.is_step_unnoted |= self.body.borrow().has_failed;
                Ok(())
            }
            Doer::Status(_) | Doer::Nobody => Err(format!("steps: by {by} ns, and nobody asked")),
        }
    }

    fn judge_rate(&mut self, rate: f64, doer: Doer) -> Result<(), String> {
        let fastest = self.allowed.fastest();
        self.require(rate <= fastest + TINY, || {
            format!("slew: {rate} where {fastest} is allowed")
        })?;
        if rate <= self.allowed.drift() + TINY {
            return Ok(());
        }
        match doer {
            Doer::Wish(facts) => self.enough(facts),
            _ => Err(format!("slew: {rate}, and nobody asked")),
        }
    }

    fn judge_status(&mut self, status: &KernelStatus, doer: Doer) -> Result<(), String> {
        let is_armed = matches!(status.leap, Leap::InsertSecond | Leap::DeleteSecond);
        if let Doer::Status(facts) = doer
            && (status.synchronised || is_armed)
        {
            self.enough(facts)?;
        }
        let shown = self.body.borrow().shown;
        if status.synchronised {
            self.synchronised = Some(shown);
        }
        Ok(())
    }

    /// A second that counts nowhere: at the end of June or December, and once.
    fn judge_leap(&mut self, day_end: i64) -> Result<(), String> {
        let tomorrow = UnixTime::new(day_end, 0).to_string();
        let can_be = ["-07-01T00:00:00", "-01-01T00:00:00"].iter().any(|at| tomorrow.contains(at));
        self.require(can_be, || format!("leap: a second before {tomorrow}"))?;
        let is_new = self.leaps.insert(day_end);
        self.require(is_new, || format!("leap: another one before {tomorrow}"))
    }

    fn enough(&self, facts: Facts) -> Result<(), String> {
        let least = self.allowed.min_sources;
        self.require(facts.agreeing >= least, || {
            format!("sources: {} moved the clock and it takes {least}", facts.agreeing)
        })
    }

    /// Within any hour, and any day, by the machine's own clock and by true time.
    pub(super) fn check_budgets(&self) -> Result<(), String> {
        let body = self.body.borrow();
        for (word, limit, hours) in
            [("hour", self.allowed.per_hour, 1), ("day", self.allowed.per_day, 24)]
        {
            let Some(limit) = limit.map(|limit| i128::from(limit) * SECOND) else { continue };
            let length = hours * 3600 * SECOND;
            // How much longer such a stretch of the clock that was moved so far may be for everybody else.
            let apart =
                2 * limit + (length as f64 * (self.allowed.drift() + body.error.abs())) as i128;
            let by_clock = most_within(&body.trace, length, |moment| moment.ran);
            let in_truth = most_within(&body.trace, length - apart, |moment| moment.truly);
            for (most, whose) in [(by_clock, "its own"), (in_truth, "true time")] {
                self.require(most <= limit + SECOND / 1000, || {
                    format!("{word}: {most} ns by {whose} and {limit} ns are allowed")
                })?;
            }
        }
        Ok(())
    }
}

/// The most that the clock was moved within any stretch of this length: it begins or ends where something changed.
fn most_within(trace: &[Moment], length: i128, axis: fn(&Moment) -> i128) -> i128 {
    if length <= 0 {
        return 0;
    }
    // Steps are two moments of one instant: a stretch holds those at both of its ends.
    let before = |at: i128| moved_at(trace, trace.partition_point(|m| axis(m) < at), at, axis);
    let after = |at: i128| moved_at(trace, trace.partition_point(|m| axis(m) <= at), at, axis);
    let begins = trace.iter().map(|moment| after(axis(moment) + length) - before(axis(moment)));
    let ends = trace.iter().map(|moment| after(axis(moment)) - before(axis(moment) - length));
    begins.chain(ends).max().unwrap_or(0)
}

fn moved_at(trace: &[Moment], place: usize, at: i128, axis: fn(&Moment) -> i128) -> i128 {
    match (place.checked_sub(1).and_then(|place| trace.get(place)), trace.get(place)) {
        (None, _) => 0,
        (Some(last), None) => last.moved,
        (Some(a), Some(b)) if axis(b) > axis(a) => {
            a.moved + (b.moved - a.moved) * (at - axis(a)) / (axis(b) - axis(a))
        }
        (Some(last), Some(_)) => last.moved,
    }
}
