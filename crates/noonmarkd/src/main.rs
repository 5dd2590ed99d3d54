//! `noonmarkd`: see the library of the same name.

use std::io::IsTerminal;
use std::process::ExitCode;

use noonmark_os::signals;
use noonmarkd::arguments::Arguments;
use noonmarkd::exit::{Failure, Status};
use noonmarkd::{check, dry_run, launcher, once, output, station};

fn main() -> ExitCode {
    // A limit on files must not end this without a word; the roles inherit it.
    if let Err(error) = signals::outlive_file_limit() {
        output::complain(format_args!("ignoring SIGXFSZ: {error}"));
        return Status::System.into();
    }
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    #[cfg(debug_assertions)]
    if let Some(attempt) = &arguments.probe
        && let Err(failure) = noonmarkd::probe::request(attempt, arguments.unfiltered)
    {
        output::complain(&failure);
        return failure.status.into();
    }
    let result = match arguments.role {
        Some(role) => match station::play(role) {
            // The launcher hears why a role ends and logs it; only who started one by hand has to be told here.
            Err(failure) if failure.status != Status::Usage => return failure.status.into(),
            result => result,
        },
        None => launch(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            failure.status.into()
        }
    }
}

fn launch(arguments: &Arguments) -> Result<(), Failure> {
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
    if arguments.check {
        return check::run(&arguments.config, arguments.json, colour);
    }
    let loaded = match noonmark_config::load(&arguments.config).map_err(|report| {
        Failure::new(
            Status::Configuration,
            format_args!("configuration refused\n{}", report.render(colour)),
        )
    }) {
        Ok(loaded) => loaded,
        Err(failure) if arguments.once => return once::tell(Err(failure), None, arguments.json),
        Err(failure) => return Err(failure),
    };
    if arguments.dry_run {
        return dry_run::run(&loaded.settings, arguments.json);
    }
    if arguments.once {
        return launcher::set_once(&arguments.config, loaded, arguments.json);
    }
    launcher::run(&arguments.config, loaded)
}
