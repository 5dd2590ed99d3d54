use super::random::Seeded;
use super::scenario::PathModel;

/// One direction between the client and a server, with random numbers of its own.
///
/// There is no queue: the delay of a packet depends on when it is sent and on luck alone, and packets overtake each other.
#[derive(Clone, Debug)]
pub struct Path {
    model: PathModel,
    random: Seeded,
    sent: u64,
}

impl Path {
    /// A path that draws from `random`.
    #[must_use]
    pub fn new(model: PathModel, random: Seeded) -> Self {
        Self { model, random, sent: 0 }
    }

    /// True seconds until a packet sent at the true time `at_s` is delivered; `None` if it is lost.
    pub fn delay(&mut self, at_s: f64) -> Option<f64> {
        let model = &self.model;
        self.sent += 1;
        // Drawn for lost packets too, so that loss does not shift the delays of the others.
        let jitter = model.exp * self.random.exponential();
        let lost = model.loss.is_some_and(|loss| self.random.uniform() < loss);
        let closed = model
            .open_first
            .is_some_and(|(width, period)| at_s.rem_euclid(period) >= width - CLOSES_EARLY_S);
        let skipped = model.pass_every.is_some_and(|every| !self.sent.is_multiple_of(every));
        if lost || closed || skipped {
            return None;
        }
        let change = model.change.filter(|(from, _)| at_s > *from).map_or(0.0, |(_, by)| by);
        let delay = model.base + change + jitter;
        (delay > 0.0).then_some(delay)
    }
}

/// The window of `open_first` ends this much before its time.
const CLOSES_EARLY_S: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn path(model: PathModel) -> Path {
        Path::new(model, Seeded::new(3, 1))
    }

    #[test]
    fn delays_have_their_base_and_their_mean() {
        let mut path = path(PathModel { base: 0.01, exp: 0.002, ..PathModel::default() });
        let delays: Vec<f64> = (0..20_000).map(|at| path.delay(f64::from(at)).unwrap()).collect();
        assert!(delays.iter().all(|delay| *delay > 0.01));
        let mean = delays.iter().sum::<f64>() / delays.len() as f64;
        assert!((mean - 0.012).abs() < 0.0001, "{mean}");
    }

    #[test]
    fn a_change_takes_hold_after_its_time() {
        let mut path =
            path(PathModel { base: 0.01, change: Some((50.0, -0.004)), ..PathModel::default() });
        assert_eq!(path.delay(50.0), Some(0.01));
        assert_eq!(path.delay(50.001), Some(0.01 - 0.004));
    }

    #[test]
    fn packets_are_lost_as_often_as_said() {
        let mut path = path(PathModel { base: 1.0, loss: Some(0.33), ..PathModel::default() });
        let lost = (0..20_000).filter(|_| path.delay(0.0).is_none()).count();
        assert!((6_400..6_800).contains(&lost), "{lost}");
    }

    #[test]
    fn a_window_opens_at_the_start_of_each_period() {
        let mut path =
            path(PathModel { base: 1.0, open_first: Some((12.0, 100.0)), ..PathModel::default() });
        let mut check = |at, passes| assert_eq!(path.delay(at).is_some(), passes, "{at}");
        check(0.0, true);
        check(11.89, true);
        check(11.91, false);
        check(99.9, false);
        check(100.0, true);
    }

    #[test]
    fn one_of_every_so_many_passes() {
        let mut path = path(PathModel { base: 1.0, pass_every: Some(3), ..PathModel::default() });
        let passed: Vec<bool> = (0..6).map(|_| path.delay(0.0).is_some()).collect();
        assert_eq!(passed, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_delay_below_zero_loses_the_packet() {
        let model = PathModel { base: 0.01, change: Some((5.0, -0.02)), ..PathModel::default() };
        assert_eq!(path(model).delay(6.0), None);
    }
}
