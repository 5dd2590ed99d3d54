//! The tool `noonmark`: reads the command line, runs the command, leaves with its verdict.

use std::process::ExitCode;

use noonmark_tool::command::{Arguments, Command, ConfigCommand};
use noonmark_tool::{
    configuration, conform, decode, import, query, sources, status, tracking, wait,
};

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(verdict) => return verdict.into(),
    };
    match arguments.command {
        Command::Query(arguments) => query::run(&arguments),
        Command::Config(arguments) => match arguments.command {
            ConfigCommand::Check { file, json } => configuration::check(&file, json),
            ConfigCommand::Show { json, .. } => configuration::show_defaults(json),
        },
        Command::Import(arguments) => import::run(&arguments),
        Command::Conform(arguments) => conform::run(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Sources(arguments) => sources::run(&arguments),
        Command::Tracking(arguments) => tracking::run(&arguments),
        Command::WaitSync(arguments) => wait::run(&arguments),
    }
    .into()
}
