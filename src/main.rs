//! The `chargehook` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    chargehook::cli::run()
}
