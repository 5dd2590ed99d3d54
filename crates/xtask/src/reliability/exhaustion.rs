//! Descriptors and buffers of the kernel run out, and are there again.

use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Figures;
use super::client::{Client, Keys, Outcome};
use super::onlooker::Onlooker;
use super::place::{
    FOLLOWER, PATIENCE, Place, SERVER, address, counter, is_ready, is_synchronised, pid, restarts,
    role, shell, signal,
};

/// Every process has all the descriptors that it may: nothing more can be opened in any of them. Meanwhile a role is killed and the
/// configuration read again.
pub fn descriptors(place: &Place, _: u64) -> Result<Figures, String> {
    let _server = place.start(SERVER)?;
    let second = place.another("second")?;
    let daemon = second.start(FOLLOWER)?;
    daemon.wait_until("it follows", PATIENCE, is_synchronised)?;
    let (ntp, ke) = (address("127.0.0.1:1123"), address("127.0.0.1:14460"));
    let keys = Keys::establish(&second, ke)?;
    let before = daemon.processes();
    let onlooker = Onlooker::of(ntp)?;
    limit(&before, Most::NoMore)?;
    // Nobody can connect, be it for keys or for the status; it must not cost a processor either.
    let busy = processor_time(&before);
    let begun = Instant::now();
    let _waiting: Vec<_> = (0..20).filter_map(|_| connect(ke)).collect();
    daemon.signal("HUP", daemon.pid());
    std::thread::sleep(FAULT / 2);
    let killed = daemon_role(&before, "observe")?;
    signal("KILL", killed);
    std::thread::sleep(FAULT / 2);
    let spent = processor_time(&before).saturating_sub(busy);
    daemon.must(spent < begun.elapsed() / 2, || format!("{spent:?} of processor time"))?;
    keys.check(ntp, "without descriptors")?;
    let left: Vec<_> = before.iter().filter(|(_, pid)| *pid != killed).cloned().collect();
    limit(&left, Most::Restored)?;
    let status = daemon.wait_until("it is itself again", PATIENCE, |status| {
        is_ready(status) && is_synchronised(status)
    })?;
    let seen = onlooker.finish()?;
    daemon.must(seen.lost() == 0 && seen.unsynchronised == 0, || format!("{seen:?}"))?;
    for name in ["warden", "sources", "ntp", "ke"] {
        daemon.must(restarts(&status, name) == 0, || format!("{name} was started again"))?;
    }
    daemon.must(pid(&status, "observe") != Some(killed), || "observe was not killed".into())?;
    daemon.must(status["configuration"]["refused"].is_object(), || {
        format!("a file that could not be opened was taken: {}", status["configuration"])
    })?;
    daemon.signal("HUP", daemon.pid());
    daemon.wait_until("the file is taken", PATIENCE, |status| {
        status["configuration"]["generation"] == 2 && status["configuration"]["refused"].is_null()
    })?;
    let asked = |status: &Value| status["sources"][1]["measured"].as_u64().unwrap_or(0);
    let measured = asked(&status);
    daemon.wait_until("sources are asked", PATIENCE, |status| asked(status) > measured + 2)?;
    Keys::establish(&second, ke)?.check(ntp, "established afterwards")?;
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("answered_meanwhile".to_owned(), json!(seen.good)),
        ("lost".to_owned(), json!(seen.lost())),
        ("processor_time_ms".to_owned(), json!(spent.as_millis())),
        ("start_of_observe_refused".to_owned(), json!(restarts(&status, "observe"))),
    ]))
}

const FAULT: Duration = Duration::from_secs(10);

/// How many descriptors a process may have.
#[derive(Clone, Copy)]
enum Most {
    /// Those it has.
    NoMore,
    /// Those with a number below.
    Numbers(u64),
    /// As many as it may give itself.
    Restored,
}

/// Limits the descriptors of processes.
fn limit(processes: &[(String, u32)], most: Most) -> Result<(), String> {
    for (role, pid) in processes {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let (status, limits) =
            (read("status").unwrap_or_default(), read("limits").unwrap_or_default());
        let number = |text: &str, name: &str, place: usize| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().nth(place)?.parse::<u64>().ok())
        };
        let hard = number(&limits, "Max open files", 1);
        let (Some(hard), Some(user), Some(group)) =
            (hard, number(&status, "Uid:", 0), number(&status, "Gid:", 0))
        else {
            return Err(format!("the {role} tells no limits"));
        };
        let open =
            |number: &u64| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
        let most = match most {
            // The next one opened would get the lowest number that is free.
            Most::NoMore => (0..hard).find(|number| !open(number)).unwrap_or(hard),
            Most::Numbers(most) => most,
            Most::Restored => hard,
        };
        // As the same user, since that takes no right.
        shell(&format!(
            "setpriv --reuid {user} --regid {group} --clear-groups prlimit --pid {pid} --nofile={most}:"
        ))?;
    }
    Ok(())
}

fn daemon_role(processes: &[(String, u32)], name: &str) -> Result<u32, String> {
    let found = processes.iter().find(|(role, _)| role == name);
    found.map(|(_, pid)| *pid).ok_or_else(|| format!("no {name} in {processes:?}"))
}

/// Connections that say nothing, more than ke has descriptors for: those who come later wait, and get their keys once it is over.
pub fn connections(place: &Place, _: u64) -> Result<Figures, String> {
    const MOST: u64 = 40;
    let daemon = place.start(&SERVER.replace("[cookies]", "max-per-prefix = 512\n[cookies]"))?;
    let (ntp, ke) = (address("127.0.0.1:123"), address("127.0.0.1:4460"));
    let keys = Keys::establish(place, ke)?;
    let process = daemon.pid_of("ke")?;
    limit(&[("ke".to_owned(), process)], Most::Numbers(MOST))?;
    let onlooker = Onlooker::of(ntp)?;
    let busy = processor_time(&daemon.processes());
    let begun = Instant::now();
    let mut silent = Vec::new();
    while begun.elapsed() < FAULT {
        // Each is cut off after its time; others take its place.
        silent.extend((0..20).filter_map(|_| connect(ke)));
        std::thread::sleep(Duration::from_secs(1));
    }
    keys.check(ntp, "while connections take all")?;
    let status = daemon.wait_until("it is counted", PATIENCE, |status| {
        counter(status, "ke", "accept_exhausted") > 0
    })?;
    let exhausted = counter(&status, "ke", "accept_exhausted");
    let spent = processor_time(&daemon.processes()).saturating_sub(busy);
    daemon.must(spent < begun.elapsed() / 2, || format!("{spent:?} of processor time"))?;
    let connections = silent.len();
    drop(silent);
    let begun = Instant::now();
    let mut again = Keys::establish(place, ke);
    while again.is_err() && begun.elapsed() < PATIENCE {
        again = Keys::establish(place, ke);
    }
    again?.check(ntp, "established afterwards")?;
    let back = begun.elapsed();
    let seen = onlooker.finish()?;
    daemon.must(seen.lost() == 0 && seen.unsynchronised == 0, || format!("{seen:?}"))?;
    let status = daemon.wait_until("it serves", PATIENCE, is_ready)?;
    daemon.must(restarts(&status, "ke") == 0, || "ke was started again".into())?;
    let said = daemon.log().matches("cannot be accepted").count();
    daemon.must(said == 1, || format!("said {said} times"))?;
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("connections".to_owned(), json!(connections)),
        ("accept_refused".to_owned(), json!(exhausted)),
        ("lines".to_owned(), json!(said)),
        ("keys_again_after_ms".to_owned(), json!(back.as_millis())),
        ("lost".to_owned(), json!(seen.lost())),
    ]))
}

fn connect(to: SocketAddr) -> Option<TcpStream> {
    TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok()
}

/// Every send of ntp is answered with ENOBUFS for a while, and then every question of sources. The kernel does it to a UDP socket only
/// when memory runs out, so `strace` answers in its place.
pub fn no_buffers(place: &Place, _: u64) -> Result<Figures, String> {
    let _server = place.start(SERVER)?;
    let second = place.another("second")?;
    // A call that is answered for the kernel has a number that no list of calls has.
    let daemon = second.start(&format!("{FOLLOWER}[daemon]\nsandbox = \"off\"\n"))?;
    let status = daemon.wait_until("it follows", PATIENCE, is_synchronised)?;
    let ntp = address("127.0.0.1:1123");
    let before = counter(&status, "ntp", "send_failed");
    let mut client = Client::new(ntp)?;
    let mut figures = Figures::new();
    for (name, calls) in [("ntp", "sendmmsg"), ("sources", "sendto")] {
        let process = daemon.pid_of(name)?;
        let mut tracer = Tracer::attach(process, calls)?;
        if name == "ntp" {
            // Every one is lost while it lasts, and nothing waits to be sent later.
            for _ in 0..20 {
                let outcome = client.ask(Duration::from_millis(100));
                daemon.must(outcome == Outcome::Silence, || "an answer was sent".into())?;
            }
        } else {
            std::thread::sleep(FAULT);
        }
        tracer.detach()?;
        let begun = Instant::now();
        while client.ask(Duration::from_millis(200)) != Outcome::Good {
            daemon.must(begun.elapsed() < PATIENCE, || format!("{name}: no answers again"))?;
        }
        figures.insert(format!("{name}_back_after_ms"), json!(begun.elapsed().as_millis()));
    }
    let status = daemon.wait_until("it is itself again", PATIENCE, |status| {
        is_ready(status)
            && is_synchronised(status)
            && counter(status, "ntp", "send_failed") > before
    })?;
    let failed = counter(&status, "ntp", "send_failed") - before;
    daemon.must(failed >= 20, || format!("{failed} sends failed, of 20"))?;
    for name in ["warden", "sources", "ntp", "ke", "observe"] {
        let process = role(&status, name);
        daemon.must(restarts(&status, name) == 0, || format!("started again: {process}"))?;
    }
    daemon.stop()?;
    figures.insert("sends_failed".to_owned(), json!(failed));
    Ok(figures)
}

/// `strace` at work on a process, whose threads' calls of some names it answers.
struct Tracer(std::process::Child);

impl Tracer {
    fn attach(process: u32, calls: &str) -> Result<Self, String> {
        let child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error=ENOBUFS")])
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| format!("strace: {e}"))?;
        let mut tracer = Self(child);
        let begun = Instant::now();
        let is_traced = || {
            let status =
                std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        };
        while !is_traced() {
            if let Ok(Some(status)) = tracer.0.try_wait() {
                return Err(format!("strace ended with {status}"));
            }
            if begun.elapsed() > PATIENCE {
                return Err("strace does not attach".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Its other threads follow one by one.
        std::thread::sleep(Duration::from_millis(500));
        Ok(tracer)
    }

    fn detach(&mut self) -> Result<(), String> {
        signal("INT", self.0.id());
        self.0.wait().map(drop).map_err(|e| format!("strace: {e}"))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        signal("INT", self.0.id());
        let _ = self.0.wait();
    }
}

/// What processes spent on a processor so far.
fn processor_time(processes: &[(String, u32)]) -> Duration {
    let ids: Vec<u32> = processes.iter().map(|(_, pid)| *pid).collect();
    let alive: Vec<u32> = ids.into_iter().filter(|pid| super::place::is_alive(*pid)).collect();
    noonmark_rig::spent::by_processes(&alive).map(Duration::from_nanos).unwrap_or_default()
}
