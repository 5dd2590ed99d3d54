//! Other people's NTP programs, from Debian 13 packages unpacked in a root of their own under the target folder.
//!
//! They are never installed on the machine: installing one would replace its time service and start a daemon that sets
//! the clock. The root is kept between runs and made again when [`PACKAGES`], [`LIBRARIES`] or [`RECIPE`] change.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::apt::{self, Consent, Needed};
use crate::child;
use crate::workspace::{self, Metadata};

/// Packages unpacked under `/peers/NAME` of the root, with what belongs to the same peer.
const PACKAGES: &[(&str, &[&str])] = &[
    ("chrony", &["chrony"]),
    ("ntpsec", &["ntpsec", "ntpsec-ntpdig", "ntpsec-ntpdate", "python3-ntp"]),
    ("ntpd-rs", &["ntpd-rs"]),
];

/// Libraries and the interpreter they need, installed inside the root.
const LIBRARIES: &[&str] = &[
    "python3",
    "libbsd0",
    "libcap2",
    "libedit2",
    "libgnutls30t64",
    "libnettle8t64",
    "libseccomp2",
    "libssl3t64",
];

/// Changed by hand when the steps change, so that kept roots are made again.
const RECIPE: u32 = 2;

const SUITE: &str = "trixie";

/// What the machine needs for making and entering the root.
const TOOLS: &[Needed] = &[
    Needed { program: "debootstrap", package: "debootstrap" },
    Needed { program: "ip", package: "iproute2" },
    Needed { program: "unshare", package: "util-linux" },
];

/// The prepared root.
#[derive(Clone, Debug)]
pub struct Peers {
    root: PathBuf,
}

impl Peers {
    /// chrony's daemon, as the root sees it.
    pub const CHRONYD: &str = "/peers/chrony/usr/sbin/chronyd";
    /// chrony's control program.
    pub const CHRONYC: &str = "/peers/chrony/usr/bin/chronyc";
    /// NTPsec's daemon.
    pub const NTPD: &str = "/peers/ntpsec/usr/sbin/ntpd";
    /// NTPsec's query program.
    pub const NTPQ: &str = "/peers/ntpsec/usr/bin/ntpq";
    /// ntpd-rs' daemon.
    pub const NTP_DAEMON: &str = "/peers/ntpd-rs/usr/bin/ntp-daemon";

    /// Finds the root under `target`, or makes it, which takes half a minute and some 200 MB.
    ///
    /// # Errors
    /// Why there is none: not root, a tool missing, or the archive out of reach.
    pub fn prepare(target: &Path, consent: Consent) -> Result<Self, String> {
        if !apt::is_root() {
            let missing = apt::missing(TOOLS).join(" ");
            let install =
                if missing.is_empty() { missing } else { format!(", and the packages {missing}") };
            return Err(format!(
                "needs root, for a root folder and network namespaces of its own{install}"
            ));
        }
        apt::ensure(TOOLS, consent)?;
        let home = target.join("peers");
        fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        // Two runs at once share one root: the second waits for the first to make it.
        let lock =
            File::create(home.join("lock")).map_err(|e| format!("{}: {e}", home.display()))?;
        lock.lock().map_err(|e| format!("{}: {e}", home.display()))?;
        let root = home.join(SUITE);
        let stamp = root.join("peers/stamp");
        let recipe = recipe();
        if fs::read_to_string(&stamp).is_ok_and(|found| found == recipe) {
            return Ok(Self { root });
        }
        remove(&root)?;
        let unfinished = home.join(format!("{SUITE}.unfinished"));
        remove(&unfinished)?;
        println!("making a Debian root with the peers in {}", root.display());
        make(&unfinished)?;
        fs::write(unfinished.join("peers/stamp"), recipe).map_err(|e| format!("stamp: {e}"))?;
        fs::rename(&unfinished, &root).map_err(|e| format!("{}: {e}", root.display()))?;
        Ok(Self { root })
    }

    /// The folder that the peers see as `/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A program of the root, to be run inside it. Python finds NTPsec's modules.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(&self.root).arg(program);
        command.env("PYTHONPATH", "/peers/ntpsec/usr/lib/python3/dist-packages");
        command.env("LC_ALL", "C.UTF-8").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// An empty folder of the root for one test: where it is for us, and where the peers see it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn folder(&self, name: &str) -> Result<(PathBuf, String), String> {
        let inside = format!("/run/cells/{name}");
        let outside = self.root.join(inside.trim_start_matches('/'));
        let make = || {
            if outside.exists() {
                fs::remove_dir_all(&outside)?;
            }
            fs::create_dir_all(&outside)?;
            fs::set_permissions(&outside, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        };
        make().map_err(|e: std::io::Error| format!("{}: {e}", outside.display()))?;
        Ok((outside, inside))
    }

    /// ntpd-rs 1.9 beside the root, built from its crate the first time, which takes minutes. Its daemon's path.
    ///
    /// # Errors
    /// What cargo says.
    pub fn newer_ntpd_rs(&self) -> Result<PathBuf, String> {
        static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().map_err(|e| e.to_string())?;
        let home = self.root.with_file_name("ntpd-1.9");
        let daemon = home.join("bin/ntp-daemon");
        if !daemon.is_file() {
            println!("building ntpd-rs 1.9.0 in {}", home.display());
            let mut install = workspace::cargo();
            install
                .args(["install", "--locked", "ntpd", "--version", "1.9.0", "--root"])
                .arg(&home);
            install.arg("--target-dir").arg(home.join("build"));
            child::output(Duration::from_secs(60 * 60), &install)?;
        }
        Ok(daemon)
    }

    /// What each peer calls itself: name and version of the package.
    pub fn versions(&self) -> Vec<String> {
        let read = fs::read_to_string(self.root.join("peers/versions")).unwrap_or_default();
        read.lines().map(str::to_owned).collect()
    }
}

/// `cargo xtask peers`: makes the root if need be and tells where it is.
///
/// # Errors
/// As [`Peers::prepare`].
pub fn show() -> Result<ExitCode, String> {
    let metadata = Metadata::read()?;
    let peers = Peers::prepare(&metadata.target_directory, Consent { given: false })?;
    println!("{}", peers.root().display());
    peers.versions().iter().for_each(|version| println!("  {version}"));
    Ok(ExitCode::SUCCESS)
}

fn recipe() -> String {
    format!("{RECIPE} {SUITE} {PACKAGES:?} {LIBRARIES:?}\n")
}

fn make(root: &Path) -> Result<(), String> {
    // In a mount namespace of its own, so that nothing it mounts can be left behind.
    let mut strap = Command::new("unshare");
    strap.args([
        "--mount",
        "--",
        "debootstrap",
        "--variant=minbase",
        "--include=ca-certificates",
        SUITE,
    ]);
    strap.arg(root);
    strap.args(mirror());
    child::output(Duration::from_secs(600), &strap)?;
    let mut fill = Command::new("unshare");
    fill.args(["--mount", "--", "chroot"]).arg(root).args(["sh", "-euc", &script()]);
    fill.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
    child::output(Duration::from_secs(600), &fill).map(drop)
}

/// What is done inside the new root.
fn script() -> String {
    let all: Vec<&str> =
        PACKAGES.iter().flat_map(|(_, packages)| packages.iter().copied()).collect();
    let mut lines = vec![
        // Nothing installed here may start a service.
        "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d"
            .to_owned(),
        "mkdir -p /peers/packages /run/cells; cd /peers/packages; chmod 777 .".to_owned(),
        "apt-get --quiet update".to_owned(),
        format!("apt-get --quiet download {}", all.join(" ")),
    ];
    for (peer, packages) in PACKAGES {
        lines.push(format!("mkdir -p /peers/{peer}"));
        lines.extend(
            packages.iter().map(|package| format!("dpkg -x {package}_*.deb /peers/{peer}")),
        );
    }
    // ntpq's Python looks for its library beside the module, or where an installed package has it.
    let beside = "/peers/ntpsec/usr/lib/python3/dist-packages/ntp/libntpc.so";
    lines.push(format!("ln -s \"$(find /peers/ntpsec -name libntpc.so)\" {beside}"));
    lines.push("for f in *.deb; do dpkg-deb -W --showformat='${Package} ${Version}\\n' $f; done > ../versions".into());
    lines.push(format!(
        "apt-get --quiet --yes install --no-install-recommends {}",
        LIBRARIES.join(" ")
    ));
    lines.push("rm -rf /peers/packages; apt-get clean".into());
    lines.join("\n")
}

/// The archive this machine itself uses; none, then debootstrap's own choice.
fn mirror() -> Option<String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"]);
    let said = child::output(Duration::from_secs(60), &targets).ok()?;
    let debian = said.lines().find_map(|line| line.strip_suffix(" Debian"));
    debian.map(str::to_owned)
}

fn remove(folder: &Path) -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let inside = format!(" {}/", folder.display());
    if mounts.contains(&inside) {
        return Err(format!("{}: something is still mounted in it", folder.display()));
    }
    match fs::remove_dir_all(folder) {
        Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {problem}", folder.display()))
        }
        _ => Ok(()),
    }
}
