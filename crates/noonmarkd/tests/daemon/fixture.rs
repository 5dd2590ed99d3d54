//! The real executable, in a folder of its own, on free ports of the loopback device.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use noonmark_os::{caps, process, random::RandomPool};
use serde_json::Value;

use crate::identity::{Authority, replace};

/// How long anything may take here: far more than it does, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const CONFIGURATION: &str = r#"
[server]
listen = ["127.0.0.1:0", "[::1]:0"]
threads = 2
local-stratum = 3

[nts]
listen = ["127.0.0.1:0"]
certificate = "chain.pem"
key = "key.pem"

[state]
folder = "state"

[status]
socket = "status.sock"
"#;

/// A folder with a configuration and a certificate, gone when dropped.
pub struct Place {
    pub folder: PathBuf,
    pub authority: Authority,
}

impl Place {
    pub fn new() -> Self {
        let random: [u8; 8] = RandomPool::new().expect("kernel").array();
        let folder =
            std::env::temp_dir().join(format!("noonmarkd-{:016x}", u64::from_be_bytes(random)));
        std::fs::DirBuilder::new().mode(0o700).create(&folder).expect("a new name");
        let authority = Authority::new();
        authority.issue(&folder);
        replace(&folder, "noonmark.toml", CONFIGURATION);
        Self { folder, authority }
    }

    pub fn configure(&self, text: &str) {
        replace(&self.folder, "noonmark.toml", text);
    }

    /// Starts the daemon and waits until every role serves.
    pub fn start(&self) -> Daemon {
        let daemon = self.start_without_waiting(&[]);
        daemon.wait_until("the daemon serves", |status| status["ready"] == true);
        daemon
    }

    pub fn start_without_waiting(&self, environment: &[(&str, &Path)]) -> Daemon {
        let file = self.folder.join("noonmark.toml");
        self.start_with([OsStr::new("--config"), file.as_os_str()], environment)
    }

    pub fn start_with(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, &Path)],
    ) -> Daemon {
        self.start_from(Path::new("."), arguments, environment)
    }

    /// Starts it in `current`, from where relative paths among its arguments count.
    pub fn start_from(
        &self,
        current: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, &Path)],
    ) -> Daemon {
        // Nothing that is started here can set a clock. (It would not: it gives up the right itself.)
        caps::drop_sys_time().expect("dropping needs no right");
        let log = self.folder.join("log");
        let stderr =
            File::options().append(true).create(true).open(&log).expect("a writable folder");
        let child = Command::new(env!("CARGO_BIN_EXE_noonmarkd"))
            .current_dir(current)
            .args(arguments)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("built");
        Daemon { child, log, socket: self.folder.join("status.sock") }
    }

    /// Starts it as systemd starts a service whose sockets it has bound: they are descriptors 3 and 4, the environment says so, and the
    /// process it says it of is the daemon's own.
    pub fn start_with_sockets(&self, udp: OwnedFd, tcp: OwnedFd) -> Daemon {
        caps::drop_sys_time().expect("dropping needs no right");
        let log = self.folder.join("log");
        let stderr =
            File::options().append(true).create(true).open(&log).expect("a writable folder");
        let script = r#"exec 3<&0 4>&1 </dev/null >/dev/null
            LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=time:keys exec "$0" --config "$1""#;
        let child = Command::new("sh")
            .args(["-euc", script, env!("CARGO_BIN_EXE_noonmarkd")])
            .arg(self.folder.join("noonmark.toml"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .stdin(udp)
            .stdout(tcp)
            .stderr(stderr)
            .spawn()
            .expect("a shell");
        Daemon { child, log, socket: self.folder.join("status.sock") }
    }

    /// Starts the daemon where it is expected to end by itself. Returns its status and what it wrote.
    pub fn start_in_vain(&self) -> (Option<i32>, String) {
        let mut daemon = self.start_without_waiting(&[]);
        let status = daemon.wait();
        (status.code(), daemon.log())
    }
}

/// Gives a file a new time of change again and again, until dropped.
pub struct Restless {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Place {
    /// Sees to it that a file of the folder, or what takes its place, never looks the same for long.
    pub fn keep_changing(&self, name: &str) -> Restless {
        let (path, stop) = (self.folder.join(name), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let file = File::options().append(true).open(&path).expect("there");
                file.set_modified(SystemTime::now()).expect("ours");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Restless { stop, thread: Some(thread) }
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that fails leaves its daemon's log for whoever looks.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A running daemon, killed when dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("written since the start")
    }

    /// The status document; `None` while nobody answers.
    pub fn status(&self) -> Option<Value> {
        self.status_within(PATIENCE)
    }

    /// The same, waiting no longer than `patience`.
    pub fn status_within(&self, patience: Duration) -> Option<Value> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        // A connection that was waiting when its role was killed ends without a word.
        if text.is_empty() {
            return None;
        }
        Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// The status document, once `condition` holds.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(is_alive(self.pid()), "{what}: the daemon has ended\n{}", self.log());
            let status = self.status();
            match status {
                Some(status) if condition(&status) => return status,
                last if Instant::now() >= deadline => {
                    panic!("{what}: not in time; {last:?}\n{}", self.log())
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The first address bound for a protocol.
    pub fn address(&self, protocol: &str) -> SocketAddr {
        self.addresses(protocol)[0]
    }

    pub fn addresses(&self, protocol: &str) -> Vec<SocketAddr> {
        let status =
            self.wait_until("addresses are known", |status| status["listening"][0].is_object());
        let listening = status["listening"].as_array().expect("a list");
        let of = listening.iter().filter(|one| one["protocol"] == protocol);
        of.map(|one| one["address"].as_str().expect("text").parse().expect("an address")).collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process that plays `role` now.
    pub fn pid_of(&self, role: &str) -> u32 {
        let status =
            self.wait_until("the role runs", |status| process_of(status, role)["pid"].is_u64());
        u32::try_from(process_of(&status, role)["pid"].as_u64().expect("a number"))
            .expect("a process id")
    }

    /// Sends the launcher a signal, as `kill` names it.
    pub fn signal(&self, name: &str) {
        signal(name, self.pid());
    }

    /// Waits for the launcher's end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("our child") {
                Some(status) => return status,
                None if Instant::now() >= deadline => panic!("still running\n{}", self.log()),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Stops it in good order.
    pub fn stop(mut self) -> ExitStatus {
        process::terminate(&self.child).expect("our child");
        self.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the status document says of a role.
pub fn process_of<'a>(status: &'a Value, role: &str) -> &'a Value {
    let roles = status["roles"].as_array().map(Vec::as_slice).unwrap_or_default();
    roles.iter().find(|process| process["role"] == role).unwrap_or(&Value::Null)
}

/// Sends a process of ours a signal.
pub fn signal(name: &str, pid: u32) {
    let sent =
        Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().expect("a shell");
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Whether a process is there and not just waiting to be reaped.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z'))
    })
}
