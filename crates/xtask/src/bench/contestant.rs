//! The servers that are compared: noonmarkd, other people's, and a program that only echoes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::asking::answers;
use super::certificate;
use super::rig::{CLIENTS, Rig, Server, private_folder};
use crate::peers::Peers;
use crate::{child, netns};

/// Our program.
pub const OURS: &str = "noonmarkd";
/// chronyd of Debian 13.
pub const CHRONY: &str = "chrony";
/// The limit.
pub const ECHO: &str = "echo";
/// ntpd-rs 1.9, from its crate.
pub const NTPD_RS: &str = "ntpdrs";
/// NTPsec of Debian 13.
pub const NTPSEC: &str = "ntpsec";

/// Where our program answers.
pub const OURS_AT: &str = "10.93.0.11";
const ECHO_AT: &str = "10.93.0.12";
const NTPD_RS_AT: &str = "10.93.0.14";

/// Other people's server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Peer {
    /// chronyd of Debian 13
    Chrony,
    /// ntpd-rs 1.9, built from its crate
    NtpdRs,
    /// NTPsec of Debian 13
    Ntpsec,
}

/// A server that is running, and where.
pub struct Contestant<'a> {
    /// Its wire.
    pub rig: &'a Rig,
    /// Itself.
    pub server: Server,
}

/// The wires of a run: NTPsec takes the port on every address there is, so it gets one of its own.
pub struct Arena {
    rig: Rig,
    apart: Option<Rig>,
}

impl Arena {
    /// For these peers beside noonmarkd.
    ///
    /// # Errors
    /// What cannot be made.
    pub fn new(rig: Rig, peers: &[Peer]) -> Result<Self, String> {
        let apart = peers.contains(&Peer::Ntpsec).then(|| rig.another()).transpose()?;
        Ok(Self { rig, apart })
    }

    /// noonmarkd, ready to answer.
    ///
    /// # Errors
    /// What starting it says.
    pub fn ours(&self) -> Result<Contestant<'_>, String> {
        let ours = Ours { name: OURS, address: OURS_AT, program: None };
        let mut server = start_noonmarkd(&self.rig, &ours)?;
        server.wait_until(|| answers(&self.rig, OURS_AT, true))?;
        Ok(Contestant { rig: &self.rig, server })
    }

    /// The echo program, ready to answer.
    ///
    /// # Errors
    /// What starting it says.
    pub fn echo(&self) -> Result<Contestant<'_>, String> {
        let mut command = self.rig.program("ntp-echo");
        command.args(["--listen", &format!("{ECHO_AT}:123")]);
        let mut server = self.rig.start(ECHO, ECHO_AT, &command)?;
        server.wait_until(|| answers(&self.rig, ECHO_AT, false))?;
        Ok(Contestant { rig: &self.rig, server })
    }

    /// A peer, ready to answer.
    ///
    /// # Errors
    /// What starting it says.
    pub fn peer(&self, peer: Peer) -> Result<Contestant<'_>, String> {
        let rig = match peer {
            Peer::Ntpsec => self.apart.as_ref().unwrap_or(&self.rig),
            Peer::Chrony | Peer::NtpdRs => &self.rig,
        };
        let mut server = match peer {
            Peer::Chrony => {
                let command = chronyd(rig, MEMORY_FOR_ALL)?;
                rig.start(CHRONY, netns::SERVER_V4, &command)?
            }
            Peer::NtpdRs => rig.start_ntpd_rs(NTPD_RS, NTPD_RS_AT, true)?,
            Peer::Ntpsec => rig.start(NTPSEC, netns::SERVER_V4, &ntpsec(rig)?)?,
        };
        server.wait_until(|| answers(rig, server_address(peer), true))?;
        Ok(Contestant { rig, server })
    }
}

fn server_address(peer: Peer) -> &'static str {
    match peer {
        Peer::Chrony | Peer::Ntpsec => netns::SERVER_V4,
        Peer::NtpdRs => NTPD_RS_AT,
    }
}

/// chronyd as a server of the machine's clock at [`netns::SERVER_V4`], with more lines of configuration.
///
/// # Errors
/// What the file system says.
pub fn chronyd(rig: &Rig, more: &str) -> Result<Command, String> {
    let file = |name| rig.file_inside(name);
    rig.write(
        "chrony.conf",
        &format!(
            "local stratum 1\nallow all\nbindaddress {}\ncmdport 0\npidfile {}\n\
             ntsservercert {}\nntsserverkey {}\nntsdumpdir {}\n{more}",
            netns::SERVER_V4,
            file("chronyd.pid"),
            file(certificate::CHAIN),
            file(certificate::KEY),
            file(""),
        ),
    )?;
    let mut command = rig.peers.command(Peers::CHRONYD);
    command.args(["-x", "-u", "root", "-F", "0", "-d", "-f", &file("chrony.conf")]);
    Ok(command)
}

/// So that it remembers every client that asks: without it, it forgets after some four thousand.
const MEMORY_FOR_ALL: &str = "clientloglimit 200000000\n";

/// NTPsec's ntpd with the machine's own clock as its reference clock, so that it says it is synchronised; it sets nothing and believes it did.
fn ntpsec(rig: &Rig) -> Result<Command, String> {
    let file = |name| rig.file_inside(name);
    rig.write(
        "ntpsec.conf",
        &format!(
            "refclock local stratum 0 minpoll 0 maxpoll 0 prefer\ndisable monitor\n\
             nts enable\nnts cert {}\nnts key {}\nnts cookie {}\n",
            file(certificate::CHAIN),
            file(certificate::KEY),
            file("ntpsec-cookies"),
        ),
    )?;
    let mut daemon = rig.peers.command(Peers::NTPD);
    daemon.args(["-n", "-c", &file("ntpsec.conf")]);
    let mut command = rig.program("no-clock");
    child::transplant(&daemon, &mut command);
    Ok(command)
}

/// A noonmarkd to be started.
pub struct Ours<'a> {
    /// What it is called in figures; its files are named by it.
    pub name: &'static str,
    /// Its address, one that no other server of the run has.
    pub address: &'static str,
    /// The program, if not the one of this tree.
    pub program: Option<&'a Path>,
}

/// Starts noonmarkd as an operator would, with one thread for its one processor.
///
/// # Errors
/// What the file system or starting it says.
pub fn start_noonmarkd(rig: &Rig, ours: &Ours<'_>) -> Result<Server, String> {
    // More is asked here than any server answers; what an answer costs shows where nobody is shed. Before there was shedding there
    // was no such key.
    let mut check = noonmarkd(rig, ours, &format!("[overload]\npriority = [\"{CLIENTS}\"]\n"))?;
    check.arg("--check");
    let command = match child::output(Duration::from_secs(20), &check) {
        Ok(_) => noonmarkd(rig, ours, &format!("[overload]\npriority = [\"{CLIENTS}\"]\n"))?,
        Err(_) => noonmarkd(rig, ours, "")?,
    };
    rig.start(ours.name, ours.address, &command)
}

/// noonmarkd with one thread, and `more` before its tables.
///
/// # Errors
/// What the file system says.
pub fn noonmarkd(rig: &Rig, ours: &Ours<'_>, more: &str) -> Result<Command, String> {
    let Ours { name, address, program } = ours;
    private_folder(&rig.file(&format!("{name}-state")))?;
    let configuration = format!("{name}.toml");
    rig.write(
        &configuration,
        &format!(
            "{more}[server]\nlisten = [\"{address}:123\"]\nthreads = 1\nlocal-stratum = 1\n\
             [nts]\nlisten = [\"{address}:4460\"]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             max-per-prefix = 512\n[state]\nfolder = \"{name}-state\"\n[status]\nsocket = \"{name}.sock\"\n",
            certificate::CHAIN,
            certificate::KEY,
        ),
    )?;
    let mut command = program.map_or_else(|| rig.program(OURS), Command::new);
    command.arg("--config").arg(rig.file(&configuration));
    Ok(command)
}
