//! Network namespaces of our own, and programs that run in them and end with their guards.
//!
//! Names carry our process id, so that what a killed run left behind can be told from what a running one uses.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::child;

const PREFIX: &str = "noonmark-";
const LIMIT: Duration = Duration::from_secs(20);

/// A network namespace, removed when dropped. Its loopback is up.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a new one; `label` only helps a person who looks.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn new(label: &str) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{label}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` takes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside it.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        let mut all = vec!["-netns", &self.name];
        all.extend(arguments);
        ip(&all)
    }

    /// `inner`, to be run inside the namespace with no right to set the clock.
    pub fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]);
        child::transplant(&without_clock(inner), &mut command);
        command
    }

    /// Runs `inner` to its end and gives its standard output.
    ///
    /// # Errors
    /// Its status and what it said.
    pub fn output(&self, limit: Duration, inner: &Command) -> Result<String, String> {
        child::output(limit, &self.command(inner))
    }

    /// Starts `inner` as a daemon that writes to `log`, alone in a process namespace: whatever it starts ends with it.
    ///
    /// # Errors
    /// What starting it says.
    pub fn start(&self, inner: &Command, log: &Path) -> Result<Daemon, String> {
        let mut alone = Command::new("unshare");
        alone.args(["--pid", "--fork", "--kill-child=KILL", "--"]);
        child::transplant(inner, &mut alone);
        self.start_here(&alone, log)
    }

    /// Starts `inner` as a daemon in our own process namespace, so that its process id is [`Daemon::id`].
    ///
    /// # Errors
    /// What starting it says.
    pub fn start_here(&self, inner: &Command, log: &Path) -> Result<Daemon, String> {
        Daemon::start(&self.command(inner), child::describe(inner), log)
    }
}

/// `inner` without the right to set the clock, whatever the one who starts it holds.
pub fn without_clock(inner: &Command) -> Command {
    let mut command = Command::new("setpriv");
    for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
        command.args([set, "-sys_time"]);
    }
    command.arg("--");
    child::transplant(inner, &mut command);
    command
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(problem) = ip(&["netns", "del", &self.name]) {
            eprintln!("namespace {} stays: {problem}", self.name);
        }
    }
}

/// Two namespaces with a wire between them.
#[derive(Debug)]
pub struct Pair {
    /// Where the server runs: [`SERVER_V4`] and [`SERVER_V6`].
    pub server: Namespace,
    /// Where the client runs: [`CLIENT_V4`] and [`CLIENT_V6`].
    pub client: Namespace,
}

/// The server's IPv4 address, the same in every pair.
pub const SERVER_V4: &str = "10.93.0.1";
/// The client's IPv4 address.
pub const CLIENT_V4: &str = "10.93.0.2";
/// The server's IPv6 address.
pub const SERVER_V6: &str = "fd93::1";
/// The client's IPv6 address.
pub const CLIENT_V6: &str = "fd93::2";
/// The interface at the server's end.
pub const SERVER_INTERFACE: &str = "server0";
/// The interface at the client's end.
pub const CLIENT_INTERFACE: &str = "client0";

impl Pair {
    /// Makes both and joins them by a veth pair with IPv4 and IPv6 addresses.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn new() -> Result<Self, String> {
        let server = Namespace::new("server")?;
        let client = Namespace::new("client")?;
        let mut link =
            vec!["link", "add", SERVER_INTERFACE, "netns", server.name(), "type", "veth"];
        link.extend(["peer", "name", CLIENT_INTERFACE, "netns", client.name()]);
        ip(&link)?;
        for (namespace, interface, v4, v6) in [
            (&server, SERVER_INTERFACE, SERVER_V4, SERVER_V6),
            (&client, CLIENT_INTERFACE, CLIENT_V4, CLIENT_V6),
        ] {
            namespace.ip(&["address", "add", &format!("{v4}/24"), "dev", interface])?;
            // Without duplicate address detection the address can be bound at once.
            namespace.ip(&["address", "add", &format!("{v6}/64"), "dev", interface, "nodad"])?;
            namespace.ip(&["link", "set", interface, "up"])?;
        }
        Ok(Self { server, client })
    }
}

/// A running program, ended when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, which goes by `name` and is ended when we end; what it writes is appended to `log`.
    ///
    /// # Errors
    /// What starting it says.
    pub fn start(command: &Command, name: String, log: &Path) -> Result<Self, String> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.map_err(|e| format!("{}: {e}", log.display()))?;
        let both = file.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
        let mut tied = Command::new("setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]);
        child::transplant(command, &mut tied);
        tied.stdin(Stdio::null()).stdout(both).stderr(file);
        let child = tied.spawn().map_err(|e| format!("{name}: {e}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Process id of what was started first.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// That process and all it started, by following parents in `/proc`.
    pub fn processes(&self) -> Vec<u32> {
        let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
        let parents: Vec<(u32, u32)> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
        let mut family = vec![self.id()];
        let mut next = 0;
        while let Some(&elder) = family.get(next) {
            family.extend(parents.iter().filter(|(_, parent)| *parent == elder).map(|(id, _)| *id));
            next += 1;
        }
        family
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// What it wrote so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn last_words(&self) -> String {
        child::last_lines(&self.said(), 12)
    }

    /// Asks again and again until `look` has an answer.
    ///
    /// # Errors
    /// When the time is up or the program ends: what `look` said last, and the end of the log.
    pub fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut() -> Result<T, String>,
    ) -> Result<T, String> {
        let start = Instant::now();
        loop {
            let seen = match look() {
                Ok(answer) => return Ok(answer),
                Err(seen) => seen,
            };
            if let Some(status) = self.child.try_wait().ok().flatten() {
                return Err(format!(
                    "{} ended with {status}; {seen}\n{}",
                    self.name,
                    self.last_words()
                ));
            }
            if start.elapsed() >= limit {
                return Err(format!("after {} s: {seen}\n{}", limit.as_secs(), self.last_words()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Asks it to end, as an init system would, and waits.
    ///
    /// # Errors
    /// When it does not end within `limit`; it is then killed.
    pub fn terminate(self, limit: Duration) -> Result<std::process::ExitStatus, String> {
        noonmark_os::process::terminate(&self.child).map_err(|e| format!("{}: {e}", self.name))?;
        self.wait(limit)
    }

    /// Waits for it to end.
    ///
    /// # Errors
    /// When it does not within `limit`; it is then killed.
    pub fn wait(mut self, limit: Duration) -> Result<std::process::ExitStatus, String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("{} still runs {} s after SIGTERM", self.name, limit.as_secs()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ours to end by its id; what it started is tied to it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Removes namespaces of earlier runs whose process is gone.
pub fn sweep() {
    let folder = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in folder.filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let gone = owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists());
        if gone {
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn parent(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows it does not.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(arguments);
    child::output(LIMIT, &command).map(drop)
}
