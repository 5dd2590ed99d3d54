//! The noonmarkd of a demonstration: built, started, watched, ended.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use noonmark_os::process;
use serde_json::Value;

use super::authority;
use super::folder::{PrivateFolder, write_private};
use crate::state;

/// Builds noonmarkd as this program was built, and says where it is.
///
/// Without Cargo (the program was started by itself) the one beside this program is taken.
///
/// # Errors
/// Why there is none.
pub(super) async fn build() -> Result<PathBuf, DaemonError> {
    let own = std::env::current_exe().map_err(DaemonError::of("where am I?"))?;
    let beside = own.with_file_name("noonmarkd");
    let Some(cargo) = std::env::var_os("CARGO") else {
        return if beside.exists() {
            Ok(beside)
        } else {
            Err(DaemonError::new(format!(
                "there is no {}: build it with `cargo build -p noonmarkd`",
                beside.display()
            )))
        };
    };
    let mut command = Command::new(cargo);
    command.args(build_arguments(&own)).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR") {
        command.current_dir(manifest);
    }
    let mut cargo =
        Process::start(&mut command).map_err(DaemonError::of("cargo does not start"))?;
    let status = cargo.wait().await.map_err(DaemonError::of("cargo is lost"))?;
    if !status.success() {
        return Err(DaemonError::new(format!(
            "noonmarkd does not build: cargo ended with {status}"
        )));
    }
    if beside.exists() {
        Ok(beside)
    } else {
        Err(DaemonError::new(format!("cargo built noonmarkd, but not as {}", beside.display())))
    }
}

/// What to tell Cargo so that noonmarkd appears beside `own`, which is `TARGET/PROFILE/NAME`.
fn build_arguments(own: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        ["build", "--package", "noonmarkd", "--bin", "noonmarkd"].map(Into::into).into();
    let folder = own.parent();
    // The folder of the profile "dev" is called "debug", for reasons of history.
    match folder.and_then(Path::file_name) {
        Some(profile) if profile != "debug" => {
            arguments.extend(["--profile".into(), profile.to_owned()]);
        }
        _ => {}
    }
    if let Some(target) = folder.and_then(Path::parent) {
        arguments.extend(["--target-dir".into(), target.as_os_str().to_owned()]);
    }
    arguments
}

/// The ports of a demonstration, on every loopback address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ports {
    /// UDP, of NTP.
    pub(super) ntp: u16,
    /// TCP, of key establishment.
    pub(super) ke: u16,
}

/// A running noonmarkd. Dropped, it is killed.
pub(super) struct Daemon {
    process: Process,
    ports: Ports,
    status_socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program` in `folder` and waits until it serves.
    ///
    /// # Errors
    /// That it ended, with the end of its log, or that it does not become ready.
    pub(super) async fn start(program: &Path, folder: &PrivateFolder) -> Result<Self, DaemonError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_start(program, folder.path()).await {
                // A port that was free may be taken by the time it is bound.
                Err(DaemonError { port_taken: true, .. }) if tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_start(program: &Path, folder: &Path) -> Result<Self, DaemonError> {
        let failed = DaemonError::of;
        let addresses = loopback_addresses();
        let ports = free_ports(&addresses).map_err(failed("no free ports on loopback"))?;
        let configuration = folder.join("noonmark.toml");
        let text = configuration_text(folder, &addresses, ports);
        write_private(&configuration, &text).map_err(failed("configuration"))?;
        let log = folder.join("noonmarkd.log");
        let log_file = fs::File::create(&log).map_err(failed("log"))?;
        let mut command = Command::new(program);
        command
            .arg("--config")
            .arg(&configuration)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().map_err(failed("log"))?)
            .stderr(log_file)
            .env_remove("NOTIFY_SOCKET")
            // Ctrl-C on a terminal is for us; we end the daemon then.
            .process_group(0);
        process::end_with_parent(&mut command);
        let process = Process::start(&mut command).map_err(failed("noonmarkd does not start"))?;
        let mut daemon = Self { process, ports, status_socket: folder.join("status.sock"), log };
        daemon.become_ready().await?;
        Ok(daemon)
    }

    async fn become_ready(&mut self) -> Result<(), DaemonError> {
        let patience = tokio::time::sleep(START_PATIENCE);
        tokio::pin!(patience);
        loop {
            if self.status().await.is_some_and(|status| status["ready"] == true) {
                return Ok(());
            }
            tokio::select! {
                reason = self.ended() => return Err(reason),
                () = &mut patience => return Err(DaemonError::new(format!("noonmarkd does not become ready\n{}", self.log_end()))),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The ports it serves.
    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    /// How many requests it has answered with time.
    pub(super) async fn answers(&self) -> Option<u64> {
        let status = self.status().await?;
        let counters = &status["counters"]["ntp"];
        Some(
            counters["answered_plain"].as_u64()?.saturating_add(counters["answered_nts"].as_u64()?),
        )
    }

    /// Waits until it ends by itself, and says how. Cancelling it loses nothing.
    pub(super) async fn ended(&mut self) -> DaemonError {
        let outcome = self.process.wait().await;
        let port_taken = matches!(&outcome, Ok(status) if status.code() == Some(ADDRESS_TAKEN));
        let how = outcome.map_or_else(|error| error.to_string(), |status| status.to_string());
        DaemonError { text: format!("noonmarkd ended: {how}\n{}", self.log_end()), port_taken }
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(mut self) {
        if process::terminate(&self.process.0).is_ok() {
            let _ = tokio::time::timeout(STOP_PATIENCE, self.process.wait()).await;
        }
    }

    async fn status(&self) -> Option<Value> {
        state::ask(&self.status_socket, STATUS_PATIENCE).await.ok()
    }

    /// The last lines it wrote.
    fn log_end(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// A child process that does not outlive its owner.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended; either way it is not left a zombie.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Why there is no noonmarkd to demonstrate.
#[derive(Debug)]
pub(super) struct DaemonError {
    text: String,
    /// Somebody else has taken a port that was free a moment before.
    port_taken: bool,
}

impl DaemonError {
    fn new(text: String) -> Self {
        Self { text, port_taken: false }
    }

    fn of(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(format!("{what}: {error}"))
    }
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

impl std::error::Error for DaemonError {}

/// 127.0.0.1, and ::1 where there is IPv6: `localhost` may mean either.
fn loopback_addresses() -> Vec<std::net::IpAddr> {
    let v6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    [Some(Ipv4Addr::LOCALHOST.into()), v6.then(|| Ipv6Addr::LOCALHOST.into())]
        .into_iter()
        .flatten()
        .collect()
}

/// Ports that are free on every address.
fn free_ports(addresses: &[std::net::IpAddr]) -> io::Result<Ports> {
    let ntp = free_port(addresses, |address| UdpSocket::bind(address)?.local_addr())?;
    let ke = free_port(addresses, |address| TcpListener::bind(address)?.local_addr())?;
    Ok(Ports { ntp, ke })
}

fn free_port(
    addresses: &[std::net::IpAddr],
    bind: impl Fn(SocketAddr) -> io::Result<SocketAddr>,
) -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for _ in 0..TRIES {
        let mut port = 0;
        let bound = addresses.iter().try_for_each(|address| {
            port = bind(SocketAddr::new(*address, port))?.port();
            Ok(())
        });
        match bound {
            Ok(()) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn configuration_text(folder: &Path, addresses: &[std::net::IpAddr], ports: Ports) -> String {
    let listen = |port| {
        let all: Vec<_> = addresses
            .iter()
            .map(|address| format!("\"{}\"", SocketAddr::new(*address, port)))
            .collect();
        all.join(", ")
    };
    let file = |file: PathBuf| toml_string(&file.to_string_lossy());
    format!(
        "[server]\nlisten = [{ntp_listen}]\nlocal-stratum = 10\nthreads = 1\n\n\
         [nts]\nlisten = [{ke_listen}]\ncertificate = {certificate}\nkey = {key}\nntp-port = {ntp}\n\n\
         [state]\nfolder = {state}\n\n[status]\nsocket = {socket}\n\n[log]\nformat = \"text\"\nlevel = \"info\"\n",
        ntp_listen = listen(ports.ntp),
        ke_listen = listen(ports.ke),
        certificate = file(authority::certificate_file(folder)),
        key = file(authority::key_file(folder)),
        ntp = ports.ntp,
        state = file(folder.join("state")),
        socket = file(folder.join("status.sock")),
    )
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let escaped: String = text
        .chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)).chars().collect(),
            c => vec![c],
        })
        .collect();
    format!("\"{escaped}\"")
}

/// noonmarkd's exit status when an address is taken.
const ADDRESS_TAKEN: i32 = 69;
/// How often a start is tried when a port is snatched away.
const TRIES: u32 = 5;
const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// The daemon answers from memory.
const STATUS_PATIENCE: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(25);
const LOG_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_told_the_profile_and_the_folder_of_this_program() {
        fn check(own: &str, expected: &[&str]) {
            let found = build_arguments(Path::new(own));
            assert_eq!(
                found[5..],
                expected.iter().map(OsString::from).collect::<Vec<_>>(),
                "{own}"
            );
        }
        check("/t/debug/noonmark-demo", &["--target-dir", "/t"]);
        check("/t/release/noonmark-demo", &["--profile", "release", "--target-dir", "/t"]);
        check("/t/x86/bench/noonmark-demo", &["--profile", "bench", "--target-dir", "/t/x86"]);
    }

    #[test]
    fn the_configuration_is_one_that_noonmarkd_takes() {
        let folder = Path::new("/tmp/a \"b\"");
        let text =
            configuration_text(folder, &loopback_addresses(), Ports { ntp: 11123, ke: 14460 });
        let settings = noonmark_config::parse(&text, &folder.join("noonmark.toml")).expect("good");
        let nts = settings.nts.expect("NTS");
        assert_eq!(nts.ntp_port, Some(11123));
        assert_eq!(nts.key, authority::key_file(folder));
        assert_eq!(settings.server.listen[0], "127.0.0.1:11123".parse().expect("an address"));
        assert_eq!(settings.status.socket, folder.join("status.sock"));
    }

    #[test]
    fn free_ports_can_be_bound() {
        let addresses = loopback_addresses();
        let ports = free_ports(&addresses).expect("free ports");
        assert!(ports.ntp > 0 && ports.ke > 0);
        for address in addresses {
            UdpSocket::bind((address, ports.ntp)).expect("free");
        }
    }
}
