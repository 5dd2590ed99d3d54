//! A server held to a part of a processor, and three times what it can answer.

use serde::Deserialize;

use super::{CHRONY, Grouped, OURS, generator};
use crate::bench::asking::{answers, ask_for_keys};
use crate::bench::figure::{Figure, median};
use crate::bench::rig::{Rig, Server, private_folder};
use crate::bench::{Wish, certificate};
use crate::netns;
use crate::peers::Peers;

/// Part of one processor that a server gets.
const PART: f64 = 0.3;
/// What is offered, through what the server can answer.
const TIMES: f64 = 3.0;
/// Rates at which it is tried what a server can answer, requests per second.
const LADDER: [u32; 8] = [20_000, 30_000, 40_000, 50_000, 60_000, 75_000, 90_000, 110_000];
/// Clients of whom nothing is known.
const ANYBODY: &str = "kind=plain,from=anywhere,clients=65536";
/// Seconds that honest clients ask after a flood.
const AFTER_S: f64 = 1.5;

/// Microseconds between two batches of requests.
const PAUSE_US: u32 = 50;

/// Network of the honest clients that noonmarkd has in its list.
const LISTED: &str = "10.64.0.0";
/// First network of honest clients with cookies; each has one of its own.
const HOLDERS: &str = "10.65.0.0";
/// First network of honest clients without any merit.
const UNLISTED: &str = "10.70.0.0";
/// First network of the attackers who hold cookies.
const ATTACKERS: &str = "10.80.0.0";

const OURS_AT: &str = "10.93.0.11";

/// A kind of flood: what its parts are of all that is offered but to honest clients.
struct Variant {
    name: &'static str,
    /// Without proof, from anywhere.
    plain: f64,
    /// With cookies that do not open, from anywhere.
    forged: f64,
    /// With 1000 cookies that do, from 10 networks.
    holders: f64,
}

const VARIANTS: [Variant; 3] = [
    Variant { name: "plain", plain: 1.0, forged: 0.0, holders: 0.0 },
    Variant { name: "forged", plain: 0.0, forged: 1.0, holders: 0.0 },
    Variant { name: "cookies", plain: 0.33, forged: 0.33, holders: 0.34 },
];

/// What `ntp-flood` prints, as far as it is looked at.
#[derive(Deserialize)]
struct Outcome {
    offered_per_s: f64,
    answered_per_s: f64,
    busy: f64,
    bad: u64,
    complaints: Vec<String>,
    missed: u64,
    lost_on_the_wire: u64,
    crowds: Vec<Fate>,
}

#[derive(Deserialize)]
struct Fate {
    name: String,
    flood: Option<Share>,
    prefix_least: u32,
    prefix_most: u32,
    recovery_s: Option<f64>,
}

#[derive(Deserialize)]
struct Share {
    sent: u64,
    good: u64,
    share: f64,
    p50_us: f64,
    p99_us: f64,
}

/// A server in its control group, and what it can do there.
struct Held {
    server: Grouped,
    /// Most answers per second, plain.
    capacity: f64,
}

/// What was seen of one server under one kind of flood, round by round.
#[derive(Default)]
struct Samples {
    listed: Vec<f64>,
    cookie: Vec<f64>,
    recovery_s: Vec<f64>,
}

/// Floods noonmarkd and chronyd in turn, in every way.
///
/// # Errors
/// What could not be started, or which answers were wrong.
pub fn measure(rig: &Rig, wish: Wish) -> Result<Vec<Figure>, String> {
    let servers = [hold(rig, start_ours(rig)?)?, hold(rig, start_chrony(rig)?)?];
    let mut samples: Vec<[Samples; 2]> = VARIANTS.iter().map(|_| Default::default()).collect();
    for round in 1..=wish.rounds {
        for (variant, samples) in VARIANTS.iter().zip(&mut samples) {
            for (held, samples) in servers.iter().zip(samples) {
                let outcome = drive(rig, held, variant)?;
                let say = format!(
                    "round {round} of {}  {:<7} {:<9}",
                    wish.rounds, variant.name, held.server.name
                );
                eprintln!("{say} {}", outcome.as_line());
                samples.listed.push(outcome.share("listed"));
                samples.cookie.push(outcome.share("cookie"));
                samples.recovery_s.push(outcome.recovery_s());
            }
        }
    }
    Ok(figures(&samples))
}

/// Of each figure the worst kind of flood, judged by the median of all rounds.
fn figures(samples: &[[Samples; 2]]) -> Vec<Figure> {
    let of_1000 = "of 1000 answered";
    let figures = [
        figure("overload_listed", of_1000, samples, f64::min, |samples| &samples.listed),
        figure("overload_cookie", of_1000, samples, f64::min, |samples| &samples.cookie),
        figure("overload_recovery", "ms", samples, f64::max, |samples| &samples.recovery_s),
    ];
    figures.into_iter().flatten().collect()
}

fn figure(
    name: &str,
    unit: &'static str,
    samples: &[[Samples; 2]],
    worse: fn(f64, f64) -> f64,
    pick: fn(&Samples) -> &[f64],
) -> Option<Figure> {
    let worst = |server: usize| {
        let medians = samples.iter().filter_map(|variant| median(pick(&variant[server])));
        medians.reduce(worse)
    };
    let (ours, other) = (worst(0)?, worst(1)?);
    let all = || samples.iter().flat_map(|variant| pick(&variant[0])).copied();
    Some(Figure {
        figure: name.to_owned(),
        value: ours,
        rounds: samples.first().map_or(0, |variant| pick(&variant[0]).len()),
        spread: all().reduce(f64::max)? - all().reduce(f64::min)?,
        ours: ours * 1e3,
        other: other * 1e3,
        unit,
    })
}

impl Outcome {
    fn crowd(&self, name: &str) -> Option<&Fate> {
        self.crowds.iter().find(|crowd| crowd.name == name)
    }

    fn share(&self, name: &str) -> f64 {
        let share = self.crowd(name).and_then(|crowd| crowd.flood.as_ref());
        share.map_or(0.0, |share| share.share)
    }

    /// Seconds until clients without any merit are answered again; as long as they were looked at, if they were not.
    fn recovery_s(&self) -> f64 {
        self.crowd("plain").and_then(|crowd| crowd.recovery_s).unwrap_or(AFTER_S)
    }

    fn as_line(&self) -> String {
        let mut line = format!(
            "offered {:>6.0}/s answered {:>6.0}/s busy {:>2.0} %",
            self.offered_per_s,
            self.answered_per_s,
            self.busy * 100.0
        );
        for crowd in &self.crowds {
            let Some(flood) = &crowd.flood else { continue };
            line += &format!("  {} {:.1} %", crowd.name, flood.share * 100.0);
            if crowd.recovery_s.is_some() {
                line += &format!(" ({:.1}/{:.1} ms)", flood.p50_us / 1e3, flood.p99_us / 1e3);
            }
            if crowd.name == "holder" {
                line += &format!(
                    " of {}, {} to {} a prefix",
                    flood.sent, crowd.prefix_least, crowd.prefix_most
                );
            }
            if crowd.name == "cookie" {
                line += &format!(" of {}, {} got", flood.sent, flood.good);
            }
        }
        line += &format!("  normal after {:.2} s", self.recovery_s());
        if self.lost_on_the_wire > 0 {
            line += &format!("  {} lost on the wire", self.lost_on_the_wire);
        }
        line
    }
}

fn start_ours(rig: &Rig) -> Result<Server, String> {
    private_folder(&rig.file("state"))?;
    rig.write(
        "noonmark.toml",
        &format!(
            "[server]\nlisten = [\"{OURS_AT}:123\"]\nthreads = 1\nlocal-stratum = 1\n\
             [overload]\npriority = [\"{LISTED}/24\"]\n\
             [nts]\nlisten = [\"{OURS_AT}:4460\"]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             [state]\nfolder = \"state\"\n[status]\nsocket = \"status.sock\"\n",
            certificate::CHAIN,
            certificate::KEY,
        ),
    )?;
    let mut command = rig.program(OURS);
    command.arg("--config").arg(rig.file("noonmark.toml"));
    let mut server = rig.start(OURS, OURS_AT, &command)?;
    server.wait_until(|| answers(rig, OURS_AT, true))?;
    Ok(server)
}

/// chronyd with the limit it has, generous enough for every honest client here and with memory for all addresses.
fn start_chrony(rig: &Rig) -> Result<Server, String> {
    let file = |name| rig.file_inside(name);
    rig.write(
        "chrony.conf",
        &format!(
            "local stratum 1\nallow all\nbindaddress {}\ncmdport 0\npidfile {}\n\
             ratelimit interval -5 burst 16 leak 2\nclientloglimit 100000000\n\
             ntsservercert {}\nntsserverkey {}\nntsdumpdir {}\n",
            netns::SERVER_V4,
            file("chronyd.pid"),
            file(certificate::CHAIN),
            file(certificate::KEY),
            file(""),
        ),
    )?;
    let mut command = rig.peers.command(Peers::CHRONYD);
    command.args(["-x", "-u", "root", "-F", "0", "-d", "-f", &file("chrony.conf")]);
    let mut server = rig.start(CHRONY, netns::SERVER_V4, &command)?;
    server.wait_until(|| answers(rig, netns::SERVER_V4, true))?;
    Ok(server)
}

/// Holds a server to its part of a processor and finds out what it can answer with it.
fn hold(rig: &Rig, server: Server) -> Result<Held, String> {
    let server = Grouped::new(server, Some(PART))?;
    let (plain, protected) = (
        capacity(rig, &server, ANYBODY)?,
        capacity(rig, &server, "kind=nts,from=10.90.0.0,clients=1000")?,
    );
    eprintln!(
        "{:<9} with {:.0} % of a processor answers {plain:.0}/s plain, {protected:.0}/s under NTS",
        server.name,
        PART * 100.0
    );
    Ok(Held { server, capacity: plain })
}

/// Most answers per second at any rate of the ladder, to clients all over the place or with a cookie each. The rates rise, since a server that
/// has been asked too much may go on refusing for a while.
fn capacity(rig: &Rig, server: &Server, crowd: &str) -> Result<f64, String> {
    let mut most: f64 = 0.0;
    for rate in LADDER {
        let mut command = generator(rig, server, PAUSE_US);
        command.args(["--calm", "0", "--flood", "0.6", "--after", "0"]);
        command.args(["--attack", &format!("name=all,rate={rate},{crowd}")]);
        ask_for_keys(rig, &mut command, server.address);
        let outcome: Outcome = rig.generate(&command)?;
        most = most.max(outcome.answered_per_s);
    }
    if most > 0.0 { Ok(most) } else { Err(format!("{}: answers nothing", server.name)) }
}

/// One flood.
fn drive(rig: &Rig, held: &Held, variant: &Variant) -> Result<Outcome, String> {
    let offered = held.capacity * TIMES;
    let mut command = generator(rig, &held.server, PAUSE_US);
    command.args(["--calm", "0.3", "--flood", "1.5", "--after", &AFTER_S.to_string()]);
    command.args(held.server.process_arguments());
    ask_for_keys(rig, &mut command, held.server.address);
    let mut crowd = |side: &str, name: &str, part: f64, rest: &str| {
        if part > 0.0 {
            let rate = offered * part;
            command.args([side, &format!("name={name},rate={rate:.0},{rest}")]);
        }
    };
    let listed = format!("kind=plain,from={LISTED},clients=200,per-prefix=200");
    crowd("--honest", "listed", 0.01, &listed);
    crowd("--honest", "cookie", 0.02, &format!("kind=nts,from={HOLDERS},clients=1000"));
    crowd("--honest", "plain", 0.01, &format!("kind=plain,from={UNLISTED},clients=200"));
    let attack = |part: f64| part * 0.96;
    crowd("--attack", "spoofed", attack(variant.plain), ANYBODY);
    let forged = "kind=forged-cookie,from=anywhere,clients=16384";
    crowd("--attack", "forged", attack(variant.forged), forged);
    let holders = format!("kind=nts,from={ATTACKERS},clients=1000,per-prefix=100");
    crowd("--attack", "holder", attack(variant.holders), &holders);
    let outcome: Outcome = rig.generate(&command)?;
    let say = |what: &str| format!("{}, {}: {what}", held.server.name, variant.name);
    if outcome.bad > 0 {
        return Err(say(&format!("{} wrong answers: {:?}", outcome.bad, outcome.complaints)));
    }
    if outcome.missed as f64 > outcome.answered_per_s / 100.0 {
        return Err(say(&format!("the generator missed {} answers", outcome.missed)));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_kind_of_flood_is_told_by_its_median() {
        let variant = |ours: [f64; 3], other: f64| {
            let of = |listed: &[f64]| Samples { listed: listed.to_vec(), ..Samples::default() };
            [of(&ours), of(&[other; 3])]
        };
        let samples = [variant([1.0, 0.5, 0.9], 0.2), variant([0.8, 1.0, 0.8], 0.4)];
        let told = figure("x", "", &samples, f64::min, |samples| &samples.listed).unwrap();
        assert_eq!((told.value, told.ours, told.other, told.rounds), (0.8, 800.0, 200.0, 3));
        assert_eq!(told.spread, 0.5);
        assert!(figure("x", "", &samples, f64::max, |samples| &samples.cookie).is_none());
    }
}
