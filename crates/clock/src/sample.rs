use noonmark_packet::{Leap, ReferenceId};
use noonmark_units::{Precision, Span, Timestamp};

/// One answer of a server that may be used: four stamps, and what the server says of its own clock.
///
/// T1 and T4 are stamps of the system clock, however it was steered meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    /// T1: when the request left, by the system clock.
    pub origin: Timestamp,
    /// T2: when the request reached the server, by its clock.
    pub receive: Timestamp,
    /// T3: when the answer left the server, by its clock.
    pub transmit: Timestamp,
    /// T4: when the answer came, by the system clock.
    pub destination: Timestamp,
    /// What the server says about the next leap second.
    pub leap: Leap,
    /// The server's stratum, 1..=15.
    pub stratum: u8,
    /// Round trip from the server to its primary source.
    pub root_delay: Span,
    /// The server's own bound on its error, without the root delay.
    pub root_dispersion: Span,
    /// Which source the server follows.
    pub reference_id: ReferenceId,
    /// When the server's clock was last set or corrected.
    pub reference_time: Timestamp,
    /// The precision of the server's clock, log2 s.
    pub precision: Precision,
    /// Whether the answer proved to come from the server.
    pub authenticated: bool,
}
