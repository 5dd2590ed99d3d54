//! Every table and key a configuration may hold, described once.
//!
//! The reader takes its defaults and its wording of "what would be accepted" from here, and the
//! commented default file and `docs/configuration.md` are printed from here, so what is
//! documented is what happens.

mod clock;
mod daemon;
mod fast_path;
mod overload;
mod source;

use clock::CLOCK;
use daemon::DAEMON;
use overload::OVERLOAD;
use source::SOURCE;

/// A table of the file.
#[derive(Debug)]
pub struct Table {
    /// Name between the brackets.
    pub name: &'static str,
    /// Whether it is an array of tables, `[[name]]`.
    pub repeated: bool,
    /// The key that must be there once the table is: without the table, its subject is off.
    pub switch: Option<&'static str>,
    /// What it is about, as sentences.
    pub meaning: &'static str,
    /// Its keys in the order they are documented.
    pub keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub struct Key {
    /// Name, kebab-case.
    pub name: &'static str,
    /// Type in a few words.
    pub kind: &'static str,
    /// Value without the key, as TOML; `None`: there is none, and `absent` says what that means.
    pub default: Option<&'static str>,
    /// What it means that the key is not there; empty when `default` says it.
    pub absent: &'static str,
    /// A value worth showing, as TOML.
    pub example: &'static str,
    /// Every value that is accepted, as the end of a sentence.
    pub accepted: &'static str,
    /// What it does, as sentences.
    pub meaning: &'static str,
    /// Names under which people of other time servers look for it.
    pub elsewhere: &'static [&'static str],
}

impl Table {
    /// The table called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// The key called `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The table's header as it is written in a file.
    pub fn header(&self) -> String {
        if self.repeated { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }
}

/// All tables in the order they are documented.
pub const TABLES: &[Table] = &[
    SERVER, ACCESS, RATE_LIMIT, OVERLOAD, NTS, COOKIES, SOURCE, CLOCK, STATE, STATUS, LOG, DAEMON,
];

const SERVER: Table = Table {
    name: "server",
    repeated: false,
    switch: None,
    meaning: "Time over UDP, plain NTP and NTS alike.",
    keys: &[
        Key {
            name: "listen",
            kind: "list of addresses",
            default: Some(r#"["[::]:123", "0.0.0.0:123"]"#),
            absent: "",
            example: r#"["[2001:db8::123]:123", "192.0.2.123"]"#,
            accepted: "a list of at most 64 IP addresses with or without a port, as in \
                       [\"[::]:123\", \"192.0.2.1\"]; without a port it is 123, port 0 takes any \
                       free one; none beside [::] or 0.0.0.0 in its family with the same port",
            meaning: "Addresses to answer on. An IPv6 address never takes IPv4 traffic as well. \
                      An empty list serves no time, which makes sense only beside [nts] or \
                      [[source]]. Nor does a file with a [[source]] and neither [server] nor [nts].",
            elsewhere: &["bindaddress", "bind-address", "port", "address", "listen-address"],
        },
        Key {
            name: "interfaces",
            kind: "list of device names",
            default: Some("[]"),
            absent: "",
            example: r#"["eth0"]"#,
            accepted: "a list of at most 64 network device names of 1 to 15 characters, as in \
                       [\"eth0\"]; with `listen` at most 128 addresses on devices",
            meaning: "Answer only what arrives through these network devices: each address of \
                      `listen` is opened once on each of them. An empty list takes all devices.",
            elsewhere: &["interface", "binddevice", "nic", "device"],
        },
        Key {
            name: "threads",
            kind: "whole number",
            default: Some("0"),
            absent: "",
            example: "2",
            accepted: "a whole number from 0 to 1024, 0 being one per core; at most 16384 sockets, one \
                       for each thread, address and device",
            meaning: "Threads that answer requests. 0 starts one per core.",
            elsewhere: &["workers", "worker-threads"],
        },
        Key {
            name: "dscp",
            kind: "whole number",
            default: Some("0"),
            absent: "",
            example: "46",
            accepted: "a DiffServ code point from 0 to 63",
            meaning: "DiffServ code point of answers. 46 is expedited forwarding.",
            elsewhere: &["tos", "qos"],
        },
        Key {
            name: "versions",
            kind: "list of whole numbers",
            default: Some("[3, 4]"),
            absent: "",
            example: "[1, 2, 3, 4]",
            accepted: "a list with some of 1, 2, 3 and 4, none of them twice",
            meaning: "NTP versions that get an answer, which is in the version of its request. \
                      NTS needs 4.",
            elsewhere: &["version", "accept-ntp-versions"],
        },
        Key {
            name: "interleaved-clients",
            kind: "whole number",
            default: Some("65536"),
            absent: "",
            example: "1048576",
            accepted: "a whole number from 0 to 4194304",
            meaning: "Clients that are answered in interleaved mode (RFC 9769) at a time, which tells them when the answer before really left. \
                      For each there are 64 octets, taken up as such clients come and never more; `noonmark status` shows the whole. Clients \
                      beyond that number are answered as without the mode, and 0 switches it off. Others cost nothing.",
            elsewhere: &["xleave", "interleaved"],
        },
        fast_path::MODE,
        fast_path::INTERFACES,
        fast_path::VLANS,
        Key {
            name: "local-stratum",
            kind: "whole number",
            default: None,
            absent: "unsynchronised while no source vouches for the clock",
            example: "10",
            accepted: "a stratum from 1 to 15",
            meaning: "Serve this machine's clock on purpose at this stratum, as it stands, whenever no \
                      [[source]] vouches for it, by the rules `local-…`. Without the key the server then says that it is \
                      unsynchronised (leap indicator 3). A clock that never followed a source is served with root dispersion 0, as if \
                      what it shows were right by decree; one that did, with what it may be wrong by, growing.",
            elsewhere: &["local", "stratum", "tos-orphan", "orphan"],
        },
        Key {
            name: "local-orphan",
            kind: "true or false",
            default: Some("false"),
            absent: "",
            example: "true",
            accepted: "true or false; true needs local-stratum",
            meaning: "For servers that name each other as sources and lose all others together: a source at this server's \
                      `local-stratum` is taken for one that has no source either. It is followed only while no better one answers, and only \
                      the one with the smallest reference identifier, if that is smaller than this server's own address makes; so all agree on \
                      one of them, which serves its clock at `local-stratum`, and the rest follow it one stratum below.",
            elsewhere: &["orphan-mode"],
        },
        Key {
            name: "local-distance",
            kind: "duration",
            default: None,
            absent: "1s",
            example: r#""100ms""#,
            accepted: "a duration from 0s to 16s, as in \"1s\"; needs local-stratum",
            meaning: "A clock that has followed a source is served as that source's, without one, until it may be wrong by more than \
                      this, and from then on at `local-stratum`.",
            elsewhere: &["distance", "local-threshold"],
        },
        Key {
            name: "local-activate",
            kind: "duration",
            default: None,
            absent: "`local-stratum` holds from the start on",
            example: r#""100ms""#,
            accepted: "a duration from 0s to 16s, as in \"100ms\"; needs local-stratum",
            meaning: "Nothing is served at `local-stratum` before the clock has followed a source and cannot have been wrong by as much as \
                      this, once since the start.",
            elsewhere: &["activate"],
        },
        Key {
            name: "local-wait",
            kind: "duration",
            default: None,
            absent: "0s, with `local-orphan` 5m",
            example: r#""10m""#,
            accepted: "a duration from 0s to 7d, as in \"5m\"; needs local-stratum",
            meaning: "Nothing is served at `local-stratum` before so long has passed since the start, and since a source was last \
                      followed.",
            elsewhere: &["waitsynced", "waitunsynced", "orphanwait", "tos-orphanwait"],
        },
        Key {
            name: "reference-id",
            kind: "text",
            default: None,
            absent: "`LOCL` at stratum 1, else 127.127.1.1",
            example: r#""127.127.1.1""#,
            accepted: "with local-stratum 1 one to four printable ASCII characters, as in \
                       \"GPS\"; above that an IPv4 address, as in \"127.127.1.1\"",
            meaning: "Reference identifier that goes with `local-stratum`.",
            elsewhere: &["refid"],
        },
        Key {
            name: "leap-smear",
            kind: "word",
            default: Some(r#""none""#),
            absent: "",
            example: r#""linear""#,
            accepted: "\"none\", \"linear\" or \"quadratic\"; the last two need `leap-seconds` in [clock], and \
                       `leap` there as \"kernel\" or \"step\"",
            meaning: "Spreads a leap second over the hours around it in the time that is served, in place of announcing it; this machine's \
                      clock stays on UTC. `linear` goes on evenly, as large providers do; `quadratic` begins and ends without a jump of \
                      the rate. Meanwhile the reference identifier is 127.127.1.255. Clients must not mix servers that smear with others, \
                      so no public server should do it.",
            elsewhere: &["smoothtime", "leapsmearinterval"],
        },
        Key {
            name: "leap-smear-length",
            kind: "duration",
            default: Some(r#""24h""#),
            absent: "",
            example: r#""20h""#,
            accepted: "a duration from 1000s to 24h, as in \"24h\"",
            meaning: "How long `leap-smear` takes, half of it before the end of the UTC day; 24 hours are from noon to noon.",
            elsewhere: &[],
        },
    ],
};

const ACCESS: Table = Table {
    name: "access",
    repeated: true,
    switch: None,
    meaning: "Who is served, one table per prefix, in any order. The longest prefix that holds \
              the client's address decides; a client that no prefix holds is allowed. Write \
              0.0.0.0/0 and ::/0 to decide for everybody else.",
    keys: &[
        Key {
            name: "prefix",
            kind: "prefix",
            default: None,
            absent: "an error",
            example: r#""192.0.2.0/24""#,
            accepted: "an IP prefix without bits outside its mask, as in \"192.0.2.0/24\" or \
                       \"2001:db8::/32\", or one address",
            meaning: "Clients the rule is about.",
            elsewhere: &["subnet", "network", "filter", "address"],
        },
        Key {
            name: "action",
            kind: "word",
            default: None,
            absent: "an error",
            example: r#""allow""#,
            accepted: "\"allow\", \"deny\" or \"ignore\"",
            meaning: "`allow` serves them. `deny` answers authentic NTS requests with an \
                      authenticated kiss code DENY and is silent otherwise. `ignore` is silent. \
                      `deny` and `ignore` close connections to key establishment at once.",
            elsewhere: &["policy", "rule"],
        },
    ],
};

const RATE_LIMIT: Table = Table {
    name: "rate-limit",
    repeated: false,
    switch: Some("interval"),
    meaning: "Limit on requests answered per client prefix, in memory whose size is fixed at the \
              start. Off without the table.",
    keys: &[
        Key {
            name: "interval",
            kind: "duration",
            default: None,
            absent: "an error",
            example: r#""8s""#,
            accepted: "a duration from 1ms to 1h, as in \"8s\"",
            meaning: "Mean time between two answers to one client that it may keep up for good.",
            elsewhere: &["average", "rate-limiting-cutoff-ms", "cutoff", "minimum"],
        },
        Key {
            name: "burst",
            kind: "whole number",
            default: Some("16"),
            absent: "",
            example: "8",
            accepted: "a whole number from 1 to 255",
            meaning: "Answers that may come at once after a quiet time.",
            elsewhere: &[],
        },
        Key {
            name: "leak",
            kind: "whole number",
            default: Some("4"),
            absent: "",
            example: "0",
            accepted: "a whole number from 0 to 255, 0 being none",
            meaning: "One in this many requests over the limit is answered all the same, at \
                      random, so that forged requests in a client's name cannot starve it.",
            elsewhere: &[],
        },
        Key {
            name: "table-size",
            kind: "whole number",
            default: Some("65536"),
            absent: "",
            example: "1048576",
            accepted: "a whole number from 1 to 1048576",
            meaning: "Clients remembered at a time, which fixes the memory used. When the table \
                      is full, a client that has long been quiet makes room for a new one.",
            elsewhere: &["rate-limiting-cache-size", "clientloglimit", "size", "mru"],
        },
        Key {
            name: "ipv4-prefix",
            kind: "whole number",
            default: Some("32"),
            absent: "",
            example: "24",
            accepted: "a prefix length from 8 to 32",
            meaning: "Length of the IPv4 prefix that counts as one client.",
            elsewhere: &[],
        },
        Key {
            name: "ipv6-prefix",
            kind: "whole number",
            default: Some("64"),
            absent: "",
            example: "48",
            accepted: "a prefix length from 16 to 128",
            meaning: "Length of the IPv6 prefix that counts as one client.",
            elsewhere: &[],
        },
    ],
};

const NTS: Table = Table {
    name: "nts",
    repeated: false,
    switch: Some("certificate"),
    meaning: "Key establishment for Network Time Security (RFC 8915): TLS 1.3 over TCP. Off \
              without the table.",
    keys: &[
        Key {
            name: "certificate",
            kind: "path",
            default: None,
            absent: "an error",
            example: r#""chain.pem""#,
            accepted: "the path of a PEM file, relative to the configuration's folder",
            meaning: "Certificate chain, the server's own certificate first. Taken anew on \
                      SIGHUP and when the file changes.",
            elsewhere: &[
                "ntsservercert",
                "cert",
                "certificate-chain-path",
                "certificate-chain",
                "tls-certificate",
            ],
        },
        Key {
            name: "key",
            kind: "path",
            default: None,
            absent: "an error",
            example: r#""key.pem""#,
            accepted: "the path of a PEM file, relative to the configuration's folder",
            meaning: "The certificate's private key: ECDSA P-256 or P-384, RSA or Ed25519, as \
                      PKCS#8, SEC1 or PKCS#1. The file belongs to root or to the running user, \
                      its group may at most read it, and others have no right to it. A credential of systemd \
                      (LoadCredential=) is found below /run/credentials.",
            elsewhere: &["ntsserverkey", "private-key", "private-key-path", "tls-key"],
        },
        Key {
            name: "listen",
            kind: "list of addresses",
            default: Some(r#"["[::]:4460", "0.0.0.0:4460"]"#),
            absent: "",
            example: r#"["[2001:db8::123]:4460", "192.0.2.123"]"#,
            accepted: "a list of 1 to 64 IP addresses with or without a port, as in \
                       [\"[::]:4460\", \"192.0.2.1\"]; without a port it is 4460, port 0 takes \
                       any free one; none beside [::] or 0.0.0.0 in its family with the same port",
            meaning: "Addresses to take connections on. An IPv6 address never takes IPv4 \
                      traffic as well.",
            elsewhere: &["ntsport", "port", "address"],
        },
        Key {
            name: "aeads",
            kind: "list of numbers or names",
            default: Some("[30, 15, 17]"),
            absent: "",
            example: r#"["AES-SIV-CMAC-256"]"#,
            accepted: "a list of 15 or \"AES-SIV-CMAC-256\", 17 or \"AES-SIV-CMAC-512\" and 30 \
                       or \"AES-128-GCM-SIV\", none of them twice and 15 among them",
            meaning: "Algorithms offered, the most wanted first, by their number or name in \
                      IANA's registry. RFC 8915 demands 15.",
            elsewhere: &["ntsaeads", "aead", "algorithms"],
        },
        Key {
            name: "ntp-servers",
            kind: "list of texts",
            default: Some("[]"),
            absent: "",
            example: r#"["time.example.net", "192.0.2.123"]"#,
            accepted: "a list of host names in ASCII (A-labels) and IP addresses without a zone, \
                       none of them twice",
            meaning: "NTP servers that clients are sent to: the one a client asks for if it is \
                      listed, else the first that suits its address family. An empty list \
                      leaves clients with the host they already speak to.",
            elsewhere: &["ntsntpserver", "server", "ntp-server"],
        },
        Key {
            name: "ntp-port",
            kind: "whole number",
            default: None,
            absent: "the port of the first address of [server], 123 if there is none",
            example: "123",
            accepted: "a port from 1 to 65535",
            meaning: "UDP port that clients are sent to. They are told only if it is not 123.",
            elsewhere: &[],
        },
        Key {
            name: "max-connections",
            kind: "whole number",
            default: Some("512"),
            absent: "",
            example: "64",
            accepted: "a whole number from 1 to 65535",
            meaning: "Sessions at a time, in all, which bounds the memory used: count on 80 KiB \
                      for each at worst. One more is closed at once, and counted.",
            elsewhere: &["ntsprocesses", "concurrent-connections"],
        },
        Key {
            name: "max-per-prefix",
            kind: "whole number",
            default: Some("32"),
            absent: "",
            example: "8",
            accepted: "a whole number from 1 to max-connections",
            meaning: "Sessions at a time from one client prefix; `max-connections` if that is \
                      less.",
            elsewhere: &["ntsratelimit", "max-per-address"],
        },
        Key {
            name: "ipv4-prefix",
            kind: "whole number",
            default: Some("32"),
            absent: "",
            example: "24",
            accepted: "a prefix length from 8 to 32",
            meaning: "Length of the IPv4 prefix that `max-per-prefix` counts by.",
            elsewhere: &[],
        },
        Key {
            name: "ipv6-prefix",
            kind: "whole number",
            default: Some("64"),
            absent: "",
            example: "48",
            accepted: "a prefix length from 16 to 128",
            meaning: "Length of the IPv6 prefix that `max-per-prefix` counts by.",
            elsewhere: &[],
        },
        Key {
            name: "time-limit",
            kind: "duration",
            default: Some(r#""5s""#),
            absent: "",
            example: r#""2s""#,
            accepted: "a duration from 1s to 10s, as in \"5s\"",
            meaning: "Time for a whole session, from the connection to its end. Whoever has not \
                      sent a request by then is told so and cut off.",
            elsewhere: &["timeout", "key-exchange-timeout-ms", "time-out"],
        },
    ],
};

const COOKIES: Table = Table {
    name: "cookies",
    repeated: false,
    switch: None,
    meaning: "Keys under which NTS cookies are sealed.",
    keys: &[
        Key {
            name: "rotation",
            kind: "duration",
            default: Some(r#""1d""#),
            absent: "",
            example: r#""12h""#,
            accepted: "a duration of whole seconds from 1m to 90d, as in \"1d\"",
            meaning: "Time after which a new key takes over.",
            elsewhere: &["ntsrotate", "rotation-interval", "key-rotation-interval"],
        },
        Key {
            name: "retention",
            kind: "whole number",
            default: Some("7"),
            absent: "",
            example: "14",
            accepted: "a whole number from 1 to 64",
            meaning: "Replaced keys whose cookies are still taken. A client that was away for \
                      longer than `rotation` times this asks for new cookies.",
            elsewhere: &["stale-key-count"],
        },
    ],
};

const STATE: Table = Table {
    name: "state",
    repeated: false,
    switch: None,
    meaning: "Durable state.",
    keys: &[Key {
        name: "folder",
        kind: "path",
        default: Some(r#""/var/lib/noonmark""#),
        absent: "",
        example: r#""state""#,
        accepted: "the path of a folder, relative to the configuration's folder",
        meaning: "Folder for what outlives the process, the secret behind the cookie keys among \
                  it. It belongs to the running user or to root and is refused if others may write \
                  to it; that they may look into it (a mode beyond 0700) is taken with a warning, \
                  since every file in it is its owner's alone.",
        elsewhere: &["ntsdumpdir", "dumpdir", "directory", "key-storage-path", "path", "driftfile"],
    }],
};

const STATUS: Table = Table {
    name: "status",
    repeated: false,
    switch: None,
    meaning: "The daemon's account of itself.",
    keys: &[Key {
        name: "socket",
        kind: "path",
        default: Some(r#""/run/noonmark/status.sock""#),
        absent: "",
        example: r#""status.sock""#,
        accepted: "a path of at most 107 octets, relative to the configuration's folder",
        meaning: "Unix socket that `noonmark status` reads.",
        elsewhere: &["observation-path", "bindcmdaddress", "path"],
    }],
};

const LOG: Table = Table {
    name: "log",
    repeated: false,
    switch: None,
    meaning: "Log lines. Nothing is logged at `info` because of one packet or one connection.",
    keys: &[
        Key {
            name: "format",
            kind: "word",
            default: Some(r#""text""#),
            absent: "",
            example: r#""json""#,
            accepted: "\"text\", \"json\" or \"journald\"",
            meaning: "`text` for people and `json` with one object per line, both on standard \
                      error; `journald` for systemd's journal with its fields.",
            elsewhere: &[],
        },
        Key {
            name: "level",
            kind: "word",
            default: Some(r#""info""#),
            absent: "",
            example: r#""debug""#,
            accepted: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
            meaning: "The least severe lines that are written.",
            elsewhere: &["log-level", "severity", "verbosity"],
        },
    ],
};
