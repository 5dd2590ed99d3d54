//! The header of an answer: what the clock's state says, what the request says, and the two time stamps.

use noonmark_packet::{Header, KissCode, Leap, Mode, Packet, ReferenceId};
use noonmark_units::{Mono, Precision, Span, Timestamp};

use crate::interleaved::{receive_stamp, transmit_stamp};
use crate::{ClockState, SMEARED};

/// What all answers of a batch say alike: everything the clock's state decides.
pub(crate) struct Face<'a> {
    state: &'a ClockState,
    now: Mono,
    header: Header,
    /// The bits of a time stamp below the clock's precision.
    noise: u64,
}

impl<'a> Face<'a> {
    /// The face of a clock in this state at `now`.
    pub(crate) fn of(state: &'a ClockState, now: Mono) -> Self {
        let mut header = Header::client(Timestamp::UNSET);
        header.mode = Mode::Server;
        // RFC 5905 §7.3: who is not synchronised says so in both places.
        let synchronised = state.is_synchronised();
        header.leap = if synchronised { state.leap } else { Leap::Unsynchronised };
        header.stratum = if synchronised { state.stratum.to_wire() } else { 0 };
        let is_smeared = state.smear.is_some_and(|smear| smear.is_under_way(now));
        let reference_id = if is_smeared { SMEARED } else { state.reference_id };
        header.reference_id = if synchronised { reference_id } else { ReferenceId::NONE };
        header.precision = state.precision;
        header.root_delay = state.root_delay;
        header.root_dispersion = state.root_dispersion(now);
        Self { state, now, header, noise: noise_below(state.precision) }
    }

    /// The header of the answer to `request`, received at `received`, which leaves at `leaves`; `bits` fill what the clock cannot tell
    /// (RFC 5905 §6). With `past`, when the answer before really left, it is in interleaved mode.
    pub(crate) fn header(
        &self,
        request: &Packet<'_>,
        received: Timestamp,
        kiss: Option<KissCode>,
        leaves: Timestamp,
        past: Option<Timestamp>,
        bits: [u8; 8],
    ) -> Header {
        let bits = u64::from_ne_bytes(bits);
        let receive = receive_stamp(self.with_noise(self.served(received), bits));
        let transmit = after(self.with_noise(self.served(leaves), bits >> 32), receive);
        let mut header = Header {
            leap: self.leap(transmit),
            version: request.version(),
            poll: request.poll(),
            origin: request.transmit(),
            receive,
            transmit,
            reference_time: self.reference_time(leaves, transmit),
            ..self.header
        };
        if let Some(past) = past {
            header.origin = request.receive();
            header.transmit = past;
            // RFC 5905 clients drop what was set after it left.
            header.reference_time = self.reference_time(leaves, past);
        }
        if let Some(KissCode(code)) = kiss {
            // RFC 5905 §7.4.
            header.leap = Leap::Unsynchronised;
            header.stratum = 0;
            header.reference_id = ReferenceId(code);
        }
        header
    }

    fn served(&self, stamp: Timestamp) -> Timestamp {
        served(self.state, stamp, self.now)
    }

    /// A leap second is announced until it is over, to the instant.
    fn leap(&self, transmit: Timestamp) -> Leap {
        let until = self.state.leap_until;
        match self.header.leap {
            Leap::InsertSecond | Leap::DeleteSecond
                if !until.is_unset() && !(transmit - until).is_negative() =>
            {
                Leap::None
            }
            leap => leap,
        }
    }

    fn with_noise(&self, time: Timestamp, bits: u64) -> Timestamp {
        Timestamp::from_bits(time.to_bits() & !self.noise | bits & self.noise).never_unset()
    }

    /// When the clock was last set, never after `transmit`. A clock served as it stands was "set" within the last 16 s.
    fn reference_time(&self, leaves: Timestamp, transmit: Timestamp) -> Timestamp {
        if self.header.stratum == 0 {
            return Timestamp::UNSET;
        }
        let mut set = self.state.reference_time;
        if self.state.smear.is_some() && !set.is_unset() {
            // As long ago in served time.
            set = (set + (transmit - leaves)).never_unset();
        }
        if set.is_unset() || (transmit - set).is_negative() {
            Timestamp::from_bits(transmit.to_bits() & !0xf_ffff_ffff).never_unset()
        } else {
            set
        }
    }
}

/// A stamp of the machine's clock, whose state this is at `now`, as answers have it.
pub(crate) fn served(state: &ClockState, stamp: Timestamp, now: Mono) -> Timestamp {
    match &state.smear {
        None => stamp,
        Some(smear) => smear.served(stamp, now),
    }
}

/// `transmit` as a transmit stamp, or the first one after `receive` if it does not come later, since a clock may be stepped back between the two.
fn after(transmit: Timestamp, receive: Timestamp) -> Timestamp {
    let transmit = transmit_stamp(transmit);
    if transmit - receive > Span::ZERO {
        transmit
    } else {
        transmit_stamp(receive + Span::from_bits(2))
    }
}

/// The bits of a time stamp that are smaller than `precision`.
fn noise_below(precision: Precision) -> u64 {
    let bits = (32 + i32::from(precision.0)).clamp(0, 32);
    (1_u64 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_fills_what_the_clock_cannot_tell() {
        let check =
            |precision, bits| assert_eq!(noise_below(Precision(precision)), bits, "{precision}");
        check(-33, 0);
        check(-128, 0);
        check(-32, 0);
        check(-31, 1);
        check(-24, 0xff);
        check(-20, 0xfff);
        check(-1, 0x7fff_ffff);
        check(0, 0xffff_ffff);
        check(127, 0xffff_ffff);
    }

    #[test]
    fn transmit_comes_after_receive_in_every_era() {
        let check = |transmit: u64, receive: u64, expected: u64| {
            let [transmit, receive] = [transmit, receive].map(Timestamp::from_bits);
            assert_eq!(after(transmit, receive), Timestamp::from_bits(expected));
        };
        check(12, 9, 12);
        check(11, 9, 10);
        check(9, 9, 10);
        check(4, 9, 10);
        check(3, u64::MAX, 2);
        check(u64::MAX, 3, 4);
        // The first of an era would be 0, "unknown".
        check(u64::MAX, u64::MAX, 2);
    }
}
