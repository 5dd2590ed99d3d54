//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::exit::Status;
use crate::output;
use crate::role::Role;

/// Keeps this machine's clock and serves time, with proof of origin (NTP with Network Time Security).
#[derive(Debug, Parser)]
#[command(name = "noonmarkd", version, after_help = AFTER_HELP)]
pub struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,

    /// Check the configuration, certificate, key and authorities, and end
    #[arg(long, group = "instead")]
    pub check: bool,

    /// Set the clock by the sources, within the limits of the table clock, and end once it is right; serves nobody
    #[arg(long, group = "instead")]
    pub once: bool,

    /// Ask the sources and print a line for each update, until a signal comes; never touches the clock
    #[arg(long, group = "instead")]
    pub dry_run: bool,

    /// With --check, --once or --dry-run: print JSON (docs/json.md)
    #[arg(long, requires = "instead")]
    pub json: bool,

    /// Stay in the foreground, as it always does (for scripts made for other daemons)
    #[arg(long)]
    pub foreground: bool,

    /// Play one role, as the launcher asks.
    #[arg(long, hide = true, value_parser = role)]
    pub role: Option<Role>,

    /// Test builds only: have these roles try something, once they serve.
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "ROLES:ATTEMPT")]
    pub probe: Option<String>,

    /// Test builds only: leave the roles their system calls.
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, requires = "probe")]
    pub unfiltered: bool,
}

/// Where the configuration is looked for if nothing is said.
pub const DEFAULT_FILE: &str = "/etc/noonmark/noonmark.toml";

const AFTER_HELP: &str = "Runs in the foreground until SIGTERM or SIGINT; SIGHUP reads the configuration again. `noonmark status` shows how it is.

Exit status: 0 stopped as asked; 64 wrong usage; 65 broken certificate or key; 68 the clock was not set (--once); 69 an address is \
taken, as by another time daemon; 70 a defect; 71 the system refused something; 73 the state folder cannot be used; 74 standard output cannot be written; \
75 another noonmarkd works here; 77 a right is missing; 78 the configuration is refused.";

impl Arguments {
    /// Reads the command line. What is left when this returns an error has been printed already.
    ///
    /// # Errors
    /// The status to end with: 0 after `--help` and `--version`, 64 for wrong usage.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            let printed = error.print();
            if error.use_stderr() {
                // Nobody is left to tell if even this cannot be printed.
                return Status::Usage.into();
            }
            output::judge(printed).map_or_else(
                |failure| {
                    output::complain(&failure);
                    failure.status.into()
                },
                |_| Status::Good.into(),
            )
        })
    }
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| "no such role".to_owned())
}
