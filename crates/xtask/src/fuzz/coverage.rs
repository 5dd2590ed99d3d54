//! Which lines of the parsers the kept inputs reach: the compiler's own coverage (`-Cinstrument-coverage`), read from the program and the
//! profile it leaves. No tool beside the toolchain is needed; its formats are those of LLVM (Coverage Mapping Format, versions 6 and
//! later; raw profile, version 10), as its documentation and headers describe them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use md5::{Digest, Md5};

/// Lines of one file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lines {
    /// That some input reaches.
    pub reached: usize,
    /// That could be.
    pub all: usize,
}

/// The lines of each of `files` (ends of paths) in functions that read, by the program and what it left at `profile`.
///
/// # Errors
/// What cannot be read, or is not of the formats that the compiler in use writes.
pub fn lines(
    program: &Path,
    profile: &Path,
    files: &[&str],
) -> Result<BTreeMap<String, Lines>, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let program = read(program)?;
    let counters = counters(&read(profile)?).ok_or("the profile is of another format")?;
    let sections = sections(&program).ok_or("the program is no ELF file of 64 bits")?;
    let section = |name: &str| {
        sections.get(name).copied().ok_or_else(|| format!("the program has no {name}"))
    };
    let names = names(section("__llvm_prf_names")?).ok_or("names in another format")?;
    let paths = paths(section("__llvm_covmap")?).ok_or("paths in another format")?;
    let mut lines: BTreeMap<String, BTreeMap<u64, bool>> =
        files.iter().map(|file| ((*file).to_owned(), BTreeMap::new())).collect();
    let mut functions = Octets(section("__llvm_covfun")?);
    while let Some(function) = Function::read(&mut functions) {
        let name = names.get(&function.name).ok_or("a function without a name")?;
        let Some(paths) = paths.get(&function.paths) else { continue };
        if NOT_READING.iter().any(|part| name.contains(part)) {
            continue;
        }
        let counts = counters.get(&(function.name, function.hash));
        let counts = counts.map(Vec::as_slice).unwrap_or_default();
        let regions = function.regions(counts).ok_or_else(|| format!("regions of {name}"))?;
        for Region { file, first, last, is_reached } in regions {
            let Some(path) = paths.get(file) else { continue };
            let Some((_, lines)) = lines.iter_mut().find(|(file, _)| path.ends_with(*file)) else {
                continue;
            };
            for line in first..=last {
                *lines.entry(line).or_default() |= is_reached;
            }
        }
    }
    let count = |(file, lines): (String, BTreeMap<u64, bool>)| {
        let reached = lines.values().filter(|is_reached| **is_reached).count();
        (file, Lines { reached, all: lines.len() })
    };
    Ok(lines.into_iter().map(count).collect())
}

/// A stretch of lines of one of a function's files.
struct Region {
    file: usize,
    first: u64,
    last: u64,
    is_reached: bool,
}

/// What the compiler says of a function: its name and shape as hashes, where its paths are, and its regions.
struct Function<'a> {
    name: u64,
    hash: u64,
    paths: u64,
    mapping: &'a [u8],
}

impl<'a> Function<'a> {
    fn read(from: &mut Octets<'a>) -> Option<Self> {
        let name = from.u64()?;
        let len = usize::try_from(from.u32()?).ok()?;
        let (hash, paths) = (from.u64()?, from.u64()?);
        let mapping = from.take(len)?;
        // Each record begins at a multiple of 8.
        from.take((28 + len).next_multiple_of(8) - 28 - len);
        Some(Self { name, hash, paths, mapping })
    }

    fn regions(&self, counts: &[u64]) -> Option<Vec<Region>> {
        let mut from = Octets(self.mapping);
        let files: Vec<u64> = from.list(Octets::leb)?;
        let expressions: Vec<(u64, u64)> = from.list(|from| Some((from.leb()?, from.leb()?)))?;
        let mut regions = Vec::new();
        for file in files {
            let mut line = 0;
            for _ in 0..from.leb()? {
                let counter = from.leb()?;
                line += from.leb()?;
                let _column = from.leb()?;
                let (more, end) = (from.leb()?, from.leb()?);
                // Other kinds than code have no counter and a number above its tag; a gap says so at its end.
                let is_code = counter & 3 != 0 || counter == 0;
                if is_code && end >> 31 == 0 {
                    let is_reached = count(counter, counts, &expressions)? > 0;
                    let file = usize::try_from(file).ok()?;
                    regions.push(Region { file, first: line, last: line + more, is_reached });
                }
            }
        }
        Some(regions)
    }
}

/// The value of a counter, which may be a sum or a difference of others.
fn count(counter: u64, counts: &[u64], expressions: &[(u64, u64)]) -> Option<i128> {
    let at = usize::try_from(counter >> 2).ok()?;
    Some(match counter & 3 {
        0 => 0,
        // A function that never ran may be missing.
        1 => counts.get(at).copied().unwrap_or(0).into(),
        kind => {
            let (left, right) = expressions.get(at)?;
            let left = count(*left, counts, expressions)?;
            let right = count(*right, counts, expressions)?;
            if kind == 2 { left - right } else { left + right }
        }
    })
}

/// The counters of each function, by name and shape.
fn counters(profile: &[u8]) -> Option<HashMap<(u64, u64), Vec<u64>>> {
    let mut from = Octets(profile);
    let mut head = [0; 16];
    for word in &mut head {
        *word = from.u64()?;
    }
    let [magic, version, ids_len, functions, before, in_all, _, _, _, _, distance, ..] = head;
    if magic != u64::from_be_bytes(*b"\xfflprofr\x81") || version & 0xff != 10 {
        return None;
    }
    from.take(usize::try_from(ids_len).ok()?)?;
    let records = from.take(usize::try_from(functions).ok()?.checked_mul(RECORD_LEN)?)?;
    from.take(usize::try_from(before).ok()?)?;
    let counters = from.take(usize::try_from(in_all).ok()?.checked_mul(8)?)?;
    let mut all = HashMap::new();
    for (nth, record) in (0_u64..).zip(records.chunks_exact(RECORD_LEN)) {
        let mut record = Octets(record);
        let (name, hash, place) = (record.u64()?, record.u64()?, record.u64()?);
        record.take(24)?;
        let count = usize::try_from(record.u32()?).ok()?;
        // Where the counters are, from the record; they and the records lie so far apart.
        let at = place.wrapping_sub(distance.wrapping_sub(nth * RECORD_LEN as u64));
        let mut own = Octets(counters.get(usize::try_from(at).ok()?..)?);
        all.insert((name, hash), (0..count).map(|_| own.u64()).collect::<Option<_>>()?);
    }
    Some(all)
}

/// The names of functions by the hash they are known by.
fn names(section: &[u8]) -> Option<HashMap<u64, String>> {
    let mut from = Octets(section);
    let mut all = HashMap::new();
    while let Some(&first) = from.0.first() {
        if first == 0 {
            from.take(1)?;
            continue;
        }
        let (len, packed) = (from.leb()?, from.leb()?);
        let text = from.take(usize::try_from(len).ok().filter(|_| packed == 0)?)?;
        for name in text.split(|octet| *octet == 1) {
            all.insert(hash_of(name)?, String::from_utf8_lossy(name).into_owned());
        }
    }
    Some(all)
}

/// The paths that functions count theirs in, by the hash of their list.
fn paths(section: &[u8]) -> Option<HashMap<u64, Vec<String>>> {
    let mut from = Octets(section);
    let mut all = HashMap::new();
    while !from.0.is_empty() {
        let (_, len, _, _version) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
        let len = usize::try_from(len).ok()?;
        let list = from.take(len)?;
        from.take((len.next_multiple_of(8) - len).min(from.0.len()))?;
        let mut list_from = Octets(list);
        let (count, _, packed) = (list_from.leb()?, list_from.leb()?, list_from.leb()?);
        let path = |_| {
            let len = usize::try_from(list_from.leb()?).ok()?;
            Some(String::from_utf8_lossy(list_from.take(len)?).into_owned())
        };
        let paths = (0..count).map(path).collect::<Option<_>>()?;
        all.insert(hash_of(list).filter(|_| packed == 0)?, paths);
    }
    Some(all)
}

/// The first eight octets of the MD5, least significant first.
fn hash_of(octets: &[u8]) -> Option<u64> {
    Md5::digest(octets).first_chunk().map(|first| u64::from_le_bytes(*first))
}

/// The sections of an ELF file of 64 bits by name.
fn sections(file: &[u8]) -> Option<HashMap<String, &[u8]>> {
    let at = |at: u64| file.get(usize::try_from(at).ok()?..).map(Octets);
    let table = at(40)?.u64()?;
    let mut shape = at(58)?;
    let (size, count, naming) = (shape.u16()?, shape.u16()?, shape.u16()?);
    let header = |nth: u16| {
        let mut from = at(table + u64::from(nth) * u64::from(size))?;
        let name = from.u32()?;
        from.take(20)?;
        let (place, len) = (from.u64()?, usize::try_from(from.u64()?).ok()?);
        // What is only in memory has a length and no octets.
        Some((name, at(place)?.take(len).unwrap_or_default()))
    };
    let (_, texts) = header(naming)?;
    let section = |nth| {
        let (name, octets) = header(nth)?;
        let name = texts.get(usize::try_from(name).ok()?..)?.split(|octet| *octet == 0).next()?;
        Some((String::from_utf8_lossy(name).into_owned(), octets))
    };
    (0..count).map(section).collect()
}

/// What is still to be read.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|octets| u16::from_le_bytes(*octets))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|octets| u32::from_le_bytes(*octets))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|octets| u64::from_le_bytes(*octets))
    }

    /// Seven bits in each octet, the low ones first; the eighth says that more follow.
    fn leb(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [octet] = *self.take(1)? else { return None };
            value |= u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// How many there are, and then each.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.leb()?;
        (0..count).map(|_| item(self)).collect()
    }
}

/// Parts of the mangled names of functions that write, or tell: the files of parsers have both.
const NOT_READING: [&str; 19] = [
    "3fmt",
    "3put",
    "4name",
    "5write",
    "6clause",
    "7default",
    "7message7message",
    "8question",
    "8to_words",
    "9attribute",
    "9clause_of",
    "9to_octets",
    "10write_fact",
    "11descriptors",
    "11write_length",
    "12write_memory",
    "13write_reading",
    "14may_be_sent_by",
    "15may_be_sent_to",
];
/// `__llvm_profile_data`.
const RECORD_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_seven_bits_at_a_time() {
        assert_eq!(Octets(&[0x7f]).leb(), Some(127));
        assert_eq!(Octets(&[0x80, 0x01]).leb(), Some(128));
        assert_eq!(Octets(&[0x80]).leb(), None);
    }

    #[test]
    fn a_counter_may_be_a_sum_or_a_difference() {
        // Counter 1 less counter 0, and that and counter 0 together.
        let expressions = [(1 | 1 << 2, 1), (2, 1)];
        for (counter, expected) in [(0, 0), (1, 3), (1 | 1 << 2, 10), (2, 7), (3 | 1 << 2, 10)] {
            assert_eq!(count(counter, &[3, 10], &expressions), Some(expected), "{counter}");
        }
        assert_eq!(count(2 | 9 << 2, &[3], &expressions), None);
    }

    #[test]
    fn names_are_found_by_their_hash() {
        let names = names(b"\x03\x00a\x01b\x00").expect("not packed");
        assert_eq!(names.values().map(String::len).sum::<usize>(), 2);
        assert_eq!(hash_of(b"a").and_then(|hash| names.get(&hash)).map(String::as_str), Some("a"));
    }
}
