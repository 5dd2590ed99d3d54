//! Who a process is: an account without rights in place of root.

use std::io;

use crate::caps::{self, Capability};

/// A user and group id, with no other groups.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identity {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
}

/// For a machine without an account for us: a number that neither Debian, Fedora nor systemd gives to anybody, unlike `nobody`'s, which
/// others use as well.
pub const NAMELESS: Identity = Identity { user: 65_523, group: 65_523 };

impl Identity {
    /// The account `name` of the text of an `/etc/passwd`, with its own group.
    ///
    /// Read from the file and nowhere else: asking the system's services for names would run their code in this process.
    #[must_use]
    pub fn in_accounts(name: &str, accounts: &str) -> Option<Self> {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next()? != name {
                return None;
            }
            let _password = fields.next()?;
            let (user, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            // The kernel takes the highest number for "unchanged".
            (user != u32::MAX && group != u32::MAX).then_some(Self { user, group })
        })
    }

    /// The account `name` of this machine.
    ///
    /// # Errors
    /// What reading `/etc/passwd` answers, other than that there is none.
    pub fn of(name: &str) -> io::Result<Option<Self>> {
        match std::fs::read_to_string("/etc/passwd") {
            Ok(accounts) => Ok(Self::in_accounts(name, &accounts)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether this machine, or the container that this process is in, has such a user and group: a user namespace has those it was given.
    #[must_use]
    pub fn is_there(self) -> bool {
        // Without the files there are no namespaces.
        let is_in =
            |file: &str, id| std::fs::read_to_string(file).map_or(true, |map| is_mapped(&map, id));
        is_in("/proc/self/uid_map", self.user) && is_in("/proc/self/gid_map", self.group)
    }

    /// Takes this identity on, for good, with all of the process: call it before there are threads. Capabilities are left as they are, so that those
    /// no longer wanted are given up afterwards ([`caps::keep_only`]).
    ///
    /// # Errors
    /// What the kernel answers, as without the rights to change user and groups.
    pub fn take_on(self) -> io::Result<()> {
        if caps::keep_across_users().is_err() {
            caps::keep_across_one_change()?;
        }
        // SAFETY: with a count of 0 the pointer is not looked at.
        crate::checked(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        let (user, group) = (self.user, self.group);
        // SAFETY: takes integers.
        crate::checked(unsafe { libc::setresgid(group, group, group) })?;
        // SAFETY: as above.
        crate::checked(unsafe { libc::setresuid(user, user, user) })?;
        Ok(())
    }
}

/// Whether a line of the text of `/proc/PID/uid_map` has `id`: first here, first outside, how many.
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return false;
        };
        (first..first.saturating_add(count)).contains(&id.into())
    })
}

/// Gives up every capability but `kept`, in all sets, and makes sure that nothing gains any.
///
/// # Errors
/// What the kernel answers.
pub fn give_up_rights(kept: &[Capability]) -> io::Result<()> {
    caps::no_new_privileges()?;
    caps::keep_only(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_with_their_group() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n# noonmark:x:1:1\nnoonmark2:x:7:8::/:/x\nnoonmark:x:998:997::/nonexistent:/x\n\
                        broken:x:y:1::/:\nshort:x:5\nall:x:4294967295:1::/:\n";
        let check = |name: &str, expected: Option<(u32, u32)>| {
            let found = Identity::in_accounts(name, accounts);
            assert_eq!(found.map(|id| (id.user, id.group)), expected, "{name}");
        };
        check("noonmark", Some((998, 997)));
        check("root", Some((0, 0)));
        check("noon", None);
        check("broken", None);
        check("short", None);
        check("all", None);
        check("", None);
    }

    #[test]
    fn a_container_has_the_users_it_was_given() {
        let whole = "         0          0 4294967295\n";
        let one = "         0       1000          1\n";
        let some = "0 100000 65536\n70000 1000 1\n";
        for (map, id, expected) in [
            (whole, 65_523, true),
            (one, 0, true),
            (one, 65_523, false),
            (some, 65_535, true),
            (some, 65_536, false),
            (some, 70_000, true),
            ("", 0, false),
            ("nonsense", 0, false),
        ] {
            assert_eq!(is_mapped(map, id), expected, "{id} in {map}");
        }
    }
}
