//! The table `[overload]`.

use super::{Key, Table};

pub(super) const OVERLOAD: Table = Table {
    name: "overload",
    repeated: false,
    switch: None,
    meaning: "What happens when more is asked than can be answered, be it a flood. First to be left without an answer are requests that prove \
              nothing: plain ones, and NTS requests whose cookie does not open. If that is not enough, of NTS requests whose cookie \
              opens those of prefixes (/24, and /48 for IPv6) that have had more than their share. `noonmark status` says so while it lasts \
              and counts what was shed.",
    keys: &[
        Key {
            name: "priority",
            kind: "list of prefixes",
            default: Some("[]"),
            absent: "",
            example: r#"["192.0.2.0/24", "2001:db8::/32"]"#,
            accepted: "a list of at most 256 IP prefixes without bits outside their masks, as in \
                       [\"192.0.2.0/24\", \"2001:db8::/32\"], or addresses",
            meaning: "Clients that are answered before all others, and never shed. Anybody can write any source address into a \
                      datagram: list only prefixes that cannot reach this server from outside, because your border or the \
                      network between refuses them there. A flood in the name of a listed prefix is answered as far as this server can.",
            elsewhere: &["prefer", "trusted"],
        },
        Key {
            name: "receive-buffer",
            kind: "whole number",
            default: Some("4194304"),
            absent: "",
            example: "8388608",
            accepted: "a whole number of octets from 65536 to 536870912",
            meaning: "Octets in which the kernel holds datagrams that have not been read yet, for each socket: one for each thread and each \
                      address. Small datagrams take about 640 octets of it. The more there are, the longer a server that is given its \
                      processor in slices may stand without losing any. More than `net.core.rmem_max` takes the capability CAP_NET_ADMIN at \
                      the start; `noonmark status` says where it became less.",
            elsewhere: &["rcvbuf", "so-rcvbuf"],
        },
    ],
};
