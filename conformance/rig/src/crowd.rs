//! Clients that ask alike: who they are, what they ask, and what they get.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use noonmark_nts::Random;
use serde::Serialize;

use crate::establish::Establisher;
use crate::frame::{self, HEADERS, Route};
use crate::load::Schedule;
use crate::material::Material;

/// A crowd as it is wished for. As text `name=mob,kind=plain,rate=1000,from=10.64.0.0,clients=200,per-prefix=200`.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What it is called in what is printed.
    pub name: String,
    /// What its clients ask.
    pub kind: Kind,
    /// Requests per second of all its clients.
    pub rate: f64,
    /// Network of the first client, the others' follow it; none for addresses all over the place.
    pub from: Option<Ipv4Addr>,
    /// How many clients take turns, at least 1; with cookies a multiple of 8.
    pub clients: u32,
    /// How many of them share a /24, 1 to 254.
    pub per_prefix: u32,
}

/// What clients ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// 48 octets without proof.
    Plain,
    /// Under NTS, a cookie of the server for each client.
    Nts,
    /// The same with cookies that do not open.
    ForgedCookie,
    /// The same with cookies that open and a tag that does not verify, as from somebody who has seen the cookie pass.
    ForgedTag,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut wanted = Self {
            name: String::new(),
            kind: Kind::Plain,
            rate: 0.0,
            from: None,
            clients: 1,
            per_prefix: 1,
        };
        for pair in text.split(',') {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair}: no ="))?;
            let number = || value.parse().map_err(|_| format!("{pair}: not a whole number"));
            match key {
                "name" => value.clone_into(&mut wanted.name),
                "kind" => wanted.kind = kind(value)?,
                "rate" => wanted.rate = value.parse().map_err(|_| format!("{pair}: no number"))?,
                "from" if value == "anywhere" => wanted.from = None,
                "from" => {
                    wanted.from = Some(value.parse().map_err(|_| format!("{pair}: no address"))?);
                }
                "clients" => wanted.clients = number()?,
                "per-prefix" => wanted.per_prefix = number()?,
                _ => {
                    let known = "name, kind, rate, from, clients, per-prefix";
                    return Err(format!("{key}: not one of {known}"));
                }
            }
        }
        let cookies_fit = wanted.kind == Kind::Plain || wanted.clients.is_multiple_of(8);
        match () {
            () if wanted.name.is_empty() => Err("it needs a name".into()),
            () if wanted.clients == 0 => Err("clients: at least 1".into()),
            () if !cookies_fit => Err("clients: a multiple of 8, the cookies of a session".into()),
            () if !(1..=254).contains(&wanted.per_prefix) => Err("per-prefix: 1 to 254".into()),
            // A rate that is not a number is not above zero either.
            () if !(wanted.rate > 0.0 && wanted.rate.is_finite()) => {
                Err("rate: above 0 per second".into())
            }
            () => Ok(wanted),
        }
    }
}

fn kind(word: &str) -> Result<Kind, String> {
    match word {
        "plain" => Ok(Kind::Plain),
        "nts" => Ok(Kind::Nts),
        "forged-cookie" => Ok(Kind::ForgedCookie),
        "forged-tag" => Ok(Kind::ForgedTag),
        _ => Err(format!("kind={word}: not one of plain, nts, forged-cookie, forged-tag")),
    }
}

impl Wanted {
    /// Which /24 of the crowd a client is in, counted from 0.
    fn prefix(&self, client: u32) -> u32 {
        client / self.per_prefix
    }

    /// Addresses of all clients.
    fn addresses(&self, random: &mut dyn Random) -> Vec<Ipv4Addr> {
        let one = |client: u32| match self.from {
            Some(first) => {
                let host = client % self.per_prefix + 1;
                Ipv4Addr::from(u32::from(first).wrapping_add(self.prefix(client) * 256 + host))
            }
            None => anywhere(random),
        };
        (0..self.clients).map(one).collect()
    }

    /// The requests of all clients. With cookies each client has so many different ones that none is sent twice within
    /// [`TURN_S`]: an answer must be known to be to the request that was sent last under its number.
    fn material(
        &self,
        establisher: Option<&Establisher>,
        random: &mut dyn Random,
    ) -> Result<Material, String> {
        if self.kind == Kind::Plain {
            return Ok(Material::Plain);
        }
        let establisher = establisher.ok_or("cookies need --ke and --ca")?;
        let (sessions, turns) = match self.kind {
            // What is forged gets no answer that anybody would look for.
            Kind::ForgedCookie | Kind::ForgedTag => ((self.clients / 8).min(FORGED_SESSIONS), 1),
            Kind::Plain | Kind::Nts => {
                let turns = self.rate * TURN_S / f64::from(self.clients);
                (self.clients / 8, turns.ceil().max(1.0) as usize)
            }
        };
        let sessions: Result<Vec<_>, _> = (0..sessions).map(|_| establisher.establish()).collect();
        let count = self.clients as usize * turns;
        let mut material = Material::protected(&sessions?, count, 1, 1, random)?;
        match self.kind {
            Kind::ForgedCookie => material.forge_cookies(),
            Kind::ForgedTag => material.forge_tags(),
            Kind::Plain | Kind::Nts => (),
        }
        Ok(material)
    }
}

/// An address that could be anybody's, outside the networks a rig uses.
fn anywhere(random: &mut dyn Random) -> Ipv4Addr {
    loop {
        let mut octets = [0; 4];
        random.fill(&mut octets);
        let address = Ipv4Addr::from(octets);
        let [first, ..] = octets;
        if (1..224).contains(&first) && first != 127 && !address.is_private() {
            return address;
        }
    }
}

/// A crowd at work.
pub struct Crowd {
    wanted: Wanted,
    /// Whether it asks all the time and all its answers are examined; an attacker's are from time to time.
    honest: bool,
    material: Material,
    clients: Vec<Ipv4Addr>,
    fronts: Vec<[u8; HEADERS]>,
    port: u16,
    /// What it still has to ask.
    pub(crate) schedule: Schedule,
    asked: Vec<Asked>,
    tallies: [Tally; PHASES],
    prefixes: Vec<u32>,
    /// Requests after the flood: when each was sent, and whether it was answered.
    after: Vec<(u64, bool)>,
    kisses: u64,
    late: u64,
}

/// A request that was sent last under its number.
#[derive(Clone, Copy)]
struct Asked {
    number: u32,
    sent_at_ns: u64,
    phase: Phase,
    /// Place in `after`.
    place: u32,
    waits: bool,
}

/// What the generator is doing when a request goes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Only honest crowds ask, before the flood.
    Calm,
    /// All crowds ask.
    Flood,
    /// Only honest crowds ask, after the flood.
    After,
}

const PHASES: usize = 3;

#[derive(Clone, Default)]
struct Tally {
    sent: u64,
    latencies_ns: Vec<u32>,
}

/// What a crowd got for its requests of one phase.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// Requests sent.
    pub sent: u64,
    /// Good answers to them.
    pub good: u64,
    /// The latter through the former.
    pub share: f64,
    /// Time from sending to the answer's arrival that half of them took at most.
    pub p50_us: f64,
    /// Likewise for 99 of 100.
    pub p99_us: f64,
}

/// What a crowd got.
#[derive(Clone, Debug, Serialize)]
pub struct Fate {
    /// Its name.
    pub name: String,
    /// Whether it asked all the time.
    pub honest: bool,
    /// Before the flood.
    pub calm: Option<Share>,
    /// During it.
    pub flood: Option<Share>,
    /// After it.
    pub after: Option<Share>,
    /// Kisses of death.
    pub kisses: u64,
    /// Answers to requests that were answered, or sent again, or never sent.
    pub late: u64,
    /// Its /24 prefixes, none for a crowd without a place.
    pub prefixes: usize,
    /// Fewest good answers during the flood to one of them.
    pub prefix_least: u32,
    /// Most good answers during the flood to one of them.
    pub prefix_most: u32,
    /// Seconds from the flood's end to the end of the first 100 ms of which 99 % of the requests were answered.
    pub recovery_s: Option<f64>,
}

impl Crowd {
    /// Makes its addresses and requests. Answers come to UDP port `port`, which is its own.
    ///
    /// # Errors
    /// Which key establishment failed.
    pub fn new(
        wanted: Wanted,
        honest: bool,
        route: &Route,
        port: u16,
        establisher: Option<&Establisher>,
        random: &mut dyn Random,
    ) -> Result<Self, String> {
        let material = wanted.material(establisher, random)?;
        let clients = wanted.addresses(random);
        let len = material.request_len();
        let fronts = clients.iter().map(|client| frame::headers(route, *client, port, len));
        let fronts = fronts.collect();
        let never = Asked { number: 0, sent_at_ns: 0, phase: Phase::Calm, place: 0, waits: false };
        let asked = vec![never; material.distinct().unwrap_or(REMEMBERED)];
        let prefixes = match wanted.from {
            Some(_) => vec![0; wanted.prefix(wanted.clients - 1) as usize + 1],
            None => Vec::new(),
        };
        let schedule = Schedule::new(wanted.rate);
        let tallies = Default::default();
        let after = Vec::new();
        Ok(Self {
            wanted,
            honest,
            material,
            clients,
            fronts,
            port,
            schedule,
            asked,
            tallies,
            prefixes,
            after,
            kisses: 0,
            late: 0,
        })
    }

    /// Whether it asks all the time.
    pub fn is_honest(&self) -> bool {
        self.honest
    }

    /// The port that answers come to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The frame of request `n`, counted over the whole run; a plain payload is written into `room`.
    pub(crate) fn frame<'a>(&'a self, n: u64, room: &'a mut [u8; 48]) -> ([u8; HEADERS], &'a [u8]) {
        let client = (n % self.fronts.len() as u64) as usize;
        (self.fronts[client], self.material.request(n, room))
    }

    /// Notes that the next request went out.
    pub(crate) fn note_sent(&mut self, phase: Phase, at: Duration) {
        let n = self.schedule.sent;
        self.schedule.sent += 1;
        self.tallies[phase as usize].sent += 1;
        let sent_at_ns = at.as_nanos() as u64;
        let place = self.after.len() as u32;
        if phase == Phase::After {
            self.after.push((sent_at_ns, false));
        }
        let number = match self.material.distinct() {
            Some(distinct) => n % distinct as u64,
            None => n & u64::from(u32::MAX),
        } as u32;
        let slot = number as usize % self.asked.len();
        self.asked[slot] = Asked { number, sent_at_ns, phase, place, waits: true };
    }

    /// Takes what came back for the client at `to`.
    ///
    /// What comes a second time, or after its request was sent again, counts as late and as nothing else.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn take(&mut self, answer: &[u8], to: Ipv4Addr, at: Duration) -> Result<(), String> {
        if let [_, 0, ..] = answer {
            self.kisses += 1;
            return Ok(());
        }
        self.material.glance(answer)?;
        if !matches!(self.wanted.kind, Kind::Plain | Kind::Nts) {
            return Err("an answer to what was forged".into());
        }
        let number = Material::number(answer).ok_or("origin of no request")?;
        let client = number as usize % self.clients.len();
        // The number of a plain request wraps only after hours; of the others each belongs to one client.
        if self.clients[client] != to {
            return Err("origin of another client's request".into());
        }
        let slot = number as usize % self.asked.len();
        let asked = &mut self.asked[slot];
        if asked.number != number || !std::mem::take(&mut asked.waits) {
            self.late += 1;
            return Ok(());
        }
        let asked = *asked;
        let tally = &mut self.tallies[asked.phase as usize];
        if self.honest || tally.latencies_ns.len().is_multiple_of(SAMPLE) {
            self.material.examine(answer, self.schedule.sent)?;
        }
        let latency = (at.as_nanos() as u64).saturating_sub(asked.sent_at_ns);
        tally.latencies_ns.push(latency.try_into().unwrap_or(u32::MAX));
        match asked.phase {
            Phase::Calm => (),
            Phase::Flood => {
                let prefix = self.wanted.prefix(client as u32);
                if let Some(count) = self.prefixes.get_mut(prefix as usize) {
                    *count += 1;
                }
            }
            Phase::After => self.after[asked.place as usize].1 = true,
        }
        Ok(())
    }

    /// Good answers so far to requests of a phase.
    pub(crate) fn good(&self, phase: Phase) -> u64 {
        self.tallies[phase as usize].latencies_ns.len() as u64
    }

    /// Requests so far of a phase.
    pub(crate) fn sent(&self, phase: Phase) -> u64 {
        self.tallies[phase as usize].sent
    }

    /// What it got, given when the flood ended.
    pub(crate) fn fate(mut self, flood_end: Duration) -> Fate {
        let recovery_s = recovery(&self.after, flood_end.as_nanos() as u64);
        let [calm, flood, after] = &mut self.tallies;
        Fate {
            calm: calm.share(),
            flood: flood.share(),
            after: after.share(),
            name: self.wanted.name,
            honest: self.honest,
            kisses: self.kisses,
            late: self.late,
            prefixes: self.prefixes.len(),
            prefix_least: self.prefixes.iter().copied().min().unwrap_or(0),
            prefix_most: self.prefixes.iter().copied().max().unwrap_or(0),
            recovery_s,
        }
    }
}

impl Tally {
    fn share(&mut self) -> Option<Share> {
        let good = self.latencies_ns.len();
        self.latencies_ns.sort_unstable();
        let quantile = |percent: usize| {
            let at = (good * percent).div_ceil(100).saturating_sub(1);
            self.latencies_ns.get(at).map_or(0.0, |ns| f64::from(ns / 100) / 10.0)
        };
        (self.sent > 0).then(|| Share {
            sent: self.sent,
            good: good as u64,
            share: good as f64 / self.sent as f64,
            p50_us: quantile(50),
            p99_us: quantile(99),
        })
    }
}

/// Seconds from `end` until the end of the first window of [`WINDOW_NS`] in which 99 of 100 requests were answered;
/// windows begin every [`STEP_NS`].
fn recovery(after: &[(u64, bool)], end: u64) -> Option<f64> {
    let last = after.last()?.0;
    let starts = (end..).step_by(STEP_NS).take_while(|start| start + WINDOW_NS <= last);
    starts
        .filter_map(|start| {
            let inside = after.iter().filter(|(at, _)| (start..start + WINDOW_NS).contains(at));
            let (sent, good) = inside.fold((0, 0), |(sent, good), (_, answered)| {
                (sent + 1, good + usize::from(*answered))
            });
            let normal = sent > 0 && good * 100 >= sent * 99;
            normal.then(|| (start + WINDOW_NS - end) as f64 / 1e9)
        })
        .next()
}

const WINDOW_NS: u64 = 100_000_000;
const STEP_NS: usize = 10_000_000;
/// Establishments that forgers begin with, at most.
const FORGED_SESSIONS: u32 = 64;
/// Seconds before a request is sent again.
const TURN_S: f64 = 0.5;
/// Plain requests that can still be answered.
const REMEMBERED: usize = 1 << 17;
/// One in so many good answers to an attacker is examined.
const SAMPLE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_read_from_text_and_refused_with_a_reason() {
        let text = "name=mob,kind=nts,rate=2.5,from=10.64.0.0,clients=16,per-prefix=8";
        let mob: Wanted = text.parse().unwrap();
        assert_eq!((mob.kind, mob.rate, mob.clients, mob.per_prefix), (Kind::Nts, 2.5, 16, 8));
        let addresses = mob.addresses(&mut |out: &mut [u8]| out.fill(0));
        let of = |n: usize| addresses[n].to_string();
        assert_eq!([of(0), of(7), of(8)], ["10.64.0.1", "10.64.0.8", "10.64.1.1"]);
        let check = |text: &str, reason: &str| {
            let said = text.parse::<Wanted>().unwrap_err();
            assert!(said.contains(reason), "{text}: {said}");
        };
        check("name=a", "rate");
        check("rate=1", "name");
        check("name=a,rate=NaN", "rate");
        check("name=a,rate=1,kind=nts,clients=4", "multiple of 8");
        check("name=a,rate=1,clients=0", "at least 1");
        check("name=a,rate=1,per-prefix=255", "1 to 254");
        check("name=a,rate=1,from=here", "no address");
        check("name=a,rate=1,colour=red", "not one of");
        check("name", "no =");
    }

    #[test]
    fn recovered_is_when_a_window_is_answered_whole() {
        let every_ms = |bad: std::ops::Range<u64>| -> Vec<(u64, bool)> {
            (0..1000).map(|ms| (ms * 1_000_000, !bad.contains(&ms))).collect()
        };
        let check = |bad, expected: Option<f64>| {
            assert_eq!(recovery(&every_ms(bad), 0), expected);
        };
        check(0..0, Some(0.1));
        check(0..1, Some(0.1)); // 1 of 100 may be lost
        check(0..2, Some(0.11));
        check(0..200, Some(0.3));
        check(0..1000, None);
        assert_eq!(recovery(&[], 0), None);
    }

    #[test]
    fn an_answer_counts_once_and_for_its_client_only() {
        let route = Route {
            to_mac: [2, 0, 0, 0, 0, 1],
            from_mac: [2, 0, 0, 0, 0, 2],
            to: Ipv4Addr::new(10, 0, 0, 9),
            port: 123,
        };
        let wanted = "name=a,rate=1,from=10.0.0.0,clients=2,per-prefix=2".parse().unwrap();
        let mut random = |out: &mut [u8]| out.fill(0);
        let mut crowd = Crowd::new(wanted, true, &route, 20_000, None, &mut random).unwrap();
        let mut room = [0; 48];
        let answer = |crowd: &Crowd, n, room: &mut [u8; 48]| {
            let mut answer = crowd.frame(n, room).1.to_vec();
            answer.copy_within(40..48, 24);
            answer[0] = 4 << 3 | 4;
            answer[1] = 1;
            answer
        };
        let (first, second) = (answer(&crowd, 0, &mut room), answer(&crowd, 1, &mut room));
        let (one, two) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let ms = Duration::from_millis;
        crowd.note_sent(Phase::Flood, ms(1));
        assert!(crowd.take(&first, two, ms(3)).is_err(), "another client's");
        assert_eq!(crowd.take(&first, one, ms(3)), Ok(()));
        assert_eq!(crowd.take(&first, one, ms(4)), Ok(()), "a second time");
        assert_eq!(crowd.take(&second, two, ms(4)), Ok(()), "not sent yet");
        crowd.note_sent(Phase::Flood, ms(5));
        let fate = crowd.fate(ms(6));
        let flood = fate.flood.unwrap();
        assert_eq!((flood.sent, flood.good, flood.p99_us, fate.late), (2, 1, 2000.0, 2));
        assert_eq!((fate.prefixes, fate.prefix_most), (1, 1));
    }
}
