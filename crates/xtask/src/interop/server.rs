//! Servers of a place: ours, or somebody else's as a control.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::lab::{Lab, Place};
use crate::child;
use crate::netns::{CLIENT_V4, Daemon};
use crate::peers::Peers;

/// Whose server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Ours.
    Noonmarkd,
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
            Self::Noonmarkd => "noonmarkd",
            Self::Chrony => "chronyd",
            Self::Ntpsec => "NTPsec",
            Self::NtpdRs => "ntpd-rs",
            Self::NewerNtpdRs => "ntpd-rs 1.9",
        }
    }
}

/// What a server says it answered since it was started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answered {
    /// Requests under NTS.
    pub nts: u64,
    /// Requests without.
    pub plain: u64,
    /// Number of the cookie key in use, where the server tells.
    pub epoch: Option<u64>,
    /// The AEAD agreed in key establishments, where the server tells and there was only one.
    pub aead: Option<u16>,
}

/// A running server.
pub struct Server<'a> {
    kind: Kind,
    lab: &'a Lab,
    place: &'a Place,
    daemon: Daemon,
}

const LIMIT: Duration = Duration::from_secs(15);
const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);

impl<'a> Server<'a> {
    /// Starts one that serves this machine's clock at stratum 1 under NTS, and waits until it does.
    /// `aeads`: what it accepts, for servers that can be told; empty leaves their default.
    ///
    /// # Errors
    /// What the file system, starting it, or the server itself says.
    pub fn start(
        kind: Kind,
        lab: &'a Lab,
        place: &'a Place,
        aeads: &[u16],
    ) -> Result<Self, String> {
        configure(kind, place, aeads)?;
        Self { kind, lab, place, daemon: launch(kind, lab, place)? }.ready()
    }

    /// Starts ours with a configuration of the caller's, whose state folder is `state` and whose status socket
    /// `status.sock`, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_ours(lab: &'a Lab, place: &'a Place, configuration: &str) -> Result<Self, String> {
        place.private_folder("state")?;
        place.write(CONFIGURATION, configuration)?;
        let kind = Kind::Noonmarkd;
        Self { kind, lab, place, daemon: launch(kind, lab, place)? }.ready()
    }

    /// Ends it as an init system would and starts it again with the same configuration and state.
    ///
    /// # Errors
    /// When it does not end, or does not start again.
    pub fn restart(self) -> Result<Self, String> {
        let Self { kind, lab, place, daemon } = self;
        match kind {
            Kind::Noonmarkd => {
                let status = daemon.terminate(STOP)?;
                if !status.success() {
                    return Err(format!("noonmarkd left with {status} on SIGTERM"));
                }
            }
            // Alone in a process namespace, where the signal has to be sent inside.
            _ => {
                let inner = daemon.processes().get(1).copied().ok_or("no process")?;
                let mut kill = Command::new("sh");
                kill.args(["-c", "kill -TERM \"$0\""]).arg(inner.to_string());
                child::output(LIMIT, &kill)?;
                daemon.wait(STOP)?;
            }
        }
        Self { kind, lab, place, daemon: launch(kind, lab, place)? }.ready()
    }

    /// Puts another configuration in force while ours runs, and waits until it is.
    ///
    /// # Errors
    /// When it is refused, or not taken in a while.
    pub fn reload(mut self, configuration: &str) -> Result<Self, String> {
        let generation = |status: &Value| status["configuration"]["generation"].as_u64();
        let before = generation(&self.status()?);
        self.place.write(CONFIGURATION, configuration)?;
        let mut hangup = Command::new("kill");
        hangup.args(["-HUP", &self.launcher()?.to_string()]);
        child::output(LIMIT, &hangup)?;
        let place = self.place;
        self.daemon.wait_for(START, || {
            let status = status(place)?;
            if generation(&status) > before { Ok(()) } else { Err(status.to_string()) }
        })?;
        self.ready()
    }

    /// Waits until every role of ours serves again.
    ///
    /// # Errors
    /// When one does not in a while.
    pub fn await_ready(self) -> Result<Self, String> {
        self.ready()
    }

    /// The process that takes signals.
    fn launcher(&self) -> Result<u64, String> {
        let status = self.status()?;
        let roles = status["roles"].as_array().into_iter().flatten();
        let mut launchers = roles.filter(|role| role["role"] == "launcher");
        let pid = launchers.next().and_then(|role| role["pid"].as_u64());
        pid.ok_or_else(|| format!("no launcher: {status}"))
    }

    /// What it says it answered.
    ///
    /// # Errors
    /// What it says instead.
    pub fn answered(&self) -> Result<Answered, String> {
        match self.kind {
            Kind::Noonmarkd => {
                noonmarkd_answered(&self.status()?).ok_or_else(|| "noonmarkd: no counters".into())
            }
            Kind::Chrony => {
                let mut chronyc = self.lab.peers.command(Peers::CHRONYC);
                chronyc
                    .arg("-h")
                    .arg(format!("{}/server.sock", self.place.chrony()))
                    .arg("serverstats");
                let said = child::output(LIMIT, &chronyc)?;
                chrony_answered(&said).ok_or(said)
            }
            other => Err(format!("{} does not tell what it answered", other.label())),
        }
    }

    /// Our server's whole account of itself.
    ///
    /// # Errors
    /// When the socket does not answer.
    pub fn status(&self) -> Result<Value, String> {
        status(self.place)
    }

    /// Waits until it listens on both ports and, if it is one that takes a while to believe a clock, until it does;
    /// ours, until it says that it is ready.
    fn ready(mut self) -> Result<Self, String> {
        let (place, kind) = (self.place, self.kind);
        if kind == Kind::Noonmarkd {
            self.daemon.wait_for(START, || match status(place)?.get("ready") {
                Some(Value::Bool(true)) => Ok(()),
                other => Err(format!("ready is {other:?}")),
            })?;
            return Ok(self);
        }
        self.daemon.wait_for(START, || {
            let mut sockets = Command::new("ss");
            sockets.args(["-H", "-l", "-n", "-t", "-u"]);
            let said = place.pair.server.output(LIMIT, &sockets)?;
            let listens = |port: &str| {
                said.lines()
                    .any(|line| line.split_whitespace().nth(4).is_some_and(|a| a.ends_with(port)))
            };
            if listens(":123") && listens(":4460") {
                Ok(())
            } else {
                Err(format!("{} does not listen yet", kind.label()))
            }
        })?;
        if kind == Kind::Ntpsec {
            let lab = self.lab;
            self.daemon.wait_for(2 * START, || {
                let mut ntpq = lab.peers.command(Peers::NTPQ);
                ntpq.args(["-c", "rv", "127.0.0.1"]);
                let said = place.pair.server.output(LIMIT, &ntpq)?;
                if said.contains("leap=00") {
                    Ok(())
                } else {
                    Err(format!("not synchronised yet: {said}"))
                }
            })?;
        }
        Ok(self)
    }
}

fn status(place: &Place) -> Result<Value, String> {
    let octets = place.read_socket("status.sock")?;
    serde_json::from_slice(&octets).map_err(|e| format!("status: {e}"))
}

/// The server's configuration in the folder of its place.
const CONFIGURATION: &str = "server.conf";

fn configure(kind: Kind, place: &Place, aeads: &[u16]) -> Result<(), String> {
    let inside = if kind == Kind::NewerNtpdRs {
        place.outside.display().to_string()
    } else {
        place.inside.clone()
    };
    let folder = &inside;
    let numbers: Vec<String> = aeads.iter().map(u16::to_string).collect();
    let text = match kind {
        Kind::Noonmarkd => {
            place.private_folder("state")?;
            let aeads = if numbers.is_empty() {
                String::new()
            } else {
                format!("aeads = [{}]\n", numbers.join(", "))
            };
            format!(
                "[server]\n\
                 local-stratum = 1\n\
                 [nts]\n\
                 certificate = \"chain.pem\"\n\
                 key = \"key.pem\"\n{aeads}\
                 [cookies]\n\
                 rotation = \"1m\"\n\
                 retention = 2\n\
                 [state]\n\
                 folder = \"state\"\n\
                 [status]\n\
                 socket = \"status.sock\"\n"
            )
        }
        Kind::Chrony => {
            let aeads = if numbers.is_empty() {
                String::new()
            } else {
                format!("ntsaeads {}\n", numbers.join(" "))
            };
            let private = place.chrony();
            format!(
                "local stratum 1\n\
                 allow\n\
                 ntsserverkey {folder}/key.pem\n\
                 ntsservercert {folder}/chain.pem\n\
                 ntsrotate 60\n\
                 ntsdumpdir {folder}\n{aeads}\
                 cmdport 0\n\
                 bindcmdaddress {private}/server.sock\n\
                 pidfile {folder}/server.pid\n"
            )
        }
        // The machine's own clock as a reference clock, so that it says it is synchronised. Its rate limit, on unless another rule
        // holds, would leave the prober without answers.
        Kind::Ntpsec => format!(
            "refclock local stratum 0 minpoll 0 maxpoll 0 prefer\n\
             restrict 127.0.0.1\n\
             restrict {CLIENT_V4} nomodify noquery\n\
             nts enable\n\
             nts cert {folder}/chain.pem\n\
             nts key {folder}/key.pem\n\
             nts cookie {folder}/cookies\n\
             logfile {folder}/server.log\n"
        ),
        Kind::NtpdRs | Kind::NewerNtpdRs => format!(
            "[[server]]\n\
             listen = \"[::]:123\"\n\
             [[nts-ke-server]]\n\
             listen = \"[::]:4460\"\n\
             certificate-chain-path = \"{folder}/chain.pem\"\n\
             private-key-path = \"{folder}/key.pem\"\n\
             [synchronization]\n\
             local-stratum = 1\n"
        ),
    };
    place.write(CONFIGURATION, &text).map(drop)
}

fn launch(kind: Kind, lab: &Lab, place: &Place) -> Result<Daemon, String> {
    let (server, log) = (&place.pair.server, place.path(LOG));
    let file = format!("{}/{CONFIGURATION}", place.inside);
    match kind {
        Kind::Noonmarkd => {
            let mut command = lab.program("noonmarkd");
            command.arg("--config").arg(place.path(CONFIGURATION));
            server.start_here(&command, &log)
        }
        Kind::Chrony => {
            let mut command = lab.peers.command(Peers::CHRONYD);
            command.args(["-x", "-u", "root", "-F", "0", "-d", "-f", &file]);
            server.start(&command, &log)
        }
        Kind::Ntpsec => {
            let mut command = lab.peers.command(Peers::NTPD);
            command.args(["-n", "-c", &file]);
            server.start(&lab.without_clock(&command), &log)
        }
        Kind::NewerNtpdRs => {
            let mut command = lab.newer_ntpd_rs()?;
            command.arg("-c").arg(place.path(CONFIGURATION));
            server.start(&command, &log)
        }
        Kind::NtpdRs => {
            let mut command = lab.peers.command(Peers::NTP_DAEMON);
            command.args(["-c", &file]);
            server.start(&lab.without_clock(&command), &log)
        }
    }
}

/// What the daemon writes to standard output and error.
const LOG: &str = "server.out";

fn noonmarkd_answered(status: &Value) -> Option<Answered> {
    let counter = |name: &str| status.get("counters")?.get("ntp")?.get(name)?.as_u64();
    let epoch = status.get("cookies").and_then(|cookies| cookies.get("epoch")?.as_u64());
    let aeads = [
        (15, "served_aes_siv_cmac_256"),
        (17, "served_aes_siv_cmac_512"),
        (30, "served_aes_128_gcm_siv"),
    ];
    let served = |name: &str| status.get("counters")?.get("ke")?.get(name)?.as_u64();
    let agreed: Vec<u16> = aeads
        .into_iter()
        .filter(|(_, name)| served(name).unwrap_or(0) > 0)
        .map(|(id, _)| id)
        .collect();
    let aead = if let [only] = agreed[..] { Some(only) } else { None };
    Some(Answered { nts: counter("answered_nts")?, plain: counter("answered_plain")?, epoch, aead })
}

fn chrony_answered(text: &str) -> Option<Answered> {
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let (received, dropped) = (count("NTP packets received")?, count("NTP packets dropped")?);
    let nts = count("Authenticated NTP packets")?;
    Some(Answered {
        nts,
        plain: received.saturating_sub(nts).saturating_sub(dropped),
        epoch: None,
        aead: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_account_is_read() {
        let status = r#"{"cookies":{"epoch":7},"counters":{
            "ntp":{"received":3,"answered_nts":2,"answered_plain":1},
            "ke":{"served_aes_siv_cmac_256":0,"served_aes_siv_cmac_512":4}}}"#;
        let answered = noonmarkd_answered(&serde_json::from_str(status).expect("JSON"))
            .expect("as documented");
        assert_eq!(
            (answered.nts, answered.plain, answered.epoch, answered.aead),
            (2, 1, Some(7), Some(17))
        );
    }

    #[test]
    fn chronys_account_is_read() {
        let text = "NTP packets received       : 9\nNTP packets dropped        : 1\nAuthenticated NTP packets  : 6\n";
        let answered = chrony_answered(text).expect("as chronyc 4.6.1 prints");
        assert_eq!((answered.nts, answered.plain), (6, 2));
    }
}
