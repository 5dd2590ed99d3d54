//! The packets of a recording, answers beside their questions.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use serde::Serialize;

use super::capture::Capture;
use super::frame::{Carried, Origin, carried};
use super::nts::Seen;
use super::{Context, Decoded, KeySet, Reading, Remark, read_datagram, stamp};
use crate::clause::Level;

/// One packet of a recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Packet {
    /// Its place in the recording, from 1.
    pub number: usize,
    /// When it was recorded, in UTC with nanoseconds; `null` if the recording does not say.
    pub time: Option<String>,
    /// Who sent it, address and port.
    pub from: Option<String>,
    /// To whom, address and port.
    pub to: Option<String>,
    /// The number of the packet it answers.
    pub answers: Option<usize>,
    /// Seconds from that one to this.
    pub after_s: Option<f64>,
    /// What it says; `null` if it cannot be read.
    pub decoded: Option<Decoded>,
    /// Why it cannot be read.
    pub unread: Option<String>,
}

/// What is looked for in a recording.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// UDP ports of NTP.
    pub ports: &'a [u16],
    /// TCP port of NTS key establishment.
    pub ke_port: u16,
    /// Keys that may open what is sealed.
    pub keys: &'a [KeySet],
    /// About when it was, seconds since 1970, where the recording does not say.
    pub near_s: i64,
}

/// Hands on what a recording has of NTP, in its order: datagrams, read and paired, and what could be some and cannot be read.
/// Returns the count of UDP datagrams on other ports.
pub fn packets(capture: &Capture<'_>, wanted: &Wanted<'_>, mut each: impl FnMut(Packet)) -> usize {
    let (mut elsewhere, mut asked) = (0, Questions::default());
    for (number, frame) in (1..).zip(&capture.frames) {
        let mut packet = Packet { number, time: frame.at_ns.map(in_words), ..Packet::default() };
        match carried(frame, wanted.ke_port) {
            Carried::Udp(origin, octets)
                if [origin.from, origin.to]
                    .iter()
                    .any(|end| wanted.ports.contains(&end.port())) =>
            {
                let near_s = frame.at_ns.map_or(wanted.near_s, |at| at.div_euclid(1_000_000_000));
                (packet.from, packet.to) =
                    (Some(origin.from.to_string()), Some(origin.to.to_string()));
                packet.read(
                    octets,
                    Context { keys: wanted.keys, near_s },
                    frame.at_ns,
                    origin,
                    &mut asked,
                );
            }
            Carried::Udp(..) => {
                elsewhere += 1;
                continue;
            }
            Carried::Unread(why) => packet.unread = Some(why),
            Carried::Other => continue,
        }
        each(packet);
    }
    elsewhere
}

impl Packet {
    /// One that was given alone.
    #[must_use]
    pub fn alone(decoded: Decoded) -> Self {
        Self { number: 1, decoded: Some(decoded), ..Self::default() }
    }

    fn read(
        &mut self,
        octets: &[u8],
        context: Context<'_>,
        at_ns: Option<i64>,
        origin: Origin,
        asked: &mut Questions,
    ) {
        let Reading { mut decoded, fields } = read_datagram(octets, context);
        if octets.len() < origin.length {
            let what = format!(
                "{} of {} octets were recorded; what follows judges these",
                octets.len(),
                origin.length
            );
            decoded.remarks.insert(0, Remark { level: Level::May, rfc: "-", at: 0, what });
        }
        match fields {
            Some(seen) if seen.mode == 3 => {
                let key = Key { client: origin.from, server: origin.to, transmit: seen.transmit };
                let (number, length) = (self.number, origin.length);
                asked.add(
                    key,
                    Asked { number, length, at_ns, answered: 0, seen: seen.without_parts() },
                );
            }
            Some(seen) if seen.mode == 4 => {
                let key = Key { client: origin.to, server: origin.from, transmit: seen.origin };
                if let Some(asked) = asked.all.get_mut(&key) {
                    self.answers = Some(asked.number);
                    let both = asked.at_ns.zip(at_ns);
                    self.after_s = both.map(|(from, to)| to.saturating_sub(from) as f64 / 1e9);
                    decoded.remarks.extend(asked.judge(&seen, origin.length));
                }
            }
            _ => {}
        }
        self.decoded = Some(decoded);
    }
}

/// The last questions, by what an answer to one has.
#[derive(Default)]
struct Questions {
    all: HashMap<Key, Asked>,
    order: VecDeque<Key>,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Key {
    client: SocketAddr,
    server: SocketAddr,
    transmit: u64,
}

impl Questions {
    fn add(&mut self, key: Key, asked: Asked) {
        if self.all.insert(key, asked).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

/// A question.
struct Asked {
    number: usize,
    length: usize,
    at_ns: Option<i64>,
    answered: usize,
    seen: Seen,
}

impl Asked {
    /// What is wrong with an answer to it.
    fn judge(&mut self, answer: &Seen, length: usize) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let mut note = |level, rfc, at, what: String| remarks.push(Remark { level, rfc, at, what });
        self.answered += 1;
        let number = self.number;
        if self.answered > 1 {
            note(
                Level::May,
                "RFC 5905 §8",
                24,
                format!("answer {} to packet {number}: clients take one", self.answered),
            );
        }
        if length > self.length {
            note(
                Level::Derived,
                "RFC 8915 §8.4",
                0,
                format!("{length} octets answer {} of packet {number}", self.length),
            );
        }
        if answer.version != self.seen.version {
            let (asked, is) = (self.seen.version, answer.version);
            note(
                Level::Derived,
                "RFC 5905 §A.5.3",
                0,
                format!("version {is} answers version {asked} of packet {number}"),
            );
        }
        match (&self.seen.unique, &answer.unique) {
            (Some(_), None) => note(
                Level::Must,
                "RFC 8915 §5.3",
                0,
                format!("the identifier of packet {number} is missing"),
            ),
            (Some(asked), Some(is)) if asked != is => {
                note(
                    Level::Must,
                    "RFC 8915 §5.3",
                    0,
                    format!("another identifier than that of packet {number}"),
                );
            }
            _ => {}
        }
        if self.seen.has_authenticator() && !answer.has_authenticator() && !answer.is_kiss {
            note(
                Level::Must,
                "RFC 8915 §5.7",
                0,
                format!("nothing proves this answer to packet {number}, which asked with NTS"),
            );
        }
        let most = 1 + self.seen.placeholders;
        match answer.cookies_inside {
            Some(cookies) if cookies > most => {
                note(
                    Level::Must,
                    "RFC 8915 §5.7",
                    0,
                    format!("{cookies} cookies answer packet {number}, which made room for {most}"),
                );
            }
            Some(cookies) if cookies < most && !answer.is_kiss => {
                note(
                    Level::Should,
                    "RFC 8915 §5.7",
                    0,
                    format!("{cookies} cookies answer packet {number}, which asked for {most}"),
                );
            }
            _ => {}
        }
        remarks
    }
}

fn in_words(at_ns: i64) -> String {
    let (seconds, nanos) = (at_ns.div_euclid(1_000_000_000), at_ns.rem_euclid(1_000_000_000));
    format!("{}.{nanos:09}Z", stamp::date_time(seconds))
}

/// Questions an answer is looked for among.
const REMEMBERED: usize = 65_536;
