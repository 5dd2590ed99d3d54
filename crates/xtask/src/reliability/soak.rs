//! Many requests of every kind to a daemon that is reloaded, flooded and killed in parts meanwhile, with its memory watched.
//!
//! In the first quarter roles are killed and replaced. From then on each process has to live to the end, so that what it loses in a
//! long life shows: what it holds in the second quarter is compared with what it holds in the last one.

mod drawing;
mod load;
mod trouble;

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Figures;
use super::client::{Keys, establisher};
use super::memory::{self, Medians, Sample};
use super::place::{
    Daemon, FOLLOWER, PATIENCE, Place, SERVER, address, epoch, is_ready, is_synchronised, restarts,
};
use drawing::Drawing;
use load::{Count, Load};
use trouble::Trouble;

const NTP: &str = "127.0.0.1:1123";
const KE: &str = "127.0.0.1:14460";
const ROLES: [&str; 5] = ["warden", "sources", "ntp", "ke", "observe"];
/// Threads that ask.
const CLIENTS: usize = 2;
/// A short run is spread over so long, so that there is time for all that happens besides: cookie keys turn once a minute.
const SHORT_RUN: Duration = Duration::from_secs(58);
/// And is one up to so many requests.
const SHORT: u64 = 1_000_000;

/// Everything the threads share.
struct Shared {
    /// Requests sent so far, of every kind.
    sent: AtomicU64,
    over: AtomicBool,
    trouble: Trouble,
}

/// Runs until `requests` are sent.
pub fn run(place: &Place, requests: u64) -> Result<Figures, String> {
    let _server = place.start(SERVER)?;
    let second = place.another("second")?;
    let daemon = second.start(&configuration(0))?;
    let first = daemon.wait_until("it follows", PATIENCE, is_synchronised)?;
    let (ntp, ke) = (address(NTP), address(KE));
    let shared = Shared {
        sent: AtomicU64::new(0),
        over: AtomicBool::new(false),
        trouble: Trouble::default(),
    };
    let pace = (requests <= SHORT).then_some(SHORT_RUN);
    // So that the first turn, a minute after the keys were made, is within a short run.
    std::thread::sleep(Duration::from_secs(5));
    let clients = (0..CLIENTS)
        .map(|_| Load::new(ntp, Keys::establish(&second, ke)?))
        .collect::<Result<Vec<_>, String>>()?;
    let begun = Instant::now();
    let (count, churn, chaos) = std::thread::scope(|scope| {
        let asking: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(|| client.run(&shared, requests, pace)))
            .collect();
        let churning = scope.spawn(|| churn(&second, ke, &shared));
        let mut chaos = Chaos::new(&daemon, &second, &shared, requests);
        // Whatever goes wrong here, the others have to end.
        let result = chaos.run(ntp);
        shared.over.store(true, Ordering::Relaxed);
        let counts: Vec<_> = asking.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        let churn = churning.join();
        (counts, churn, result.map(|()| chaos))
    });
    let Chaos { samples, kills, floods, reloads, .. } = chaos?;
    let mut all = Count::default();
    for count in count {
        all.add(count.map_err(|_| "a client panicked")??);
    }
    let churn = churn.map_err(|_| "the churn panicked")??;
    let took = begun.elapsed();

    let must = |holds, what: String| daemon.must(holds, || what);
    must(
        all.wrong == 0,
        format!("{} answers that no request asked for: {:?}", all.wrong, all.complaints),
    )?;
    must(
        all.unexplained == 0,
        format!("{} requests lost for no reason: {all:?}", all.unexplained),
    )?;
    must(churn.unexplained == 0, format!("key establishments lost for no reason: {churn:?}"))?;
    let status = daemon.wait_until("it serves", PATIENCE, is_ready)?;
    for (role, kills) in ROLES.iter().zip(kills) {
        let found = restarts(&status, role);
        must(found == kills, format!("{role} was killed {kills} times and started again {found}"))?;
    }
    must(epoch(&status) > epoch(&first), "the cookie keys did not turn".to_owned())?;
    let svg = second.programs().join("soak.svg");
    std::fs::write(&svg, Drawing::of(&samples, requests).write())
        .map_err(|e| format!("{}: {e}", svg.display()))?;
    let mut figures = Figures::new();
    for role in std::iter::once("launcher").chain(ROLES) {
        memory::judge(&samples, role, requests)?;
        let of = |of: fn(&Sample) -> u64| Medians::of(&samples, role, requests, of);
        if let (Some(octets), Some(open)) = (of(|one| one.memory), of(|one| one.descriptors)) {
            let text = format!(
                "{} to {} KiB, {} to {} descriptors",
                octets.second >> 10,
                octets.last >> 10,
                open.second,
                open.last
            );
            figures.insert(role.to_owned(), json!(text));
        }
    }
    // All of it once more, with processes that have lived for long.
    for role in ROLES {
        daemon.kill_and_wait(role)?;
    }
    daemon.wait_until("it follows", PATIENCE, is_synchronised)?;
    Keys::establish(&second, ke)?.check(ntp, "established at the end")?;
    daemon.stop()?;

    let mut shown = Figures::from_iter([
        ("requests".to_owned(), json!(shared.sent.load(Ordering::Relaxed))),
        ("seconds".to_owned(), json!(took.as_secs())),
        ("plain_answered".to_owned(), json!(all.plain)),
        ("nts_answered".to_owned(), json!(all.nts)),
        ("forged".to_owned(), json!(all.forged)),
        ("odd".to_owned(), json!(all.odd)),
        ("in_floods".to_owned(), json!(floods)),
        ("asked_again_after_kills_and_floods".to_owned(), json!(all.lost)),
        ("key_establishments".to_owned(), json!(churn.done)),
        ("broken_connections".to_owned(), json!(churn.broken)),
        ("reloads".to_owned(), json!(reloads)),
        ("key_turns".to_owned(), json!(epoch(&status) - epoch(&first))),
        ("kills".to_owned(), json!(kills.iter().sum::<u64>())),
    ]);
    shown.extend(figures);
    Ok(shown)
}

/// The daemon's configuration, `number`ed so that ntp has something new to hear.
fn configuration(number: u64) -> String {
    let stratum = 9 + number % 2;
    FOLLOWER.replacen("threads = 1", &format!("threads = 2\nlocal-stratum = {stratum}"), 1)
}

/// What is done to the daemon besides asking it.
struct Chaos<'a> {
    daemon: &'a Daemon,
    place: &'a Place,
    shared: &'a Shared,
    requests: u64,
    samples: Vec<Sample>,
    kills: [u64; ROLES.len()],
    floods: u64,
    reloads: u64,
}

const KILL_EVERY: Duration = Duration::from_secs(1);
/// Of all roles together. The pause before the next start doubles with each: the third is 0.4 s.
const MOST_KILLS: u64 = 3 * ROLES.len() as u64;
const SAMPLE_EVERY: Duration = Duration::from_millis(500);
const FLOOD_EVERY: Duration = Duration::from_secs(4);
/// Datagrams of one flood.
const FLOOD: u64 = 3000;
const RELOAD_EVERY: Duration = Duration::from_secs(5);

impl<'a> Chaos<'a> {
    fn new(daemon: &'a Daemon, place: &'a Place, shared: &'a Shared, requests: u64) -> Self {
        let (samples, kills) = (Vec::new(), [0; ROLES.len()]);
        Self { daemon, place, shared, requests, samples, kills, floods: 0, reloads: 0 }
    }

    fn run(&mut self, ntp: SocketAddr) -> Result<(), String> {
        let (mut killed, mut flooded, mut reloaded, mut sampled) =
            (Instant::now(), Instant::now(), Instant::now(), Instant::now());
        while !self.shared.over.load(Ordering::Relaxed) {
            let sent = self.shared.sent.load(Ordering::Relaxed);
            if sent >= self.requests {
                return Ok(());
            }
            let is_first_quarter = sent < self.requests / 4;
            let is_enough = self.kills.iter().sum::<u64>() >= MOST_KILLS;
            if is_first_quarter && !is_enough && killed.elapsed() >= KILL_EVERY {
                self.kill()?;
                killed = Instant::now();
            }
            if flooded.elapsed() >= FLOOD_EVERY {
                self.flood(ntp)?;
                flooded = Instant::now();
            }
            if reloaded.elapsed() >= RELOAD_EVERY {
                self.reload(is_first_quarter)?;
                reloaded = Instant::now();
            }
            if sampled.elapsed() >= SAMPLE_EVERY {
                self.sample(sent);
                sampled = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Kills the role whose turn it is.
    fn kill(&mut self) -> Result<(), String> {
        let number: u64 = self.kills.iter().sum();
        let place = usize::try_from(number).unwrap_or(0) % ROLES.len();
        let _trouble = self.shared.trouble.begin();
        self.daemon.kill_and_wait(ROLES[place])?;
        self.kills[place] += 1;
        Ok(())
    }

    /// As many datagrams as fast as they can be sent: of every length, with nobody who waits for an answer.
    fn flood(&mut self, ntp: SocketAddr) -> Result<(), String> {
        let _trouble = self.shared.trouble.begin();
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let mut octets = [0; 512];
        for n in 0..FLOOD {
            octets[0] = 0x23;
            octets[40..48].copy_from_slice(&n.to_be_bytes());
            let len = if n % 2 == 0 { 48 } else { (n % 512) as usize };
            let _ = socket.send_to(&octets[..len], ntp);
        }
        self.floods += FLOOD;
        self.shared.sent.fetch_add(FLOOD, Ordering::Relaxed);
        Ok(())
    }

    /// Has the configuration read again; in the first quarter ntp is replaced for it.
    fn reload(&mut self, replaces: bool) -> Result<(), String> {
        self.reloads += 1;
        let number = if replaces { self.reloads } else { 0 };
        self.place.configure(&format!("# {}\n{}", self.reloads, configuration(number)))?;
        self.daemon.signal("HUP", self.daemon.pid());
        // A process that is killed while it is replaced counts as replaced.
        let generation = 1 + self.reloads;
        let taken = self.daemon.wait_until("the reload is taken", PATIENCE, |status| {
            status["configuration"]["generation"] == generation && is_ready(status)
        });
        taken.map(drop)
    }

    fn sample(&mut self, sent: u64) {
        let now = self.daemon.processes();
        self.samples.extend(now.iter().filter_map(|(role, pid)| Sample::take(role, *pid, sent)));
    }
}

/// What came of connections to key establishment.
#[derive(Debug, Default)]
struct Churn {
    done: u64,
    broken: u64,
    /// Failed while ke was killed.
    failed: u64,
    unexplained: u64,
    complaint: String,
}

/// Whole establishments, and connections that say nothing or nonsense, one after the other.
fn churn(place: &Place, ke: SocketAddr, shared: &Shared) -> Result<Churn, String> {
    use std::io::Write;
    let establisher = establisher(place, ke)?;
    let mut churn = Churn::default();
    while !shared.over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match establisher.establish() {
            Ok(_) => churn.done += 1,
            Err(_) if shared.trouble.was_since(begun) => churn.failed += 1,
            Err(what) => {
                churn.unexplained += 1;
                churn.complaint = what;
            }
        }
        for nonsense in [&b""[..], b"GET / HTTP/1.0\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff, 1]] {
            if let Ok(mut stream) = TcpStream::connect_timeout(&ke, Duration::from_secs(1)) {
                let _ = stream.write_all(nonsense);
                churn.broken += 1;
            }
        }
        shared.sent.fetch_add(4, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(churn)
}
