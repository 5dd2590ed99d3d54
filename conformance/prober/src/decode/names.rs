//! Numbers that registries and RFCs give a name.

/// Mode of an NTP packet (RFC 5905 figure 10).
pub(super) fn mode(number: u8) -> &'static str {
    match number & 7 {
        0 => "reserved",
        1 => "symmetric active",
        2 => "symmetric passive",
        3 => "client",
        4 => "server",
        5 => "broadcast",
        6 => "control",
        _ => "private",
    }
}

/// Leap indicator (RFC 5905 figure 9).
pub(super) fn leap(number: u8) -> &'static str {
    match number & 3 {
        0 => "no leap second announced",
        1 => "the last minute of the month has 61 s",
        2 => "the last minute of the month has 59 s",
        _ => "unsynchronised",
    }
}

/// What a kiss code asks for (RFC 5905 figure 13, RFC 8915 §7.3).
pub(super) fn kiss(code: [u8; 4]) -> &'static str {
    match &code {
        b"ACST" => "association of an anycast server",
        b"AUTH" => "authentication failed",
        b"AUTO" => "Autokey failed",
        b"BCST" => "association of a broadcast server",
        b"CRYP" => "cryptographic authentication failed",
        b"DENY" => "access denied: stop asking",
        b"DROP" => "lost peer in symmetric mode",
        b"RSTR" => "access restricted: stop asking",
        b"INIT" => "not synchronised yet",
        b"MCST" => "association of a dynamically found server",
        b"NKEY" => "no key found",
        b"NTSN" => "NTS negative acknowledgment: cookie or tag not good",
        b"RATE" => "asked too often: ask less",
        b"RMOT" => "altered from afar",
        b"STEP" => "the clock was stepped, not synchronised again yet",
        [b'X', ..] => "private, to be ignored",
        _ => "not registered",
    }
}

/// Type of an extension field (IANA's registry as of RFC 9748, and what is in use beside it).
pub(super) fn field(kind: u16, beside_authenticator: bool) -> String {
    let autokey = |message: u16| match message {
        0x00 => "no-operation",
        0x01 => "association",
        0x02 => "certificate",
        0x03 => "cookie",
        0x04 => "autokey",
        0x05 => "leap seconds",
        0x06 => "sign",
        0x07 => "IFF identity",
        0x08 => "GQ identity",
        _ => "MV identity",
    };
    match kind {
        0x0104 => "Unique Identifier".to_owned(),
        0x0204 if beside_authenticator => "NTS Cookie".to_owned(),
        0x0204 => "Autokey Message Request, or NTS Cookie".to_owned(),
        0x0304 => "NTS Cookie Placeholder".to_owned(),
        0x0404 => "NTS Authenticator and Encrypted Extension Fields".to_owned(),
        0x010a => "Network Correction".to_owned(),
        0x2005 => "UDP Checksum Complement".to_owned(),
        0xf323 => "experimental (chrony: monotonic timestamp and root)".to_owned(),
        0xf324 => "experimental (chrony: network correction)".to_owned(),
        0xf5ff => "experimental (NTPv5: draft identification)".to_owned(),
        0xf000..=0xffff => "experimental".to_owned(),
        0x0200..=0x0209 => format!("Autokey {} request", autokey(kind & 0xff)),
        0x8200..=0x8209 => format!("Autokey {} response", autokey(kind & 0xff)),
        0xc200..=0xc209 => format!("Autokey {} error", autokey(kind & 0xff)),
        0x0002 | 0x0102 | 0x0302 | 0x0402 | 0x0502 | 0x0602 | 0x0702 | 0x0802 | 0x0902 => {
            "reserved for historic reasons".to_owned()
        }
        _ => "not registered".to_owned(),
    }
}

/// AEAD algorithm (IANA's registry).
pub(super) fn aead(number: u16) -> String {
    let name = match number {
        1 => "AEAD_AES_128_GCM",
        2 => "AEAD_AES_256_GCM",
        15 => "AEAD_AES_SIV_CMAC_256",
        16 => "AEAD_AES_SIV_CMAC_384",
        17 => "AEAD_AES_SIV_CMAC_512",
        29 => "AEAD_CHACHA20_POLY1305",
        30 => "AEAD_AES_128_GCM_SIV",
        31 => "AEAD_AES_256_GCM_SIV",
        32768.. => "private",
        _ => "another",
    };
    format!("{number} {name}")
}

/// Protocol of NTS key establishment (RFC 8915 §7.7).
pub(super) fn protocol(number: u16) -> String {
    let name = match number {
        0 => "NTPv4",
        0x8001 => "private (NTPv5 drafts)",
        32768.. => "private",
        _ => "not registered",
    };
    format!("{number} {name}")
}

/// Code of an Error record (RFC 8915 §4.1.3).
pub(super) fn error(code: u16) -> &'static str {
    match code {
        0 => "unrecognized critical record",
        1 => "bad request",
        2 => "internal server error",
        32768.. => "private",
        _ => "not registered",
    }
}

/// Type of a record of key establishment (RFC 8915 §7.6, IANA's registry).
pub(super) fn record(kind: u16) -> &'static str {
    match kind {
        0 => "End of Message",
        1 => "NTS Next Protocol Negotiation",
        2 => "Error",
        3 => "Warning",
        4 => "AEAD Algorithm Negotiation",
        5 => "New Cookie for NTPv4",
        6 => "NTPv4 Server Negotiation",
        7 => "NTPv4 Port Negotiation",
        8 => "Keep Alive",
        9 => "Supported Next Protocol List",
        10 => "Supported Algorithm List",
        11 => "List Server Names",
        12 => "Fixed Key Request",
        13 => "NTP Server Deny",
        14 => "Authentication Token",
        1024 => "Compliant AES-128-GCM-SIV Exporter Context",
        16384..=32767 => "private",
        _ => "not registered",
    }
}
