//! Processes of the daemon stopped and killed.

use std::time::{Duration, Instant};

use noonmark_os::random::RandomPool;
use serde_json::json;

use super::Figures;
use super::client::{Client, Keys, Outcome};
use super::onlooker::Onlooker;
use super::place::{
    Daemon, FOLLOWER, PATIENCE, Place, SERVER, address, is_alive, is_ready, is_synchronised, pid,
    restarts, role, signal,
};

/// How long a process is stopped.
const STOPPED: Duration = Duration::from_secs(60);
const ROLES: [&str; 5] = ["warden", "sources", "ntp", "ke", "observe"];

/// A server, and a daemon with all its roles that follows it.
fn both(place: &Place) -> Result<(Daemon, Place, Daemon), String> {
    let server = place.start(SERVER)?;
    let place = place.another("second")?;
    let daemon = place.start(FOLLOWER)?;
    daemon.wait_until("it follows", PATIENCE, is_synchronised)?;
    Ok((server, place, daemon))
}

/// The launcher is stopped; everybody is served all the same, and it goes on as if nothing had been.
pub fn launcher_stopped(place: &Place, _: u64) -> Result<Figures, String> {
    let (_server, second, daemon) = both(place)?;
    let (ntp, ke) = (address("127.0.0.1:1123"), address("127.0.0.1:14460"));
    let keys = Keys::establish(&second, ke)?;
    let before = daemon.processes();
    let onlooker = Onlooker::of(ntp)?;
    let begun = Instant::now();
    daemon.signal("STOP", daemon.pid());
    let mut establishments = 0;
    while begun.elapsed() < STOPPED {
        Keys::establish(&second, ke)?;
        establishments += 1;
        std::thread::sleep(Duration::from_secs(5));
    }
    keys.check(ntp, "while the launcher is stopped")?;
    daemon.signal("CONT", daemon.pid());
    // Once it has said again how everything is.
    std::thread::sleep(Duration::from_secs(6));
    let status = daemon
        .wait_until("it serves", PATIENCE, |status| is_ready(status) && is_synchronised(status))?;
    let seen = onlooker.finish()?;
    daemon.must(seen.lost() == 0 && seen.unsynchronised == 0, || format!("{seen:?}"))?;
    daemon.must(daemon.processes() == before, || format!("other processes: {status}"))?;
    for name in ROLES {
        daemon.must(restarts(&status, name) == 0, || format!("{name} was started again"))?;
    }
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("answered_meanwhile".to_owned(), json!(seen.good)),
        ("lost".to_owned(), json!(seen.lost())),
        ("establishments_meanwhile".to_owned(), json!(establishments)),
    ]))
}

/// A role is stopped for longer than a role may hang: it is replaced, and the others serve meanwhile.
pub fn role_stopped(place: &Place, name: &str) -> Result<Figures, String> {
    let (_server, second, daemon) = both(place)?;
    let (ntp, ke) = (address("127.0.0.1:1123"), address("127.0.0.1:14460"));
    let keys = Keys::establish(&second, ke)?;
    let stopped = daemon.pid_of(name)?;
    let onlooker = Onlooker::of(ntp)?;
    let begun = Instant::now();
    signal("STOP", stopped);
    daemon.wait_until("another process serves", 2 * STOPPED, |status| {
        is_ready(status)
            && is_synchronised(status)
            && pid(status, name).is_some_and(|pid| pid != stopped)
    })?;
    let replaced = begun.elapsed();
    std::thread::sleep(STOPPED.saturating_sub(replaced));
    daemon.must(!is_alive(stopped), || "what hung is still there".into())?;
    signal("CONT", stopped);
    let status = daemon.wait_until("it serves", PATIENCE, is_ready)?;
    let seen = onlooker.finish()?;
    for other in ROLES {
        let (found, expected) = (restarts(&status, other), u64::from(other == name));
        daemon.must(found == expected, || format!("{other} was started again {found} times"))?;
    }
    let how = &role(&status, name)["last_end"];
    daemon.must(how == "hung", || format!("it ended by {how}"))?;
    daemon.must(seen.unsynchronised == 0, || format!("{seen:?}"))?;
    // What arrives while nobody answers waits in the socket, and is answered too late.
    daemon.must(name == "ntp" || seen.lost() == 0, || format!("{seen:?}"))?;
    keys.check(ntp, "afterwards")?;
    Keys::establish(&second, ke)?.check(ntp, "established afterwards")?;
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("replaced_after_s".to_owned(), json!(replaced.as_secs())),
        ("answered_meanwhile".to_owned(), json!(seen.good)),
        ("lost".to_owned(), json!(seen.lost())),
        ("longest_silence_s".to_owned(), json!(seen.longest_silence.as_secs())),
    ]))
}

/// Kills of each role. Each pause before a start is twice the one before: the sixth is 3.2 s.
const KILLS: usize = 6;

/// Roles are killed whatever they are about to do, their start included. In the end everybody serves, and nothing was lost.
pub fn roles_killed(place: &Place, _: u64) -> Result<Figures, String> {
    let (_server, second, daemon) = both(place)?;
    let (ntp, ke) = (address("127.0.0.1:1123"), address("127.0.0.1:14460"));
    let keys = Keys::establish(&second, ke)?;
    let mut moments = Moments::new()?;
    let mut killed = [0; ROLES.len()];
    let deadline = Instant::now() + 4 * PATIENCE;
    // Found by their parent, since whoever tells the status is among those who are killed.
    while killed.iter().any(|count| *count < KILLS) {
        daemon
            .must(Instant::now() < deadline, || format!("not killed often enough: {killed:?}"))?;
        std::thread::sleep(moments.within(Duration::from_millis(150)));
        let children = children(daemon.pid());
        let Some((name, pid)) = moments.pick(&children) else { continue };
        let Some(place) = ROLES.iter().position(|role| *role == name) else { continue };
        if killed[place] < KILLS {
            signal("KILL", *pid);
            killed[place] += 1;
        }
    }
    let begun = Instant::now();
    daemon.wait_until("all serve again", 2 * PATIENCE, |status| {
        is_ready(status) && is_synchronised(status)
    })?;
    let back = begun.elapsed();
    keys.check(ntp, "after all roles were killed again and again")?;
    Keys::establish(&second, ke)?.check(ntp, "established afterwards")?;
    daemon.stop()?;
    let mut figures = Figures::from_iter([("back_after_s".to_owned(), json!(back.as_secs()))]);
    figures.insert("kills".to_owned(), json!(killed.iter().sum::<usize>()));
    Ok(figures)
}

/// Launchers killed, some of them while they start.
const LAUNCHERS: usize = 25;

/// The launcher is killed whatever it is about to do. All roles leave, and the next one begins with what is stored.
pub fn launcher_killed(place: &Place, _: u64) -> Result<Figures, String> {
    let _server = place.start(SERVER)?;
    let second = place.another("second")?;
    let (ntp, ke) = (address("127.0.0.1:1123"), address("127.0.0.1:14460"));
    let daemon = second.start(FOLLOWER)?;
    daemon.wait_until("it follows", PATIENCE, is_synchronised)?;
    let keys = Keys::establish(&second, ke)?;
    let mut daemon = daemon;
    let mut moments = Moments::new()?;
    for number in 0..LAUNCHERS {
        std::thread::sleep(moments.within(Duration::from_millis(600)));
        let roles = children(daemon.pid());
        daemon.signal("KILL", daemon.pid());
        daemon.wait()?;
        let deadline = Instant::now() + PATIENCE;
        while roles.iter().any(|(_, pid)| is_alive(*pid)) {
            daemon
                .must(Instant::now() < deadline, || format!("a role outlived launcher {number}"))?;
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon = second.start_without_waiting(None)?;
    }
    daemon
        .wait_until("it serves", PATIENCE, |status| is_ready(status) && is_synchronised(status))?;
    keys.check(ntp, "after the launcher was killed again and again")?;
    let log = daemon.log();
    for bad in ["is damaged", "begun anew", "beginning with new ones"] {
        // The very first start has nothing stored.
        let most = usize::from(bad == "beginning with new ones");
        daemon.must(log.matches(bad).count() <= most, || format!("{bad:?} is in the log"))?;
    }
    let mut client = Client::new(ntp)?;
    daemon.must(client.ask(PATIENCE) == Outcome::Good, || "no answer".into())?;
    daemon.stop()?;
    Ok(Figures::from_iter([("kills".to_owned(), json!(LAUNCHERS))]))
}

/// Moments nobody has chosen.
struct Moments(RandomPool);

impl Moments {
    fn new() -> Result<Self, String> {
        RandomPool::new().map(Self).map_err(|_| "no random octets from the system".into())
    }

    fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.0.array())
    }

    fn within(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.number() % nanos.max(1))
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let place = self.number() % (of.len() as u64).max(1);
        of.get(usize::try_from(place).unwrap_or(0))
    }
}

/// The roles that a launcher has, by their arguments: one that has only just begun has no name yet.
pub fn children(launcher: u32) -> Vec<(String, u32)> {
    let path = format!("/proc/{launcher}/task/{launcher}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let roles = text.split_whitespace().filter_map(|pid| {
        let pid: u32 = pid.parse().ok()?;
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let name = arguments.split(|octet| *octet == 0).nth(2)?;
        Some((String::from_utf8(name.to_vec()).ok()?, pid))
    });
    roles.collect()
}
