//! A Debian kernel for guests, from its package unpacked under the target folder. Nothing is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child;

/// Always depends on the newest kernel for machines that exist only in software.
const NEWEST: &str = "linux-image-cloud-amd64";
/// The same for machines of any kind; some drivers are in this one alone.
const NEWEST_OF_ANY: &str = "linux-image-amd64";

/// Drivers of a guest's network card, in the order they need each other.
const NETWORK: [&str; 8] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
];

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    folder: PathBuf,
    package: String,
}

impl Kernel {
    /// Finds it under `target`, or downloads it (some 30 MB).
    ///
    /// # Errors
    /// Why there is none.
    pub fn prepare(target: &Path) -> Result<Self, String> {
        Self::prepare_in(target.join("guest"), NEWEST, ".")
    }

    /// One with the driver of the VM generation id: this one, or another that is found under `target` or downloaded (some 70 MB).
    ///
    /// # Errors
    /// Why there is none.
    pub fn that_knows_generations(&self, target: &Path) -> Result<Self, String> {
        let drives = |kernel: &Self| {
            let file = kernel.boot_file("config");
            let options =
                fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            Ok::<_, String>(options.lines().any(|line| line == "CONFIG_VMGENID=y"))
        };
        if drives(self)? {
            return Ok(self.clone());
        }
        // Its modules are many, and nobody loads one.
        let other = Self::prepare_in(target.join("guest/any"), NEWEST_OF_ANY, "./boot")?;
        if drives(&other)? {
            Ok(other)
        } else {
            Err(format!("{} has no CONFIG_VMGENID=y", other.package))
        }
    }

    /// Unpacks `part` of it if it is not there.
    fn prepare_in(home: PathBuf, newest_of: &str, part: &str) -> Result<Self, String> {
        fs::create_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))?;
        // Two runs at once share one kernel: the second waits for the first to unpack it.
        let lock =
            File::create(home.join("lock")).map_err(|e| format!("{}: {e}", home.display()))?;
        lock.lock().map_err(|e| format!("{}: {e}", home.display()))?;
        if let Some(kept) = kept(&home) {
            return Ok(kept);
        }
        let package = newest(newest_of).or_else(|_| {
            let mut update = Command::new("apt-get");
            update.args(["--quiet", "update"]);
            child::output(Duration::from_secs(300), &update)?;
            newest(newest_of)
        })?;
        println!("unpacking {package} in {}", home.display());
        let unfinished = home.join("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished).map_err(|e| format!("{}: {e}", unfinished.display()))?;
        let mut unpack = Command::new("sh");
        unpack.args([
            "-euc",
            "apt-get --quiet download $0; dpkg --fsys-tarfile $0_*.deb | tar --extract --file=- $1; rm $0_*.deb",
            &package,
            part,
        ]);
        unpack.current_dir(&unfinished);
        child::output(Duration::from_secs(300), &unpack)?;
        fs::rename(&unfinished, home.join(&package)).map_err(|e| format!("{package}: {e}"))?;
        kept(&home).ok_or_else(|| format!("{package} has no kernel in it"))
    }

    /// What QEMU boots.
    pub fn image(&self) -> PathBuf {
        self.boot_file("vmlinuz")
    }

    fn boot_file(&self, kind: &str) -> PathBuf {
        self.folder.join("boot").join(self.package.replacen("linux-image", kind, 1))
    }

    /// The package's name, with the version of the kernel in it.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// The drivers for the network card, to be loaded in this order, each with its name.
    ///
    /// # Errors
    /// Which is missing.
    pub fn network_drivers(&self) -> Result<Vec<(&'static str, PathBuf)>, String> {
        let mut found = Vec::new();
        collect(&self.folder.join("lib/modules"), &mut found);
        NETWORK.iter().map(|name| Ok((*name, self.driver(name, &found)?))).collect()
    }

    fn driver(&self, name: &str, found: &[PathBuf]) -> Result<PathBuf, String> {
        let named = |file: String| found.iter().find(|path| path.ends_with(&file));
        if let Some(plain) = named(format!("{name}.ko")) {
            return Ok(plain.clone());
        }
        // From Debian 13 on they are packed, which busybox cannot load.
        let packed = named(format!("{name}.ko.xz"));
        let packed = packed.ok_or_else(|| format!("{} has no driver {name}", self.package))?;
        let mut unpack = Command::new("xz");
        unpack.arg("--decompress").arg(packed);
        child::output(Duration::from_secs(30), &unpack)?;
        Ok(packed.with_extension(""))
    }
}

fn kept(home: &Path) -> Option<Kernel> {
    let folders = fs::read_dir(home).ok()?.flatten();
    let mut kernels: Vec<Kernel> = folders
        .filter_map(|entry| {
            let package = entry.file_name().to_str()?.to_owned();
            package.starts_with("linux-image-").then(|| Kernel { folder: entry.path(), package })
        })
        .filter(|kernel| kernel.image().is_file())
        .collect();
    kernels.sort_by(|a, b| a.package.cmp(&b.package));
    kernels.pop()
}

/// The package that the newest kernel is in.
fn newest(of: &str) -> Result<String, String> {
    let mut depends = Command::new("apt-cache");
    depends.args(["depends", of]);
    let said = child::output(Duration::from_secs(60), &depends)?;
    let name = said.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    name.map(|name| format!("linux-image-{name}")).ok_or_else(|| format!("apt does not know {of}"))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}
