//! The table `[daemon]`.

use super::{Key, Table};

pub(super) const DAEMON: Table = Table {
    name: "daemon",
    repeated: false,
    switch: None,
    meaning: "The processes the daemon is made of. Each gives up, for good, what its work does not take: its user, rights, files, \
              system calls. A change is in force after the next start.",
    keys: &[
        Key {
            name: "sandbox",
            kind: "word",
            default: Some(r#""auto""#),
            absent: "",
            example: r#""required""#,
            accepted: "\"auto\", \"required\" or \"off\"",
            meaning: "`auto` gives up all that this kernel can take, and `noonmark status` says what it cannot. With `required` \
                      nothing starts where something is lacking: Linux 6.12 has everything. `off` leaves files and system \
                      calls as they are, to look for a fault; the user is changed and rights are given up all the same.",
            elsewhere: &["seccomp", "scfilter"],
        },
        Key {
            name: "user",
            kind: "text",
            default: Some(r#""noonmark""#),
            absent: "",
            example: r#""ntp""#,
            accepted: "the name of an account in /etc/passwd, or a user id from 0 to 4294967294",
            meaning: "Who the roles are when noonmarkd is started as root, with the account's own group and no other; started by \
                      somebody else they are that user. If there is no account `noonmark` they have the number 65523, which no \
                      system gives to anybody. The state folder is handed over to this user. A number stands for user and group.",
            elsewhere: &["runas", "group"],
        },
    ],
};
