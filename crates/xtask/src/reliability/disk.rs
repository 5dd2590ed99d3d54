//! The state folder cannot be written: what is in force stays in force, nothing is damaged, and what was due is done afterwards.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Figures;
use super::client::Keys;
use super::life::children;
use super::onlooker::Onlooker;
use super::place::{
    Daemon, PATIENCE, Place, SERVER, address, epoch, is_alive, is_ready, restarts, shell,
};

/// A disk without room for a single octet.
pub fn full(place: &Place, _: u64) -> Result<Figures, String> {
    let fill = |state: &Path| {
        // Until nothing fits any more.
        shell(&format!(
            "dd if=/dev/zero of={0}/ballast bs=4k 2>/dev/null || true",
            state.display()
        ))?;
        match fs::write(state.join("more"), [0; 8192]) {
            Ok(()) => Err("the disk is not full".to_owned()),
            Err(_) => fs::remove_file(state.join("more")).map_err(|e| e.to_string()),
        }
    };
    let empty = |state: &Path| {
        fs::remove_file(state.join("ballast")).map_err(|e| format!("the ballast: {e}"))
    };
    unwritable(place, |state, daemon| fill(state).and_then(|()| end_warden(daemon)), empty)
}

/// What the kernel makes of a disk with errors. It does so only while nobody has a file open for writing, as the warden has.
pub fn read_only(place: &Place, _: u64) -> Result<Figures, String> {
    let remount = |state: &Path, how: &str| {
        shell(&format!("mount -o remount,{how} {}", state.display())).map(drop)
    };
    let bring = |state: &Path, daemon: &Daemon| {
        daemon.signal("STOP", daemon.pid());
        let warden = children(daemon.pid()).into_iter().find(|(role, _)| role == "warden");
        let (_, warden) = warden.ok_or("no warden")?;
        daemon.signal("KILL", warden);
        let begun = Instant::now();
        while is_alive(warden) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        let done = remount(state, "ro");
        daemon.signal("CONT", daemon.pid());
        done
    };
    unwritable(place, bring, |state| remount(state, "rw"))
}

/// Somebody took the right away.
pub fn forbidden(place: &Place, _: u64) -> Result<Figures, String> {
    let mode =
        |state: &Path, mode: &str| shell(&format!("chmod {mode} {}", state.display())).map(drop);
    let bring =
        |state: &Path, daemon: &Daemon| mode(state, "0500").and_then(|()| end_warden(daemon));
    unwritable(place, bring, |state| mode(state, "0700"))
}

/// The warden, which reads and writes the folder, has to come back with what is there.
fn end_warden(daemon: &Daemon) -> Result<(), String> {
    daemon.kill_and_wait("warden").map(drop)
}

/// Brings the fault, with which the warden begins anew, lives through a turn of the cookie keys with it, and a new launcher; then takes it away.
fn unwritable(
    place: &Place,
    bring: impl Fn(&Path, &Daemon) -> Result<(), String>,
    take_away: impl Fn(&Path) -> Result<(), String>,
) -> Result<Figures, String> {
    let state = place.folder.join("state");
    shell(&format!("mount -t tmpfs -o size=64k,mode=700 tmpfs {}", state.display()))?;
    let (ntp, ke) = (address("127.0.0.1:123"), address("127.0.0.1:4460"));
    let daemon = place.start(SERVER)?;
    let first =
        daemon.wait_until("keys are told", PATIENCE, |status| status["cookies"].is_object())?;
    let keys = Keys::establish(place, ke)?;
    let onlooker = Onlooker::of(ntp)?;

    bring(&state, &daemon)?;
    daemon.wait_until("a new warden serves", PATIENCE, |status| {
        is_ready(status) && restarts(status, "warden") == 1
    })?;
    keys.check(ntp, "after a new warden")?;
    // A minute after the start the keys are due to turn.
    let overdue = |status: &serde_json::Value| status["cookies"]["overdue"] == true;
    let status = daemon.wait_until("a turn is overdue", 2 * PATIENCE, overdue)?;
    daemon.must(epoch(&status) == epoch(&first), || "keys turned that are not stored".into())?;
    daemon.must(restarts(&status, "warden") == 1, || "the warden ended by itself".into())?;
    keys.check(ntp, "while the turn is overdue")?;
    Keys::establish(place, ke)?.check(ntp, "established while the turn is overdue")?;
    let seen = onlooker.finish()?;
    daemon.must(seen.lost() <= 1 && seen.unsynchronised == 0, || format!("{seen:?}"))?;

    // A new daemon finds what the old one stored.
    let daemon = again(place, daemon)?;
    keys.check(ntp, "after a restart with the fault")?;

    take_away(&state)?;
    let after = daemon.wait_until("the keys turn", PATIENCE, |status| {
        status["cookies"]["overdue"] == false && epoch(status) > epoch(&first)
    })?;
    let last = Keys::establish(place, ke)?;
    let daemon = again(place, daemon)?;
    for (keys, which) in [(&keys, "the first"), (&last, "the last")] {
        keys.check(ntp, &format!("{which} after a restart without the fault"))?;
    }
    let left: Vec<_> = fs::read_dir(&state)
        .map_err(|e| e.to_string())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".new"))
        .collect();
    daemon.must(left.is_empty(), || format!("left behind: {left:?}"))?;
    daemon.stop()?;
    Ok(Figures::from_iter([
        ("answered_meanwhile".to_owned(), json!(seen.good)),
        ("lost".to_owned(), json!(seen.lost())),
        ("key_turns_made_up_for".to_owned(), json!(epoch(&after) - epoch(&first))),
    ]))
}

/// Ends all of it without warning and starts it again.
fn again(place: &Place, mut daemon: Daemon) -> Result<Daemon, String> {
    daemon.signal("KILL", daemon.pid());
    daemon.wait()?;
    // Its roles see that it is gone.
    std::thread::sleep(Duration::from_millis(100));
    let daemon = place.start_without_waiting(None)?;
    daemon.wait_until("it serves again", PATIENCE, is_ready)?;
    Ok(daemon)
}
