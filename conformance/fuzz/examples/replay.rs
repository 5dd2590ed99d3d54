//! Hands every target its kept inputs, in one program: what `cargo xtask test --only fuzz` measures the coverage of.

use std::path::Path;
use std::process::ExitCode;

use noonmark_fuzz::{TARGETS, Target, replay};

fn main() -> ExitCode {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for Target { name, check, .. } in TARGETS {
        match replay(&corpus.join(name), check) {
            Ok(replayed) => println!("{name}: {} inputs", replayed.inputs),
            Err(error) => {
                eprintln!("{name}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
