//! Where measuring happens: two namespaces and the wire, the programs built, one server after the other started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Wish, certificate};
use crate::apt::{self, Needed};
use crate::child;
use crate::netns::{self, Daemon, Pair};
use crate::peers::Peers;
use crate::workspace::{self, Metadata};

/// Hardware address of the server's end of the wire.
pub const SERVER_MAC: &str = "02:00:00:00:00:01";
/// Where answers to the generator's clients go: an address that no interface has.
const NOBODY_MAC: &str = "02:00:00:00:00:ee";
/// First of the generator's client addresses, which all lie in [`CLIENTS`].
pub const FIRST_CLIENT: &str = "10.64.0.0";
/// What all of the generator's clients lie in.
pub const CLIENTS: &str = "10.64.0.0/12";
/// The router that stands for all clients.
pub const ROUTER: &str = "10.93.0.3";

/// The processor servers are pinned to.
pub const SERVER_PROCESSOR: &str = "0";
/// The processor the generator is pinned to.
const GENERATOR_PROCESSOR: &str = "1";

const TOOLS: &[Needed] = &[
    Needed { program: "taskset", package: "util-linux" },
    Needed { program: "ip", package: "iproute2" },
];

/// All that the servers have in common.
pub struct Rig {
    /// Other people's servers.
    pub peers: Peers,
    /// The namespaces.
    pub pair: Pair,
    /// Where our programs were built.
    programs: PathBuf,
    /// The folder of this run: for us, and for the peers.
    folder: (PathBuf, String),
}

/// A server that is running.
pub struct Server {
    /// What it is called in figures.
    pub name: &'static str,
    /// Its address; NTP on port 123, key establishment on 4460.
    pub address: &'static str,
    daemon: Daemon,
}

impl Rig {
    /// Builds our programs, prepares the peers, makes namespaces and a certificate.
    ///
    /// # Errors
    /// What is missing, or what failed.
    pub fn new(wish: Wish) -> Result<Self, String> {
        let metadata = Metadata::read()?;
        let peers = Peers::prepare(&metadata.target_directory, wish.consent())?;
        apt::ensure(TOOLS, wish.consent())?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if processors < 2 {
            return Err("needs two processors: one for servers, one for the generator".into());
        }
        if !wish.as_built {
            build()?;
        }
        netns::sweep();
        let folder = peers.folder("bench")?;
        certificate::make(&folder.0)?;
        let programs = metadata.target_directory.join("release");
        Ok(Self { peers, pair: wire()?, programs, folder })
    }

    /// The same with a wire of its own, for a server that cannot share one.
    ///
    /// # Errors
    /// What making it says.
    pub fn another(&self) -> Result<Self, String> {
        let (programs, folder) = (self.programs.clone(), self.folder.clone());
        Ok(Self { peers: self.peers.clone(), pair: wire()?, programs, folder })
    }

    /// Starts ntpd-rs without sources: Debian's, or with `newer` the one built from the crate.
    ///
    /// # Errors
    /// What building or starting it says.
    pub fn start_ntpd_rs(
        &self,
        name: &'static str,
        address: &'static str,
        newer: bool,
    ) -> Result<Server, String> {
        let file = |name| match newer {
            true => self.file(name).display().to_string(),
            false => self.file_inside(name),
        };
        let configuration = format!("{name}.toml");
        self.write(
            &configuration,
            &format!(
                "[observability]\nlog-level = \"warn\"\n[synchronization]\nlocal-stratum = 1\n\
                 [[server]]\nlisten = \"{address}:123\"\n[[nts-ke-server]]\nlisten = \"{address}:4460\"\n\
                 certificate-chain-path = \"{}\"\nprivate-key-path = \"{}\"\n",
                file(certificate::CHAIN),
                file(certificate::KEY),
            ),
        )?;
        let mut command = match newer {
            true => Command::new(self.peers.newer_ntpd_rs()?),
            false => self.peers.command(Peers::NTP_DAEMON),
        };
        command.arg("--config").arg(file(&configuration));
        self.start(name, address, &command)
    }

    /// A program of ours.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    /// Where a file of this run is for us.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// Where the peers see it.
    pub fn file_inside(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.1)
    }

    /// Writes a file for a server.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.file(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Starts a server at an address of its own, pinned to its processor, without the right to set the clock.
    ///
    /// # Errors
    /// What starting it says.
    pub fn start(
        &self,
        name: &'static str,
        address: &'static str,
        inner: &Command,
    ) -> Result<Server, String> {
        if address != netns::SERVER_V4 {
            self.address(address)?;
        }
        let pinned = pin(SERVER_PROCESSOR, inner);
        let daemon = self.pair.server.start_here(&pinned, &self.file(&format!("{name}.log")))?;
        Ok(Server { name, address, daemon })
    }

    /// Gives the servers' end of the wire one more address.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn address(&self, address: &str) -> Result<(), String> {
        let prefix = format!("{address}/24");
        self.pair.server.ip(&["address", "add", &prefix, "dev", netns::SERVER_INTERFACE])
    }

    /// Runs a program at the servers' side, on the generator's processor, to its end; what it printed as JSON.
    ///
    /// # Errors
    /// What it said.
    pub fn at_the_server<T: DeserializeOwned>(&self, inner: &Command) -> Result<T, String> {
        let said =
            self.pair.server.output(Duration::from_secs(90), &pin(GENERATOR_PROCESSOR, inner))?;
        serde_json::from_str(said.trim()).map_err(|e| format!("{}: {e}", said.trim()))
    }

    /// Runs a program of the generator's side to its end; what it printed as JSON.
    ///
    /// # Errors
    /// What it said.
    pub fn generate<T: DeserializeOwned>(&self, inner: &Command) -> Result<T, String> {
        let said =
            self.pair.client.output(Duration::from_secs(90), &pin(GENERATOR_PROCESSOR, inner))?;
        serde_json::from_str(said.trim()).map_err(|e| format!("{}: {e}", said.trim()))
    }
}

impl Server {
    /// Asks until `ready` has an answer.
    ///
    /// # Errors
    /// When it does not come within a few seconds, with the end of the server's log.
    pub fn wait_until(&mut self, ready: impl Fn() -> Result<(), String>) -> Result<(), String> {
        let name = self.name;
        self.daemon.wait_for(Duration::from_secs(15), ready).map_err(|e| format!("{name}: {e}"))
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<u32> {
        self.daemon.processes()
    }

    /// Its processes as arguments for the rig's programs.
    pub fn process_arguments(&self) -> Vec<String> {
        self.processes()
            .into_iter()
            .flat_map(|id| ["--process".to_owned(), id.to_string()])
            .collect()
    }
}

/// `inner` pinned to one processor, and first in line for it.
fn pin(processor: &str, inner: &Command) -> Command {
    let mut command = Command::new("nice");
    command.args(["--adjustment=-15", "taskset", "--cpu-list", processor]);
    child::transplant(inner, &mut command);
    command
}

/// What is built for measuring: the daemon, and what stands at the other end of the wire.
const PROGRAMS: [&str; 10] = [
    "noonmarkd",
    "noonmark",
    "ntp-load",
    "ntp-echo",
    "ntp-first",
    "frame-live",
    "no-clock",
    "ke-load",
    "ntp-flood",
    "ke-flood",
];

/// Two namespaces and a wire; what a server sends to clients goes to nobody at the far end.
fn wire() -> Result<Pair, String> {
    let pair = Pair::new()?;
    let server = netns::SERVER_INTERFACE;
    pair.server.ip(&["link", "set", server, "address", SERVER_MAC])?;
    let neighbour = ["neigh", "add", ROUTER, "lladdr", NOBODY_MAC, "dev", server];
    pair.server.ip(&[&neighbour[..], &["nud", "permanent"]].concat())?;
    pair.server.ip(&["route", "add", CLIENTS, "via", ROUTER, "dev", server])?;
    Ok(pair)
}

fn build() -> Result<(), String> {
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked"]);
    build.args(["-p", "noonmarkd", "-p", "noonmark", "-p", "noonmark-rig"]);
    PROGRAMS.iter().for_each(|name| {
        build.args(["--bin", name]);
    });
    // Cargo shows its progress on standard error.
    child::run(Duration::from_secs(1800), &build).or_say("cargo build --release")
}

/// The file's folder exists and is open only to its owner, as noonmarkd asks.
pub fn private_folder(path: &Path) -> Result<(), String> {
    let make = || {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))
    };
    make().map_err(|e: std::io::Error| format!("{}: {e}", path.display()))
}
