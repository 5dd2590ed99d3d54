use core::ops::Add;
use core::time::Duration;

/// Instant of the local monotonic clock: nanoseconds since something that does not matter.
///
/// A plain number rather than `std::time::Instant`, so that a test can choose it and a trace can be replayed.
/// Saturates after 584 years.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mono(pub u64);

impl Mono {
    /// The end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Time passed since `earlier`; zero if that is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(
            u64::try_from(duration.as_nanos())
                .map_or(u64::MAX, |nanos| self.0.saturating_add(nanos)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_both_ends() {
        assert_eq!(Mono(5) + Duration::from_nanos(7), Mono(12));
        assert_eq!(Mono(5) + Duration::MAX, Mono::NEVER);
        assert_eq!(Mono(u64::MAX - 1) + Duration::from_nanos(7), Mono::NEVER);
        assert_eq!(Mono(12).since(Mono(5)), Duration::from_nanos(7));
        assert_eq!(Mono(5).since(Mono(12)), Duration::ZERO);
    }
}
