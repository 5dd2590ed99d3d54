//! One question and its answer, as four stamps and what the server says of itself.

use core::fmt;

use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{PollExponent, Precision, Short, Span, Timestamp};

/// One answered request: the four stamps of RFC 5905 §8 and the server's description of its own clock.
///
/// It exists only after the origin matched and, where the association is protected, after the tag was verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exchange {
    /// T1: when our request left, by our clock (never the random stamp that went over the wire).
    pub origin: Timestamp,
    /// T2: when the request reached the server, by its clock.
    pub receive: Timestamp,
    /// T3: when the answer left the server, by its clock.
    pub transmit: Timestamp,
    /// T4: when the answer reached us, by our clock.
    pub destination: Timestamp,
    /// What the server says about the next leap second, or that it is not synchronised.
    pub leap: Leap,
    /// The server's stratum as it came: 1 for a primary server, at most 15 in a usable answer.
    pub stratum: u8,
    /// The poll exponent the server put in the answer, log2 s. Shown, not obeyed.
    pub poll: PollExponent,
    /// The precision of the server's clock, log2 s.
    pub precision: Precision,
    /// Round trip from the server to its primary source.
    pub root_delay: Short,
    /// The server's own bound on its error, without the root delay.
    pub root_dispersion: Short,
    /// Which source the server follows.
    pub reference_id: ReferenceId,
    /// When the server's clock was last set or corrected.
    pub reference_time: Timestamp,
    /// The precision of our own clock, log2 s.
    pub local_precision: Precision,
    /// Whether the answer carried proof of origin and the proof was right.
    pub authenticated: bool,
}

impl Exchange {
    /// θ = ((T2 − T1) + (T3 − T4)) / 2: positive when the server is ahead of us (RFC 5905 §8).
    ///
    /// Both differences take the shorter way round the era, so the result is right for clocks within 68 years.
    #[must_use]
    pub fn offset(&self) -> Span {
        let there = i128::from((self.receive - self.origin).to_bits());
        let back = i128::from((self.transmit - self.destination).to_bits());
        span((there + back) / 2)
    }

    /// δ = (T4 − T1) − (T3 − T2), never below the coarser of the two clocks' precisions (RFC 5905 §8).
    #[must_use]
    pub fn delay(&self) -> Span {
        let floor =
            self.precision.as_span().max(self.local_precision.as_span()).min(PRECISION_CEILING);
        self.raw_delay().max(floor)
    }

    /// ε = ρ of the server + ρ of ours + Φ·(T4 − T1): how far reading the clocks may be wrong (RFC 5905 §9.2).
    #[must_use]
    pub fn dispersion(&self) -> Span {
        let elapsed = (self.destination - self.origin).max(Span::ZERO);
        let drift = span(i128::from(elapsed.to_bits()) * PHI_PPM / 1_000_000);
        self.precision.as_span() + self.local_precision.as_span() + drift
    }

    /// Half the delay all the way to the primary source plus every dispersion on the way (RFC 5905 §11.1).
    ///
    /// The server's clock cannot differ from the primary source's by more, if everybody on the way is honest. A delay measured as
    /// negative shows that a stamp was wrong by at least as much, so it widens the bound like a positive one.
    #[must_use]
    pub fn root_distance(&self) -> Span {
        (self.root_delay.to_span() + self.delay().max(self.raw_delay().abs())).half()
            + self.root_dispersion.to_span()
            + self.dispersion()
    }

    /// How long the server held the request: T3 − T2.
    #[must_use]
    pub fn held(&self) -> Span {
        self.transmit - self.receive
    }

    /// (T4 − T1) − (T3 − T2) as measured, which a fast clock of ours can make negative.
    #[must_use]
    pub fn raw_delay(&self) -> Span {
        span(
            i128::from((self.destination - self.origin).to_bits())
                - i128::from(self.held().to_bits()),
        )
    }

    /// Says whether the time in an authentic answer may be used at all (RFC 5905 §A.5.1.1 and stricter).
    ///
    /// `asked_at` is when the question that was answered last reached the server, by its clock: T2, unless the answer is
    /// interleaved and tells of the exchange before.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub(crate) fn check(&self, asked_at: Timestamp) -> Result<(), Unusable> {
        if asked_at.is_unset() || self.receive.is_unset() || self.transmit.is_unset() {
            return Err(Unusable::StampMissing);
        }
        if self.leap == Leap::Unsynchronised {
            return Err(Unusable::Unsynchronised);
        }
        if !(1..=15).contains(&self.stratum) {
            return Err(Unusable::Stratum(self.stratum));
        }
        if self.root_delay.to_span().half() + self.root_dispersion.to_span() >= MAX_DISPERSION {
            return Err(Unusable::RootDistance);
        }
        let latest = if asked_at - self.transmit > Span::ZERO { asked_at } else { self.transmit };
        if !self.reference_time.is_unset() && latest - self.reference_time < Span::ZERO {
            return Err(Unusable::ReferenceInFuture);
        }
        if self.held() < Span::ZERO || self.held() > MAX_HELD {
            return Err(Unusable::Held(self.held()));
        }
        Ok(())
    }
}

/// Why an answer that is really the server's still tells no time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unusable {
    /// The receive or transmit stamp is zero (RFC 5905 §A.5.1).
    StampMissing,
    /// Leap indicator 3: the server has no time to give.
    Unsynchronised,
    /// A stratum outside 1..=15.
    Stratum(u8),
    /// Half the root delay plus the root dispersion reaches 16 s (`MAXDISP`, RFC 5905 §A.5.1.1).
    RootDistance,
    /// The server's clock was last set after it answered.
    ReferenceInFuture,
    /// The answer left before the request came, or more than 4 s after it.
    Held(Span),
    /// The certificates that vouched for the keys are not valid at that time (RFC 8915 §8.5).
    OutsideCertificate,
}

impl Unusable {
    /// A short name that stays the same, for counters and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StampMissing => "stamp-missing",
            Self::Unsynchronised => "unsynchronised",
            Self::Stratum(_) => "stratum",
            Self::RootDistance => "root-distance",
            Self::ReferenceInFuture => "reference-in-future",
            Self::Held(_) => "held",
            Self::OutsideCertificate => "outside-certificate",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StampMissing => f.write_str("the answer lacks a receive or transmit stamp"),
            Self::Unsynchronised => f.write_str("the server says it is not synchronised"),
            Self::Stratum(stratum) => write!(f, "the server's stratum {stratum} is not in 1 to 15"),
            Self::RootDistance => f.write_str("the server is 16 s or more from its primary source"),
            Self::ReferenceInFuture => {
                f.write_str("the server's clock was set later than it answered")
            }
            Self::Held(held) => write!(f, "the server held the request for {held}"),
            Self::OutsideCertificate => {
                f.write_str("the server's certificates are not valid at the time it tells")
            }
        }
    }
}

fn span(bits: i128) -> Span {
    let clamped = bits.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    Span::from_bits(i64::try_from(clamped).unwrap_or(i64::MAX))
}

/// Φ: how fast two honest clocks may drift apart, in parts per million (RFC 5905 §7.2).
const PHI_PPM: i128 = 15;
/// `MAXDISP` of RFC 5905 §7.2.
const MAX_DISPERSION: Span = Span::from_seconds(16);
/// chrony refuses longer too (`MAX_SERVER_INTERVAL`): nothing honest takes that long between two stamps.
const MAX_HELD: Span = Span::from_seconds(4);
/// A hostile precision must not become a hostile delay: a coarser clock than 1 s is unknown here.
const PRECISION_CEILING: Span = Span::from_seconds(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(stamps: [u64; 4]) -> Exchange {
        let [origin, receive, transmit, destination] = stamps.map(Timestamp::from_bits);
        Exchange {
            origin,
            receive,
            transmit,
            destination,
            leap: Leap::None,
            stratum: 1,
            poll: PollExponent(6),
            precision: Precision(-25),
            root_delay: Short::from_bits(0),
            root_dispersion: Short::from_bits(0),
            reference_id: ReferenceId(*b"GPS\0"),
            reference_time: Timestamp::UNSET,
            local_precision: Precision(-25),
            authenticated: false,
        }
    }

    #[test]
    fn offset_and_delay_follow_the_golden_table() {
        fn check(stamps: [u64; 4], offset_s: f64, delay_s: f64) {
            let exchange = exchange(stamps);
            assert_eq!(exchange.offset(), Span::from_seconds_f64(offset_s), "{stamps:x?}");
            assert_eq!(exchange.raw_delay(), Span::from_seconds_f64(delay_s), "{stamps:x?}");
        }
        const S: u64 = 1 << 32;
        // Our own golden vector across the era edge of 2036-02-07.
        check(
            [
                0xffff_ffff_f000_0000,
                0x0000_0000_1000_0000,
                0x0000_0000_1800_0000,
                0x0000_0000_0800_0000,
            ],
            0.09375,
            0.0625,
        );
        // The same, seen from a client that is behind the edge for all four stamps' worth of the exchange.
        check([u64::MAX - 4 * S + 1, S, 2 * S, u64::MAX - 2 * S + 1], 4.5, 1.0);
        check([10 * S, 10 * S, 10 * S, 10 * S], 0.0, 0.0);
        check([10 * S, 11 * S, 11 * S, 12 * S], 0.0, 2.0);
        check([10 * S, 21 * S, 21 * S, 12 * S], 10.0, 2.0);
        check([20 * S, 11 * S, 12 * S, 23 * S], -10.0, 2.0);
        // A clock of ours that runs fast makes the measured delay negative.
        check([10 * S, 10 * S, 12 * S, 11 * S], 0.5, -1.0);
        // Sixty years apart is still the shorter way round.
        check([0, 60 * 31_557_600 * S, 60 * 31_557_600 * S, 0], 60.0 * 31_557_600.0, 0.0);
    }

    #[test]
    fn extreme_stamps_saturate_and_do_not_panic() {
        for stamps in [
            [0, 1 << 63, 1 << 63, 0],
            [1 << 63, 0, 0, 1 << 63],
            [0, 1 << 63, 0, 1 << 63],
            [u64::MAX, 0, u64::MAX, 0],
            [0, (1 << 63) - 1, 1 << 63, u64::MAX],
        ] {
            let mut exchange = exchange(stamps);
            exchange.precision = Precision(127);
            exchange.local_precision = Precision(-128);
            exchange.root_delay = Short::from_bits(u32::MAX);
            exchange.root_dispersion = Short::from_bits(u32::MAX);
            let _ = (
                exchange.offset(),
                exchange.delay(),
                exchange.dispersion(),
                exchange.root_distance(),
            );
            let _ = exchange.check(exchange.receive);
        }
    }

    #[test]
    fn a_negative_delay_is_raised_to_the_coarser_precision() {
        let mut exchange = exchange([10 << 32, 10 << 32, 12 << 32, 11 << 32]);
        exchange.precision = Precision(-10);
        exchange.local_precision = Precision(-20);
        assert_eq!(exchange.delay(), Precision(-10).as_span());
        exchange.precision = Precision(100);
        assert_eq!(exchange.delay(), Span::from_seconds(1));
    }

    #[test]
    fn dispersion_is_both_precisions_and_15_ppm_of_the_round_trip() {
        let exchange = exchange([0, 500 << 32, 500 << 32, 1000 << 32]);
        let expected = 2.0 * (-25f64).exp2() + 0.015;
        assert!((exchange.dispersion().as_seconds_f64() - expected).abs() < 1e-9);
    }

    #[test]
    fn root_distance_is_half_of_both_delays_and_all_dispersions() {
        let mut exchange = exchange([0, 1 << 31, 1 << 31, 1 << 32]);
        exchange.root_delay = Short::from_bits(1 << 15);
        exchange.root_dispersion = Short::from_bits(1 << 14);
        let expected = (0.5 + 1.0) / 2.0 + 0.25 + exchange.dispersion().as_seconds_f64();
        assert!((exchange.root_distance().as_seconds_f64() - expected).abs() < 1e-9);
    }

    #[test]
    fn a_negative_delay_widens_the_bound() {
        let negative = exchange([0, 0, 1 << 24, 0]); // held for longer than the round trip took
        let none = exchange([0, 0, 0, 0]);
        assert!(negative.raw_delay().is_negative());
        assert_eq!(
            (negative.root_distance() - none.root_distance()).to_bits(),
            (1 << 23) - none.delay().half().to_bits()
        );
    }

    #[test]
    fn answers_that_tell_no_time_are_told_apart() {
        fn check(change: impl Fn(&mut Exchange), expected: Result<(), Unusable>) {
            let s = |n: u64| n << 32;
            let mut exchange = exchange([s(100), s(100), s(100), s(100)]);
            change(&mut exchange);
            assert_eq!(exchange.check(exchange.receive), expected);
        }
        let stamp = Timestamp::from_bits;
        check(|_| (), Ok(()));
        check(|e| e.receive = Timestamp::UNSET, Err(Unusable::StampMissing));
        check(|e| e.transmit = Timestamp::UNSET, Err(Unusable::StampMissing));
        check(|e| e.leap = Leap::Unsynchronised, Err(Unusable::Unsynchronised));
        check(|e| e.leap = Leap::InsertSecond, Ok(()));
        check(|e| e.stratum = 15, Ok(()));
        for stratum in [0, 16, 255] {
            check(|e| e.stratum = stratum, Err(Unusable::Stratum(stratum)));
        }
        check(|e| e.root_dispersion = Short::from_bits(16 << 16), Err(Unusable::RootDistance));
        check(|e| e.root_dispersion = Short::from_bits((16 << 16) - 1), Ok(()));
        check(|e| e.root_delay = Short::from_bits(32 << 16), Err(Unusable::RootDistance));
        check(|e| e.root_delay = Short::from_bits((32 << 16) - 2), Ok(()));
        check(|e| e.reference_time = e.transmit, Ok(()));
        check(
            |e| e.reference_time = stamp(e.transmit.to_bits() + 1),
            Err(Unusable::ReferenceInFuture),
        );
        check(|e| e.transmit = stamp(e.receive.to_bits() + (4 << 32)), Ok(()));
        let late = Span::from_bits((4 << 32) + 1);
        check(
            |e| e.transmit = stamp(e.receive.to_bits() + (4 << 32) + 1),
            Err(Unusable::Held(late)),
        );
        let early = Span::from_bits(-1);
        check(|e| e.transmit = stamp(e.receive.to_bits() - 1), Err(Unusable::Held(early)));
    }
}
