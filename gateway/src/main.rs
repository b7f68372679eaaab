//! `millrace-gateway`: reads the command line, sets up logging, and runs one command. Table of contents of the binary.

mod cli;
mod logging;

use std::process::ExitCode;

use clap::{Parser as _, error::ErrorKind};
use cli::Cli;

/// Usage or configuration: what `sysexits.h` calls EX_USAGE.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        }
    };
    // Before memory is asked for: a huge page is resident whole once a byte of it is used, and where the kernel gives them to everybody, as Debian's
    // does, an idle gateway takes 30 MB in place of 10. A kernel without them refuses, and has none to give.
    let _ = nix::sys::prctl::set_thp_disable(true);
    logging::install(cli.log_format, &cli.log);
    // One provider for all of TLS, by name: dependencies would otherwise bring different ones.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("millrace-gateway: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(cli::run(cli));
    // Blocking work that hangs (a dead disk) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("millrace-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
