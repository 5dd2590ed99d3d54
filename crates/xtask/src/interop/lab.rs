//! What all cells share, and the place each has to itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::authority::{Authority, NAME_V4, NAME_V6};
use super::service::{AS_SHIPPED, USER, as_user};
use crate::child::transplant;
use crate::netns::{Pair, SERVER_V4, SERVER_V6};
use crate::peers::Peers;

/// What all cells share.
#[derive(Debug)]
pub struct Lab {
    /// Other people's programs.
    pub peers: Peers,
    /// One authority for all.
    pub authority: Authority,
    /// Folder with our own programs, the ones that are tried.
    pub programs: PathBuf,
    /// As whom they run.
    account: Account,
    /// Folder with the programs of the rig.
    rig: PathBuf,
    /// A hosts file with the test names.
    hosts: PathBuf,
}

impl Lab {
    /// Writes the hosts file into the peers' root, where they and our own client find it.
    ///
    /// # Errors
    /// What the file system or the certificate library says.
    pub fn new(
        peers: Peers,
        programs: PathBuf,
        rig: PathBuf,
        account: Account,
    ) -> Result<Self, String> {
        let hosts = peers.root().join("etc/hosts");
        let lines = [("127.0.0.1", "localhost"), (SERVER_V4, NAME_V4), (SERVER_V6, NAME_V6)];
        let text: String =
            lines.iter().map(|(address, name)| format!("{address} {name}\n")).collect();
        fs::write(&hosts, text).map_err(|e| format!("{}: {e}", hosts.display()))?;
        Ok(Self { peers, authority: Authority::new()?, programs, account, rig, hosts })
    }

    /// One of our own programs, as the account of the laboratory.
    pub fn program(&self, name: &str) -> Command {
        let command = Command::new(self.programs.join(name));
        if self.account == Account::Root {
            return command;
        }
        let capabilities = if name == "noonmarkd" { AS_SHIPPED } else { "-all" };
        // Changing the user has undone what ties it to the run.
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]);
        transplant(&command, &mut tied);
        as_user(&tied, capabilities)
    }

    /// One of the programs of the rig, which are what they are whatever is tried.
    pub fn tool(&self, name: &str) -> Command {
        Command::new(self.rig.join(name))
    }

    /// Whether the account can start our programs where they lie.
    ///
    /// # Errors
    /// What stands in its way.
    pub fn is_reachable(&self) -> Result<(), String> {
        let mut version = self.program("noonmarkd");
        version.arg("--version");
        crate::child::output(std::time::Duration::from_secs(30), &version).map(drop)
    }

    /// One of our own programs that looks up names: it sees the test names in place of the machine's. To be run in a
    /// namespace, whose mounts are its own.
    pub fn program_with_names(&self, name: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-euc", "mount --bind \"$0\" /etc/hosts; exec \"$@\""]);
        shell.arg(&self.hosts);
        transplant(&self.program(name), &mut shell);
        shell
    }

    /// The newer ntpd-rs, which is built from its crate the first time: outside the peers' root, with the test names
    /// and behind the filter.
    ///
    /// # Errors
    /// When building it fails.
    pub fn newer_ntpd_rs(&self) -> Result<Command, String> {
        let mut names = Command::new("sh");
        names.args(["-euc", "mount --bind \"$0\" /etc/hosts; exec \"$@\""]).arg(&self.hosts);
        names.arg(self.rig.join("no-clock")).arg(self.peers.newer_ntpd_rs()?);
        Ok(names)
    }

    /// A peer's daemon behind a filter that lets it believe it set the clock.
    pub fn without_clock(&self, inner: &Command) -> Command {
        let mut command = self.tool("no-clock");
        transplant(inner, &mut command);
        command
    }
}

/// As whom our programs run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Account {
    /// As root, who gives up everything.
    Root,
    /// As an account that owns nothing, with what the shipped unit leaves it.
    Ordinary,
}

/// Which of the two protocols a cell uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The name that leads to the server's address of this family.
    pub fn server_name(self) -> &'static str {
        match self {
            Self::V4 => NAME_V4,
            Self::V6 => NAME_V6,
        }
    }

    /// As rows show it.
    pub fn label(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// One cell's namespaces and folder.
#[derive(Debug)]
pub struct Place {
    /// The two namespaces.
    pub pair: Pair,
    /// The folder as we see it.
    pub outside: PathBuf,
    /// The same folder as the peers see it.
    pub inside: String,
    /// Whose our files in it are, if not root's.
    owner: Option<u32>,
}

const CHRONY: &str = "chrony";

impl Place {
    /// Makes namespaces and an empty folder with the certificates. The folder is named by a number, since the path of a
    /// socket has little room; its file `cell` says whose it is.
    ///
    /// # Errors
    /// What `ip` or the file system says.
    pub fn new(lab: &Lab, number: usize, name: &str) -> Result<Self, String> {
        let (outside, inside) = lab.peers.folder(&number.to_string())?;
        lab.authority.write(&outside)?;
        let owner = (lab.account == Account::Ordinary).then_some(USER);
        let place = Self { pair: Pair::new()?, outside, inside, owner };
        place.write("cell", &format!("{name}\n"))?;
        place.make_folder(CHRONY, 0o750, None)?;
        if owner.is_some() {
            place.own(&place.outside)?;
            place.own(&place.path(Authority::KEY))?;
        }
        Ok(place)
    }

    /// A folder for chrony's sockets, as the peers see it: chrony wants it to be its own, and closed to others.
    pub fn chrony(&self) -> String {
        format!("{}/{CHRONY}", self.inside)
    }

    /// Makes a folder as noonmarkd wants one for its state: its own, and closed to everybody else.
    ///
    /// # Errors
    /// What the file system says.
    pub fn private_folder(&self, name: &str) -> Result<(), String> {
        self.make_folder(name, 0o700, self.owner)
    }

    fn make_folder(&self, name: &str, mode: u32, owner: Option<u32>) -> Result<(), String> {
        let path = self.path(name);
        fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        owner.map_or(Ok(()), |_| self.own(&path))
    }

    /// Gives a file of the place to the account that our programs run as.
    fn own(&self, path: &Path) -> Result<(), String> {
        chown(path, self.owner, self.owner).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Writes a file into the folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.outside.join(name);
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// A file of the folder as we see it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.outside.join(name)
    }

    /// Reads a Unix socket of the folder to its end.
    ///
    /// # Errors
    /// What the socket says.
    pub fn read_socket(&self, name: &str) -> Result<Vec<u8>, String> {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        let ask = || {
            // Through the folder's descriptor the path is short, wherever the folder lies.
            let folder = fs::File::open(&self.outside)?;
            let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
            let mut socket = std::os::unix::net::UnixStream::connect(path)?;
            socket.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer)?;
            Ok(answer)
        };
        ask().map_err(|e: std::io::Error| format!("{}: {e}", self.path(name).display()))
    }
}
