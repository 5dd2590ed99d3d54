//! The table `[overload]` as it is written: who goes first when more is asked than can be answered.

use ipnet::IpNet;

use crate::section::Section;
use crate::value::{self, Value, Wrongs};

/// The table `[overload]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Overload {
    /// Clients that are shed last of all; at most [`PRIORITY_MAX`], none twice, no bit set outside their masks.
    pub priority: Vec<IpNet>,
    /// Octets of datagrams the kernel is asked to hold for each UDP socket (`SO_RCVBUF`); 2^16..=2^29.
    pub receive_buffer: u32,
}

/// Most prefixes of `priority`: what is looked for in the kernel is looked for one after the other.
pub const PRIORITY_MAX: usize = 256;

pub(crate) fn overload(mut section: Section<'_, '_, '_>) -> Option<Overload> {
    let priority = section.read("priority", priority);
    let receive_buffer =
        section.read("receive-buffer", |v, w| value::integer(v, w, 1 << 16..=1 << 29));
    Some(Overload { priority: priority.value?, receive_buffer: receive_buffer.value? })
}

fn priority(value: &Value<'_>, wrongs: &mut Wrongs) -> Option<Vec<IpNet>> {
    let listed = value::list(value, wrongs, value::prefix, |_| false)?;
    if listed.len() > PRIORITY_MAX {
        wrongs.add(value, format!("the list has {} prefixes", listed.len()));
        return None;
    }
    Some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<Overload, String> {
        crate::parse(&format!("[server]\n{text}\n"), Path::new("/x/noonmark.toml"))
            .map(|settings| settings.overload)
            .map_err(|report| report.to_string())
    }

    #[test]
    fn nobody_goes_first_unless_listed() {
        let usual = Overload { priority: Vec::new(), receive_buffer: 4 << 20 };
        assert_eq!(read(""), Ok(usual.clone()));
        assert_eq!(read("[overload]"), Ok(usual.clone()));
        let prefixes = ["10.1.0.0/16", "2001:db8::/32"].map(|prefix| prefix.parse().unwrap());
        let listed = read("[overload]\npriority = [\"10.1.0.0/16\", \"2001:db8::/32\"]");
        assert_eq!(listed, Ok(Overload { priority: prefixes.to_vec(), ..usual.clone() }));
        let small = Overload { receive_buffer: 65_536, ..usual };
        assert_eq!(read("[overload]\nreceive-buffer = 65536"), Ok(small));
    }

    #[test]
    fn lists_too_long_and_buffers_out_of_bounds_are_refused() {
        let check = |text: &str, expected: &str| {
            let said = read(&format!("[overload]\n{text}")).expect_err(text);
            assert!(said.contains(expected), "{said}");
        };
        let list = |count: usize| {
            let prefixes: Vec<_> = (0..count).map(|n| format!("\"10.0.{n}.0/24\"")).collect();
            format!("priority = [{}]", prefixes.join(", "))
        };
        assert!(read(&format!("[overload]\n{}", list(256))).is_ok());
        let long = list(256).replace(']', ", \"192.0.2.1\"]");
        check(&long, "the list has 257 prefixes");
        check("priority = [\"10.1.2.3/16\"]", "has bits outside its mask");
        check("priority = [\"10.0.0.0/8\", \"10.0.0.0/8\"]", "is listed twice");
        check("receive-buffer = 65535", "65535 is too small");
        check("receive-buffer = 536870913", "536870913 is too large");
    }
}
