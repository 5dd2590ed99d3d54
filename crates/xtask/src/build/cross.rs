//! `--long`: the programs for other machines, built by a cross compiler and run.
//!
//! Tests of what asks nothing of a kernel run under QEMU's emulation of a process. That does not know the socket options of the daemon, and
//! has no lists of system calls; so daemon and client run in a guest, a whole machine under QEMU's emulation with a kernel of Debian's for it,
//! where Landlock and the lists are in force as on any other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::apt::{self, Consent, Needed};
use crate::guests::image::Image;
use crate::interop::authority::Authority;
use crate::report::Tally;
use crate::workspace::{self, Metadata};
use crate::{child, unit};

/// A kind of machine that is not this one.
struct Machine {
    triple: &'static str,
    compiler: Needed,
    /// C library and headers for it.
    library: &'static str,
    /// Emulates its processes.
    emulator: &'static str,
    /// Emulates it as a whole.
    guest: Needed,
    processor: &'static str,
    /// What Debian calls it, and the package that depends on the newest kernel for it.
    debian: (&'static str, &'static str),
    /// Where its C library lies.
    root: &'static str,
    /// Its linker, as programs name it.
    loader: &'static str,
    /// Whether there is a list of system calls for it.
    is_filtered: bool,
}

const MACHINES: [Machine; 2] = [
    Machine {
        triple: "aarch64-unknown-linux-gnu",
        compiler: Needed { program: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" },
        library: "libc6-dev-arm64-cross",
        emulator: "qemu-aarch64-static",
        guest: Needed { program: "qemu-system-aarch64", package: "qemu-system-arm" },
        processor: "cortex-a72",
        debian: ("arm64", "linux-image-cloud-arm64"),
        root: "/usr/aarch64-linux-gnu",
        loader: "ld-linux-aarch64.so.1",
        is_filtered: true,
    },
    Machine {
        triple: "armv7-unknown-linux-gnueabihf",
        compiler: Needed { program: "arm-linux-gnueabihf-gcc", package: "gcc-arm-linux-gnueabihf" },
        library: "libc6-dev-armhf-cross",
        emulator: "qemu-arm-static",
        guest: Needed { program: "qemu-system-arm", package: "qemu-system-arm" },
        processor: "cortex-a15",
        debian: ("armhf", "linux-image-armmp"),
        root: "/usr/arm-linux-gnueabihf",
        loader: "ld-linux-armhf.so.3",
        is_filtered: false,
    },
];

/// Crates whose tests ask nothing of a kernel but memory.
const PURE: [&str; 4] = ["noonmark-units", "noonmark-packet", "noonmark-siv", "noonmark-nts"];

const BUILD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// Builds and runs what this machine can.
pub fn check(tally: &mut Tally, consent: Consent) {
    for machine in &MACHINES {
        let triple = machine.triple;
        let tests = [
            format!("{triple}: the programs are built"),
            format!("{triple}: noonmarkd serves and noonmark asks, in a guest"),
            format!("{triple}: tests of what is pure, under QEMU"),
        ];
        if let Err(reason) = machine.prepare(consent) {
            tests.iter().for_each(|test| tally.record_not_run(test, &reason));
            continue;
        }
        let [built, served, pure] = tests;
        let is_built = machine.build();
        tally.record(&built, is_built.clone());
        if is_built.is_err() {
            tally.record_not_run(&served, "the programs were not built");
            tally.record_not_run(&pure, "the programs were not built");
            continue;
        }
        match machine.kernel() {
            Ok(kernel) => tally.record(&served, machine.serve(&kernel)),
            Err(reason) => tally.record_not_run(&served, &reason),
        }
        let tests = machine.test();
        tally.passed += tests.passed;
        tally.failed.extend(tests.failed.iter().map(|name| format!("{triple}: {name}")));
        tally.not_run.extend(tests.not_run.iter().map(|name| format!("{triple}: {name}")));
        let none = if tests.passed == 0 { Err("no test ran".to_owned()) } else { Ok(()) };
        tally.record(&pure, none);
    }
}

impl Machine {
    fn prepare(&self, consent: Consent) -> Result<(), String> {
        workspace::has_target(self.triple)?;
        let emulator = Needed { program: self.emulator, package: "qemu-user-static" };
        apt::ensure(&[self.compiler, emulator, self.guest], consent)?;
        if Path::new(self.root).join("include/stdio.h").is_file() {
            return Ok(());
        }
        // A compiler alone brings no C library for it.
        let header = Needed { program: "no such program", package: self.library };
        apt::ensure(&[header], consent).or_else(|problem| {
            let is_there = Path::new(self.root).join("include/stdio.h").is_file();
            if is_there { Ok(()) } else { Err(problem) }
        })
    }

    /// cargo for this machine: what links and compiles C for it, and what runs its programs.
    fn cargo(&self) -> Command {
        let mut cargo = workspace::cargo();
        let upper = self.triple.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{upper}_LINKER"), self.compiler.program);
        cargo.env(
            format!("CARGO_TARGET_{upper}_RUNNER"),
            format!("{} -L {}", self.emulator, self.root),
        );
        cargo.env(format!("CC_{}", self.triple.replace('-', "_")), self.compiler.program);
        cargo
    }

    fn build(&self) -> Result<(), String> {
        let mut build = self.cargo();
        build.args(["build", "--locked", "--package", "noonmark", "--package", "noonmarkd"]);
        build.args(["--bins", "--target", self.triple]);
        child::run(BUILD_LIMIT, &build).or_say("cargo build")
    }

    fn test(&self) -> Tally {
        let mut tests = self.cargo();
        tests.args(["test", "--locked", "--no-fail-fast", "--lib", "--target", self.triple]);
        PURE.iter().for_each(|package| {
            tests.args(["--package", package]);
        });
        unit::counted(BUILD_LIMIT, &tests)
    }

    /// A kernel and busybox for it, unpacked under the target folder; found, or downloaded (some 20 to 40 MB). The machine's own lists of
    /// packages stay as they are.
    fn kernel(&self) -> Result<PathBuf, String> {
        let (architecture, newest) = self.debian;
        let home = Metadata::read()?.target_directory.join("cross").join(architecture);
        let unpacked = home.join("unpacked");
        if !unpacked.join("bin/busybox").is_file() {
            std::fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
            let mut fetch = Command::new("sh");
            fetch.args(["-euc", FETCH, architecture, newest]).current_dir(&home);
            let fetched = child::output(Duration::from_secs(600), &fetch);
            fetched.map_err(|said| format!("no kernel: {}", child::last_lines(&said, 1)))?;
        }
        Ok(unpacked)
    }

    /// The daemon with all its roles on the guest's loopback device, asked plainly and under NTS.
    fn serve(&self, unpacked: &Path) -> Result<(), String> {
        let target = Metadata::read()?.target_directory;
        let folder = target.join("cross").join(self.triple);
        let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(problem)?;
        Authority::new()?.write(&folder)?;
        let mut image = Image::with_busybox(&unpacked.join("bin/busybox"))?;
        for name in ["noonmarkd", "noonmark"] {
            let built = target.join(self.triple).join("debug").join(name);
            let stripped = folder.join(name);
            let mut strip = Command::new(self.compiler.program.replace("gcc", "strip"));
            strip.arg("-o").arg(&stripped).arg(built);
            child::output(Duration::from_secs(60), &strip)?;
            image.copy(&format!("usr/bin/{name}"), &stripped)?;
        }
        for library in [self.loader, "libc.so.6", "libm.so.6", "libgcc_s.so.1"] {
            let from = Path::new(self.root).join("lib").join(library);
            image.copy(&format!("lib/{library}"), &from)?;
        }
        for name in [Authority::CA, Authority::CHAIN, Authority::KEY] {
            image.copy(&format!("noonmark/{name}"), &folder.join(name))?;
        }
        image.file("noonmark/noonmark.toml", 0o644, CONFIGURATION.into());
        let mut now = Command::new("date");
        now.args(["-u", "+%Y-%m-%d %H:%M:%S"]);
        let now = child::output(Duration::from_secs(10), &now)?;
        image.file("noonmark/date", 0o644, now.into());
        image.init(INIT);
        image.write(&folder.join("image")).map_err(problem)?;
        let said = self.boot(unpacked, &folder)?;
        judge(&said, self.is_filtered)
            .map_err(|what| format!("{what}\n{}", child::last_lines(&said, 40)))
    }

    /// Boots it until it switches itself off; what it said.
    fn boot(&self, unpacked: &Path, folder: &Path) -> Result<String, String> {
        let boot = unpacked.join("boot");
        let files = std::fs::read_dir(&boot).into_iter().flatten().flatten();
        let kernel = files
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
            })
            .ok_or_else(|| format!("{}: no kernel", boot.display()))?;
        let console = folder.join("console");
        let mut qemu = Command::new(self.guest.program);
        // TCG is named: a machine may offer KVM and not be able to run a guest with it.
        qemu.args(["-machine", "virt", "-accel", "tcg", "-cpu", self.processor, "-smp", "1"]);
        qemu.args(["-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]);
        qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(folder.join("image"));
        qemu.args(["-append", "console=ttyAMA0 panic=1 quiet", "-serial"]);
        qemu.arg(format!("file:{}", console.display()));
        child::run(GUEST_LIMIT, &qemu).or_say(self.guest.program)?;
        std::fs::read_to_string(&console).map_err(|e| format!("{}: {e}", console.display()))
    }
}

const GUEST_LIMIT: Duration = Duration::from_secs(300);

/// What a guest has to have said: both questions answered, the daemon gone in good order, and each role confined as far as lists go.
fn judge(said: &str, is_filtered: bool) -> Result<(), String> {
    for expected in ["asked plainly: 0", "asked under NTS: 0", "left with 0"] {
        if !said.lines().any(|line| line.trim() == expected) {
            return Err(format!("the guest did not say {expected:?}"));
        }
    }
    for role in ["launcher", "warden", "ntp", "ke", "observe"] {
        let process =
            said.lines().find_map(|line| line.trim().strip_prefix(&format!("process {role}: ")));
        let process = process.ok_or_else(|| format!("no {role} in the guest"))?;
        let filter = if is_filtered { "Seccomp: 2" } else { "Seccomp: 0" };
        for part in ["NoNewPrivs: 1", filter] {
            if !process.contains(part) {
                return Err(format!("{role} without {part:?}: {process}"));
            }
        }
        if role != "launcher" && !process.contains("CapEff: 0000000000000000") {
            return Err(format!("{role} with a right: {process}"));
        }
    }
    Ok(())
}

/// `$0` is Debian's name of the machine, `$1` the package that depends on its newest kernel.
const FETCH: &str = r#"
mkdir -p lists/partial cache/archives/partial unfinished
set -- "$1" -o APT::Architecture="$0" -o APT::Architectures="$0" -o Dir::State::lists="$PWD/lists" \
    -o Dir::Cache="$PWD/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root
newest="$1"; shift
# One list of several out of reach is no obstacle if the others have what is needed.
apt-get "$@" --quiet update || true
kernel="$(apt-cache "$@" depends "$newest" | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)"
cd unfinished
apt-get "$@" --quiet download "$kernel" busybox-static
for package in *.deb; do dpkg -x "$package" .; rm "$package"; done
cd ..
mv unfinished unpacked
rm -rf lists cache
"#;

/// The guest's clock is its own, and nothing here steers it.
const CONFIGURATION: &str = r#"
[server]
listen = ["127.0.0.1:123"]
threads = 1
local-stratum = 1
[nts]
listen = ["127.0.0.1:4460"]
certificate = "chain.pem"
key = "key.pem"
[state]
folder = "/state"
[status]
socket = "/run/status.sock"
"#;

/// The guest's first script. Its clock begins at 1970 without a chip that tells it, when no certificate is valid.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
ip link set lo up
mkdir -m 0700 /state
chmod 0600 /noonmark/key.pem
date -u -s "$(cat /noonmark/date)" >/dev/null
cd /noonmark
noonmarkd --config noonmark.toml 2>log &
daemon=$!
for second in $(seq 60); do
    noonmark query 127.0.0.1 --time-out 5 >plain 2>&1 && break
    kill -0 $daemon || break
    sleep 1
done
noonmark query 127.0.0.1 --time-out 5
echo "asked plainly: $?"
noonmark query 127.0.0.1 --nts --ca ca.pem -n 3 --interval 0.5
echo "asked under NTS: $?"
noonmark status --socket /run/status.sock | grep "not confined"
for process in /proc/[0-9]*; do
    role=$(tr '\0' '\n' <$process/cmdline | sed -n '/--role/{n;p}')
    case "$(cat $process/comm)" in
    noonmark*) echo process ${role:-launcher}: $(grep -E '^(NoNewPrivs|CapEff|Seccomp):' $process/status) ;;
    esac
done
kill $daemon
wait $daemon
echo "left with $?"
cat log
poweroff -f
"#;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "asked plainly: 0\nasked under NTS: 0\nleft with 0\n\
        process launcher: CapEff: 00000000018065eb NoNewPrivs: 1 Seccomp: 2\n\
        process warden: CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2\n\
        process ntp: CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2\n\
        process ke: CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2\n\
        process observe: CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2\n";

    #[test]
    fn a_guest_is_good_only_if_it_answered_and_every_role_is_confined() {
        assert_eq!(judge(GOOD, true), Ok(()));
        assert!(judge(GOOD, false).is_err(), "a list where there is none");
        for (from, to) in [
            ("asked plainly: 0", "asked plainly: 2"),
            ("asked under NTS: 0", ""),
            ("left with 0", "left with 1"),
            ("process ke: CapEff: 0000000000000000", "process ke: CapEff: 0000000002000000"),
            (
                "process ntp: CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 2",
                "process ntp: CapEff: 0000000000000000 NoNewPrivs: 1 Seccomp: 0",
            ),
            ("process observe", "process other"),
        ] {
            assert!(judge(&GOOD.replace(from, to), true).is_err(), "{from} {to}");
        }
    }
}
