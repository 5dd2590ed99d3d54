//! Instants, lengths of time and the small numbers of NTP, each as its own type.
//!
//! A bare integer does not say whether it counts nanoseconds or 2⁻³² s, from 1900 or from 1970, or which sign means
//! "ahead". These types do, and the compiler then refuses to mix them:
//!
//! | type | what it counts | overflow |
//! |---|---|---|
//! | [`Timestamp`] | 2⁻³² s since 1900, era dropped: what packets carry | wraps, every 2³² s |
//! | [`UnixTime`] | seconds and nanoseconds since 1970, 64 bits: what machines and people use | saturates |
//! | [`Span`] | signed 2⁻³² s: offsets, delays, differences | saturates |
//! | [`Short`] | unsigned 2⁻¹⁶ s: root delay and root dispersion | clamps |
//! | [`PollExponent`], [`Precision`] | log2 of seconds, any of 256 values | clamps |
//! | [`Frequency`] | seconds gained per second, floating point, never NaN | to infinity |
//! | [`Stratum`] | distance from a reference clock, 16 = unsynchronised | clamps |
//! | [`Mono`] | nanoseconds of the local monotonic clock, a plain number | saturates |
//!
//! Start at [`Timestamp`] and [`Span`]: `server - client` of two timestamps is a span, right across the era boundary of
//! 2036 as long as the two lie within 68 years of each other. Only [`Timestamp::unix_near`] names an era again, and it
//! asks for a pivot, because 64 bits on the wire cannot know it.
//!
//! Not here, on purpose: reading a clock (the caller does), leap second tables, time zones. No `std`, no allocation, no `unsafe`, no dependency.
//!
//! Covered: RFC 5905 §6 (formats, eras), §7.3 (stratum, poll, precision), §8 (first-order differences).
#![no_std]
#![forbid(unsafe_code)]

mod exponent;
mod frequency;
mod line;
mod mono;
mod short;
mod span;
mod stratum;
mod timestamp;
mod unix;

pub use exponent::{PollExponent, Precision};
pub use frequency::Frequency;
pub use line::Line;
pub use mono::Mono;
pub use short::Short;
pub use span::Span;
pub use stratum::Stratum;
pub use timestamp::Timestamp;
pub use unix::UnixTime;
