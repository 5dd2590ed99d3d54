//! One guest: QEMU emulating every instruction, so that its clock is its own and it needs no right to anything.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::image::Image;
use super::kernel::Kernel;
use crate::child;
use crate::netns::Daemon;

/// What a guest is made of.
pub struct Machine<'a> {
    /// Its name, and that of its folder of files.
    pub name: &'a str,
    /// What it boots.
    pub kernel: &'a Kernel,
    /// What it finds when it has booted.
    pub image: Image,
    /// Memory in MB.
    pub memory: u32,
    /// The time its clock chip shows at the start, as `2026-01-01T00:00:00`.
    pub starts_at: &'a str,
    /// Whether its oscillator is as it is, or hidden behind a frequency it is made to believe, in kHz.
    pub counter_khz: Option<u64>,
    /// The wire it is plugged into, if there is one.
    pub wire: Option<Wire>,
    /// The id of its generation, if its hypervisor gives it one.
    pub generation: Option<&'a str>,
    /// The file that another machine was frozen to, which it goes on as.
    pub thaws: Option<&'a Path>,
    /// A page of memory it shares with this machine, by path, if there is one.
    pub page: Option<PathBuf>,
    /// Whether it goes before this machine's other programs, because something is measured by it to the microsecond.
    pub is_exact: bool,
}

/// Ethernet over a pair of datagram sockets of this machine. Whoever is at the other end, another guest or a program, has the two
/// paths the other way round; no network is touched.
pub struct Wire {
    /// Where the guest receives.
    pub mine: PathBuf,
    /// Where it sends to.
    pub theirs: PathBuf,
}

/// A guest that runs.
pub struct Running {
    qemu: Daemon,
    folder: PathBuf,
}

impl Machine<'_> {
    /// Boots it. It ends with us, whatever happens in it.
    ///
    /// # Errors
    /// What the file system says, or that QEMU cannot be started.
    pub fn boot(&self, target: &Path) -> Result<Running, String> {
        let folder = target.join("guest/run").join(self.name);
        let archive = folder.join("image");
        let make = || {
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir_all(&folder)?;
            self.image.write(&archive)
        };
        make().map_err(|e| format!("{}: {e}", folder.display()))?;
        let command = self.command(&folder, &archive);
        let qemu = Daemon::start(&command, format!("guest {}", self.name), &folder.join("qemu"))?;
        Ok(Running { qemu, folder })
    }

    fn command(&self, folder: &Path, archive: &Path) -> Command {
        let mut qemu = if self.is_exact { on_time() } else { at_leisure() };
        qemu.arg("qemu-system-x86_64");
        // TCG is named: a machine may offer KVM and not be able to run a guest with it.
        let board = if self.counter_khz.is_some() { "q35,hpet=off" } else { "q35" };
        qemu.args(["-machine", board, "-accel", "tcg,tb-size=64", "-cpu", "max", "-smp", "1"]);
        qemu.args([
            "-m",
            &self.memory.to_string(),
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ]);
        qemu.arg("-kernel").arg(self.kernel.image()).arg("-initrd").arg(archive);
        // A kernel that gets no turn for a while would take the timer for broken.
        let mut line = format!("console=ttyS0 panic=1 quiet no_timer_check {MARK}");
        if let Some(khz) = self.counter_khz {
            // With no other clock to compare with, the kernel believes it.
            line += &format!(" tsc_early_khz={khz} tsc=reliable pmtmr=0");
        }
        qemu.args(["-append", &line]);
        for file in ["console", "samples"] {
            qemu.arg("-serial").arg(format!("file:{}", folder.join(file).display()));
        }
        qemu.args(["-rtc", &format!("base={}", self.starts_at)]);
        if let Some(id) = self.generation {
            qemu.args(["-device", &format!("vmgenid,guid={id}")]);
            let monitor = folder.join("monitor");
            qemu.args(["-monitor", &format!("unix:{},server,nowait", monitor.display())]);
        }
        if let Some(file) = self.thaws {
            qemu.args(["-incoming", &format!("exec:cat {}", file.display())]);
        }
        match &self.wire {
            None => {}
            Some(Wire { mine, theirs }) => {
                let (mine, theirs) = (mine.display(), theirs.display());
                qemu.args(["-netdev", &format!(
                    "dgram,id=wire,local.type=unix,local.path={mine},remote.type=unix,remote.path={theirs}"
                )]);
                qemu.args(["-device", "virtio-net-pci,netdev=wire,mac=52:54:00:00:00:02"]);
            }
        }
        if let Some(page) = &self.page {
            qemu.args([
                "-object",
                &format!(
                    "memory-backend-file,size=1M,share=on,mem-path={},id=page",
                    page.display()
                ),
            ]);
            qemu.args(["-device", "ivshmem-plain,memdev=page"]);
        }
        qemu
    }
}

impl Running {
    /// Waits until it has switched itself off, and returns what it wrote on its console.
    ///
    /// # Errors
    /// How it ended otherwise, or that it did not within `limit`, with the end of the console.
    pub fn finish(&mut self, limit: Duration) -> Result<String, String> {
        let started = Instant::now();
        let how = loop {
            match self.qemu.ended() {
                Some(status) => break status,
                None if started.elapsed() > limit => {
                    break format!("still running after {} s", limit.as_secs());
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let console = self.console();
        if how == "exit status: 0" {
            // It is made anew for the next boot; a dozen of them fill small disks.
            let _ = fs::remove_file(self.folder.join("image"));
            return Ok(console);
        }
        Err(format!("the guest: {how}\n{}\n{}", self.qemu.said(), child::last_lines(&console, 15)))
    }

    /// Freezes it to a file and ends it. It must have been given the id of a generation.
    ///
    /// # Errors
    /// What its monitor says, or that it did not within `limit`.
    pub fn freeze(mut self, to: &Path, limit: Duration) -> Result<(), String> {
        let path = self.folder.join("monitor");
        let failed = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut monitor = UnixStream::connect(&path).map_err(failed)?;
        monitor.set_read_timeout(Some(Duration::from_millis(200))).map_err(failed)?;
        let mut say = |line: &str| {
            monitor.write_all(line.as_bytes()).map_err(failed)?;
            let (mut said, mut room) = (Vec::new(), [0; 4096]);
            // It never ends; what comes in a moment is the answer.
            while let Ok(length) = monitor.read(&mut room)
                && length > 0
            {
                said.extend(room.iter().take(length));
            }
            Ok::<_, String>(String::from_utf8_lossy(&said).into_owned())
        };
        say(&format!("migrate -d \"exec:cat > {}\"\n", to.display()))?;
        let started = Instant::now();
        loop {
            let said = say("info migrate\n")?;
            if said.contains("Migration status: completed") {
                break;
            }
            if said.contains("status: failed") || started.elapsed() > limit {
                return Err(format!("the guest was not frozen: {said}"));
            }
        }
        say("quit\n")?;
        while self.qemu.ended().is_none() && started.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What it has written on its console so far.
    pub fn console(&self) -> String {
        let octets = fs::read(self.folder.join("console")).unwrap_or_default();
        String::from_utf8_lossy(&octets).replace('\r', "")
    }

    /// What it has written to its second serial line so far.
    pub fn samples(&self) -> String {
        let octets = fs::read(self.folder.join("samples")).unwrap_or_default();
        String::from_utf8_lossy(&octets).replace('\r', "")
    }
}

/// The beginning of a command that is to run before this machine's other programs whenever it has something to do: where guests have to
/// wait for these, it is the machine that is measured. Where that is not allowed it runs as anything else.
pub fn on_time() -> Command {
    let mut first = Command::new("chrt");
    first.args(["--fifo", "1"]);
    let mut trial = Command::new("chrt");
    trial.args(["--fifo", "1", "true"]);
    if child::output(Duration::from_secs(5), &trial).is_err() {
        first = Command::new("nice");
        first.arg("--adjustment=-10");
    }
    first
}

/// The beginning of a command that may wait.
fn at_leisure() -> Command {
    let mut nice = Command::new("nice");
    nice.arg("--adjustment=5");
    nice
}

/// What programs that set clocks look for on the kernel's command line before they do.
const MARK: &str = "noonmark.guest";
