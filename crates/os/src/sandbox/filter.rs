//! System call filters (seccomp): a list of calls with what they may be asked for, made into a program for the kernel.
//!
//! The program finds a call by halving its list, so no call pays for its place in it. Since Linux 5.11 the kernel runs the program only
//! for calls whose arguments are looked at: what is always allowed it knows beforehand. Hence the calls of the serving
//! path are allowed without a look.

use std::collections::BTreeMap;
use std::io;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It is not made and answers with this `errno`.
    Refuse(i32),
    /// The process ends at once, by `SIGSYS`.
    Kill,
}

impl Verdict {
    fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Refuse(errno) => libc::SECCOMP_RET_ERRNO | (errno.unsigned_abs() & 0xffff),
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// Something an argument must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Condition {
    /// Which argument, from 0.
    pub(crate) argument: u32,
    /// The bits looked at.
    pub(crate) mask: u32,
    /// What they must be.
    pub(crate) value: u32,
    /// Whether the upper half must be zero. The kernel drops it of what it takes for an `int`.
    pub(crate) narrow: bool,
}

/// The argument as an `int`.
pub(crate) fn is(argument: u32, value: i32) -> Condition {
    has(argument, u32::MAX, value.cast_unsigned())
}

/// Some bits of an argument.
pub(crate) fn has(argument: u32, mask: u32, value: u32) -> Condition {
    Condition { argument, mask, value, narrow: false }
}

/// A null pointer, or a long that is 0.
pub(crate) fn is_null(argument: u32) -> Condition {
    Condition { argument, mask: u32::MAX, value: 0, narrow: true }
}

/// What one call is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rule {
    /// Each line is one way to be allowed, if all its conditions hold; a line without any always holds.
    ways: Vec<Vec<Condition>>,
    /// What becomes of it else.
    otherwise: Verdict,
}

/// A list of calls, and what becomes of those that are not on it.
#[derive(Clone, Debug)]
pub struct Filter {
    rules: BTreeMap<u32, Rule>,
    default: Verdict,
}

impl Filter {
    /// Nothing is allowed.
    #[must_use]
    pub fn new(default: Verdict) -> Self {
        Self { rules: BTreeMap::new(), default }
    }

    /// Adds a call that is always allowed.
    pub(crate) fn allow(&mut self, number: libc::c_long) {
        self.add(number, vec![vec![]], Verdict::Allow);
    }

    /// Adds a call that answers with `errno`, unless something else allows it.
    pub(crate) fn refuse(&mut self, number: libc::c_long, errno: i32) {
        self.add(number, vec![], Verdict::Refuse(errno));
    }

    /// Adds a call that ends the process, unless something else allows it.
    pub(crate) fn forbid(&mut self, number: libc::c_long) {
        self.add(number, vec![], Verdict::Kill);
    }

    /// Adds a call that is allowed in each of these ways and answers with `errno` otherwise.
    pub(crate) fn allow_if(
        &mut self,
        number: libc::c_long,
        ways: Vec<Vec<Condition>>,
        otherwise: Verdict,
    ) {
        self.add(number, ways, otherwise);
    }

    /// Ways add up: what one group of calls allows no other one takes away.
    fn add(&mut self, number: libc::c_long, ways: Vec<Vec<Condition>>, otherwise: Verdict) {
        let number = u32::try_from(number).expect("a number of a system call");
        match self.rules.entry(number) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Rule { ways, otherwise });
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let rule = entry.get_mut();
                if otherwise != Verdict::Allow {
                    rule.otherwise = otherwise;
                }
                rule.ways.extend(ways);
            }
        }
    }

    /// The program.
    fn program(&self) -> Vec<Instruction> {
        let rules: Vec<(u32, &Rule)> =
            self.rules.iter().map(|(number, rule)| (*number, rule)).collect();
        let mut program = vec![
            Instruction::load(DATA_ARCHITECTURE),
            Instruction::jump(JEQ, ARCHITECTURE, 1, 0),
            Instruction::answer(Verdict::Kill),
            Instruction::load(DATA_NUMBER),
        ];
        // The 32-bit pointers of x86-64 have numbers of their own for the same calls.
        if cfg!(target_arch = "x86_64") {
            program.push(Instruction::jump(JGE, 0x4000_0000, 0, 1));
            program.push(Instruction::answer(Verdict::Kill));
        }
        // What came after this list was made is not there, as on an older kernel: libraries then go another way.
        program.push(Instruction::jump(JGE, YOUNGEST + 1, 0, 1));
        program.push(Instruction::answer(Verdict::Refuse(libc::ENOSYS)));
        program.extend(self.search(&rules));
        program
    }

    /// Looks the number up by halves. Every path ends with an answer.
    fn search(&self, rules: &[(u32, &Rule)]) -> Vec<Instruction> {
        const FEW: usize = 4;
        let (low, high) = rules.split_at(rules.len() / 2);
        if rules.len() > FEW
            && let Some((middle, _)) = high.first()
        {
            let (low, high) = (self.search(low), self.search(high));
            let mut code =
                vec![Instruction::jump(JGE, *middle, 0, 1), Instruction::pass_over(low.len())];
            code.extend(low);
            code.extend(high);
            return code;
        }
        let mut code = Vec::new();
        for (number, rule) in rules {
            let body = rule.body();
            code.push(Instruction::jump(JEQ, *number, 1, 0));
            code.push(Instruction::pass_over(body.len()));
            code.extend(body);
        }
        code.push(Instruction::answer(self.default));
        code
    }

    /// Puts the filter in force for the whole process, for good. It needs `no_new_privs`.
    ///
    /// # Errors
    /// `Unsupported` on another machine than x86-64 and aarch64; what the kernel answers otherwise.
    pub fn install(&self) -> io::Result<()> {
        if ARCHITECTURE == 0 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut program = self.program();
        let length = libc::c_ushort::try_from(program.len())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let program = Program { length, first: program.as_mut_ptr() };
        // The roles run no code of strangers, so the kernel need not slow them down against reading their own memory by
        // speculation, which it does for filtered processes before Linux 5.16.
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        // SAFETY: the kernel copies `length` instructions, laid out as `struct sock_filter`, from the live vector.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        match result {
            0 => Ok(()),
            -1 => Err(io::Error::last_os_error()),
            // The id of a thread that has a filter of its own already.
            _ => Err(io::ErrorKind::ResourceBusy.into()),
        }
    }
}

/// Whether the kernel knows filters that end a process (Linux 4.14), and this is a machine whose calls are known here.
#[must_use]
pub fn is_supported() -> bool {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads one 32-bit integer.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    ARCHITECTURE != 0 && answer == 0
}

impl Rule {
    /// What decides on the call, once it is known to be this one.
    fn body(&self) -> Vec<Instruction> {
        if self.ways.iter().any(Vec::is_empty) {
            return vec![Instruction::answer(Verdict::Allow)];
        }
        let mut code = Vec::new();
        for way in &self.ways {
            code.extend(way_of(way));
        }
        code.push(Instruction::answer(self.otherwise));
        code
    }
}

/// Answers `Allow` if all conditions hold, else goes on behind itself.
fn way_of(conditions: &[Condition]) -> Vec<Instruction> {
    let mut checks = Vec::new();
    for condition in conditions {
        let place = DATA_ARGUMENTS + 8 * condition.argument;
        if condition.narrow {
            checks.push((vec![Instruction::load(place + 4)], 0));
        }
        let mut load = vec![Instruction::load(place)];
        if condition.mask != u32::MAX {
            load.push(Instruction { code: AND, if_true: 0, if_false: 0, value: condition.mask });
        }
        checks.push((load, condition.value));
    }
    let mut left: usize = checks.iter().map(|(load, _)| load.len() + 1).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(left);
    for (load, value) in checks {
        left -= load.len() + 1;
        code.extend(load);
        let behind = u8::try_from(left).expect("few conditions");
        code.push(Instruction::jump(JEQ, value, 0, behind));
    }
    code.push(Instruction::answer(Verdict::Allow));
    code
}

/// `struct sock_filter` of linux/filter.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: libc::c_ushort,
    first: *mut Instruction,
}

impl Instruction {
    /// Loads the word at this place of what the kernel says of the call.
    const fn load(place: u32) -> Self {
        Self { code: LOAD, if_true: 0, if_false: 0, value: place }
    }

    /// Passes over so many instructions if the comparison of what was loaded with `value` holds, and over so many if not.
    const fn jump(code: u16, value: u32, if_true: u8, if_false: u8) -> Self {
        Self { code, if_true, if_false, value }
    }

    /// Passes over so many instructions.
    fn pass_over(count: usize) -> Self {
        let value = u32::try_from(count).expect("a program is short");
        Self { code: JUMP, if_true: 0, if_false: 0, value }
    }

    fn answer(verdict: Verdict) -> Self {
        Self { code: RETURN, if_true: 0, if_false: 0, value: verdict.value() }
    }
}

// linux/bpf_common.h: BPF_LD | BPF_W | BPF_ABS and so on.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const RETURN: u16 = 0x06;

// `struct seccomp_data` of linux/seccomp.h; arguments are little-endian on both machines.
const DATA_NUMBER: u32 = 0;
const DATA_ARCHITECTURE: u32 = 4;
const DATA_ARGUMENTS: u32 = 16;

/// `AUDIT_ARCH_*` of linux/audit.h; 0 where no list of calls is known.
const ARCHITECTURE: u32 = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
    0xc000_003e
} else if cfg!(all(target_arch = "aarch64", target_endian = "little", target_pointer_width = "64"))
{
    0xc000_00b7
} else {
    0
};

/// The highest number given out when the lists were made: `file_setattr`, Linux 6.17. It is the same on both machines.
const YOUNGEST: u32 = 469;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a program as the kernel would.
    fn run(program: &[Instruction], number: u32, architecture: u32, arguments: [u64; 6]) -> u32 {
        let word = |place: u32| match place {
            DATA_NUMBER => number,
            DATA_ARCHITECTURE => architecture,
            place => {
                let argument = arguments[((place - DATA_ARGUMENTS) / 8) as usize];
                if place % 8 == 4 { (argument >> 32) as u32 } else { argument as u32 }
            }
        };
        let (mut at, mut loaded) = (0, 0);
        loop {
            let Instruction { code, if_true, if_false, value } = program[at];
            at += 1;
            match code {
                LOAD => loaded = word(value),
                AND => loaded &= value,
                JUMP => at += value as usize,
                JEQ => at += usize::from(if loaded == value { if_true } else { if_false }),
                JGE => at += usize::from(if loaded >= value { if_true } else { if_false }),
                RETURN => return value,
                other => panic!("{other:#x}"),
            }
        }
    }

    fn ask(filter: &Filter, number: u32, arguments: [u64; 6]) -> u32 {
        run(&filter.program(), number, ARCHITECTURE, arguments)
    }

    #[test]
    fn arguments_decide_and_ways_add_up() {
        let mut filter = Filter::new(Verdict::Kill);
        filter.allow_if(
            41,
            vec![vec![is(0, 2), has(1, 0xff, 2)], vec![is(0, -7), is_null(2)]],
            Verdict::Refuse(13),
        );
        let refused = Verdict::Refuse(13).value();
        let allowed = Verdict::Allow.value();
        let check = |filter: &Filter, arguments: [u64; 3], expected| {
            let [a, b, c] = arguments;
            assert_eq!(ask(filter, 41, [a, b, c, 0, 0, 0]), expected, "{arguments:x?}");
        };
        check(&filter, [2, 2, 9], allowed);
        check(&filter, [2, 0x8_0802, 9], allowed);
        check(&filter, [2, 3, 9], refused);
        check(&filter, [0xffff_ffff_0000_0002, 2, 9], allowed);
        check(&filter, [0xffff_fff9, 0, 0], allowed);
        check(&filter, [u64::MAX - 6, 0, 1], refused);
        check(&filter, [u64::MAX - 6, 0, 1 << 32], refused);
        filter.allow_if(41, vec![vec![is(0, 3)]], Verdict::Refuse(13));
        check(&filter, [3, 0, 9], allowed);
        check(&filter, [4, 0, 9], refused);
        filter.refuse(41, 1);
        check(&filter, [3, 0, 9], allowed);
        check(&filter, [4, 0, 9], Verdict::Refuse(1).value());
        filter.allow(41);
        check(&filter, [4, 0, 9], allowed);
    }

    #[test]
    fn other_machines_other_numbers_and_younger_calls_get_nothing() {
        let mut filter = Filter::new(Verdict::Kill);
        filter.allow(1);
        let program = filter.program();
        let killed = Verdict::Kill.value();
        assert_eq!(run(&program, 1, ARCHITECTURE, [0; 6]), Verdict::Allow.value());
        assert_eq!(run(&program, 1, 0x4000_0003, [0; 6]), killed, "32-bit calls");
        assert_eq!(run(&program, 2, ARCHITECTURE, [0; 6]), killed);
        let missing = Verdict::Refuse(libc::ENOSYS).value();
        assert_eq!(run(&program, YOUNGEST + 1, ARCHITECTURE, [0; 6]), missing);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(run(&program, 0x4000_0001, ARCHITECTURE, [0; 6]), killed, "x32");
        }
    }

    proptest! {
        #[test]
        fn every_list_says_of_every_number_what_was_put_on_it(
            allowed in proptest::collection::btree_set(0..=YOUNGEST, 0..120),
            refused in proptest::collection::btree_map(0..=YOUNGEST, 1..200_i32, 0..60),
        ) {
            let mut filter = Filter::new(Verdict::Kill);
            allowed.iter().for_each(|number| filter.allow((*number).into()));
            refused.iter().for_each(|(number, errno)| filter.refuse((*number).into(), *errno));
            let program = filter.program();
            for number in 0..=YOUNGEST {
                let expected = match refused.get(&number) {
                    _ if allowed.contains(&number) => Verdict::Allow,
                    Some(errno) => Verdict::Refuse(*errno),
                    None => Verdict::Kill,
                };
                prop_assert_eq!(run(&program, number, ARCHITECTURE, [0; 6]), expected.value());
            }
        }
    }

    #[test]
    fn installed_filter_refuses_and_lets_through() {
        // In a process of its own this would be for good; a thread has a filter of its own, too.
        let mut filter = Filter::new(Verdict::Allow);
        filter.refuse(libc::SYS_getppid, libc::EXDEV);
        filter.allow_if(libc::SYS_umask, vec![vec![is(0, 0o22)]], Verdict::Refuse(libc::EDOM));
        let program = filter.program();
        std::thread::spawn(move || {
            crate::caps::no_new_privileges().expect("needs no right");
            let mut program = program;
            let length = libc::c_ushort::try_from(program.len()).expect("short");
            let program = Program { length, first: program.as_mut_ptr() };
            // SAFETY: as in `install`, for this thread alone.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    0,
                    &raw const program,
                )
            };
            assert_eq!(result, 0, "{}", io::Error::last_os_error());
            let errno = || io::Error::last_os_error().raw_os_error();
            // SAFETY: neither takes a pointer.
            let (parent, mask) = unsafe { (libc::syscall(libc::SYS_getppid), errno()) };
            assert_eq!((parent, mask), (-1, Some(libc::EXDEV)));
            // SAFETY: as above.
            let refused = unsafe { (libc::syscall(libc::SYS_umask, 0o77), errno()) };
            assert_eq!(refused, (-1, Some(libc::EDOM)));
            // SAFETY: as above.
            assert!(unsafe { libc::syscall(libc::SYS_umask, 0o22) } >= 0);
        })
        .join()
        .expect("no panic");
        assert!(is_supported());
    }
}
