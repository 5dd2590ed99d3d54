//! `noonmarkd --check`: whether a configuration, and everything it names, is good.

use std::path::Path;

use noonmark_config::examine;
use noonmark_os::clock;

use crate::exit::{Failure, Status};
use crate::output;

/// Reads the configuration and what it names, opens nothing else, and says what is wrong with it: what is good on standard output,
/// warnings on standard error, all of it as one JSON object if that is wanted.
///
/// # Errors
/// [`Status::Configuration`]; [`Status::Certificate`] if nothing but certificate and key are wrong; [`Status::Output`].
pub fn run(file: &Path, as_json: bool, colour: bool) -> Result<(), Failure> {
    let found = examine(file, clock::realtime());
    if as_json {
        output::print_json(&found, true)?;
    } else {
        if let Some(warnings) = found.warnings() {
            let count = warnings.problems().len();
            let plural = if count == 1 { "" } else { "s" };
            output::complain(format_args!(
                "{}\n{count} warning{plural} in {}",
                warnings.render(colour),
                file.display()
            ));
        }
        output::print(&found.praise())?;
    }
    let Some(problems) = found.problems() else { return Ok(()) };
    let (status, what) = if found.is_identity_broken() {
        (Status::Certificate, "certificate or key refused")
    } else {
        (Status::Configuration, "configuration refused")
    };
    Err(Failure::new(status, format_args!("{what}\n{}", problems.render(colour))))
}
