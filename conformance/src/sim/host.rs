use noonmark_packet::{HEADER_LEN, Header, Leap, Mode, Packet, ReferenceId, Version};
use noonmark_units::{PollExponent, Precision, Short, Span, Timestamp};

use super::scenario::ServerModel;

/// What stands at the far end of a path.
pub trait Host {
    /// What it sends back, at once, to a datagram that arrives at the true time `at_s`, seconds since the start; `None` is silence.
    fn answer(&mut self, request: &[u8], at_s: f64) -> Option<Vec<u8>>;
}

/// A server that answers at the instant of arrival (T2 = T3, but for 0.23 ns), by a clock of its own.
#[derive(Clone, Debug)]
pub struct TimeServer {
    /// The true date at the start.
    pub start: Timestamp,
    /// Its clock less true time at the start, s.
    pub offset_s: f64,
    /// `(t, f)`: from second t on its clock gains f s/s.
    pub freq_step: Option<(f64, f64)>,
    /// What it says about the next leap second.
    pub leap: Leap,
    /// The true time at which its clock jumps by so much for a leap second, s, and ends announcing it.
    pub jump: Option<(f64, Span)>,
    /// Its stratum.
    pub stratum: u8,
    /// What it says of its precision.
    pub precision: Precision,
    /// What it says of the way to its own source.
    pub root_delay: Short,
    /// What it says of its own error.
    pub root_dispersion: Short,
    /// Whether it answers in interleaved mode who asks for that (RFC 9769).
    pub interleaved: bool,
    /// Its last answer, for interleaved mode: receive and transmit stamp.
    last: Option<(Timestamp, Timestamp)>,
}

impl TimeServer {
    /// A stratum 1 server as the model has it.
    #[must_use]
    pub fn new(model: &ServerModel, start: Timestamp, precision: Precision) -> Self {
        Self {
            start,
            offset_s: model.offset,
            freq_step: model.freq_step,
            leap: Leap::None,
            jump: None,
            stratum: 1,
            precision,
            root_delay: Short::ZERO,
            root_dispersion: Short::ZERO,
            interleaved: true,
            last: None,
        }
    }

    /// Its clock at the true time `at_s`, rounded to 1 ns.
    #[must_use]
    pub fn time(&self, at_s: f64) -> Timestamp {
        let gained = self.freq_step.map_or(0.0, |(from, by)| by * (at_s - from).max(0.0));
        let nanos = ((at_s + gained) * 1e9).round() as i64 + (self.offset_s * 1e9).round() as i64;
        let jumped = self.jump.filter(|(from, _)| at_s >= *from).map_or(Span::ZERO, |(_, by)| by);
        (self.start + Span::from_nanos(nanos) + jumped).never_unset()
    }
}

impl Host for TimeServer {
    fn answer(&mut self, request: &[u8], at_s: f64) -> Option<Vec<u8>> {
        let header = Packet::parse(request).ok()?.header();
        if header.mode != Mode::Client {
            return None;
        }
        let now = self.time(at_s);
        // An interleaved question names the last answer by its receive stamp, and its own two stamps differ. The stamps of an
        // answer must differ too, or the next question could not tell which of them it names: a unit (0.23 ns) does.
        let known = self.last.filter(|(receive, _)| {
            self.interleaved && *receive == header.origin && header.receive != header.transmit
        });
        let receive = now - Span::from_bits(1);
        self.last = Some((receive, now));
        let (origin, transmit) = match known {
            Some((_, transmit)) => (header.receive, transmit),
            None => (header.transmit, now),
        };
        let answer = Header {
            leap: if self.jump.is_some_and(|(from, _)| at_s >= from) {
                Leap::None
            } else {
                self.leap
            },
            version: Version::V4,
            mode: Mode::Server,
            stratum: self.stratum,
            poll: PollExponent(header.poll.0.max(6)),
            precision: self.precision,
            root_delay: self.root_delay,
            root_dispersion: self.root_dispersion,
            reference_id: ReferenceId(*b"GPS\0"),
            reference_time: whole_second(now),
            origin,
            receive,
            transmit,
        };
        let mut octets = vec![0; HEADER_LEN];
        octets.copy_from_slice(&answer.to_octets());
        Some(octets)
    }
}

/// The start of the second: when a reference clock last set this one.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_bits(at.to_bits() & !0xffff_ffff).never_unset()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(model: &ServerModel) -> TimeServer {
        TimeServer::new(model, Timestamp::from_bits(0xf000_0000 << 32), Precision(-23))
    }

    #[test]
    fn the_answer_returns_the_request_and_carries_the_server_s_clock() {
        let mut server = server(&ServerModel { offset: -0.5, ..ServerModel::default() });
        let request = Header::client(Timestamp::from_bits(77)).to_octets();
        let octets = server.answer(&request, 10.0).unwrap();
        let header = Packet::parse(&octets).unwrap().header();
        assert_eq!(header.origin, Timestamp::from_bits(77));
        assert_eq!((header.transmit - header.receive).to_bits(), 1);
        assert_eq!((header.transmit - server.start).as_nanos(), 9_500_000_000);
    }

    #[test]
    fn a_server_that_drifts_does_so_from_its_second_on() {
        let server =
            server(&ServerModel { freq_step: Some((100.0, 1e-5)), ..ServerModel::default() });
        let check = |at_s: f64, nanos| {
            assert_eq!((server.time(at_s) - server.start).as_nanos(), nanos);
        };
        check(100.0, 100_000_000_000);
        check(200.0, 200_001_000_000);
    }

    #[test]
    fn an_interleaved_answer_brings_the_transmit_stamp_of_the_one_before() {
        let mut server = server(&ServerModel::default());
        let ask = |server: &mut TimeServer, origin, receive, transmit, at_s| {
            let [origin, receive] = [origin, receive].map(Timestamp::from_bits);
            let question =
                Header { origin, receive, ..Header::client(Timestamp::from_bits(transmit)) };
            let answer = server.answer(&question.to_octets(), at_s).unwrap();
            Packet::parse(&answer).unwrap().header()
        };
        let first = ask(&mut server, 0, 0, 7, 10.0);
        assert_eq!(first.origin, Timestamp::from_bits(7));
        let second = ask(&mut server, first.receive.to_bits(), 8, 9, 20.0);
        assert_eq!((second.origin, second.transmit), (Timestamp::from_bits(8), first.transmit));
        let stranger = ask(&mut server, first.receive.to_bits(), 8, 9, 30.0);
        assert_eq!(stranger.origin, Timestamp::from_bits(9), "that answer is forgotten by now");
    }

    #[test]
    fn what_is_no_question_gets_silence() {
        let mut server = server(&ServerModel::default());
        assert!(server.answer(&[0x23; 47], 0.0).is_none());
        let mut reply = Header::client(Timestamp::from_bits(77));
        reply.mode = Mode::Server;
        assert!(server.answer(&reply.to_octets(), 0.0).is_none());
    }
}
