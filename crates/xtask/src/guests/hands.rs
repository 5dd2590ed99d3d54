//! A guest in which somebody else has a hand on the clock that noonmarkd keeps.

use std::time::Duration;

use super::image::Image;
use super::machine::Machine;
use super::{Place, Promise, SCRIPT};

/// Everything happens in the guest: `hands-proof` is noonmarkd's source, the other hand, and the judge.
pub fn foreign(place: &Place<'_>) -> Result<Vec<Promise>, String> {
    let mut image = Image::new()?;
    for name in ["hands-proof", "noonmarkd"] {
        image.program(&format!("usr/bin/{name}"), &place.programs().join(name))?;
    }
    image.init(&format!(
        "{SCRIPT}ifconfig lo 127.0.0.1 up\nmkdir -m 0700 /state-keeper\nhands-proof\npoweroff -f\n"
    ));
    let machine = Machine {
        name: "foreign-hands",
        kernel: place.kernel,
        image,
        memory: 256,
        starts_at: "2026-12-01T12:00:00",
        counter_khz: None,
        wire: None,
        page: None,
        is_exact: false,
    };
    let console = machine.boot(place.target)?.finish(Duration::from_secs(200))?;
    super::promises(&console)
}
