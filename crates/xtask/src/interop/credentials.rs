//! Cells of a key that systemd hands over as a credential (`LoadCredential=`, systemd.exec(5)).

use std::fs;

use super::cells::{Cell, Figures, Miss, cell, query};
use super::lab::{Family, Lab, Place};
use super::room::Room;
use super::service::{
    AS_SHIPPED, LOG, USER, as_user, configure, judge_processes, make_folders, noonmarkd, serve,
    status, stop,
};
use crate::workspace;

/// All of them.
pub fn all() -> Vec<Cell> {
    vec![
        cell("noonmarkd takes its key from credentials by access list", |lab, place| {
            credentials(lab, place, Credentials::ByAccessList)
        }),
        cell("noonmarkd takes its key from credentials by owner", |lab, place| {
            credentials(lab, place, Credentials::ByOwner)
        }),
    ]
}

/// How systemd lets a user read a credential, by what the folder's file system can do (systemd.exec(5), `LoadCredential=`).
#[derive(Clone, Copy)]
enum Credentials {
    /// Root's files of mode 0400, with an access list that lets the user read them: the mode shows as 0440.
    ByAccessList,
    /// The user's own files of mode 0400, on a file system that cannot be written.
    ByOwner,
}

/// Configured by the very lines that the shipped unit recommends.
fn credentials(lab: &Lab, place: &Place, kind: Credentials) -> Result<Figures, Miss> {
    let unit = Unit::read()?;
    make_folders(place, USER)?;
    let [certificate, key] = &unit.configured;
    configure(place, certificate, key, "")?;
    let room = Room::new(lab, place, &unit.furnish(lab, place, kind))?;
    // What was laid out is what systemd lays out.
    let seen = room.shell(&format!(
        "stat -c '%u %a' {key} {}; if [ -w {key} ]; then echo writable; fi",
        unit.folder
    ))?;
    let expected = match kind {
        Credentials::ByAccessList => "0 440\n0 550\n",
        Credentials::ByOwner => "65534 400\n65534 500\n",
    };
    if seen != expected {
        return Err(format!("laid out as {seen:?}, not {expected:?}").into());
    }
    let daemon = serve(&room, place, &as_user(&noonmarkd(place), AS_SHIPPED), LOG)?;
    let mut figures = judge_processes(&room, &status(place)?)?;
    figures.extend(query(lab, place, Family::V4, 30, true)?);
    stop(&room, place, daemon)?;
    Ok(figures)
}

/// What the shipped unit says of credentials.
struct Unit {
    /// Where systemd puts them.
    folder: String,
    /// Their names.
    names: Vec<String>,
    /// `certificate` and `key` of the configuration it recommends.
    configured: [String; 2],
}

impl Unit {
    fn read() -> Result<Self, String> {
        let path = workspace::root().join("crates/noonmarkd/dist").join(Self::NAME);
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::from_text(&text).ok_or_else(|| format!("{}: not as expected", path.display()))
    }

    fn from_text(text: &str) -> Option<Self> {
        let configured = |key: &str| {
            let mut lines =
                text.lines().filter_map(|line| line.strip_prefix('#')?.trim().strip_prefix(key));
            lines.find_map(|rest| Some(rest.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned()))
        };
        // They are comments, for whoever has put the key elsewhere.
        let loads = text.lines().filter_map(|line| line.strip_prefix("#LoadCredential="));
        let names = loads.map(|load| Some(load.split_once(':')?.0.to_owned()));
        Some(Self {
            folder: format!("/run/credentials/{}", Self::NAME),
            names: names.collect::<Option<_>>()?,
            configured: [configured("certificate")?, configured("key")?],
        })
    }

    /// Lines of shell that lay credentials out as systemd does.
    fn furnish(&self, lab: &Lab, place: &Place, kind: Credentials) -> String {
        let (folder, inside, outside) = (&self.folder, &place.inside, place.outside.display());
        let names = self.names.join(" ");
        // Where the peers' Python sees it, too: it sets the access lists.
        let made = format!("{outside}/credentials");
        let (kind, grant) = match kind {
            Credentials::ByAccessList => {
                let root = lab.peers.root().display();
                let grant = |perm: u32, what: &str| {
                    format!("chroot {root} /usr/bin/python3 -c '{GRANT}' {USER} {perm} {what}\n")
                };
                let files: Vec<String> =
                    self.names.iter().map(|name| format!("{inside}/credentials/{name}")).collect();
                let lists =
                    grant(4, &files.join(" ")) + &grant(5, &format!("{inside}/credentials"));
                ("tmpfs", lists)
            }
            Credentials::ByOwner => ("ramfs", format!("chown {USER} {made} {made}/*\n")),
        };
        format!(
            "mkdir -p {folder} {made}\n\
             mount -t {kind} -o mode=500 {kind} {made}\n\
             for name in {names}; do install -m 0400 {outside}/$name {made}/$name; done\n\
             {grant}\
             mount --bind {made} {folder}\n\
             mount -o remount,bind,ro {folder}\n"
        )
    }

    const NAME: &str = "noonmarkd.service";
}

/// Lets a user do what the number says with files besides their owner: a list of version 2, of entries of tag, permission and
/// id (linux/posix_acl_xattr.h). Nobody else may do anything.
const GRANT: &str = r#"
import os, struct, sys
user, perm, *paths = sys.argv[1:]
user, perm = int(user), int(perm)
entries = [(1, perm, -1), (2, perm, user), (4, 0, -1), (16, perm, -1), (32, 0, -1)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
for path in paths:
    os.setxattr(path, "system.posix_acl_access", acl)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_unit_and_the_configuration_it_recommends_agree() {
        let unit = Unit::read().expect("shipped");
        let paths: Vec<String> =
            unit.names.iter().map(|name| format!("{}/{name}", unit.folder)).collect();
        assert_eq!(paths, unit.configured);
    }
}
