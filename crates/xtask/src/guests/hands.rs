//! Guests in which somebody else has a hand on the clock, and one that goes on as another machine.

use std::fs;
use std::time::{Duration, Instant};

use super::image::Image;
use super::machine::Machine;
use super::{Place, Promise, SCRIPT};
use crate::interop::authority::Authority;

/// `hands-proof` is noonmarkd's source, the other hand, and the judge.
pub fn foreign(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let machine = machine(place, "foreign-hands", image(place, "hands")?);
    let console = machine.boot(place.target)?.finish(LIMIT)?;
    super::promises(&console)
}

/// Frozen to a file as one generation, and thawed as another: `hands-proof` sees only what is said of that in the guest.
pub fn cloned(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let kernel = place.kernel.that_knows_generations(place.target)?;
    let mut image = image(place, "copy")?;
    let authority = Authority::new()?;
    let folder = place.target.join("guest/cloned");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    authority.write(&folder)?;
    for name in [Authority::CA, Authority::CHAIN, Authority::KEY] {
        let file = fs::read(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
        image.file(&format!("etc/{name}"), 0o600, file);
    }
    let original = Machine {
        kernel: &kernel,
        generation: Some("11111111-2222-3333-4444-555555555555"),
        ..machine(place, "cloned-machine", image.clone())
    };
    let guest = original.boot(place.target)?;
    let began = Instant::now();
    while !guest.console().lines().any(|line| line == "frozen") {
        if began.elapsed() > LIMIT {
            let said = crate::child::last_lines(&guest.console(), 20);
            return Err(format!("the original came to nothing:\n{said}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let frozen = folder.join("frozen");
    guest.freeze(&frozen, LIMIT)?;
    let copy = Machine {
        kernel: &kernel,
        generation: Some("66666666-7777-8888-9999-aaaaaaaaaaaa"),
        thaws: Some(&frozen),
        ..machine(place, "cloned-machine-copy", image)
    };
    let console = copy.boot(place.target)?.finish(LIMIT);
    // As large as the guest's memory.
    let _ = fs::remove_file(&frozen);
    super::promises(&console?)
}

fn image(place: &Place<'_>, fate: &str) -> Result<Image, String> {
    let mut image = Image::new()?;
    for name in ["hands-proof", "noonmarkd"] {
        image.program(&format!("usr/bin/{name}"), &place.programs().join(name))?;
    }
    image.init(&format!(
        "{SCRIPT}ifconfig lo 127.0.0.1 up\nmkdir -m 0700 /state-keeper /state-server\nhands-proof {fate}\npoweroff -f\n"
    ));
    Ok(image)
}

fn machine<'a>(place: &Place<'a>, name: &'a str, image: Image) -> Machine<'a> {
    Machine {
        name,
        kernel: place.kernel,
        image,
        memory: 384,
        starts_at: "2026-12-01T12:00:00",
        counter_khz: None,
        wire: None,
        generation: None,
        thaws: None,
        page: None,
        is_exact: false,
    }
}

/// A guest's whole life.
const LIMIT: Duration = Duration::from_secs(200);
