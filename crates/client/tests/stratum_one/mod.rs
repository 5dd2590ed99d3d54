//! What a good server at stratum 1 answers.

use noonmark_packet::{Header, Leap, Mode, Packet, ReferenceId, Version};
use noonmark_units::{PollExponent, Precision, Short, Timestamp};

/// The answer to `question`, received and sent at `stamp`.
pub fn answer(question: &[u8], stamp: Timestamp) -> Header {
    Header {
        leap: Leap::None,
        version: Version::V4,
        mode: Mode::Server,
        stratum: 1,
        poll: PollExponent(6),
        precision: Precision(-24),
        root_delay: Short::ZERO,
        root_dispersion: Short::from_bits(1),
        reference_id: ReferenceId(*b"TEST"),
        reference_time: Timestamp::UNSET,
        origin: Packet::parse(question).expect("a question").transmit(),
        receive: stamp,
        transmit: stamp,
    }
}
