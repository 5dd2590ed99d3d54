//! `restrict`, and how often clients may ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Conf;
use super::tuning::spoils;
use crate::import::ledger::{At, Outcome};
use crate::import::number::{duration, real, whole};

/// What `restrict` lines add up to.
#[derive(Default)]
pub(super) struct Access {
    rules: Vec<Rule>,
    places: HashMap<IpNet, usize>,
    /// Lines about names, and whether they keep somebody out.
    names: Vec<(At, bool)>,
    /// Lines with `limited`.
    limited: Vec<At>,
    /// Lines that say how often.
    limits: Vec<At>,
    /// Mean seconds between answers to a client, and answers at once.
    interval: Option<f64>,
    burst: Option<i64>,
    wants_keys: bool,
}

struct Rule {
    prefix: IpNet,
    is_closed: bool,
    at: At,
}

impl Access {
    /// Whether some clients are served only if they prove that they have a key.
    pub(super) fn wants_keys(&self) -> bool {
        self.wants_keys
    }

    /// Flags of lines about the same prefix add up.
    fn add(&mut self, prefix: IpNet, is_closed: bool, at: At) {
        match self.places.get(&prefix) {
            Some(&place) => self.rules[place].is_closed |= is_closed,
            None => {
                self.places.insert(prefix, self.rules.len());
                self.rules.push(Rule { prefix, is_closed, at });
            }
        }
    }

    fn is_closed(&self, prefix: IpNet) -> bool {
        self.places.get(&prefix).is_some_and(|&place| self.rules[place].is_closed)
    }
}

/// Whom a line is about.
enum Whom {
    Prefixes(Vec<IpNet>),
    /// Servers that are asked, as pools bring them.
    Sources,
    Name,
}

const EVERYBODY: [IpNet; 2] = [
    IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

impl Conf<'_, '_> {
    pub(super) fn restrict(&mut self, at: At, rest: &[String]) {
        let (whom, flags) = match self.whom(at, rest) {
            Ok(found) => found,
            Err(what) => return self.refused(at, &what),
        };
        let (mut is_closed, mut is_limited, mut may_query) = (false, false, true);
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            match flag.as_str() {
                "ignore" => (is_closed, may_query) = (true, false),
                "noserve" => is_closed = true,
                "notrust" => {
                    is_closed = true;
                    self.access.wants_keys = true;
                    let note = "notrust: only requests with a symmetric key were answered, so nobody is; write action = \"allow\" to answer them all";
                    self.work.lost(at, note);
                }
                "limited" => is_limited = true,
                "noquery" => may_query = false,
                "kod" | "nomodify" | "notrap" | "nopeer" | "noepeer" | "nomrulist"
                | "lowpriotrap" | "epeer" => {}
                "ippeerlimit" => {
                    let _ = flags.next();
                }
                "ntpport" => {
                    self.work.note(at, Outcome::Changed, "ntpport: it counts for all ports");
                }
                "version" => {
                    self.work.lost(
                        at,
                        "version: write versions = [4] in [server], which counts for all clients",
                    );
                }
                "flake" => self.work.lost(at, "flake: no answers are left out to try others"),
                "mssntp" => {
                    let note = "mssntp: answers are not signed for Windows domains: keep another server for domain members";
                    self.work.lost(at, note);
                }
                "serverresponse" | "fuzz" => {
                    self.work.note(
                        at,
                        Outcome::Ignored,
                        "fuzz: stamps below the clock's precision are random anyhow",
                    );
                }
                other => return self.refused(at, other),
            }
        }
        if is_limited {
            self.access.limited.push(at);
        }
        match whom {
            Whom::Sources => {
                self.work.note(at, Outcome::Ignored, "servers that are asked need no rule");
            }
            Whom::Name => self.access.names.push((at, is_closed)),
            Whom::Prefixes(prefixes) => {
                for prefix in prefixes {
                    self.access.add(prefix, is_closed, at);
                }
                if may_query && !is_closed {
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "ntpq gets no answer: use `noonmark status`",
                    );
                } else {
                    self.work.note(at, Outcome::Kept, "");
                }
            }
        }
    }

    /// Whom a line is about, and what is left of it; or the word that spoils it.
    fn whom<'r>(&mut self, at: At, rest: &'r [String]) -> Result<(Whom, &'r [String]), String> {
        let word = |index: usize| rest.get(index).map_or("", String::as_str);
        let family = match word(0) {
            "-4" => Some(4),
            "-6" => Some(6),
            _ => None,
        };
        let begin = usize::from(family.is_some());
        let (address, mut behind) = (word(begin), begin + 1);
        let whom = match address {
            "" => return Err(String::new()),
            "default" => Whom::Prefixes(match family {
                Some(4) => EVERYBODY[..1].to_vec(),
                Some(_) => EVERYBODY[1..].to_vec(),
                None => EVERYBODY.to_vec(),
            }),
            "source" => Whom::Sources,
            _ => {
                let mask = (word(behind) == "mask").then(|| word(behind + 1));
                behind += 2 * usize::from(mask.is_some());
                match prefix(address, mask) {
                    Some(prefix) => {
                        if address.contains('/') && !self.is_ntpsec {
                            let note = "ntpd 4.2 takes no length of a prefix and skips the line; here it counts";
                            self.work.note(at, Outcome::Changed, note);
                        }
                        Whom::Prefixes(vec![prefix])
                    }
                    None if mask.is_some() || address.parse::<IpAddr>().is_ok() => {
                        return Err(mask.unwrap_or(address).to_owned());
                    }
                    None => Whom::Name,
                }
            }
        };
        Ok((whom, rest.get(behind..).unwrap_or_default()))
    }

    pub(super) fn unrestrict(&mut self, at: At, rest: &[String]) {
        let Ok((Whom::Prefixes(prefixes), flags)) = self.whom(at, rest) else {
            return self.work.note(at, Outcome::Ignored, "no rule is made for it");
        };
        let opens =
            flags.is_empty() || flags.iter().any(|flag| flag == "ignore" || flag == "noserve");
        for prefix in prefixes.iter().filter(|_| opens) {
            if let Some(&place) = self.access.places.get(prefix) {
                self.access.rules[place].is_closed = false;
            }
        }
        self.work.note(at, Outcome::Kept, "");
    }

    /// `discard` of ntpd, `limit` of NTPsec.
    pub(super) fn limit(&mut self, at: At, words: &[String]) {
        let is_ntpsec = words[0] == "limit";
        self.is_ntpsec |= is_ntpsec;
        let known: &[&str] = if is_ntpsec {
            &["average", "burst", "kod"]
        } else {
            &["average", "minimum", "monitor"]
        };
        if let Some(word) = spoils(&words[1..], known) {
            return self.refused(at, word);
        }
        self.access.limits.push(at);
        for pair in words[1..].chunks(2) {
            let number = pair.get(1).and_then(|value| real(value));
            match (pair[0].as_str(), number) {
                // ntpd counts log2 of seconds, NTPsec answers in a second.
                ("average", Some(log2)) if !is_ntpsec => {
                    self.access.interval = Some(log2.clamp(-10.0, 12.0).exp2());
                }
                ("average", Some(rate)) if rate > 0.0 => self.access.interval = Some(1.0 / rate),
                ("burst", Some(burst)) => self.access.burst = Some(burst as i64),
                ("minimum", Some(_)) => {
                    let note =
                        "minimum: answers may follow each other at once, up to burst of them";
                    self.work.note(at, Outcome::Changed, note);
                }
                ("kod", Some(_)) => {
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "kod: one in `leak` requests over the limit gets an answer",
                    );
                }
                ("monitor", Some(_)) => {
                    self.work.note(
                        at,
                        Outcome::Ignored,
                        "monitor: clients are remembered in a table of fixed size",
                    );
                }
                (other, _) => return self.refused(at, other),
            }
        }
    }

    pub(super) fn finish_access(&mut self) {
        let access = std::mem::take(&mut self.access);
        let is_closed = access.rules.iter().any(|rule| rule.is_closed);
        for (at, closes) in &access.names {
            let default_closed = EVERYBODY.iter().any(|prefix| access.is_closed(*prefix));
            let note = match (closes, default_closed) {
                (true, _) => {
                    "a rule takes addresses: write an [[access]] with its prefix and action = \"ignore\""
                }
                (false, true) => {
                    "as a server it needs no rule; if it is to be a client too, write an [[access]] with its address and action = \"allow\""
                }
                (false, false) => "no rule is needed: everybody is served",
            };
            let outcome = match (closes, default_closed) {
                (true, _) => Outcome::Unsupported,
                (false, true) => Outcome::Changed,
                (false, false) => Outcome::Ignored,
            };
            self.work.note(*at, outcome, note);
        }
        for rule in access.rules.iter().filter(|_| is_closed) {
            let action = if rule.is_closed { "\"ignore\"" } else { "\"allow\"" };
            let keys =
                vec![("prefix", format!("\"{}\"", rule.prefix)), ("action", action.to_owned())];
            let because = self.work.ledger.origin(rule.at);
            self.work.draft.push("access", because, keys, false);
        }
        let Some((first, others)) = access.limited.split_first() else {
            for at in access.limits {
                self.work.note(at, Outcome::Ignored, "no rule says `limited`");
            }
            return;
        };
        // ntpd 4.2.8: a mean headway of 2^3 s; NTPsec: one packet in a second, 20 at once.
        let usual = if self.is_ntpsec { 1.0 } else { 8.0 };
        let (interval, _) = duration(access.interval.unwrap_or(usual), 0.001, 3600.0);
        let note = "limited: counts for all clients; a client that is over the limit is told so at random (leak), and served again when it asks less";
        self.work.set(*first, ("rate-limit", "interval"), interval, note);
        let burst = access.burst.or(self.is_ntpsec.then_some(20));
        if let Some(burst) = burst {
            self.work.draft.assume(
                ("rate-limit", "burst"),
                burst.clamp(1, 255).to_string(),
                "NTPsec's burst",
            );
        }
        for at in others {
            self.work.note(*at, Outcome::Kept, "limited: see [rate-limit]");
        }
        for at in access.limits {
            self.work.note(at, Outcome::Kept, "in [rate-limit]");
        }
    }
}

/// Address and mask, or address with a length, without the bits outside of it.
fn prefix(address: &str, mask: Option<&str>) -> Option<IpNet> {
    let (address, length) = match address.split_once('/') {
        Some((address, length)) => (address, Some(u8::try_from(whole(length)?).ok()?)),
        None => (address, None),
    };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let ip = address.parse::<IpAddr>().ok()?;
    let mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    let ip = ip.to_canonical();
    let whole_length = if ip.is_ipv4() { 32 } else { 128 };
    let length = match (length, mask) {
        (Some(length), _) if mapped => length.checked_sub(96)?,
        (Some(length), _) => length,
        (None, None) => whole_length,
        (None, Some(_)) if mapped => return None,
        (None, Some(mask)) => ipnet::ip_mask_to_prefix(mask.parse().ok()?)
            .ok()
            .filter(|_| mask.parse::<IpAddr>().is_ok_and(|mask| mask.is_ipv4() == ip.is_ipv4()))?,
    };
    Some(IpNet::new(ip, length).ok()?.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_become_prefixes() {
        let check = |address: &str, mask: Option<&str>, expected: Option<&str>| {
            let found = prefix(address, mask).map(|prefix| prefix.to_string());
            assert_eq!(found.as_deref(), expected, "{address} {mask:?}");
        };
        check("192.0.2.1", None, Some("192.0.2.1/32"));
        check("192.0.2.1", Some("255.255.255.0"), Some("192.0.2.0/24"));
        check("192.0.2.0", Some("255.0.255.0"), None);
        check("0.0.0.0", Some("0.0.0.0"), Some("0.0.0.0/0"));
        check("2001:db8::1", Some("ffff:ffff::"), Some("2001:db8::/32"));
        check("2001:db8::1", Some("255.255.255.0"), None);
        check("10.1.2.3/8", None, Some("10.0.0.0/8"));
        check("[::1]", None, Some("::1/128"));
        check("::ffff:192.0.2.1", None, Some("192.0.2.1/32"));
        check("10.1.2.3/33", None, None);
        check("time.example", None, None);
    }
}
