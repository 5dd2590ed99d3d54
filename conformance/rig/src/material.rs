//! Requests made beforehand, and what a good answer to each looks like.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::rc::Rc;

use noonmark_nts::{AeadKey, Random, open_answer, write_request};
use noonmark_packet::{HEADER_LEN, Header, Mode, Packet};
use noonmark_units::Timestamp;

use crate::conversation::Conversations;
use crate::establish::Session;

/// What a generator sends: requests that are all of one length and get answers of one length.
pub enum Material {
    /// 48 octets, each with a transmit time stamp of its own.
    Plain,
    /// The same in interleaved mode, which takes that each client remembers what it heard last.
    Interleaved(Conversations),
    /// Ready-made requests under NTS, sent over and over.
    Protected {
        /// The requests, all of one length.
        requests: Vec<Request>,
        /// Fewest cookies a good answer brings.
        fewest: usize,
    },
}

/// A request under NTS, and what is needed to read its answer.
pub struct Request {
    octets: Vec<u8>,
    unique: [u8; 32],
    /// The key of the session's answers; none if they are not to be verified.
    s2c: Option<Rc<AeadKey>>,
}

impl Material {
    /// `count` different requests, each asking for `cookies` cookies, from `sessions` in turn. An answer with fewer
    /// than `fewest` is a bad one.
    ///
    /// # Errors
    /// That there is no session, or that a request would be longer than a packet of NTP may be.
    pub fn protected(
        sessions: &[Session],
        count: usize,
        cookies: usize,
        fewest: usize,
        random: &mut dyn Random,
    ) -> Result<Self, String> {
        let keys: Vec<_> = sessions
            .iter()
            .map(|session| (session.keys.c2s_key(), Rc::new(session.keys.s2c_key())))
            .collect();
        let mut requests = Vec::with_capacity(count);
        let turns = sessions.iter().zip(&keys).cycle().zip(0..count);
        for ((session, (c2s, s2c)), n) in turns {
            let turn = n / sessions.len();
            let cookie = session
                .cookies
                .get(turn % session.cookies.len().max(1))
                .ok_or("a key establishment gave no cookie")?;
            let mut unique = [0; 32];
            random.fill(&mut unique);
            unique[..4].copy_from_slice(&(n as u32).to_be_bytes());
            let mut nonce = [0; 16];
            random.fill(&mut nonce);
            let nonce = &nonce[..c2s.aead().nonce_len()];
            let mut octets = vec![0; 2048];
            let header = Header::client(stamp(n as u64));
            let len = write_request(&mut octets, &header, &unique, cookie, cookies - 1, c2s, nonce)
                .map_err(|e| format!("{cookies} cookies: {e}"))?;
            octets.truncate(len);
            requests.push(Request { octets, unique, s2c: Some(s2c.clone()) });
        }
        match requests.is_empty() {
            true => Err("no session".into()),
            false => Ok(Self::Protected { requests, fewest }),
        }
    }

    /// Takes answers under NTS for good without a look at their tags.
    pub fn trust_answers(&mut self) {
        if let Self::Protected { requests, .. } = self {
            requests.iter_mut().for_each(|request| request.s2c = None);
        }
    }

    /// Spoils the last octet of every cookie, so that none opens, though each names a key the server has.
    pub fn forge_cookies(&mut self) {
        if let Self::Protected { requests, .. } = self {
            for request in requests {
                // The cookie is the second field, behind the unique identifier; its length counts its own four octets.
                let length = request.octets.get(COOKIE_AT + 2..COOKIE_AT + 4);
                let length = length.map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]));
                spoil(request.octets.get_mut(COOKIE_AT + length - 1));
            }
        }
    }

    /// Spoils the tag of every request: its cookie opens, and then it is seen to come from somebody else.
    pub fn forge_tags(&mut self) {
        if let Self::Protected { requests, .. } = self {
            requests.iter_mut().for_each(|request| spoil(request.octets.last_mut()));
        }
    }

    /// How many different requests there are; none if every request is a new one.
    pub fn distinct(&self) -> Option<usize> {
        match self {
            Self::Plain | Self::Interleaved(_) => None,
            Self::Protected { requests, .. } => Some(requests.len()),
        }
    }

    /// The number of the request that somebody says to answer, modulo 2³² and [`Material::distinct`].
    pub fn number(answer: &[u8]) -> Option<u32> {
        number(Packet::parse(answer).ok()?.origin())?.try_into().ok()
    }

    /// Octets of every request.
    pub fn request_len(&self) -> usize {
        match self {
            Self::Plain | Self::Interleaved(_) => HEADER_LEN,
            Self::Protected { requests, .. } => {
                requests.first().map_or(0, |first| first.octets.len())
            }
        }
    }

    /// The `n`-th request; a plain one is written into `room`.
    pub fn request<'a>(&'a self, n: u64, room: &'a mut [u8; HEADER_LEN]) -> &'a [u8] {
        match self {
            Self::Plain => {
                Header::client(stamp(n)).write(room);
                room
            }
            Self::Interleaved(conversations) => {
                conversations.request(n).write(room);
                room
            }
            Self::Protected { requests, .. } => {
                &requests[(n % requests.len() as u64) as usize].octets
            }
        }
    }

    /// The look every answer gets: mode 4, not a kiss, no longer than its request, and under NTS not without cookies.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub fn glance(&self, answer: &[u8]) -> Result<(), String> {
        match answer {
            [first, ..] if first & 7 != 4 => Err(format!("mode {}", first & 7)),
            [_, 0, ..] => Err("a kiss, or not synchronised".into()),
            [_, _, ..] if self.lengths().contains(&answer.len()) => Ok(()),
            _ => Err(format!("{} octets to {}", answer.len(), self.request_len())),
        }
    }

    /// Octets a good answer has: under NTS at least header, unique identifier, and an authenticator with one cookie.
    fn lengths(&self) -> RangeInclusive<usize> {
        let request = self.request_len();
        match self {
            Self::Plain | Self::Interleaved(_) => HEADER_LEN..=request,
            Self::Protected { .. } => HEADER_LEN + 36 + 40 + 64..=request,
        }
    }

    /// The number of the last of `sent` requests that an answer may be to.
    pub fn latest(&self, answer: &[u8], sent: u64) -> Option<u64> {
        let n = number(Packet::parse(answer).ok()?.origin())?;
        // Counted modulo 2^32, or modulo how many different ones there are.
        let turn = self.distinct().map_or(1 << 32, |distinct| distinct as u64);
        let last = sent.checked_sub(1)?;
        last.checked_sub((last % turn + turn).checked_sub(n)? % turn)
    }

    /// Notes what an answer tells the client at `to`; whether the answer was in interleaved mode.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn hear(&self, answer: &[u8], to: Option<Ipv4Addr>) -> Result<bool, String> {
        match (self, to) {
            (Self::Interleaved(conversations), Some(to)) => conversations.hear(answer, to),
            _ => Ok(false),
        }
    }

    /// The look one answer in many gets: it is to a request among the first `sent`, and under NTS its tag verifies.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub fn examine(&self, answer: &[u8], sent: u64) -> Result<(), String> {
        let packet = Packet::parse(answer).map_err(|e| e.to_string())?;
        if packet.mode() != Mode::Server {
            return Err(format!("mode {:?}", packet.mode()));
        }
        let n = number(packet.origin())
            .filter(|n| *n < sent)
            .ok_or_else(|| format!("origin {:?} of no request", packet.origin()))?;
        let Self::Protected { requests, fewest } = self else { return Ok(()) };
        let request = requests.get(n as usize).ok_or("origin of no request")?;
        let Some(s2c) = &request.s2c else { return Ok(()) };
        let mut octets = answer.to_vec();
        let answer =
            open_answer(&mut octets, &request.unique, s2c).map_err(|error| error.to_string())?;
        match answer.cookies().count() {
            cookies if cookies >= *fewest => Ok(()),
            cookies => Err(format!("{cookies} cookies")),
        }
    }
}

/// The transmit time stamp of the `n`-th request: a mark, then the number.
pub(crate) fn stamp(n: u64) -> Timestamp {
    Timestamp::from_bits(MARK << 32 | n & 0xffff_ffff)
}

/// The number of the request an origin time stamp came from, be it the transmit or the receive time stamp of it.
fn number(origin: Timestamp) -> Option<u64> {
    let bits = origin.to_bits();
    [MARK, MARK_OF_RECEIVE].contains(&(bits >> 32)).then_some(bits & 0xffff_ffff)
}

fn spoil(octet: Option<&mut u8>) {
    if let Some(octet) = octet {
        *octet ^= 0xff;
    }
}

/// Where a request's cookie field begins: header, then a unique identifier of 32 octets in a field.
const COOKIE_AT: usize = HEADER_LEN + 36;

const MARK: u64 = 0x6e6f_6f6e;
/// What the receive time stamps of requests in interleaved mode begin with.
pub(crate) const MARK_OF_RECEIVE: u64 = 0x6d61_726b;

#[cfg(test)]
mod tests {
    use super::*;
    use noonmark_nts::{Aead, Request as Asked, SessionKeys, classify, open_request};
    use noonmark_packet::Header;

    fn answer(change: impl Fn(&mut Header)) -> [u8; HEADER_LEN] {
        let mut header = Header::client(Timestamp::UNSET);
        header.mode = Mode::Server;
        header.stratum = 1;
        header.origin = stamp(7);
        change(&mut header);
        let mut octets = [0; HEADER_LEN];
        header.write(&mut octets);
        octets
    }

    #[test]
    fn only_answers_to_requests_that_were_sent_are_good() {
        fn check(answer: &[u8], sent: u64, expected: bool) {
            let material = Material::Plain;
            let good = material.glance(answer).and_then(|()| material.examine(answer, sent));
            assert_eq!(good.is_ok(), expected, "{good:?}");
        }
        check(&answer(|_| ()), 8, true);
        check(&answer(|_| ()), 7, false);
        check(&answer(|header| header.stratum = 0), 8, false);
        check(&answer(|header| header.mode = Mode::Client), 8, false);
        check(&answer(|header| header.origin = Timestamp::from_bits(7)), 8, false);
        check(&[answer(|_| ()).as_slice(), &[0; 4]].concat(), 8, false);
        check(&[], 8, false);
    }

    #[test]
    fn an_answer_is_to_the_last_request_of_its_number() {
        let keys = SessionKeys::new(Aead::SivCmac256, &[1; 32], &[2; 32]).unwrap();
        let session = Session { keys, cookies: vec![vec![7; 100]], server: None };
        let mut random = |out: &mut [u8]| out.fill(9);
        let ten = Material::protected(std::slice::from_ref(&session), 10, 1, 1, &mut random);
        let (ten, plain) = (ten.unwrap(), Material::Plain);
        let seven = answer(|_| ());
        let check = |material: &Material, sent: u64, expected: Option<u64>| {
            assert_eq!(material.latest(&seven, sent), expected, "{sent}");
        };
        check(&plain, 7, None);
        check(&plain, 8, Some(7));
        check(&plain, 1 << 32 | 8, Some(1 << 32 | 7));
        check(&plain, 1 << 32 | 7, Some(7));
        check(&ten, 8, Some(7));
        check(&ten, 17, Some(7));
        check(&ten, 18, Some(17));
        check(&ten, 25, Some(17));
        check(&ten, 0, None);
    }

    #[test]
    fn what_is_forged_is_spoiled_where_it_says() {
        let keys = SessionKeys::new(Aead::SivCmac256, &[1; 32], &[2; 32]).unwrap();
        let session = Session { keys, cookies: vec![vec![7; 100]], server: None };
        let check = |spoil: fn(&mut Material), cookie: bool, tag: bool| {
            let mut random = |out: &mut [u8]| out.fill(9);
            let sessions = std::slice::from_ref(&session);
            let mut material = Material::protected(sessions, 1, 1, 1, &mut random).unwrap();
            spoil(&mut material);
            let mut octets = material.request(0, &mut [0; HEADER_LEN]).to_vec();
            let asked = classify(&Packet::parse(&octets).unwrap()).unwrap();
            let Asked::Protected(fields) = asked else { panic!("no NTS in it") };
            assert_eq!(fields.cookie(&octets) == [7; 100], cookie);
            assert_eq!(open_request(&mut octets, &fields, &session.keys).is_ok(), tag);
        };
        check(|_| (), true, true);
        // The tag covers the cookie as well.
        check(Material::forge_cookies, false, false);
        check(Material::forge_tags, true, false);
    }
}
