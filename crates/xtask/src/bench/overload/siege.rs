//! Thousands of connections to key establishment, and what clients who ask over UDP notice of them.

use std::time::Duration;

use serde::Deserialize;

use super::{CHRONY, Grouped, OURS, first, generator};
use crate::bench::asking::answers;
use crate::bench::figure::Figure;
use crate::bench::rig::{Rig, SERVER_MAC, Server, private_folder};
use crate::bench::{Wish, certificate};
use crate::netns;
use crate::peers::Peers;

/// Addresses that connections come from, on the generator's side of the wire.
const BESIEGERS: &str = "10.94.0.0/16";
const FIRST_BESIEGER: &str = "10.94.0.1";
/// Addresses of a siege from everywhere.
const MANY: u32 = 250;

const OURS_AT: &str = "10.93.0.21";
const CHRONY_AT: &str = "10.93.0.22";

/// Requests per second over UDP.
const RATE: u32 = 2000;
/// Microseconds between two looks whether a request is due.
const PAUSE_US: u32 = 100;
/// Seconds of a siege, and of what is measured within it.
const SIEGE_S: f64 = 4.0;
const MEASURED_S: f64 = 3.0;

/// What `ntp-flood` prints of clients who ask without a flood.
#[derive(Deserialize)]
struct Asked {
    bad: u64,
    complaints: Vec<String>,
    crowds: Vec<Fate>,
}

#[derive(Deserialize)]
struct Fate {
    calm: Option<Share>,
}

#[derive(Clone, Copy, Deserialize)]
struct Share {
    share: f64,
    p50_us: f64,
    p99_us: f64,
}

/// What `ke-flood` prints.
#[derive(Deserialize)]
struct Siege {
    whole: Connections,
    slow: Connections,
    silent: Connections,
    garbage: Connections,
    most_open: u32,
}

#[derive(Deserialize)]
struct Connections {
    begun: u32,
    connected: u32,
    established: u32,
    ended_by_server: u32,
}

/// The p99 of one server's answers, round by round: without a siege and with it, in nanoseconds.
#[derive(Default)]
struct Samples {
    without: Vec<f64>,
    from_many: Vec<f64>,
    from_one: Vec<f64>,
}

/// Besieges noonmarkd and chronyd in turn, each round without, from many addresses, and from one.
///
/// # Errors
/// What could not be started, or which answers were wrong.
pub fn measure(rig: &Rig, wish: Wish) -> Result<Vec<Figure>, String> {
    // All addresses of the network are the generator's own, without one being configured for each.
    rig.pair.client.ip(&["route", "add", "local", BESIEGERS, "dev", "lo"])?;
    let server = netns::SERVER_INTERFACE;
    rig.pair.server.ip(&["route", "add", BESIEGERS, "via", netns::CLIENT_V4, "dev", server])?;
    let servers = [Grouped::new(start_ours(rig)?, None)?, Grouped::new(start_chrony(rig)?, None)?];
    let mut samples: [Samples; 2] = Default::default();
    for round in 1..=wish.rounds {
        for (server, samples) in servers.iter().zip(&mut samples) {
            let say = |what: &str, asked: Share| {
                eprintln!(
                    "round {round} of {}  {what:<9} {:<9} UDP p50 {:>5.0} us, p99 {:>6.0} us, {:.2} % answered",
                    wish.rounds,
                    server.name,
                    asked.p50_us,
                    asked.p99_us,
                    asked.share * 100.0
                );
            };
            let without = ask(rig, server)?;
            say("no siege", without);
            samples.without.push(without.p99_us * 1e3);
            for (what, addresses, p99_ns) in [
                ("from many", MANY, &mut samples.from_many),
                ("from one", 1, &mut samples.from_one),
            ] {
                let (asked, siege) = besiege(rig, server, addresses)?;
                say(what, asked);
                eprintln!("{:>36} {}", "", siege.as_line());
                p99_ns.push(asked.p99_us * 1e3);
            }
        }
    }
    let [ours, chrony] = &samples;
    let figure = |name: &str, with: &[f64], without: &[f64]| {
        Figure::of_turns(name.to_owned(), "ns, p99 with and without", with, without)
    };
    let figures = [
        figure("ke_flood_p99", &ours.from_many, &ours.without),
        figure("ke_flood_p99_one", &ours.from_one, &ours.without),
        figure("ke_flood_p99_chrony", &chrony.from_many, &chrony.without),
        figure("ke_flood_p99_one_chrony", &chrony.from_one, &chrony.without),
    ];
    Ok(figures.into_iter().flatten().collect())
}

impl Siege {
    fn as_line(&self) -> String {
        let all = [&self.whole, &self.slow, &self.silent, &self.garbage];
        let sum = |of: fn(&Connections) -> u32| all.iter().map(|one| of(one)).sum::<u32>();
        format!(
            "{} connections begun, {} connected, at most {} open; {} of {} established; the server ended {} slow, {} silent",
            sum(|one| one.begun),
            sum(|one| one.connected),
            self.most_open,
            self.whole.established,
            self.whole.begun,
            self.slow.ended_by_server,
            self.silent.ended_by_server,
        )
    }
}

/// Asks over UDP for a while.
fn ask(rig: &Rig, server: &Server) -> Result<Share, String> {
    let mut command = generator(rig, server, PAUSE_US);
    command.args(["--calm", &MEASURED_S.to_string(), "--flood", "0", "--after", "0"]);
    let crowd = format!("name=plain,rate={RATE},from=10.64.0.0,clients=200,per-prefix=200");
    command.args(["--honest", &crowd]);
    let asked: Asked = rig.generate(&command)?;
    if asked.bad > 0 {
        let complaints = asked.complaints;
        return Err(format!("{}: {} wrong answers: {complaints:?}", server.name, asked.bad));
    }
    let share = asked.crowds.first().and_then(|crowd| crowd.calm);
    share.ok_or_else(|| format!("{}: nothing was asked", server.name))
}

/// Asks while a siege goes on.
fn besiege(rig: &Rig, server: &Server, addresses: u32) -> Result<(Share, Siege), String> {
    // Behind the one that asks, before everybody else.
    let mut command = first(10, &rig.program("ke-flood"));
    command.args(["--server", &format!("{}:4460", server.address), "--name", certificate::NAME]);
    command.arg("--ca").arg(rig.file(certificate::AUTHORITY));
    command.args(["--first-client", FIRST_BESIEGER, "--clients", &addresses.to_string()]);
    command.args(["--connections", "10000", "--seconds", &SIEGE_S.to_string()]);
    command.args(["--interface", netns::CLIENT_INTERFACE, "--server-mac", SERVER_MAC]);
    std::thread::scope(|scope| {
        let siege = scope.spawn(|| rig.generate(&command));
        std::thread::sleep(Duration::from_secs_f64((SIEGE_S - MEASURED_S) / 2.0));
        let asked = ask(rig, server);
        let siege: Siege = siege.join().map_err(|_| "the siege came to a bad end")??;
        Ok((asked?, siege))
    })
}

/// noonmarkd with its own limits of connections.
fn start_ours(rig: &Rig) -> Result<Server, String> {
    private_folder(&rig.file("state-siege"))?;
    rig.write(
        "siege.toml",
        &format!(
            "[server]\nlisten = [\"{OURS_AT}:123\"]\nthreads = 1\nlocal-stratum = 1\n\
             [nts]\nlisten = [\"{OURS_AT}:4460\"]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             [state]\nfolder = \"state-siege\"\n[status]\nsocket = \"siege.sock\"\n",
            certificate::CHAIN,
            certificate::KEY,
        ),
    )?;
    let mut command = rig.program(OURS);
    command.arg("--config").arg(rig.file("siege.toml"));
    let mut server = rig.start(OURS, OURS_AT, &command)?;
    server.wait_until(|| answers(rig, OURS_AT, true))?;
    Ok(server)
}

/// chronyd with its limit on key establishment, as its manual suggests it.
fn start_chrony(rig: &Rig) -> Result<Server, String> {
    let file = |name| rig.file_inside(name);
    let folder = rig.file("dump-siege");
    private_folder(&folder)?;
    rig.write(
        "siege.conf",
        &format!(
            "local stratum 1\nallow all\nbindaddress {CHRONY_AT}\ncmdport 0\npidfile {}\nntsratelimit\n\
             ntsservercert {}\nntsserverkey {}\nntsdumpdir {}\n",
            file("siege.pid"),
            file(certificate::CHAIN),
            file(certificate::KEY),
            file("dump-siege"),
        ),
    )?;
    let mut command = rig.peers.command(Peers::CHRONYD);
    command.args(["-x", "-u", "root", "-F", "0", "-d", "-f", &file("siege.conf")]);
    let mut server = rig.start(CHRONY, CHRONY_AT, &command)?;
    server.wait_until(|| answers(rig, CHRONY_AT, true))?;
    Ok(server)
}
