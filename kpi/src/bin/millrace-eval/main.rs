//! `millrace-eval`: how good what is learned is, on published data sets that somebody else gathered.
//!
//! Stands beside the crate's tests, since the data is not part of the repository: it is read from a folder. Results go to stdout, one
//! line a
//! set; progress and errors to stderr.

mod ai4i;
mod cmapss;
mod plot;
mod remaining;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Trains on published data sets, and says how wrong the predictions are.
#[derive(Parser)]
#[command(name = "millrace-eval", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Remaining useful life on NASA C-MAPSS: train_FD00x.txt, test_FD00x.txt, RUL_FD00x.txt, plain or .gz, whichever sets are there
    Rul {
        #[command(flatten)]
        folders: Folders,
        /// Also make a set with six operating conditions out of each training file, and cross-validate on it
        #[arg(long)]
        six_conditions: bool,
    },
    /// Failure risk on AI4I 2020: ai4i2020*.csv, plain or .gz; five-fold cross-validation
    Ai4i {
        #[command(flatten)]
        folders: Folders,
    },
}

#[derive(clap::Args)]
struct Folders {
    /// The folder with the data
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write predictions (CSV) and plots (SVG) into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Decides folds and what each tree sees
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Rul { folders, six_conditions } => remaining::run(&folders, six_conditions),
        Task::Ai4i { folders } => ai4i::run(&folders),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
