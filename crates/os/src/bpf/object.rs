//! What the compiler wrote of a program: an ELF object with one program, the arrays it uses, and its licence.

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A program as it was compiled, with holes where the numbers of its arrays belong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    instructions: Vec<u64>,
    license: CString,
    arrays: Vec<Wanted>,
    /// Which instruction wants which array.
    holes: Vec<(usize, usize)>,
}

/// An array that a program uses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Its name in the program.
    pub name: String,
    /// Octets of a value.
    pub value_len: u32,
    /// How many values.
    pub entries: u32,
}

impl Object {
    /// Reads an object for little-endian machines that has its program in the section `xdp`, definitions of arrays of five numbers each (kind, octets
    /// of a key, octets of a value, entries, flags) in `maps`, and its licence in `license`.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn parse(octets: &[u8]) -> Result<Self, ObjectError> {
        let elf = Elf::parse(octets)?;
        let (program_at, program) = elf.section("xdp")?;
        let (maps_at, maps) = elf.section("maps")?;
        let (_, license) = elf.section("license")?;
        let license = CStr::from_bytes_until_nul(license)
            .map_err(|_| ObjectError("the licence does not end"))?;
        let chunks = program.as_chunks::<8>();
        if !chunks.1.is_empty() || chunks.0.is_empty() {
            return Err(ObjectError("the program is not a whole number of instructions"));
        }
        let instructions = chunks.0.iter().map(|octets| u64::from_le_bytes(*octets)).collect();
        let mut symbols = Vec::new();
        let mut arrays = Vec::new();
        for (number, symbol) in elf.symbols()?.into_iter().enumerate() {
            if usize::from(symbol.section) == maps_at && symbol.is_named {
                let at = usize::try_from(symbol.value).unwrap_or(usize::MAX);
                symbols.push((number, arrays.len()));
                arrays.push(wanted(symbol.name, maps.get(at..).unwrap_or_default())?);
            }
        }
        let mut holes = Vec::new();
        for (at, symbol) in elf.relocations(program_at)? {
            let array = symbols.iter().find(|(number, _)| *number == symbol);
            let (_, array) =
                array.ok_or(ObjectError("the program wants something else than an array"))?;
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            let is_load = program.get(at).is_some_and(|code| *code == LOAD_WIDE) && at % 8 == 0;
            if !is_load {
                return Err(ObjectError("an array is wanted where no address is loaded"));
            }
            holes.push((at / 8, *array));
        }
        Ok(Self { instructions, license: license.to_owned(), arrays, holes })
    }

    /// The licence it names.
    #[must_use]
    pub fn license(&self) -> &CStr {
        &self.license
    }

    /// The arrays it wants.
    #[must_use]
    pub fn arrays(&self) -> &[Wanted] {
        &self.arrays
    }

    /// The instructions with the numbers of these arrays, in the order of [`Object::arrays`].
    ///
    /// # Errors
    /// If there are not as many.
    pub fn instructions(&self, arrays: &[BorrowedFd<'_>]) -> Result<Vec<u64>, ObjectError> {
        let mut instructions = self.instructions.clone();
        for (at, array) in &self.holes {
            let array = arrays.get(*array).ok_or(ObjectError("an array is missing"))?;
            let number = u64::from(array.as_raw_fd().cast_unsigned());
            if let Some(instruction) = instructions.get_mut(*at) {
                *instruction =
                    *instruction & 0xfff | u64::from(MAP_DESCRIPTOR) << 12 | number << 32;
            }
        }
        Ok(instructions)
    }
}

/// The same instructions with every call of one function of the kernel turned into that of another.
#[must_use]
pub fn with_function(instructions: &[u64], from: u32, to: u32) -> Vec<u64> {
    let call = u64::from(CALL) | u64::from(from) << 32;
    let mut is_second_half = false;
    let replaced = instructions.iter().map(|instruction| {
        let is_whole = !std::mem::replace(&mut is_second_half, false);
        is_second_half = is_whole && *instruction as u8 == LOAD_WIDE;
        if is_whole && *instruction == call {
            u64::from(CALL) | u64::from(to) << 32
        } else {
            *instruction
        }
    });
    replaced.collect()
}

/// `BPF_LD | BPF_IMM | BPF_DW`, which takes two places; `BPF_JMP | BPF_CALL`; `BPF_PSEUDO_MAP_FD`.
const LOAD_WIDE: u8 = 0x18;
const CALL: u8 = 0x85;
const MAP_DESCRIPTOR: u8 = 1;

/// Why octets are no program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ObjectError(&'static str);

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ObjectError {}

/// `struct bpf_map_def` as it was before there were types in objects: kind, key, value, entries, flags.
fn wanted(name: &str, definition: &[u8]) -> Result<Wanted, ObjectError> {
    let words = definition.get(..20).ok_or(ObjectError("an array's definition is cut short"))?;
    let word = |at: usize| number(words, at * 4, 4).unwrap_or(0) as u32;
    let is_array = (word(0), word(1), word(4)) == (super::ARRAY, 4, super::MAPPABLE);
    if !is_array {
        return Err(ObjectError("a map is no array that can be mapped"));
    }
    Ok(Wanted { name: name.to_owned(), value_len: word(2), entries: word(3) })
}

/// A 64-bit little-endian ELF file (System V ABI, chapter 4).
struct Elf<'a> {
    octets: &'a [u8],
    sections: Vec<Section<'a>>,
}

#[derive(Clone, Copy)]
struct Section<'a> {
    name: &'a str,
    kind: u32,
    content: &'a [u8],
    /// What it is about: for relocations the number of a section, for symbols the number of their names.
    link: usize,
    info: usize,
}

struct Symbol<'a> {
    name: &'a str,
    section: u16,
    value: u64,
    is_named: bool,
}

impl<'a> Elf<'a> {
    fn parse(octets: &'a [u8]) -> Result<Self, ObjectError> {
        let cut = ObjectError("the object is cut short");
        // 64 bits, little-endian, version 1; relocatable, for BPF.
        let is_ours = octets.starts_with(b"\x7fELF\x02\x01\x01")
            && number(octets, 16, 2) == Some(1)
            && number(octets, 18, 2) == Some(247);
        if !is_ours {
            return Err(ObjectError("not an object for BPF"));
        }
        let table = number(octets, 40, 8).ok_or(cut)? as usize;
        let [size, count, names] =
            [58, 60, 62].map(|at| number(octets, at, 2).unwrap_or(0) as usize);
        let mut raw = Vec::new();
        for place in 0..count {
            let at = table.saturating_add(place.saturating_mul(size));
            let header = octets.get(at..at.saturating_add(size)).ok_or(cut)?;
            let field = |at, len| number(header, at, len).ok_or(cut);
            let (start, len) = (field(24, 8)? as usize, field(32, 8)? as usize);
            let kind = field(4, 4)? as u32;
            let content = match kind {
                NOTHING => Some(&[] as &[u8]),
                _ => start.checked_add(len).and_then(|end| octets.get(start..end)),
            };
            let (link, info) = (field(40, 4)? as usize, field(44, 4)? as usize);
            let name_at = field(0, 4)? as usize;
            raw.push((
                name_at,
                Section { name: "", kind, content: content.ok_or(cut)?, link, info },
            ));
        }
        let names = raw.get(names).map(|(_, section)| section.content).ok_or(cut)?;
        let named =
            raw.into_iter().map(|(at, section)| Section { name: text(names, at), ..section });
        Ok(Self { octets, sections: named.collect() })
    }

    fn section(&self, name: &str) -> Result<(usize, &'a [u8]), ObjectError> {
        let found = self
            .sections
            .iter()
            .enumerate()
            .find(|(_, section)| section.name == name && section.kind == CONTENT);
        let (place, section) = found.ok_or(ObjectError("a section is missing"))?;
        debug_assert!(section.content.len() <= self.octets.len());
        Ok((place, section.content))
    }

    fn symbols(&self) -> Result<Vec<Symbol<'a>>, ObjectError> {
        let table = self.sections.iter().find(|section| section.kind == SYMBOLS);
        let table = table.ok_or(ObjectError("there are no symbols"))?;
        let names =
            self.sections.get(table.link).map(|section| section.content).unwrap_or_default();
        let entries = table.content.as_chunks::<24>().0;
        let symbol = |entry: &[u8; 24]| {
            let field = |at, len| number(entry, at, len).unwrap_or(0);
            let name = text(names, field(0, 4) as usize);
            // Type 3 stands for a section, which has no name of its own.
            let is_named = field(4, 1) & 0xf != 3 && !name.is_empty();
            Symbol { name, section: field(6, 2) as u16, value: field(8, 8), is_named }
        };
        Ok(entries.iter().map(symbol).collect())
    }

    /// Places in a section, and the numbers of the symbols wanted there.
    fn relocations(&self, of: usize) -> Result<Vec<(u64, usize)>, ObjectError> {
        let tables = self
            .sections
            .iter()
            .filter(|section| section.kind == RELOCATIONS && section.info == of);
        let mut all = Vec::new();
        for entry in tables.flat_map(|table| table.content.as_chunks::<16>().0) {
            let (at, what) = (number(entry, 0, 8).unwrap_or(0), number(entry, 8, 8).unwrap_or(0));
            // R_BPF_64_64; calls of functions of its own would be another.
            if what as u32 != 1 {
                return Err(ObjectError("the program is not in one piece"));
            }
            all.push((at, (what >> 32) as usize));
        }
        Ok(all)
    }
}

/// `SHT_PROGBITS`, `SHT_SYMTAB`, `SHT_NOBITS`, `SHT_REL`.
const CONTENT: u32 = 1;
const SYMBOLS: u32 = 2;
const NOTHING: u32 = 8;
const RELOCATIONS: u32 = 9;

fn number(octets: &[u8], at: usize, len: usize) -> Option<u64> {
    let octets = octets.get(at..at.checked_add(len)?)?;
    Some(octets.iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet)))
}

/// The name at a place in a table of names; what is none is empty.
fn text(names: &[u8], at: usize) -> &str {
    let rest = names.get(at..).unwrap_or_default();
    CStr::from_bytes_until_nul(rest).ok().and_then(|name| name.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    const OBJECT: &[u8] = include_bytes!("../../../server/bpf/fast-path.o");

    #[test]
    fn the_object_of_the_fast_path_is_read() {
        let object = Object::parse(OBJECT).expect("as the compiler wrote it");
        assert_eq!(object.license(), c"Apache-2.0 OR MIT");
        let clock = object.arrays().iter().find(|array| array.name == "clock_page").expect("used");
        assert_eq!((clock.value_len, clock.entries), (88, 1));
        let file = std::fs::File::open("/proc/self/status").expect("proc");
        let fds = vec![file.as_fd(); object.arrays().len()];
        let instructions = object.instructions(&fds).expect("enough arrays");
        let filled =
            instructions.iter().filter(|code| **code as u8 == LOAD_WIDE && **code >> 12 & 0xf == 1);
        assert_eq!(filled.count(), object.holes.len());
        assert!(object.instructions(&fds[1..]).is_err(), "one is missing");
    }

    #[test]
    fn another_clock_takes_the_place_of_one_that_is_not_there() {
        let object = Object::parse(OBJECT).expect("as the compiler wrote it");
        let calls = |instructions: &[u64], function: u64| {
            instructions.iter().filter(|code| **code == 0x85 | function << 32).count()
        };
        let replaced = with_function(&object.instructions, 208, 5);
        assert!(calls(&object.instructions, 208) >= 2);
        assert_eq!(
            (calls(&replaced, 208), calls(&replaced, 5)),
            (0, calls(&object.instructions, 208))
        );
        // The second half of a number that looks like a call is none.
        let number = [u64::from(LOAD_WIDE), 0x85 | 208 << 32];
        assert_eq!(with_function(&number, 208, 5), number);
    }

    #[test]
    fn objects_that_end_early_are_refused() {
        for end in 0..OBJECT.len() {
            assert!(Object::parse(&OBJECT[..end]).is_err(), "{end} octets");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(changes in proptest::collection::vec((0..OBJECT.len(), any::<u8>()), 1..8)) {
            let mut octets = OBJECT.to_vec();
            for (at, octet) in changes {
                octets[at] = octet;
            }
            if let Ok(object) = Object::parse(&octets) {
                let _ = with_function(&object.instructions, 208, 5);
            }
        }
    }
}
