//! What all cells share, and the place each has to itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::authority::{Authority, NAME_V4, NAME_V6};
use crate::netns::{Pair, SERVER_V4, SERVER_V6};
use crate::peers::Peers;

/// What all cells share.
#[derive(Debug)]
pub struct Lab {
    /// Other people's programs.
    pub peers: Peers,
    /// One authority for all.
    pub authority: Authority,
    /// Folder with our own programs.
    pub programs: PathBuf,
    /// A hosts file with the test names.
    hosts: PathBuf,
}

impl Lab {
    /// Writes the hosts file into the peers' root, where they and our own client find it.
    ///
    /// # Errors
    /// What the file system or the certificate library says.
    pub fn new(peers: Peers, programs: PathBuf) -> Result<Self, String> {
        let hosts = peers.root().join("etc/hosts");
        let lines = [("127.0.0.1", "localhost"), (SERVER_V4, NAME_V4), (SERVER_V6, NAME_V6)];
        let text: String =
            lines.iter().map(|(address, name)| format!("{address} {name}\n")).collect();
        fs::write(&hosts, text).map_err(|e| format!("{}: {e}", hosts.display()))?;
        Ok(Self { peers, authority: Authority::new()?, programs, hosts })
    }

    /// One of our own programs.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    /// One of our own programs that looks up names: it sees the test names in place of the machine's. To be run in a
    /// namespace, whose mounts are its own.
    pub fn program_with_names(&self, name: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-euc", "mount --bind \"$0\" /etc/hosts; exec \"$@\""]);
        shell.arg(&self.hosts).arg(self.programs.join(name));
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
        names.arg(self.programs.join("no-clock")).arg(self.peers.newer_ntpd_rs()?);
        Ok(names)
    }

    /// A peer's daemon behind a filter that lets it believe it set the clock.
    pub fn without_clock(&self, inner: &Command) -> Command {
        let mut command = self.program("no-clock");
        crate::child::transplant(inner, &mut command);
        command
    }
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
}

impl Place {
    /// Makes namespaces and an empty folder with the certificates. The folder is named by a number, since the path of a
    /// socket has little room; its file `cell` says whose it is.
    ///
    /// # Errors
    /// What `ip` or the file system says.
    pub fn new(lab: &Lab, number: usize, name: &str) -> Result<Self, String> {
        let (outside, inside) = lab.peers.folder(&number.to_string())?;
        lab.authority.write(&outside)?;
        let place = Self { pair: Pair::new()?, outside, inside };
        place.write("cell", &format!("{name}\n"))?;
        Ok(place)
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
