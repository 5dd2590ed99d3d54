//! The demonstration behind `cargo demo`.

use std::process::ExitCode;

fn main() -> ExitCode {
    noonmark_tool::demo::main()
}
