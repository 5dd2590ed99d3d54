//! Guests that live through a leap second with noonmarkd, each way it can be told to.

use std::time::Duration;

use super::image::Image;
use super::machine::Machine;
use super::{Place, Promise, SCRIPT};

pub fn kernel(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    live(place, "kernel")
}

pub fn step(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    live(place, "step")
}

pub fn slew(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    live(place, "slew")
}

pub fn smear(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    live(place, "smear")
}

/// Everything happens in the guest: `leap-proof` is noonmarkd's source, its client and its judge.
fn live(place: &Place<'_>, way: &str) -> Result<Vec<Promise>, String> {
    let mut image = Image::new()?;
    for name in ["leap-proof", "noonmarkd", "noonmark"] {
        image.program(&format!("usr/bin/{name}"), &place.target.join("debug").join(name))?;
    }
    image.init(&format!(
        "{SCRIPT}ifconfig lo 127.0.0.1 up\nmkdir -m 0700 /state\nleap-proof {way}\npoweroff -f\n"
    ));
    let name = format!("leap-{way}");
    let machine = Machine {
        name: &name,
        kernel: place.kernel,
        image,
        memory: 384,
        starts_at: "2027-06-30T23:58:00",
        counter_khz: None,
        wire: None,
        generation: None,
        thaws: None,
        page: None,
        is_exact: false,
    };
    let console = machine.boot(place.target)?.finish(Duration::from_secs(240))?;
    super::promises(&console)
}
