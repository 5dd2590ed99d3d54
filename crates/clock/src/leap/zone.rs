use noonmark_units::UnixTime;

use super::LeapSeconds;
use super::list::{FIRST, ListError, MAX_LEN};

impl LeapSeconds {
    /// From a compiled zone with leap seconds (RFC 9636), such as `right/UTC` of tzdata. Version 1 has 32-bit times, of which only
    /// the leap seconds up to 2037 can come; later versions repeat everything with 64 bits, and version 4 may say until when it
    /// holds.
    ///
    /// # Errors
    /// [`ListError`]; the line is the number of the entry then.
    pub fn from_zone(octets: &[u8]) -> Result<Self, ListError> {
        if octets.len() > MAX_LEN {
            return Err(ListError::TooLong { len: octets.len() });
        }
        let malformed = ListError::Malformed { line: 0 };
        let first = Header::read(octets).ok_or(malformed)?;
        let (header, block, wide) = if first.version == 0 {
            (first, octets.get(HEADER..).ok_or(malformed)?, false)
        } else {
            let second = octets.get(HEADER + first.length(4)..).ok_or(malformed)?;
            let header = Header::read(second).ok_or(malformed)?;
            (header, second.get(HEADER..).ok_or(malformed)?, true)
        };
        let size = if wide { 8 } else { 4 };
        let entries = block.get(header.before_leaps(size)..).ok_or(malformed)?;
        let entries = entries.get(..header.leaps * (size + 4)).ok_or(malformed)?;
        read_entries(entries, size)
    }
}

/// Each entry is the moment, counted in seconds that include the leap seconds so far, and their sum afterwards.
fn read_entries(entries: &[u8], size: usize) -> Result<LeapSeconds, ListError> {
    let mut list = LeapSeconds { changes: vec![FIRST], expires: None };
    let mut sum = 0_i64;
    for (entry, line) in entries.chunks_exact(size + 4).zip(1..) {
        let (moment, after) = entry.split_at(size);
        let (moment, after) = (signed(moment), signed(after));
        let without = moment.saturating_sub(sum);
        match after.saturating_sub(sum) {
            // RFC 9636 §3.2: a last entry that changes nothing is the end of what is known.
            0 if line > 1 => list.expires = Some(UnixTime::new(without, 0)),
            change @ (1 | -1) if list.expires.is_none() => {
                // A second is inserted as the last of its day, or the last one left out.
                let at = if change == 1 { without } else { without.saturating_add(1) };
                list.push_change(UnixTime::new(at, 0), if change == 1 { 1 } else { -1 })
                    .ok_or(ListError::Impossible { line })?;
            }
            _ => return Err(ListError::Impossible { line }),
        }
        sum = after;
    }
    if list.changes.len() == 1 { Err(ListError::Empty) } else { Ok(list) }
}

/// A number of 4 or 8 octets, most significant first.
fn signed(octets: &[u8]) -> i64 {
    let bits = octets.iter().fold(0_u64, |bits, &octet| bits << 8 | u64::from(octet));
    match octets.len() {
        4 => i64::from((bits as u32).cast_signed()), // no more than 32 bits went in
        _ => bits.cast_signed(),
    }
}

/// `TZif`, a version, 15 octets of nothing, and six counts of 32 bits (RFC 9636 §3.1).
struct Header {
    version: u8,
    marks: [usize; 2],
    leaps: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Header {
    fn read(octets: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = octets.first_chunk()?;
        let count = |at: usize| {
            let octets: [u8; 4] = *header.get(20 + 4 * at..)?.first_chunk()?;
            // No file that is short enough has more of anything.
            usize::try_from(u32::from_be_bytes(octets)).ok().filter(|count| *count <= MAX_LEN)
        };
        let version = *header.get(4)?;
        (header.starts_with(b"TZif") && matches!(version, 0 | b'2'..=b'4')).then_some(())?;
        Some(Self {
            version,
            marks: [count(0)?, count(1)?],
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            letters: count(5)?,
        })
    }

    /// Octets of the data block in front of the leap seconds, with times of so many octets.
    fn before_leaps(&self, size: usize) -> usize {
        self.times * (size + 1) + self.types * 6 + self.letters
    }

    fn length(&self, size: usize) -> usize {
        self.before_leaps(size) + self.leaps * (size + 4) + self.marks[0] + self.marks[1]
    }
}

const HEADER: usize = 44;
