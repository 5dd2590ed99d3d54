use super::figures::root_mean_square;
use super::world::{Node, World};

/// What one run is judged by: the true offset and the true rate at every whole second, and what the node said meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Clock less true time, s, second by second.
    pub offsets: Vec<f64>,
    /// Total frequency error, slewing included, s/s, second by second.
    pub frequencies: Vec<f64>,
    /// Half the length of the interval the node says true time lies in, s, each time it was asked.
    pub half_widths: Vec<f64>,
    /// Seconds in which true time was outside that interval, of those in which it was asked for.
    pub outside: u64,
    /// Datagrams the node sent.
    pub packets: u64,
    /// How often the node stepped the clock.
    pub steps: u32,
}

impl Record {
    /// Runs a node in a world for `seconds`.
    pub fn of<N: Node>(world: &mut World, node: &mut N, seconds: u64) -> Self {
        Self::watched(world, node, seconds, STRIDE_S)
    }

    /// The same, and the node is asked for its interval every `stride` seconds, and in every second after it was wrong.
    pub fn watched<N: Node>(world: &mut World, node: &mut N, seconds: u64, stride: u64) -> Self {
        let mut record = Self::default();
        record.offsets.reserve(seconds as usize);
        record.frequencies.reserve(seconds as usize);
        let mut look_until = 0;
        world.run(node, seconds, |second, world, node| {
            record.offsets.push(world.offset());
            record.frequencies.push(world.clock().rate() - 1.0);
            if second >= look_until && !second.is_multiple_of(stride) {
                return;
            }
            if let Some((earliest, latest)) = node.interval(world.reading()) {
                let truth = world.true_time();
                let inside = !(truth - earliest).is_negative() && !(latest - truth).is_negative();
                if !inside {
                    record.outside += 1;
                    look_until = second + stride;
                }
                record.half_widths.push((latest - earliest).half().as_seconds_f64());
            }
        });
        record.packets = world.questions();
        record.steps = world.clock().steps();
        record
    }

    /// RMS of the offset over the last 80 %.
    #[must_use]
    pub fn rms(&self) -> f64 {
        root_mean_square(late(&self.offsets))
    }

    /// Largest offset, without sign, over the last 80 %.
    #[must_use]
    pub fn max(&self) -> f64 {
        largest(late(&self.offsets))
    }

    /// Mean offset over the last 80 %.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let late = late(&self.offsets);
        late.iter().sum::<f64>() / late.len().max(1) as f64
    }

    /// RMS of the frequency error over the last 80 %.
    #[must_use]
    pub fn freq_rms(&self) -> f64 {
        root_mean_square(late(&self.frequencies))
    }

    /// Largest offset, without sign, in the seconds `from..to`.
    #[must_use]
    pub fn max_between(&self, from: u64, to: u64) -> f64 {
        largest(between(&self.offsets, from, to))
    }

    /// RMS of the offset in the seconds `from..to`.
    #[must_use]
    pub fn rms_between(&self, from: u64, to: u64) -> f64 {
        root_mean_square(between(&self.offsets, from, to))
    }

    /// The same two of the frequency error.
    #[must_use]
    pub fn freq_between(&self, from: u64, to: u64) -> (f64, f64) {
        let part = between(&self.frequencies, from, to);
        (largest(part), root_mean_square(part))
    }

    /// The second from which on the offset is below `limit` until `until`, or to the end; `None` if it is not at the last.
    #[must_use]
    pub fn stays_below(&self, limit: f64, until: Option<u64>) -> Option<u64> {
        let part = between(&self.offsets, 0, until.unwrap_or(u64::MAX));
        let first =
            part.iter().rposition(|offset| offset.abs() >= limit).map_or(0, |last| last + 1);
        (first < part.len()).then_some(first as u64)
    }

    /// The first second of the first `length` seconds in a row with the offset below `limit`.
    #[must_use]
    pub fn holds_below(&self, limit: f64, length: usize) -> Option<u64> {
        let mut run = 0;
        for (second, offset) in self.offsets.iter().enumerate() {
            run = if offset.abs() < limit { run + 1 } else { 0 };
            if run == length {
                return Some((second + 1 - length) as u64);
            }
        }
        None
    }
}

/// How often the node is asked for its interval; this costs more than everything else.
const STRIDE_S: u64 = 8;

/// The last 80 % of a run.
fn late(values: &[f64]) -> &[f64] {
    values.get(values.len() / 5..).unwrap_or_default()
}

fn between(values: &[f64], from: u64, to: u64) -> &[f64] {
    let bound = |second: u64| usize::try_from(second).unwrap_or(usize::MAX).min(values.len());
    values.get(bound(from)..bound(to)).unwrap_or_default()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offsets: &[f64]) -> Record {
        Record { offsets: offsets.to_vec(), ..Record::default() }
    }

    #[test]
    fn staying_below_counts_from_the_last_excursion() {
        let record = record(&[5.0, 0.5, 2.0, 0.5, -0.5, 0.5, 3.0]);
        assert_eq!(record.stays_below(1.0, None), None);
        assert_eq!(record.stays_below(1.0, Some(6)), Some(3));
        assert_eq!(record.stays_below(10.0, None), Some(0));
        assert_eq!(record.stays_below(1.0, Some(1)), None);
    }

    #[test]
    fn holding_below_wants_an_unbroken_run() {
        let record = record(&[5.0, 0.5, 2.0, 0.5, -0.5, 0.5, 3.0]);
        assert_eq!(record.holds_below(1.0, 3), Some(3));
        assert_eq!(record.holds_below(1.0, 4), None);
    }

    #[test]
    fn the_first_fifth_does_not_count() {
        let record = record(&[100.0, 3.0, -4.0, 3.0, 4.0]);
        assert!((record.rms() - 12.5f64.sqrt()).abs() < 1e-12);
        assert!((record.max() - 4.0).abs() < 1e-12);
        assert!((record.mean() - 1.5).abs() < 1e-12);
    }
}
