//! `cargo xtask eval`: builds `millrace-eval` and what it needs (not the workspace), and runs it. Its results are the only lines on stdout.

use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{build::Programs, command};

#[derive(clap::Subcommand)]
pub enum What {
    /// Remaining useful life on NASA C-MAPSS: train_FD00x.txt, test_FD00x.txt, RUL_FD00x.txt, plain or .gz, whichever sets are in DIR
    Rul(Options),
    /// Failure risk on AI4I 2020 (ai4i2020*.csv, plain or .gz), by five-fold cross-validation
    Ai4i(Options),
}

#[derive(clap::Args)]
#[command(after_help = "Example:  cargo xtask eval rul --data ~/cmapss --out /tmp/rul")]
pub struct Options {
    /// The folder with the data
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write predictions (CSV) and plots (SVG) into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Decides folds and what each tree sees
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(what: &What) -> Result<ExitCode> {
    let (name, options) = match what {
        What::Rul(options) => ("rul", options),
        What::Ai4i(options) => ("ai4i", options),
    };
    command::run(command::cargo().args(["build", "--package", "kpi", "--bin", "millrace-eval"]))?;
    let mut evaluation = Programs::built().command("eval");
    evaluation.arg(name).arg("--data").arg(&options.data);
    if let Some(out) = &options.out {
        evaluation.arg("--out").arg(out);
    }
    if let Some(seed) = options.seed {
        evaluation.args(["--seed", &seed.to_string()]);
    }
    let status = evaluation.stdin(Stdio::null()).status().context("cannot start millrace-eval")?;
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => bail!("millrace-eval was ended by a signal ({status})"),
    }
}
