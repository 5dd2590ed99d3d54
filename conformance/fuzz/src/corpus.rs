use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a replay went through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Replayed {
    /// Files read.
    pub inputs: usize,
    /// Octets in them.
    pub octets: usize,
}

/// Hands the file `path`, or all files in the folder `path`, to a target's function, which panics at a broken property;
/// the input then at work is named on standard error.
///
/// # Errors
/// What cannot be read, with its path.
pub fn replay(path: &Path, check: fn(&[u8])) -> io::Result<Replayed> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut total = Replayed::default();
    if path.is_dir() {
        let entries =
            path.read_dir().and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(named)?;
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let Replayed { inputs, octets } = replay(&file, check)?;
            total.inputs += inputs;
            total.octets += octets;
        }
    } else {
        let octets = std::fs::read(path).map_err(named)?;
        let at_work = AtWork(path);
        check(&octets);
        drop(at_work);
        total = Replayed { inputs: 1, octets: octets.len() };
    }
    Ok(total)
}

/// The `main` of a target's program without a fuzzer: replays the files and folders named, or the kept corpus.
pub fn replay_arguments(name: &str, check: fn(&[u8])) -> ExitCode {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths.push(kept(name));
    }
    for path in paths {
        match replay(&path, check) {
            Ok(Replayed { inputs, octets }) => {
                println!("{name}: {inputs} inputs, {octets} octets from {}", path.display());
            }
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// The folder of a target's kept inputs.
pub(crate) fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

/// Names an input if its check panics.
struct AtWork<'a>(&'a Path);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input: {}", self.0.display());
        }
    }
}
