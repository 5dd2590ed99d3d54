//! A cell's world, the folders of daemons in it, and the daemons.

use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::child;
use crate::interop::authority::{Authority, NAME_V4};
use crate::netns::without_clock;

/// How long anything may take that is not meant to take long: far more than it does, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// All five roles but sources, on the loopback device.
pub const SERVER: &str = r#"
[server]
listen = ["127.0.0.1:123"]
threads = 2
local-stratum = 3
[nts]
listen = ["127.0.0.1:4460"]
certificate = "chain.pem"
key = "key.pem"
[cookies]
rotation = "1m"
retention = 8
[state]
folder = "state"
[status]
socket = "status.sock"
"#;

/// The rest of a configuration that follows the first one over the loopback device, plain and under NTS, and serves at another port.
pub const FOLLOWER: &str = r#"
[server]
listen = ["127.0.0.1:1123"]
threads = 1
[nts]
listen = ["127.0.0.1:14460"]
certificate = "chain.pem"
key = "key.pem"
[cookies]
rotation = "1m"
retention = 8
[[source]]
nts = "127.0.0.1"
ca = "ca.pem"
minpoll = 0
maxpoll = 0
[[source]]
server = "127.0.0.1"
minpoll = 0
maxpoll = 0
[clock]
clock = "observe"
[state]
folder = "state"
[status]
socket = "status.sock"
"#;

/// Where one daemon has its files.
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    programs: PathBuf,
}

impl Place {
    /// Makes the world of a cell what a daemon wants to find, and its first place.
    ///
    /// # Errors
    /// What a mount or the file system says.
    pub fn furnish(programs: &Path) -> Result<Self, String> {
        shell(
            "mount -t tmpfs -o mode=755 tmpfs /run; ip link set lo up; ip address add ::1/128 dev lo 2>/dev/null || true",
        )?;
        let first = Self { folder: PathBuf::from("/run/first"), programs: programs.to_owned() };
        first.fill(&Authority::new()?)?;
        Ok(first)
    }

    /// Another place with the same certificate.
    ///
    /// # Errors
    /// What the file system says.
    pub fn another(&self, name: &str) -> Result<Self, String> {
        let other = Self { folder: Path::new("/run").join(name), programs: self.programs.clone() };
        make(&other.folder, 0o755)?;
        for file in [Authority::CA, Authority::CHAIN, Authority::KEY] {
            let copied = fs::copy(self.folder.join(file), other.folder.join(file));
            copied.map_err(|e| format!("{file}: {e}"))?;
        }
        make(&other.folder.join("state"), 0o700)?;
        Ok(other)
    }

    fn fill(&self, authority: &Authority) -> Result<(), String> {
        make(&self.folder, 0o755)?;
        make(&self.folder.join("state"), 0o700)?;
        authority.write(&self.folder)
    }

    /// The folder with our programs.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The file of the authority that vouches for the server.
    pub fn authority(&self) -> PathBuf {
        self.folder.join(Authority::CA)
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// What the file system says.
    pub fn configure(&self, text: &str) -> Result<(), String> {
        let path = self.folder.join(CONFIGURATION);
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Starts the daemon with a configuration, and waits until it serves.
    ///
    /// # Errors
    /// What starting it says, or that it does not serve in time.
    pub fn start(&self, configuration: &str) -> Result<Daemon, String> {
        self.configure(configuration)?;
        let daemon = self.start_without_waiting(None)?;
        daemon.wait_until("it serves", PATIENCE, is_ready)?;
        Ok(daemon)
    }

    /// Starts the daemon as it is configured, maybe in another network namespace.
    ///
    /// # Errors
    /// What starting it says.
    pub fn start_without_waiting(&self, namespace: Option<&str>) -> Result<Daemon, String> {
        let mut inner = Command::new(self.programs.join("noonmarkd"));
        inner.arg("--config").arg(self.folder.join(CONFIGURATION));
        let mut command = without_clock(&inner);
        if let Some(namespace) = namespace {
            let mut inside = Command::new("ip");
            inside.args(["netns", "exec", namespace]);
            child::transplant(&command, &mut inside);
            command = inside;
        }
        let path = self.folder.join(LOG);
        let log = File::options().create(true).append(true).open(&path);
        let log = log.map_err(|e| format!("{}: {e}", path.display()))?;
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|e| format!("noonmarkd: {e}"))?;
        Ok(Daemon { child, folder: self.folder.clone() })
    }
}

const CONFIGURATION: &str = "noonmark.toml";
/// What the daemon writes to standard error.
pub const LOG: &str = "log";

/// The name in the server's certificate.
pub const NAME: &str = NAME_V4;

/// A daemon that runs, killed when dropped.
pub struct Daemon {
    child: Child,
    folder: PathBuf,
}

impl Daemon {
    /// The launcher's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote since the first start, if that is in a file.
    pub fn log(&self) -> String {
        let path = self.folder.join(LOG);
        let is_file = fs::metadata(&path).is_ok_and(|found| found.is_file());
        if is_file { fs::read_to_string(path).unwrap_or_default() } else { String::new() }
    }

    /// What it says of itself; nothing while nobody answers.
    pub fn status(&self) -> Option<Value> {
        let mut stream = UnixStream::connect(self.folder.join("status.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// What it says of itself, once `condition` holds.
    ///
    /// # Errors
    /// `what`, that it was not so in time, what the daemon said instead, and the end of its log.
    pub fn wait_until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.status();
            match status {
                Some(status) if condition(&status) => return Ok(status),
                last if Instant::now() >= deadline => {
                    let last = last.map(|status| status.to_string()).unwrap_or_default();
                    return Err(self.complain(&format!("{what}: not within {limit:?}; {last}")));
                }
                _ if !is_alive(self.pid()) => {
                    return Err(self.complain(&format!("{what}: the daemon has ended")));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// `what`, and the end of the log.
    pub fn complain(&self, what: &str) -> String {
        format!("{what}\n{}", child::last_lines(&self.log(), 30))
    }

    /// An error with the end of the log unless `holds`.
    ///
    /// # Errors
    /// That.
    pub fn must(&self, holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
        if holds { Ok(()) } else { Err(self.complain(&what())) }
    }

    /// The process of a role, or of the launcher.
    ///
    /// # Errors
    /// That there is none for a while.
    pub fn pid_of(&self, role: &str) -> Result<u32, String> {
        if role == "launcher" {
            return Ok(self.pid());
        }
        let status =
            self.wait_until("the role runs", PATIENCE, |status| pid(status, role).is_some())?;
        pid(&status, role).ok_or_else(|| format!("no {role}"))
    }

    /// Every process there is now, with what it is.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let status = self.status().unwrap_or_default();
        let roles = status["roles"].as_array().cloned().unwrap_or_default();
        let known = roles.iter().filter_map(|role| {
            let pid = u32::try_from(role["pid"].as_u64()?).ok().filter(|pid| *pid != 0)?;
            Some((role["role"].as_str()?.to_owned(), pid))
        });
        known.collect()
    }

    /// Sends a process a signal, as `kill` names it. One that has ended already gets none.
    pub fn signal(&self, name: &str, pid: u32) {
        signal(name, pid);
    }

    /// Kills a role's process and waits until another one serves.
    ///
    /// # Errors
    /// That none did in time.
    pub fn kill_and_wait(&self, role: &str) -> Result<Value, String> {
        let before = self.pid_of(role)?;
        signal("KILL", before);
        self.wait_until(&format!("{role} is back"), PATIENCE, |status| {
            is_ready(status) && pid(status, role).is_some_and(|pid| pid != before)
        })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// That it goes on.
    pub fn wait(&mut self) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => return Err(self.complain(&format!("it does not end: {other:?}"))),
            }
        }
    }

    /// Stops it in good order.
    ///
    /// # Errors
    /// That it did not stop, or not well.
    pub fn stop(mut self) -> Result<(), String> {
        signal("TERM", self.pid());
        let status = self.wait()?;
        self.must(status.success(), || format!("it left with {status} on SIGTERM"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every role serves.
pub fn is_ready(status: &Value) -> bool {
    status["ready"] == true
}

/// What a status says of a role.
pub fn role<'a>(status: &'a Value, name: &str) -> &'a Value {
    let roles = status["roles"].as_array().map(Vec::as_slice).unwrap_or_default();
    roles.iter().find(|role| role["role"] == name).unwrap_or(&Value::Null)
}

/// The process of a role.
pub fn pid(status: &Value, name: &str) -> Option<u32> {
    role(status, name)["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .filter(|pid| *pid != 0)
}

/// How often a role ended by itself.
pub fn restarts(status: &Value, name: &str) -> u64 {
    role(status, name)["restarts"].as_u64().unwrap_or(0)
}

/// A counter of a role.
pub fn counter(status: &Value, role: &str, name: &str) -> u64 {
    status["counters"][role][name].as_u64().unwrap_or(0)
}

/// The number of the cookie key in use.
pub fn epoch(status: &Value) -> u64 {
    status["cookies"]["epoch"].as_u64().unwrap_or(0)
}

/// The sources are followed, by whoever asks them.
pub fn is_synchronised(status: &Value) -> bool {
    status["clock"]["synchronised"] == true && status["tracking"]["state"] == "synchronised"
}

/// Whether a process is there and not just waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z'))
    })
}

/// Sends a process of this world a signal.
pub fn signal(name: &str, pid: u32) {
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stderr(Stdio::null())
        .status();
}

/// Runs lines of shell; what they print.
///
/// # Errors
/// Their status, and what they said.
pub fn shell(lines: &str) -> Result<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-euc", lines]);
    child::output(PATIENCE, &shell)
}

/// An address as written here.
pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("written here")
}

fn make(folder: &Path, mode: u32) -> Result<(), String> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(mode)))
        .map_err(|e| format!("{}: {e}", folder.display()))
}
