//! Whom chronyd serves: it opens no port before the first `allow`.

use std::net::IpAddr;
use std::path::Path;

use ipnet::{IpNet, Ipv4Net};

use super::Conf;
use crate::import::draft;
use crate::import::ledger::{At, Outcome};
use crate::import::number::{duration, list, quoted, real, whole};
use crate::settings::{AeadId, InterfaceName};

/// What the lines about serving add up to.
pub(super) struct Serving {
    rules: Vec<Rule>,
    /// Lines that say how it serves, judged once it is known whether it does.
    lines: Vec<At>,
    port: i64,
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
    device: Option<String>,
    certificates: Vec<(String, At)>,
    keys: Vec<(String, At)>,
    /// Keys of `[nts]`, which count once a certificate is named.
    nts: Vec<(&'static str, String, &'static str, At)>,
    dscp: Option<(i64, At)>,
    clients: Option<f64>,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            lines: Vec::new(),
            port: 123,
            v4: None,
            v6: None,
            device: None,
            certificates: Vec::new(),
            keys: Vec::new(),
            nts: Vec::new(),
            dscp: None,
            clients: None,
        }
    }
}

struct Rule {
    prefix: IpNet,
    is_open: bool,
    at: At,
}

impl Conf<'_, '_> {
    /// Whether the word is one about serving.
    pub(super) fn server(&mut self, at: At, word: &str, rest: &[&str], folder: &Path) -> bool {
        let file = match rest {
            [name] => draft::path(folder, name),
            _ => None,
        };
        match word {
            "allow" | "deny" => self.rule(at, rest, word == "allow"),
            "port" => match self.number(at, rest) {
                Some(port) if (0.0..=65535.0).contains(&port) => {
                    self.serving.port = port as i64;
                    self.serving.lines.push(at);
                }
                Some(_) => self.refused(at, &rest.join(" ")),
                None => {}
            },
            "bindaddress" => match rest.first().and_then(|text| text.parse::<IpAddr>().ok()) {
                Some(ip) if rest.len() == 1 => {
                    let place =
                        if ip.is_ipv4() { &mut self.serving.v4 } else { &mut self.serving.v6 };
                    *place = Some(ip);
                    self.serving.lines.push(at);
                }
                _ => self.refused(at, &rest.join(" ")),
            },
            "binddevice" => match rest.first().and_then(|name| InterfaceName::new(name)) {
                Some(name) if rest.len() == 1 => {
                    self.serving.device = Some(name.to_string());
                    self.serving.lines.push(at);
                }
                _ => self.refused(at, &rest.join(" ")),
            },
            "local" => self.local(at, rest),
            "ratelimit" => self.rate_limit(at, rest),
            "clientloglimit" => {
                if let Some(octets) = self.number(at, rest) {
                    self.serving.clients = Some(octets / 128.0);
                    self.serving.lines.push(at);
                }
            }
            "noclientlog" => {
                self.work.note(
                    at,
                    Outcome::Ignored,
                    "clients are remembered for [rate-limit] alone",
                );
            }
            "dscp" => match self.number(at, rest) {
                Some(code) if (0.0..64.0).contains(&code) => {
                    if let Some((_, before)) = self.serving.dscp.replace((code as i64, at)) {
                        self.work.note(before, Outcome::Ignored, "a later line says otherwise");
                    }
                }
                Some(_) => self.refused(at, &rest.join(" ")),
                None => {}
            },
            "ntsservercert" => match file {
                Some(file) => self.serving.certificates.push((file, at)),
                None => self.refused(at, &rest.join(" ")),
            },
            "ntsserverkey" => match file {
                Some(file) => self.serving.keys.push((file, at)),
                None => self.refused(at, &rest.join(" ")),
            },
            "ntsport" => match self.number(at, rest) {
                Some(port) if (1.0..=65535.0).contains(&port) => {
                    let port = port as i64;
                    let listen = format!("[\"[::]:{port}\", \"0.0.0.0:{port}\"]");
                    self.serving.nts.push(("listen", listen, "", at));
                }
                Some(_) => self.refused(at, &rest.join(" ")),
                None => {}
            },
            _ => return self.key_exchange(at, word, rest),
        }
        true
    }

    fn key_exchange(&mut self, at: At, word: &str, rest: &[&str]) -> bool {
        match word {
            "ntsprocesses" => {
                self.work.note(
                    at,
                    Outcome::Ignored,
                    "one process establishes keys, for many connections at once",
                );
            }
            "maxntsconnections" => {
                if let Some(count) = self.number(at, rest) {
                    let held = count.clamp(1.0, 65535.0);
                    let note = "in all, not for each process; 80 KiB each at worst";
                    self.serving.nts.push(("max-connections", format!("{held:.0}"), note, at));
                }
            }
            "ntsntpserver" => match rest {
                [host] if is_host(host) => {
                    self.serving.nts.push(("ntp-servers", list(&[quoted(host)]), "", at));
                }
                _ => self.refused(at, &rest.join(" ")),
            },
            "ntsaeads" => {
                let known = |text: &&&str| {
                    AeadId::ALL.iter().any(|(id, _)| Ok(id.get()) == text.parse::<u16>())
                };
                let mut wanted: Vec<String> = Vec::new();
                for text in rest.iter().filter(known) {
                    if !wanted.iter().any(|known| known == text) {
                        wanted.push((*text).to_owned());
                    }
                }
                if !wanted.iter().any(|text| text == "15") {
                    wanted.push("15".to_owned());
                }
                let note = "15 always among them";
                self.serving.nts.push(("aeads", list(&wanted), note, at));
                self.work.note(at, Outcome::Changed, "a client offers 30, 15 and 17");
            }
            "ntsrotate" => match self.number(at, rest) {
                Some(seconds) if seconds > 0.0 => {
                    let (length, is_same) = duration(seconds.round(), 60.0, 90.0 * 86_400.0);
                    let note = if is_same { "" } else { "from 1m to 90d" };
                    self.work.set(at, ("cookies", "rotation"), length, note);
                }
                Some(_) => self
                    .work
                    .lost(at, "0: keys cannot be brought from outside, each server makes its own"),
                None => {}
            },
            "ntsratelimit" => {
                let note = "connections are limited in number, max-per-prefix and max-connections in [nts]";
                self.work.note(at, Outcome::Changed, note);
            }
            "ntsdumpdir" | "ntscachedir" => {
                let note = "keys and cookies are kept in the state folder; those that chronyd kept are not read";
                self.work.note(at, Outcome::Changed, note);
            }
            "broadcast" => {
                self.work.lost(
                    at,
                    "time is not broadcast: name this server in the clients' configuration",
                );
            }
            "ntpsigndsocket" => {
                let note = "answers are not signed for Windows domains: keep another server for domain members";
                self.work.lost(at, note);
            }
            _ => return false,
        }
        true
    }

    fn rule(&mut self, at: At, rest: &[&str], is_open: bool) {
        let (is_all, subnet) = match rest {
            [] => (false, None),
            ["all"] => (true, None),
            ["all", subnet] => (true, Some(*subnet)),
            [subnet] => (false, Some(*subnet)),
            _ => return self.refused(at, &rest.join(" ")),
        };
        let prefixes = match subnet {
            None => everybody(),
            Some(subnet) => match prefix(subnet) {
                Some(prefix) => vec![prefix],
                None if subnet.parse::<IpAddr>().is_ok() => {
                    return self
                        .work
                        .lost(at, "it is an IPv4 address: write it as one in [[access]]");
                }
                None if is_host(subnet) => {
                    let action = if is_open { "allow" } else { "ignore" };
                    let note = format!(
                        "a rule takes addresses: write an [[access]] with its address and action = \"{action}\""
                    );
                    return self.work.lost(at, note);
                }
                None => return self.refused(at, subnet),
            },
        };
        for prefix in prefixes {
            let work = &mut *self.work;
            let by = work.ledger.place(at);
            self.serving.rules.retain(|rule| {
                let is_over = rule.prefix == prefix || (is_all && prefix.contains(&rule.prefix));
                if is_over {
                    work.ledger.note(
                        rule.at,
                        Outcome::Ignored,
                        format!("{by} takes the place of it"),
                    );
                }
                !is_over
            });
            self.serving.rules.push(Rule { prefix, is_open, at });
        }
    }

    fn local(&mut self, at: At, rest: &[&str]) {
        let mut stratum = 10;
        let mut keys: Vec<(&'static str, String)> = Vec::new();
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            let word = word.to_ascii_lowercase();
            if word == "orphan" {
                keys.push(("local-orphan", "true".to_owned()));
                continue;
            }
            let Some(number) = words.next().and_then(|value| real(value)) else {
                return self.refused(at, &rest.join(" "));
            };
            let length = |longest: f64| duration(number, 0.0, longest).0;
            match word.as_str() {
                "stratum" if (1.0..16.0).contains(&number) => stratum = number as i64,
                "distance" => keys.push(("local-distance", length(16.0))),
                "activate" => keys.push(("local-activate", length(16.0))),
                "waitunsynced" => keys.push(("local-wait", length(7.0 * 86_400.0))),
                "waitsynced" => {
                    self.work.note(
                        at,
                        Outcome::Changed,
                        "waitsynced: local-wait counts from the last source that was followed, too",
                    );
                }
                _ => return self.refused(at, &rest.join(" ")),
            }
        }
        self.work.set(at, ("server", "local-stratum"), stratum.to_string(), "");
        for (key, value) in keys {
            self.work.set(at, ("server", key), value, "");
        }
    }

    fn rate_limit(&mut self, at: At, rest: &[&str]) {
        let (mut interval, mut burst, mut leak, mut kod) = (3.0, 8, 2, 0);
        for pair in rest.chunks(2) {
            let number = pair.get(1).and_then(|value| whole(value));
            match (pair[0].to_ascii_lowercase().as_str(), number) {
                ("interval", Some(log2)) => interval = log2.clamp(-20, 20) as f64,
                ("burst", Some(count)) => burst = count.clamp(1, 255),
                ("leak", Some(log2)) => leak = log2.clamp(0, 7),
                ("kod", Some(log2)) => kod = log2,
                _ => return self.refused(at, &rest.join(" ")),
            }
        }
        let (length, is_same) = duration(interval.exp2(), 0.001, 3600.0);
        let note = match (is_same, kod) {
            (false, _) => "from 1ms to 1h",
            (true, 0) => "",
            (true, _) => "kod: who is over the limit and gets an answer is told so",
        };
        self.work.set(at, ("rate-limit", "interval"), length, note);
        self.work.set(at, ("rate-limit", "burst"), burst.to_string(), "");
        self.work.set(at, ("rate-limit", "leak"), (1 << leak).to_string(), "");
    }

    /// Whether anybody is served.
    pub(super) fn is_serving(&self) -> bool {
        self.serving.port != 0 && self.serving.rules.iter().any(|rule| rule.is_open)
    }

    pub(super) fn finish_server(&mut self) {
        let is_serving = self.is_serving();
        let serving = std::mem::take(&mut self.serving);
        if !is_serving {
            self.serve_nobody(serving);
            return;
        }
        for at in &serving.lines {
            self.work.note(*at, Outcome::Kept, "in [server]");
        }
        let address = |ip: Option<IpAddr>, all: [u8; 4]| {
            let all = if all == [0; 4] { IpAddr::from(all) } else { IpAddr::from([0_u8; 16]) };
            let ip =
                ip.filter(|ip| !ip.is_multicast() && *ip != IpAddr::from([255; 4])).unwrap_or(all);
            quoted(&std::net::SocketAddr::new(ip.to_canonical(), serving.port as u16).to_string())
        };
        let mut listen = vec![address(serving.v6, [1; 4]), address(serving.v4, [0; 4])];
        listen.dedup();
        self.work.draft.assume(("server", "listen"), list(&listen), "chronyd answers here");
        self.work.draft.assume(
            ("server", "versions"),
            "[1, 2, 3, 4]",
            "chronyd answers all of them",
        );
        if let Some((code, at)) = serving.dscp {
            self.work.set(
                at,
                ("server", "dscp"),
                code.to_string(),
                "for answers; questions go out without one",
            );
        }
        if let Some(device) = serving.device {
            self.work.draft.assume(
                ("server", "interfaces"),
                list(&[quoted(&device)]),
                "binddevice",
            );
        }
        let mut clients = serving.clients.map_or(4096.0, |count| count.clamp(1.0, 1_048_576.0));
        if serving.clients == Some(0.0) {
            clients = 1.0;
        }
        if self.work.draft.has("rate-limit", "interval") {
            self.work.draft.assume(
                ("rate-limit", "table-size"),
                format!("{clients:.0}"),
                "as many clients as chronyd remembers",
            );
        }
        self.push_rules(&serving.rules);
        self.finish_certificates(&serving.certificates, &serving.keys, serving.nts);
    }

    /// Who is named by no rule is not served.
    fn push_rules(&mut self, rules: &[Rule]) {
        let push = |work: &mut crate::import::work::Work<'_>,
                    prefix: &IpNet,
                    is_open: bool,
                    because: String| {
            let action = if is_open { "\"allow\"" } else { "\"ignore\"" };
            let keys = vec![("prefix", format!("\"{prefix}\"")), ("action", action.to_owned())];
            work.draft.push("access", because, keys, false);
        };
        for prefix in everybody() {
            if !rules.iter().any(|rule| rule.prefix == prefix) {
                push(
                    self.work,
                    &prefix,
                    false,
                    "chronyd serves whom `allow` names and nobody else".to_owned(),
                );
            }
        }
        for rule in rules {
            let because = self.work.ledger.origin(rule.at);
            push(self.work, &rule.prefix, rule.is_open, because);
            self.work.note(rule.at, Outcome::Kept, "[[access]]");
        }
    }

    fn finish_certificates(
        &mut self,
        certificates: &[(String, At)],
        keys: &[(String, At)],
        others: Vec<(&'static str, String, &'static str, At)>,
    ) {
        let pair = certificates.first().zip(keys.first());
        if let Some(((certificate, certificate_at), (key, key_at))) = pair {
            self.work.set(*certificate_at, ("nts", "certificate"), certificate.clone(), "");
            let note = "the file has to belong to root or to the running user, its group may at most read it";
            self.work.set(*key_at, ("nts", "key"), key.clone(), note);
        }
        for (key, value, note, at) in others {
            if pair.is_none() {
                self.work.note(
                    at,
                    Outcome::Ignored,
                    "no certificate is named, so nobody establishes keys here",
                );
                continue;
            }
            if key == "max-connections" {
                let each = value.parse::<u32>().map_or(1, |count| count.min(32));
                self.work.draft.remove("nts", "max-per-prefix");
                self.work.draft.assume(
                    ("nts", "max-per-prefix"),
                    each.to_string(),
                    "no more than max-connections",
                );
            }
            self.work.set(at, ("nts", key), value, note);
        }
        for (at, beyond) in
            certificates.iter().zip(1..).chain(keys.iter().zip(1..)).map(|((_, at), n)| (*at, n))
        {
            if certificates.is_empty() || keys.is_empty() {
                self.work.lost(
                    at,
                    "certificate and key are not both named: write [nts] with certificate and key",
                );
            } else if beyond > 1 {
                self.work.lost(at, "one certificate is served: give it all names");
            }
        }
    }

    fn serve_nobody(&mut self, serving: Serving) {
        let why = if serving.port == 0 {
            "port 0: nobody is served"
        } else {
            "without `allow` nobody is served"
        };
        let others = serving.certificates.iter().chain(&serving.keys).map(|(_, at)| *at);
        for at in serving
            .lines
            .iter()
            .copied()
            .chain(others)
            .chain(serving.rules.iter().map(|rule| rule.at))
        {
            self.work.note(at, Outcome::Kept, why);
        }
        for (_, _, _, at) in serving.nts {
            self.work.note(at, Outcome::Ignored, why);
        }
        if let Some((_, at)) = serving.dscp {
            self.work.lost(at, "questions go out without a code point");
        }
        if self.work.draft.has_table("source") && self.work.draft.has_table("server") {
            self.work.draft.assume(
                ("server", "listen"),
                "[]",
                "chronyd serves nobody without `allow`",
            );
        }
    }
}

fn everybody() -> Vec<IpNet> {
    ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse().ok()).collect()
}

/// An address, `192.168` (the octets that are there), either with `/` and a length.
fn prefix(text: &str) -> Option<IpNet> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    if let Ok(ip) = address.parse::<IpAddr>() {
        let mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
        if mapped {
            return None;
        }
        let whole_length = if ip.is_ipv4() { 32 } else { 128 };
        return Some(IpNet::new(ip, length.unwrap_or(whole_length)).ok()?.trunc());
    }
    let mut octets = [0_u8; 4];
    let parts: Vec<&str> = address.split('.').collect();
    if parts.len() > 3 {
        return None;
    }
    for (octet, part) in octets.iter_mut().zip(&parts) {
        *octet = part.parse().ok()?;
    }
    let length = length.unwrap_or(8 * parts.len() as u8);
    Some(IpNet::V4(Ipv4Net::new(octets.into(), length).ok()?.trunc()))
}

fn is_host(text: &str) -> bool {
    let text = format!("[[source]]\nserver = {}\n", quoted(text));
    !text.contains('%') && crate::parse(&text, Path::new("/")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_read_as_chronyd_reads_them() {
        let check = |text: &str, expected: Option<&str>| {
            let found = prefix(text).map(|prefix| prefix.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("1.2.3.4", Some("1.2.3.4/32"));
        check("1.2", Some("1.2.0.0/16"));
        check("10", Some("10.0.0.0/8"));
        check("192.168.1.7/24", Some("192.168.1.0/24"));
        check("1.2/12", Some("1.0.0.0/12"));
        check("2001:db8::/32", Some("2001:db8::/32"));
        check("0/0", Some("0.0.0.0/0"));
        check("::/0", Some("::/0"));
        check("1.2.3.4/33", None);
        check("time.example", None);
        check("300.1", None);
    }
}
