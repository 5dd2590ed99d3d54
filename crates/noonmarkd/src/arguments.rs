//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::exit::Status;
use crate::output;
use crate::role::Role;

/// Keep and serve authenticated time: NTP with Network Time Security.
///
/// Runs in the foreground until SIGTERM or SIGINT; SIGHUP reads the configuration again.
#[derive(Debug, Parser)]
#[command(name = "noonmarkd", version, after_help = AFTER_HELP)]
pub struct Arguments {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,

    /// Check the configuration, its certificate and key, then end. Nothing is opened or served.
    #[arg(long)]
    pub check: bool,

    /// Ask the sources and print a line for each update of what is known of the clock, until a signal comes. One process, which never
    /// touches the clock, serves nobody, and leaves a running daemon and its state folder alone.
    #[arg(long, conflicts_with_all = ["check", "once"])]
    pub dry_run: bool,

    /// Set the clock by the sources, within the limits of its table clock, and end with status 0 once it is right. Serves nobody.
    #[arg(long, conflicts_with = "check")]
    pub once: bool,

    /// With --dry-run: print each line as a JSON object (docs/json.md).
    #[arg(long, requires = "dry_run")]
    pub json: bool,

    /// Stay in the foreground, as it always does; accepted for scripts made for other daemons.
    #[arg(long)]
    pub foreground: bool,

    /// Play one role, as the launcher asks.
    #[arg(long, hide = true, value_parser = role)]
    pub role: Option<Role>,
}

/// Where the configuration is looked for if nothing is said.
pub const DEFAULT_FILE: &str = "/etc/noonmark/noonmark.toml";

const AFTER_HELP: &str = "Exit status: 0 stopped as asked; 64 wrong usage; 65 broken certificate or key; 68 the clock was not set (--once); 69 an address is \
taken, as by another time daemon; 70 a defect; 71 the system refused something; 73 the state folder cannot be used; \
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
