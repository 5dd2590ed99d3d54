//! `cargo xtask bench overload`: who is still answered while somebody floods the server.
//!
//! [`flood`] holds each server to 30 % of a processor and offers three times what it can answer; [`siege`] has thousands of
//! connections to key establishment come in while clients ask over UDP.

mod cgroup;
mod flood;
mod siege;

use std::ops::Deref;
use std::process::Command;

use self::cgroup::Cgroup;
use super::Wish;
use super::figure::Figure;
use super::rig::{ROUTER, Rig, SERVER_MAC, Server};
use crate::{child, netns};

const OURS: &str = "noonmarkd";
const CHRONY: &str = "chronyd";

/// What to measure, and how.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub wish: Wish,
    /// One part alone
    #[arg(long)]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Part {
    Flood,
    Siege,
}

/// Both parts, one after the other.
///
/// # Errors
/// What could not be started, or which answers were wrong.
pub fn measure(arguments: &Arguments) -> Result<Vec<Figure>, String> {
    let wish = arguments.wish;
    let rig = Rig::new(wish)?;
    // Attackers claim to be anybody; what is sent back to them goes the way of all answers.
    let server = netns::SERVER_INTERFACE;
    rig.pair.server.ip(&["route", "add", "default", "via", ROUTER, "dev", server])?;
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if wanted(Part::Flood) {
        figures.extend(flood::measure(&rig, wish)?);
    }
    if wanted(Part::Siege) {
        figures.extend(siege::measure(&rig, wish)?);
    }
    Ok(figures)
}

/// A server in a control group. The server is ended first, then the group goes.
struct Grouped {
    server: Server,
    _group: Cgroup,
}

impl Grouped {
    fn new(server: Server, part: Option<f64>) -> Result<Self, String> {
        let group = Cgroup::new(server.name, part)?;
        group.hold(&server.processes())?;
        Ok(Self { server, _group: group })
    }
}

impl Deref for Grouped {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// `inner` before all other work of its processor, and before what has a smaller `priority`.
fn first(priority: u8, inner: &Command) -> Command {
    let mut command = Command::new("chrt");
    command.args(["--fifo", &priority.to_string()]);
    child::transplant(inner, &mut command);
    command
}

/// `ntp-flood` at a server. It goes before all other work of its processor and sleeps between two batches; the kernel stamps
/// the answers. So neither a siege nor what else the machine does keeps it from asking when it is due.
fn generator(rig: &Rig, server: &Server, pause_us: u32) -> Command {
    let mut command = first(50, &rig.program("ntp-flood"));
    command.args(["--interface", netns::CLIENT_INTERFACE, "--server-mac", SERVER_MAC]);
    command.args(["--server", server.address, "--pause", &pause_us.to_string()]);
    command
}
