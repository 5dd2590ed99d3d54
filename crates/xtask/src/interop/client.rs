//! Other people's clients: started towards the server of a place, and asked what they think of it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Family, Lab, Place};
use crate::child::{self, last_lines};
use crate::netns::Daemon;
use crate::peers::Peers;

/// Whose client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// chrony's chronyd.
    Chrony,
    /// NTPsec's ntpd.
    Ntpsec,
    /// ntpd-rs' ntp-daemon, as Debian has it.
    NtpdRs,
    /// A newer one, built from its crate.
    NewerNtpdRs,
}

impl Kind {
    /// The program's name, as rows show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Chrony => "chronyd",
            Self::Ntpsec => "NTPsec",
            Self::NtpdRs => "ntpd-rs",
            Self::NewerNtpdRs => "ntpd-rs 1.9",
        }
    }
}

/// What a client says of its only source.
#[derive(Clone, Debug)]
pub struct Seen {
    /// It takes its time from it.
    pub selected: bool,
    /// Its last answer was authenticated with NTS.
    pub authenticated: bool,
    /// Its last answer was in interleaved mode.
    pub interleaved: bool,
    /// The AEAD agreed, where the client tells.
    pub aead: Option<u64>,
    /// Its offset, seconds, without regard to sign conventions.
    pub offset_s: f64,
    /// Answers accepted so far.
    pub accepted: u64,
    /// Key establishments that succeeded so far.
    pub establishments: u64,
    /// Answers refused so far: kiss codes and answers that failed a check, where the client counts them.
    pub refused: u64,
    /// Cookies in hand.
    pub cookies: u64,
}

/// A running client.
pub struct Client<'a> {
    kind: Kind,
    place: &'a Place,
    lab: &'a Lab,
    daemon: Daemon,
}

const LIMIT: Duration = Duration::from_secs(15);

impl<'a> Client<'a> {
    /// Starts one that knows a single server, with NTS, polled every second or two. `aead`: the one to offer, for
    /// clients that can be told.
    ///
    /// # Errors
    /// What the file system or starting it says.
    pub fn start(
        kind: Kind,
        lab: &'a Lab,
        place: &'a Place,
        family: Family,
        aead: u16,
    ) -> Result<Self, String> {
        let command = match kind {
            Kind::Chrony => chrony(lab, place, family, aead)?,
            Kind::Ntpsec => ntpsec(lab, place, family, aead)?,
            Kind::NtpdRs => ntpd_rs(lab, place, family)?,
            Kind::NewerNtpdRs => newer_ntpd_rs(lab, place, family)?,
        };
        let daemon = place.pair.client.start(&command, &place.path("client.log"))?;
        Ok(Self { kind, place, lab, daemon })
    }

    /// Starts chronyd with a single server, asked every second in interleaved mode, under NTS or plain.
    ///
    /// # Errors
    /// What the file system or starting it says.
    pub fn start_interleaved(
        lab: &'a Lab,
        place: &'a Place,
        family: Family,
        nts: bool,
    ) -> Result<Self, String> {
        let (options, more) = if nts {
            (" nts", format!("authselectmode require\nntstrustedcerts {}/ca.pem\n", place.inside))
        } else {
            ("", String::new())
        };
        let server = format!("{}{options} xleave", family.server_name());
        let command = chrony_with(lab, place, &server, &more)?;
        let daemon = place.pair.client.start(&command, &place.path("client.log"))?;
        Ok(Self { kind: Kind::Chrony, place, lab, daemon })
    }

    /// One that was started elsewhere and is asked in the folder of `place`.
    pub fn watch(kind: Kind, lab: &'a Lab, place: &'a Place, daemon: Daemon) -> Self {
        Self { kind, place, lab, daemon }
    }

    /// Asks it.
    ///
    /// # Errors
    /// What it says instead of an account of its source.
    pub fn look(&self) -> Result<Seen, String> {
        match self.kind {
            Kind::Chrony => self.look_at_chrony(),
            Kind::Ntpsec => self.look_at_ntpsec(),
            Kind::NtpdRs | Kind::NewerNtpdRs => self.look_at_ntpd_rs(),
        }
    }

    /// Asks until the answer is as wanted.
    ///
    /// # Errors
    /// When the time is up or the client ends: what it said last, and the end of its log.
    pub fn wait_until(
        &mut self,
        limit: Duration,
        good: impl Fn(&Seen) -> bool,
    ) -> Result<Seen, String> {
        let start = Instant::now();
        loop {
            let unfit = match self.look() {
                Ok(seen) if good(&seen) => return Ok(seen),
                Ok(seen) => format!("{seen:?}"),
                Err(problem) => problem,
            };
            let ended = self.daemon.ended();
            if ended.is_some() || start.elapsed() >= limit {
                let how = ended.unwrap_or_else(|| format!("after {} s", limit.as_secs()));
                return Err(format!(
                    "{} {how}: {unfit}\n{}",
                    self.kind.label(),
                    last_lines(&self.daemon.said(), 12)
                ));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn look_at_chrony(&self) -> Result<Seen, String> {
        let ask = |arguments: &[&str]| {
            let mut chronyc = self.lab.peers.command(Peers::CHRONYC);
            chronyc
                .arg("-h")
                .arg(format!("{}/client.sock", self.place.chrony()))
                .arg("-n")
                .args(arguments);
            child::output(LIMIT, &chronyc)
        };
        let (data, keys, sources) =
            (ask(&["ntpdata"])?, ask(&["-c", "authdata"])?, ask(&["-c", "sources"])?);
        read_chrony(&data, &keys, &sources).ok_or_else(|| format!("{data}{keys}{sources}"))
    }

    fn look_at_ntpsec(&self) -> Result<Seen, String> {
        let ask = |question: &str| {
            let mut ntpq = self.lab.peers.command(Peers::NTPQ);
            ntpq.args(["-c", question, "127.0.0.1"]);
            self.place.pair.client.output(LIMIT, &ntpq)
        };
        let associations = ask("associations")?;
        let id = associations.lines().rev().find_map(|line| line.split_whitespace().nth(1));
        let id = id.filter(|id| id.parse::<u16>().is_ok()).ok_or("ntpq: no association")?;
        let (variables, counts) = (ask(&format!("rv {id}"))?, ask("ntsinfo")?);
        let log = std::fs::read_to_string(self.place.path("ntpsec.log")).unwrap_or_default();
        read_ntpsec(&variables, &counts, &log).ok_or_else(|| format!("{variables}{counts}"))
    }

    fn look_at_ntpd_rs(&self) -> Result<Seen, String> {
        let octets = self.place.read_socket("observe.sock")?;
        read_ntpd_rs(&octets, &self.daemon.said())
            .ok_or_else(|| String::from_utf8_lossy(&octets).into_owned())
    }
}

fn chrony(lab: &Lab, place: &Place, family: Family, aead: u16) -> Result<Command, String> {
    let server = format!("{} nts", family.server_name());
    let folder = &place.inside;
    let more =
        format!("authselectmode require\nntstrustedcerts {folder}/ca.pem\nntsaeads {aead}\n");
    chrony_with(lab, place, &server, &more)
}

/// `server`: its name and options; `more`: further lines.
fn chrony_with(lab: &Lab, place: &Place, server: &str, more: &str) -> Result<Command, String> {
    let (folder, private) = (&place.inside, place.chrony());
    let text = format!(
        "server {server} iburst minpoll 0 maxpoll 0\n{more}\
         cmdport 0\n\
         bindcmdaddress {private}/client.sock\n\
         pidfile {folder}/client.pid\n"
    );
    place.write("client.conf", &text)?;
    let mut command = lab.peers.command(Peers::CHRONYD);
    command.args(["-x", "-u", "root", "-F", "0", "-d", "-f"]).arg(format!("{folder}/client.conf"));
    Ok(command)
}

fn ntpsec(lab: &Lab, place: &Place, family: Family, aead: u16) -> Result<Command, String> {
    // Its name for 17; without a word it offers 15.
    let aead = if aead == 17 { "nts aead AES_SIV_CMAC_512\n" } else { "" };
    let (name, folder) = (family.server_name(), &place.inside);
    let text = format!(
        "disable ntp\n{aead}\
         restrict 127.0.0.1\n\
         server {name} nts ca {folder}/ca.pem iburst minpoll 0 maxpoll 0\n\
         logfile {folder}/ntpsec.log\n"
    );
    place.write("client.conf", &text)?;
    let mut command = lab.peers.command(Peers::NTPD);
    command.args(["-n", "-c"]).arg(format!("{folder}/client.conf"));
    Ok(command)
}

fn ntpd_rs(lab: &Lab, place: &Place, family: Family) -> Result<Command, String> {
    write_ntpd_rs(place, &place.inside, family)?;
    let mut daemon = lab.peers.command(Peers::NTP_DAEMON);
    daemon.arg("-c").arg(format!("{}/client.toml", place.inside));
    daemon.env("NO_COLOR", "1");
    // It leaves at once where it may not set the clock.
    Ok(lab.without_clock(&daemon))
}

fn newer_ntpd_rs(lab: &Lab, place: &Place, family: Family) -> Result<Command, String> {
    write_ntpd_rs(place, &place.outside.display().to_string(), family)?;
    let mut daemon = lab.newer_ntpd_rs()?;
    daemon.arg("-c").arg(place.path("client.toml"));
    daemon.env("NO_COLOR", "1");
    Ok(daemon)
}

/// `folder`: the place as the daemon will see it.
fn write_ntpd_rs(place: &Place, folder: &str, family: Family) -> Result<(), String> {
    let name = family.server_name();
    let text = format!(
        "[observability]\n\
         log-level = \"info\"\n\
         observation-path = \"{folder}/observe.sock\"\n\
         [[source]]\n\
         mode = \"nts\"\n\
         address = \"{name}\"\n\
         certificate-authority = \"{folder}/ca.pem\"\n\
         [source-defaults]\n\
         poll-interval-limits = {{ min = 0, max = 0 }}\n\
         initial-poll-interval = 0\n\
         [synchronization]\n\
         minimum-agreeing-sources = 1\n"
    );
    place.write("client.toml", &text).map(drop)
}

/// From chronyc's `ntpdata` (for people), `authdata` and `sources` (with commas).
fn read_chrony(data: &str, keys: &str, sources: &str) -> Option<Seen> {
    let field = |name: &str| {
        let line = data.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(" : ").or_else(|| line.split_once(": "))?.1.trim())
    };
    // address, mode, key id, AEAD, key length, last, attempts, NAKs, cookies, cookie length
    let keys: Vec<&str> = keys.trim().split(',').collect();
    let [_, mode, establishments, aead, _, _, _, naks, cookies, _] = keys[..] else { return None };
    // mode, state, address, stratum, poll, reach, last, adjusted offset, measured offset, error
    let source: Vec<&str> = sources.trim().split(',').collect();
    let count = |name: &str| field(name)?.parse::<u64>().ok();
    let (valid, good, received) =
        (count("Total valid RX")?, count("Total good RX")?, count("Total RX")?);
    Some(Seen {
        selected: source.get(1) == Some(&"*"),
        authenticated: mode == "NTS" && field("Authenticated")? == "Yes",
        interleaved: field("Interleaved")? == "Yes",
        aead: aead.parse().ok(),
        offset_s: source.get(7)?.parse().ok()?,
        accepted: good,
        establishments: establishments.parse().ok()?,
        refused: naks.parse::<u64>().ok()? + received.saturating_sub(valid),
        cookies: cookies.parse().ok()?,
    })
}

/// From ntpq's variables of the association, its `ntsinfo`, and the daemon's log.
fn read_ntpsec(variables: &str, counts: &str, log: &str) -> Option<Seen> {
    let variable = |name: &str| {
        let words = variables.split([',', '\n']).map(str::trim);
        words
            .filter_map(|word| word.split_once('='))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    };
    let count = |name: &str| {
        let line =
            counts.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let flags: Vec<&str> = variables.split([',', '\n', ' ']).map(str::trim).collect();
    let aead = log
        .rsplit_once("aead=")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
    Some(Seen {
        selected: flags.contains(&"sel_sys.peer"),
        authenticated: flags.contains(&"auth") && variable("ntscookies").is_some(),
        interleaved: false,
        aead: aead.and_then(|aead| aead.parse().ok()),
        // In milliseconds.
        offset_s: variable("offset")?.parse::<f64>().ok()? / 1e3,
        accepted: count("NTS client recvs good")?,
        establishments: count("NTS KE client probes good")?,
        refused: count("NTS client recvs w error")?,
        cookies: variable("ntscookies")?.parse().ok()?,
    })
}

/// From ntpd-rs' observation socket (a length of eight octets, then JSON) and its log.
fn read_ntpd_rs(octets: &[u8], log: &str) -> Option<Seen> {
    let (_, json) = octets.split_first_chunk::<8>()?;
    let state: Value = serde_json::from_slice(json).ok()?;
    let source = state.get("sources")?.get(0)?;
    let cookies = source.get("nts_cookies").and_then(Value::as_u64);
    // It counts neither; its log has a line for each measurement used and for each source made after an establishment.
    let lines = |words: &str| log.lines().filter(|line| line.contains(words)).count() as u64;
    Some(Seen {
        // One above the server's stratum, which every server here has at 1.
        selected: state.get("system")?.get("stratum")?.as_u64()? == 2,
        // A source of its kind `nts` takes nothing else.
        authenticated: cookies.is_some(),
        interleaved: false,
        aead: None,
        offset_s: source.get("offset")?.as_f64()?,
        accepted: lines("Offset: "),
        establishments: lines("new source"),
        refused: 0,
        cookies: cookies?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chronys_account_is_read() {
        let data = "Remote address  : 10.93.0.1 (0A5D0001)\nInterleaved     : Yes\nAuthenticated   : Yes\nTotal TX        : 6\n\
                    Total RX        : 6\nTotal valid RX  : 5\nTotal good RX   : 4\n";
        let keys = "10.93.0.1,NTS,1,30,128,3,0,2,8,64\n";
        let sources = "^,*,10.93.0.1,1,0,77,0,-0.000000372,-0.000002795,0.000006724\n";
        let seen = read_chrony(data, keys, sources).expect("as chronyc 4.6.1 prints");
        assert!(seen.selected && seen.authenticated && seen.interleaved);
        assert_eq!(
            (seen.aead, seen.accepted, seen.establishments, seen.refused),
            (Some(30), 4, 1, 3)
        );
        assert!((seen.offset_s + 0.372e-6).abs() < 1e-12);
        let open = read_chrony(&data.replace("Yes", "No"), keys, &sources.replace('*', "?"))
            .expect("the same form");
        assert!(!open.selected && !open.authenticated && !open.interleaved);
    }

    #[test]
    fn ntpsecs_account_is_read() {
        let variables = "associd=1 status=f61a conf, authenb, auth, reach, sel_sys.peer, 1 event, sys_peer,\n\
                         delay=0.091509, offset=-0.027206, jitter=0.005943,\nheadway=1, srchost=\"v6\", ntscookies=8\n";
        let counts = "NTS client sends:                        7\nNTS client recvs good:                   7\n\
                      NTS client recvs w error:                1\nNTS KE client probes good:               1\n";
        let log = "NTSc: Got 8 cookies, length 96, aead=15.\n";
        let seen = read_ntpsec(variables, counts, log).expect("as ntpq 1.2.3 prints");
        assert!(seen.selected && seen.authenticated);
        assert_eq!((seen.aead, seen.accepted, seen.refused, seen.cookies), (Some(15), 7, 1, 8));
        assert!((seen.offset_s + 27.206e-6).abs() < 1e-12);
        let open =
            read_ntpsec(&variables.replace(" auth,", " bad,"), counts, log).expect("the same form");
        assert!(!open.authenticated);
    }

    #[test]
    fn ntpd_rs_account_is_read() {
        let json = br#"{"system":{"stratum":2},"sources":[{"offset":-5.6e-6,"unanswered_polls":0,"nts_cookies":8}]}"#;
        let octets = [&(json.len() as u64).to_be_bytes()[..], json].concat();
        let log =
            "INFO new source source_id=1\nINFO Offset: -0.006+-3.9ms\nINFO Offset: -0.005+-3.9ms\n";
        let seen = read_ntpd_rs(&octets, log).expect("as ntp-daemon 1.4.0 answers");
        assert!(seen.selected && seen.authenticated);
        assert_eq!((seen.accepted, seen.establishments, seen.cookies), (2, 1, 8));
        assert!(read_ntpd_rs(b"", log).is_none());
    }
}
