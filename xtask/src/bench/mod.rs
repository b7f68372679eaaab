//! `cargo xtask bench`: the criterion benchmarks, each beside something to compare with; and what the gateway takes of a device.

pub mod footprint;
pub mod machines;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Result, bail};

use crate::command;

/// Benchmark programs: (name, package).
const BENCHES: &[(&str, &str)] = &[("codec", "protocol"), ("spool", "spool"), ("window", "gateway"), ("oee", "kpi")];
/// Compiles DataFusion with optimisation (more than an hour of CPU time), so only when it is asked for.
const ON_REQUEST: &[(&str, &str)] = &[("lake", "lake"), ("oee_month", "collector")];
/// Not by criterion; builds the gateway for ARM, too.
const FOOTPRINT: &str = "footprint";

#[derive(clap::Args)]
#[command(after_help = "Example:  cargo xtask bench --only spool --json")]
pub struct Options {
    /// One of: codec, spool, window, oee (default: all of these); footprint (memory, CPU and start time of the gateway, natively and emulated);
    /// lake or oee_month (these compile DataFusion with optimisation: more than an hour of CPU time)
    #[arg(long)]
    only: Option<String>,
    /// Print the means (in nanoseconds where a name does not say otherwise) as JSON on the last line of stdout
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<bool> {
    if options.only.as_deref() == Some(FOOTPRINT) {
        let figures = footprint::run()?;
        if options.json {
            println!("{}", serde_json::to_string(&figures.iter().flat_map(footprint::Figures::means).collect::<BTreeMap<_, _>>())?);
        }
        return Ok(true);
    }
    let chosen: Vec<_> = match options.only.as_deref() {
        None => BENCHES.iter().collect(),
        Some(only) => BENCHES.iter().chain(ON_REQUEST).filter(|(name, _)| *name == only).collect(),
    };
    if chosen.is_empty() {
        let names: Vec<_> = BENCHES.iter().chain(ON_REQUEST).map(|(name, _)| *name).chain([FOOTPRINT]).collect();
        bail!("no benchmark of that name; there are: {}", names.join(", "));
    }
    let results = command::target_dir().join("criterion");
    if results.exists() {
        fs::remove_dir_all(&results)?;
    }
    for (name, package) in chosen {
        // The bench profile (full optimisation) is what a figure should come from.
        command::run(command::cargo().args(["bench", "--package", package, "--bench", name]))?;
    }
    if options.json {
        let mut means = BTreeMap::new();
        collect(&results, &results, &mut means)?;
        println!("{}", serde_json::to_string(&means)?);
    }
    Ok(true)
}

/// Gathers `NAME -> mean in ns` from criterion's `NAME/new/estimates.json` files.
fn collect(root: &Path, folder: &Path, means: &mut BTreeMap<String, f64>) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.ends_with("new") {
            let estimates: serde_json::Value = serde_json::from_slice(&fs::read(path.join("estimates.json"))?)?;
            if let Some(mean) = estimates["mean"]["point_estimate"].as_f64() {
                means.insert(folder.strip_prefix(root)?.display().to_string(), mean);
            }
        } else if path.is_dir() {
            collect(root, &path, means)?;
        }
    }
    Ok(())
}
