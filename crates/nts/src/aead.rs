use core::fmt;

/// An AEAD algorithm (RFC 5116) as NTS uses it; the numbers are IANA's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Aead {
    /// AEAD_AES_SIV_CMAC_256 (RFC 5297), which every NTS server has.
    SivCmac256 = 15,
    /// AEAD_AES_SIV_CMAC_512 (RFC 5297).
    SivCmac512 = 17,
    /// AEAD_AES_128_GCM_SIV (RFC 8452): shorter keys, so shorter cookies.
    Aes128GcmSiv = 30,
}

impl Aead {
    /// All of them, the one every server must have first.
    pub const ALL: [Self; 3] = [Self::SivCmac256, Self::SivCmac512, Self::Aes128GcmSiv];

    /// IANA's number.
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// The algorithm with this number, if it is one of ours.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|aead| aead.id() == id)
    }

    /// Octets of one key: 32, 64 or 16.
    pub const fn key_len(self) -> usize {
        match self {
            Self::SivCmac256 => 32,
            Self::SivCmac512 => 64,
            Self::Aes128GcmSiv => 16,
        }
    }

    /// Octets of the nonces we make: 16, 16 or 12. AES-SIV takes others too; AES-GCM-SIV does not.
    pub const fn nonce_len(self) -> usize {
        match self {
            Self::SivCmac256 | Self::SivCmac512 => 16,
            Self::Aes128GcmSiv => 12,
        }
    }

    /// Octets the nonce and the padding of an authenticator must have together: N_REQ of RFC 8915 §5.6, 16, 16 or 12.
    pub const fn required_nonce_room(self) -> usize {
        self.nonce_len()
    }

    /// Octets of our cookies for this algorithm: 100, 164 or 68, whatever the epoch.
    pub const fn cookie_len(self) -> usize {
        crate::cookie::OVERHEAD + 2 * self.key_len()
    }
}

impl fmt::Display for Aead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SivCmac256 => "AES-SIV-CMAC-256",
            Self::SivCmac512 => "AES-SIV-CMAC-512",
            Self::Aes128GcmSiv => "AES-128-GCM-SIV",
        })
    }
}

/// Octets of the tag of every algorithm here.
pub const TAG_LEN: usize = 16;
