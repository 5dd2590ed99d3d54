//! A room: mounts and processes of a cell's own beside its networks, for what a daemon meets on a whole system — a
//! journal, an account, credentials, an init script.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::lab::{Lab, Place};
use crate::child;
use crate::netns::{Daemon, without_clock};

/// The server's namespace of a place with a `/run` of its own, and a `/proc` that shows only what was started in it.
/// What was started in it ends with it.
#[derive(Debug)]
pub struct Room {
    /// Dropped, it takes all with it.
    _keeper: Daemon,
    /// Its first process, as we count.
    first: u32,
}

impl Room {
    /// Makes one. In its `/run` are our programs, in [`Self::PROGRAMS`], and the folder of the place, under the name by
    /// which the peers know it, too. `furnish` is done inside before anything else: lines of shell.
    ///
    /// # Errors
    /// What a mount or a line of `furnish` says.
    pub fn new(lab: &Lab, place: &Place, furnish: &str) -> Result<Self, String> {
        let mut alone = Command::new("unshare");
        alone.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--", "sh", "-euc"]);
        // The shell goes on as the first process, since one that has lost its parent has to be reaped.
        alone.arg(format!("{FURNISH}{furnish}\necho {FURNISHED}\nwhile :; do sleep 1; done"));
        alone.arg("sh").arg(&place.outside).arg(&place.inside);
        alone.arg(&lab.programs).arg(Self::PROGRAMS);
        let mut keeper = place.pair.server.start_here(&alone, &place.path("room.out"))?;
        let log = place.path("room.out");
        keeper.wait_for(LIMIT, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.lines().any(|line| line == FURNISHED) { Ok(()) } else { Err(said) }
        })?;
        let first = keeper.processes().get(1).copied().ok_or("the room has no process")?;
        Ok(Self { _keeper: keeper, first })
    }

    /// The folder with our own programs, as the room sees it.
    pub const PROGRAMS: &str = "/run/programs";

    /// One of our own programs, to be run in the room.
    pub fn program(name: &str) -> Command {
        Command::new(PathBuf::from(Self::PROGRAMS).join(name))
    }

    /// `inner`, to be run in the room.
    pub fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string(), "--net", "--mount", "--pid", "--"]);
        child::transplant(inner, &mut command);
        without_clock(&command)
    }

    /// Runs `inner` to its end and gives its standard output.
    ///
    /// # Errors
    /// Its status and what it said.
    pub fn output(&self, inner: &Command) -> Result<String, String> {
        child::output(LIMIT, &self.command(inner))
    }

    /// Runs a line of shell to its end and gives its standard output.
    ///
    /// # Errors
    /// Its status and what it said.
    pub fn shell(&self, line: &str) -> Result<String, String> {
        let mut shell = Command::new("sh");
        shell.args(["-euc", line]);
        self.output(&shell)
    }

    /// Starts `inner` as a daemon that writes to `log`. Its process id is one of the room; it ends at the latest with the
    /// room.
    ///
    /// # Errors
    /// What starting it says.
    pub fn start(&self, inner: &Command, log: &std::path::Path) -> Result<Daemon, String> {
        Daemon::start(&self.command(inner), child::describe(inner), log)
    }
}

const LIMIT: Duration = Duration::from_secs(30);

/// What the first process says when everything is in its place.
const FURNISHED: &str = "furnished";

/// `$1` is the place's folder, `$2` its name inside, `$3` and `$4` the same for programs.
const FURNISH: &str = r#"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p "$2" "$4"
mount --bind "$1" "$2"
mount --bind "$3" "$4"
"#;
