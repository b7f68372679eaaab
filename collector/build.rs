//! Lays the built dashboard where `src/dashboard.rs` embeds it from; without one, a page that says how to build it.

use std::{env, error::Error, fs, path::Path};

const PLACEHOLDER: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Millrace</title>
<h1>Millrace</h1>
<p>This collector was built without its dashboard. <code>cargo xtask demo</code> builds both.</p>
<p>The interface for programs is at <a href=\"/docs\">/docs</a>.</p>
</html>
";

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("dashboard/dist");
    let out = Path::new(&env::var("OUT_DIR")?).join("dashboard");
    // Cargo runs this again at every build while the watched path is missing, so an empty folder (which git ignores) stands in. On a read-only
    // source tree that fails, and costs time only.
    let _ = fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", dist.display());
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    if dist.join("index.html").is_file() {
        copy(&dist, &out)?;
    } else {
        fs::write(out.join("index.html"), PLACEHOLDER)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
