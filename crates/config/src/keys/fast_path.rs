//! The keys of `[server]` about the fast path.

use super::Key;

pub(super) const MODE: Key = Key {
    name: "fast-path",
    kind: "word",
    default: Some(r#""off""#),
    absent: "",
    example: r#""auto""#,
    accepted: "\"off\", \"auto\" or \"xdp\"; the last two need `fast-path-interfaces` or `interfaces`",
    meaning: "Answers plain requests in the kernel (XDP), before they reach a socket, at a fraction of the cost; by the same access rules, rate \
              limit and clock. What it does not certainly know for a plain request goes on to the sockets, so everything is served as without it. It \
              takes the capabilities CAP_BPF and CAP_NET_ADMIN at the start, which nothing here holds afterwards. Where it cannot be had, \
              \"auto\" says why and goes on without it; with \"xdp\" nothing starts. **Packet filters of the kernel (nftables, iptables) do not see \
              what is answered there**: say who is served in [[access]]. A change is in force after the next start, but \"off\" at once.",
    elsewhere: &["xdp", "offload"],
};

pub(super) const INTERFACES: Key = Key {
    name: "fast-path-interfaces",
    kind: "list of device names",
    default: Some("[]"),
    absent: "",
    example: r#"["eth0"]"#,
    accepted: "a list of at most 64 network device names of 1 to 15 characters, as in [\"eth0\"]",
    meaning: "Devices whose frames are looked at for `fast-path`; an empty list takes those of `interfaces`. They must be there at the start. In \
              the driver where that can do it, which may interrupt the link for a moment; behind it elsewhere.",
    elsewhere: &["xdp-interfaces"],
};

pub(super) const VLANS: Key = Key {
    name: "fast-path-vlans",
    kind: "list of whole numbers",
    default: Some("[]"),
    absent: "",
    example: "[5, 7]",
    accepted: "a list of at most 16 numbers of VLANs from 1 to 4094, none of them twice",
    meaning: "VLANs whose tagged frames `fast-path` answers, with the tag they came with, for every address of this machine. The device must leave \
              tags in the frame (`ethtool -K eth0 rxvlan off`). Frames with other tags go on to the sockets.",
    elsewhere: &["vlans"],
};
