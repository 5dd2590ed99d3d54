//! What a program that is its own judge says at its end.

use std::process::ExitCode;

/// What was promised, and what was seen of it, or why it was not kept.
pub type Promise = (&'static str, Result<String, String>);

/// What was seen, if the promise `holds`; else it is why not.
///
/// # Errors
/// If it does not.
pub fn hold(holds: bool, seen: String) -> Result<String, String> {
    if holds { Ok(seen) } else { Err(seen) }
}

/// Prints a line per promise as it is tried, `held NAME: what was seen` or `broken NAME: why`, and last `verdict: good` or `verdict: bad`.
///
/// The status is 0 or 1 by that; 70, and nothing is printed but why, where it did not come to promises.
pub fn tell(
    program: &str,
    promises: Result<impl IntoIterator<Item = Promise>, String>,
) -> ExitCode {
    let promises = match promises {
        Ok(promises) => promises,
        Err(problem) => {
            eprintln!("{program}: {problem}");
            return ExitCode::from(70);
        }
    };
    let mut good = true;
    for (name, result) in promises {
        match result {
            Ok(seen) => println!("held {name}: {seen}"),
            Err(why) => {
                println!("broken {name}: {why}");
                good = false;
            }
        }
    }
    println!("verdict: {}", if good { "good" } else { "bad" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
