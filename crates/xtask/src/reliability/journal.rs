//! Nobody takes the log: the journal is gone, or its disk is full.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Figures;
use super::client::Keys;
use super::onlooker::Onlooker;
use super::place::{PATIENCE, Place, SERVER, address, is_ready, restarts, shell};

/// systemd's socket.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The journal dies, its socket goes, and a new one comes.
pub fn gone(place: &Place, _: u64) -> Result<Figures, String> {
    shell("mkdir -p /run/systemd/journal")?;
    let text = format!("{SERVER}[log]\nformat = \"journald\"\nlevel = \"info\"\n");
    let journal = listen()?;
    let daemon = place.start(&text)?;
    let first = entries(&journal, "serving")?;
    let onlooker = Onlooker::of(address("127.0.0.1:123"))?;
    let keys = Keys::establish(place, address("127.0.0.1:4460"))?;
    // Nobody listens, then there is nothing to talk to; each process has something to say each time.
    drop(journal);
    daemon.kill_and_wait("ntp")?;
    shell(&format!("rm {SOCKET}"))?;
    daemon.kill_and_wait("ke")?;
    daemon.kill_and_wait("warden")?;
    keys.check(address("127.0.0.1:123"), "without a journal")?;
    let journal = listen()?;
    daemon.kill_and_wait("ntp")?;
    let last = entries(&journal, "role ended")?;
    let seen = onlooker.finish()?;
    daemon.must(seen.unsynchronised == 0, || format!("{seen:?}"))?;
    let status = daemon.wait_until("it serves", PATIENCE, is_ready)?;
    daemon.must(restarts(&status, "ntp") == 2, || "ntp ended by itself".into())?;
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("entries_before".to_owned(), json!(first)),
        ("entries_after".to_owned(), json!(last)),
        ("answered_meanwhile".to_owned(), json!(seen.good)),
        ("lost_to_two_kills_of_ntp".to_owned(), json!(seen.lost())),
    ]))
}

fn listen() -> Result<UnixDatagram, String> {
    let _ = std::fs::remove_file(SOCKET);
    let bind = || {
        let socket = UnixDatagram::bind(SOCKET)?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        std::io::Result::Ok(socket)
    };
    let socket = bind().map_err(|e| format!("{SOCKET}: {e}"))?;
    // As systemd's is.
    shell(&format!("chmod 0666 {SOCKET}"))?;
    Ok(socket)
}

/// Takes entries until one has `words`; how many there were.
fn entries(journal: &UnixDatagram, words: &str) -> Result<u32, String> {
    let (begun, mut count, mut room) = (Instant::now(), 0, vec![0; 1 << 16]);
    while begun.elapsed() < PATIENCE {
        let Ok(len @ 1..) = journal.recv(&mut room) else { continue };
        count += 1;
        if String::from_utf8_lossy(room.get(..len).unwrap_or_default()).contains(words) {
            return Ok(count);
        }
    }
    Err(format!("no entry with {words:?} among {count}"))
}

/// Standard error is a file on a disk that is full.
pub fn full(place: &Place, _: u64) -> Result<Figures, String> {
    shell("mkdir /run/log; mount -t tmpfs -o size=64k,mode=755 tmpfs /run/log")?;
    let log = place.folder.join(super::place::LOG);
    std::os::unix::fs::symlink("/run/log/log", &log).map_err(|e| e.to_string())?;
    let daemon = place.start(SERVER)?;
    let onlooker = Onlooker::of(address("127.0.0.1:123"))?;
    let keys = Keys::establish(place, address("127.0.0.1:4460"))?;
    shell(
        "dd if=/dev/zero of=/run/log/ballast bs=1k 2>/dev/null || true; echo >>/run/log/log || true",
    )?;
    let before = daemon.log().len();
    let mut kills = 0;
    // Enough lines to fill what is left of the last page.
    while kills < 4 {
        for name in ["warden", "ke", "observe"] {
            daemon.kill_and_wait(name)?;
        }
        kills += 1;
    }
    keys.check(address("127.0.0.1:123"), "without a log")?;
    daemon.must(daemon.log().len() < before + 4096, || "the disk is not full".into())?;
    shell("rm /run/log/ballast")?;
    daemon.kill_and_wait("ke")?;
    daemon.must(daemon.log().len() > before, || "nothing is logged any more".into())?;
    let seen = onlooker.finish()?;
    daemon.must(seen.lost() <= 1 && seen.unsynchronised == 0, || format!("{seen:?}"))?;
    let status = daemon.wait_until("it serves", PATIENCE, is_ready)?;
    daemon.must(restarts(&status, "ntp") == 0, || "ntp ended by itself".into())?;
    daemon.must(restarts(&status, "ke") == kills + 1, || "ke ended by itself".into())?;
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("answered_meanwhile".to_owned(), json!(seen.good)),
        ("lost".to_owned(), json!(seen.lost())),
    ]))
}

/// Standard error is a pipe that is full, and nobody reads it.
pub fn unread(place: &Place, _: u64) -> Result<Figures, String> {
    shell("mkfifo -m 0666 /run/pipe")?;
    let pipe = place.folder.join(super::place::LOG);
    std::os::unix::fs::symlink("/run/pipe", &pipe).map_err(|e| e.to_string())?;
    // Held open for reading, too, or there would be an error in place of a wait.
    let open = std::fs::File::options().read(true).write(true).open("/run/pipe");
    let _held = open.map_err(|e| format!("the pipe: {e}"))?;
    shell("dd if=/dev/zero of=/run/pipe oflag=nonblock bs=4096 count=64 2>/dev/null || true")?;
    nobody_waits(place, SERVER)
}

/// The journal is there, but takes nothing.
pub fn stuck(place: &Place, _: u64) -> Result<Figures, String> {
    shell("mkdir -p /run/systemd/journal")?;
    let journal = listen()?;
    let filler = UnixDatagram::unbound().map_err(|e| e.to_string())?;
    let fill = || {
        filler.set_nonblocking(true)?;
        while filler.send_to(b"MESSAGE=full\n", SOCKET).is_ok() {}
        std::io::Result::Ok(())
    };
    fill().map_err(|e| e.to_string())?;
    let figures = nobody_waits(place, &format!("{SERVER}[log]\nformat = \"journald\"\n"));
    drop(journal);
    figures
}

/// Starts, reloads, kills and stops a daemon whose log is taken by nobody: no process may wait for that.
fn nobody_waits(place: &Place, configuration: &str) -> Result<Figures, String> {
    let daemon = place.start(configuration)?;
    let ntp = address("127.0.0.1:123");
    let onlooker = Onlooker::of(ntp)?;
    let keys = Keys::establish(place, address("127.0.0.1:4460"))?;
    for number in 2..4 {
        daemon.signal("HUP", daemon.pid());
        daemon.wait_until("it is reloaded", PATIENCE, |status| {
            status["configuration"]["generation"] == number
        })?;
        for name in ["warden", "ke", "observe"] {
            daemon.kill_and_wait(name)?;
        }
    }
    // Longer than a role may go without a sign of life.
    std::thread::sleep(Duration::from_secs(35));
    keys.check(ntp, "without anybody who reads the log")?;
    Keys::establish(place, address("127.0.0.1:4460"))?.check(ntp, "established last")?;
    let seen = onlooker.finish()?;
    daemon.must(seen.lost() <= 1 && seen.unsynchronised == 0, || format!("{seen:?}"))?;
    let status = daemon.wait_until("it serves", PATIENCE, is_ready)?;
    for (name, expected) in [("warden", 2), ("ntp", 0), ("ke", 2), ("observe", 2)] {
        let found = restarts(&status, name);
        daemon.must(found == expected, || format!("{name} was started again {found} times"))?;
    }
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("answered_meanwhile".to_owned(), json!(seen.good)),
        ("lost".to_owned(), json!(seen.lost())),
    ]))
}
