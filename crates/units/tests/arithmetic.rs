//! What holds for every value, tried on many chosen at random.

use noonmark_units::{Precision, Short, Span, Timestamp, UnixTime};
use proptest::prelude::*;

/// Any instant, and often one beside the boundary of an era or the end of 32-bit time.
fn instant() -> impl Strategy<Value = UnixTime> {
    let seconds = prop_oneof![
        -10_000_000_000i64..20_000_000_000,
        2_085_978_490i64..2_085_978_500,
        2_147_483_640i64..2_147_483_656,
    ];
    (seconds, 0u32..1_000_000_000).prop_map(|(seconds, nanos)| UnixTime::new(seconds, nanos))
}

/// A span of at most 67 years.
fn lifetime() -> impl Strategy<Value = Span> {
    (-2_114_000_000_000_000_000i64..2_114_000_000_000_000_000).prop_map(Span::from_nanos)
}

proptest! {
    #[test]
    fn an_instant_survives_the_wire_with_any_pivot_within_a_lifetime(time in instant(), off in lifetime()) {
        let wire = Timestamp::from_octets(Timestamp::from_unix(time).to_octets());
        prop_assert_eq!(wire.unix_near(time + off), time);
    }

    #[test]
    fn timestamps_subtract_like_the_instants_they_stand_for(time in instant(), off in lifetime()) {
        let later = time + off;
        let on_the_wire = Timestamp::from_unix(later) - Timestamp::from_unix(time);
        let apart = (on_the_wire - (later - time)).abs();
        prop_assert!(apart <= Span::from_bits(2), "{apart}"); // one rounding down each
    }

    #[test]
    fn adding_a_difference_gives_the_other_timestamp(a: u64, b: u64) {
        let (a, b) = (Timestamp::from_bits(a), Timestamp::from_bits(b));
        prop_assert_eq!(b + (a - b), a);
        prop_assert_eq!(a - (a - b), b);
    }

    #[test]
    fn nanoseconds_survive_a_span(nanos in -2_147_483_647_000_000_000i64..2_147_483_647_000_000_000) {
        prop_assert_eq!(Span::from_nanos(nanos).as_nanos(), nanos);
    }

    #[test]
    fn a_short_is_the_least_that_covers_its_span(bits in 0i64..0xffff_ffff_0000) {
        let span = Span::from_bits(bits);
        let short = Short::from_span_ceil(span);
        prop_assert!(short.to_span() >= span);
        if let Some(less) = short.to_bits().checked_sub(1) {
            prop_assert!(Short::from_bits(less).to_span() < span);
        }
        prop_assert_eq!(Short::from_octets(short.to_octets()), short);
    }

    #[test]
    fn a_precision_is_the_least_that_covers_its_step(bits in 1i64..1 << 62) {
        let step = Span::from_bits(bits);
        let Precision(exponent) = Precision::from_span(step);
        prop_assert!(Precision(exponent).as_span() >= step);
        prop_assert!(exponent == -32 || Precision(exponent - 1).as_span() < step);
    }

    #[test]
    fn everything_prints(bits: i64, seconds: i64, nanos: u32) {
        prop_assert!(Span::from_bits(bits).to_string().contains(' '));
        prop_assert!(UnixTime::new(seconds, nanos).to_string().ends_with('Z'));
    }
}

/// The first property above must be able to fail: 32 bits of seconds since 1900 are not enough without a pivot.
#[test]
fn the_round_trip_property_sees_a_codec_that_assumes_era_zero() {
    let era_zero = |wire: Timestamp| wire.unix_near(UnixTime::new(-61_505_152, 0)); // the middle of 1900..2036
    let before = UnixTime::new(2_085_978_495, 0);
    let after = UnixTime::new(2_085_978_496, 0);
    assert_eq!(era_zero(Timestamp::from_unix(before)), before);
    assert_ne!(era_zero(Timestamp::from_unix(after)), after);
}
