//! The keys `fast-path…` of `[server]`: whether plain requests are answered in the kernel, and where.

use crate::section::Section;
use crate::settings::InterfaceName;
use crate::value::{self, Value, Wrongs};

/// Answering in the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FastPath {
    /// Whether.
    pub mode: FastPathMode,
    /// Devices whose frames are looked at; at least one unless it is off.
    pub interfaces: Vec<InterfaceName>,
    /// VLANs whose tagged frames are answered, 1..=4094, none twice.
    pub vlans: Vec<u16>,
}

/// Whether plain requests are answered in the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FastPathMode {
    /// No.
    Off,
    /// Where that can be had.
    Auto,
    /// Yes, or nothing starts.
    Xdp,
}

impl FastPathMode {
    /// As it is written in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Xdp => "xdp",
        }
    }
}

/// `served` are the devices of the key `interfaces`, if that is right.
pub(crate) fn fast_path(
    section: &mut Section<'_, '_, '_>,
    served: Option<&[InterfaceName]>,
) -> Option<FastPath> {
    let mode = section.read("fast-path", |v, w| {
        let words = [FastPathMode::Off, FastPathMode::Auto, FastPathMode::Xdp];
        value::word(v, w, &words.map(|mode| (mode.as_str(), mode)))
    });
    let interfaces = section.read("fast-path-interfaces", value::interfaces);
    let vlans = section.read("fast-path-vlans", vlans);
    let (chosen, vlans, served) = (mode.value?, vlans.value?, served?);
    let named = interfaces.value?;
    let interfaces = if named.is_empty() { served.to_vec() } else { named };
    if chosen != FastPathMode::Off && interfaces.is_empty() {
        let what = format!("{:?} without a device: which one is not guessed", chosen.as_str());
        section.misfit("fast-path", mode.place, &what);
        return None;
    }
    Some(FastPath { mode: chosen, interfaces, vlans })
}

fn vlans(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<Vec<u16>> {
    let number = |v: &Value<'_>, w: &mut Wrongs| {
        value::integer(v, w, 1..=4094).and_then(|number| u16::try_from(number).ok())
    };
    let listed = value::list(value, wrongs, number, |_| false)?;
    if listed.len() > VLANS_MAX {
        wrongs.add(value, format!("the list has {} VLANs", listed.len()));
        return None;
    }
    Some(listed)
}

/// Each takes a place for every address.
const VLANS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<FastPath, String> {
        crate::parse(&format!("[server]\n{text}\n"), Path::new("/x/noonmark.toml"))
            .map(|settings| settings.server.fast_path)
            .map_err(|report| report.to_string())
    }

    #[test]
    fn it_is_off_unless_asked_for_and_wants_a_device() {
        let check = |text: &str, mode, interfaces: &[&str], vlans: &[u16]| {
            let interfaces = interfaces.iter().map(|name| InterfaceName::new(name).unwrap());
            let expected =
                FastPath { mode, interfaces: interfaces.collect(), vlans: vlans.to_vec() };
            assert_eq!(read(text), Ok(expected), "{text}");
        };
        check("", FastPathMode::Off, &[], &[]);
        check(
            "fast-path = \"auto\"\nfast-path-interfaces = [\"eth0\"]",
            FastPathMode::Auto,
            &["eth0"],
            &[],
        );
        check(
            "fast-path = \"xdp\"\ninterfaces = [\"a\", \"b\"]",
            FastPathMode::Xdp,
            &["a", "b"],
            &[],
        );
        let both = "fast-path = \"xdp\"\ninterfaces = [\"a\"]\nfast-path-interfaces = [\"b\"]\nfast-path-vlans = [5, 4094]";
        check(both, FastPathMode::Xdp, &["b"], &[5, 4094]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let check = |text: &str, expected: &str| {
            let said = read(text).expect_err(text);
            assert!(said.contains(expected), "{said}");
        };
        check("fast-path = \"xdp\"", "\"xdp\" without a device");
        check("fast-path = \"auto\"", "fast-path-interfaces");
        check("fast-path = \"on\"", "\"off\", \"auto\" or \"xdp\"");
        check("fast-path-vlans = [0]", "0 is too small");
        check("fast-path-vlans = [4095]", "4095 is too large");
        check("fast-path-vlans = [5, 5]", "is listed twice");
        check("fast-path-interfaces = [\"a/b\"]", "cannot be a device's name");
        let many: Vec<_> = (1..=17).map(|vlan: u16| vlan.to_string()).collect();
        check(&format!("fast-path-vlans = [{}]", many.join(", ")), "the list has 17 VLANs");
    }
}
