//! The operator's command `callboard`; `callboard --help` teaches it.

use callboard::cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match cli::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(exit) => return exit.into(),
    };
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(cli::run(args)).into(),
        Err(error) => {
            eprintln!("callboard: no runtime can be started: {error}");
            cli::Exit::Failed.into()
        }
    }
}
