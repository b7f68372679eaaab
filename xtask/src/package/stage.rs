//! The folder that cargo-deb works in: a package of its own beside copies of the files that its metadata names, so that what depends on the
//! program and on the run (dependencies, version, generated pages) can be filled in without touching the work tree.
//!
//! ```text
//! STAGE/gateway/Cargo.toml        [package.metadata.deb] of the real one, `depends` completed
//! STAGE/deploy, systemd, config   as in the work tree
//! STAGE/target/TRIPLE/release/    the program, and generated/{man,completions,third-party.txt}
//! ```

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::{Arch, Product, Variant, output_folder, programs};
use crate::command;

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// A folder that is ready for cargo-deb.
pub(super) struct Stage {
    folder: PathBuf,
    manifest: PathBuf,
    version: String,
}

impl Stage {
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn manifest(&self) -> &Path {
        &self.manifest
    }

    /// Debian's, with the revision.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn target_folder(&self) -> PathBuf {
        self.folder.join("target")
    }
}

/// Fills a fresh folder; one that an interrupted run left is thrown away.
pub(super) fn fill(product: Product, arch: Arch, program: &Path, depends: &[String], variant: &Variant) -> Result<Stage> {
    let root = command::root();
    let folder = output_folder().join(format!("stage-{}-{arch}", product.name()));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let package = folder.join(product.crate_name());
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("src/main.rs"), "fn main() {}\n")?;
    let manifest = package.join("Cargo.toml");
    let version = version(&root)?;
    let real = fs::read_to_string(root.join(product.crate_name()).join("Cargo.toml"))?;
    fs::write(&manifest, staged_manifest(&real, product, &version, depends)?)?;
    for name in ["deploy/debian", "systemd", "config"] {
        copy_folder(&root.join(name), &folder.join(name))?;
    }
    if let Some(line) = variant.config_line {
        let file = folder.join("deploy/debian").join(product.crate_name()).join(format!("{}.toml", product.crate_name()));
        let text = fs::read_to_string(&file)?;
        fs::write(&file, format!("{text}{line}\n"))?;
    }
    let release = folder.join("target").join(arch.target().triple()).join("release");
    fs::create_dir_all(&release)?;
    fs::copy(program, release.join(product.name())).with_context(|| format!("cannot copy {}", program.display()))?;
    generate(product, arch, program, &release.join("generated"))?;
    Ok(Stage { folder, manifest, version: format!("{version}-{}", variant.revision) })
}

/// The workspace's version.
pub(super) fn version(root: &Path) -> Result<String> {
    let manifest: Table = fs::read_to_string(root.join("Cargo.toml"))?.parse().context("Cargo.toml")?;
    let version = manifest.get("workspace").and_then(|w| w.get("package")?.get("version")?.as_str());
    version.map(str::to_owned).context("Cargo.toml has no workspace.package.version")
}

/// A manifest with no dependencies, outside of any workspace, with the packaging metadata of the `real` one.
fn staged_manifest(real: &str, product: Product, version: &str, depends: &[String]) -> Result<String> {
    let name = product.crate_name();
    let mut real: Table = real.parse().with_context(|| format!("{name}/Cargo.toml"))?;
    let mut package = match real.remove("package") {
        Some(Value::Table(package)) => package,
        _ => bail!("{name}/Cargo.toml has no [package]"),
    };
    let deb = package.get_mut("metadata").and_then(|metadata| metadata.get_mut("deb")?.as_table_mut());
    let deb = deb.with_context(|| format!("{name}/Cargo.toml has no [package.metadata.deb]"))?;
    let told = deb.get("depends").and_then(Value::as_str).unwrap_or_default().to_owned();
    let all: Vec<String> = depends.iter().cloned().chain((!told.is_empty()).then_some(told)).collect();
    deb.insert("depends".into(), all.join(", ").into());
    // What these inherit is the workspace's.
    package.retain(|_, value| value.get("workspace").is_none());
    package.insert("version".into(), version.into());
    package.insert("edition".into(), "2024".into());
    package.insert("license".into(), "Apache-2.0".into());
    let mut staged = Table::new();
    staged.insert("package".into(), package.into());
    staged.extend(real.remove("bin").map(|programs| ("bin".to_owned(), programs)));
    staged.insert("workspace".into(), Table::new().into());
    Ok(staged.to_string())
}

/// Manual pages, completions, and what the program contains.
fn generate(product: Product, arch: Arch, program: &Path, folder: &Path) -> Result<()> {
    let ask = programs::generator(product, arch, program)?;
    let man = folder.join("man");
    fs::create_dir_all(folder.join("completions"))?;
    ask(&[OsStr::new("man-pages"), man.as_os_str()])
        .context("manual pages and completions come from a program of this machine that was built with them (feature `generate`)")?;
    // cargo-deb compresses manual pages, but not those in the target folder. `-n`: without the time, which would make each package different.
    let pages: Vec<PathBuf> = fs::read_dir(&man)?.map(|page| page.map(|p| p.path())).collect::<Result<_, _>>()?;
    command::output(Command::new("gzip").args(["-9", "-n"]).args(pages))?;
    for shell in SHELLS {
        let script = ask(&[OsStr::new("completions"), OsStr::new(shell)])?;
        fs::write(folder.join("completions").join(shell), script)?;
    }
    fs::write(folder.join("third-party.txt"), third_party(product, arch)?)?;
    Ok(())
}

/// The crates that are compiled into the program: name, version, licence.
fn third_party(product: Product, arch: Arch) -> Result<String> {
    let mut tree = command::cargo();
    tree.args(["tree", "--quiet", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}\t{l}"]);
    tree.args(["--package", product.crate_name(), "--target", arch.target().triple()]);
    Ok(crates(&command::output(&mut tree)?))
}

/// One line a crate, in order, without the product's own.
fn crates(tree: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in tree.lines().map(|line| line.trim_end_matches(" (*)")) {
        let Some((package, licence)) = line.split_once('\t') else { continue };
        // "name v1.2.3", and " (/path)" for those of the workspace, " (proc-macro)" for what only runs in the compiler.
        if let [name, version] = package.split(' ').collect::<Vec<_>>()[..] {
            lines.push(format!("{name} {} {licence}\n", version.trim_start_matches('v')));
        }
    }
    lines.sort_unstable();
    lines.dedup();
    format!(
        "Crates that this program contains: name, version, licence. Their sources and licence texts are on crates.io.\n\n{}",
        lines.concat()
    )
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("{}", from.display()))? {
        let entry = entry?;
        let (source, goal) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &goal)?;
        } else {
            fs::copy(&source, &goal).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_staged_manifest_keeps_the_metadata_and_needs_no_workspace() {
        for product in [Product::Gateway, Product::Collector] {
            let real = fs::read_to_string(command::root().join(product.crate_name()).join("Cargo.toml")).unwrap();
            let staged: Table = staged_manifest(&real, product, "1.2.3", &["libc6 (>= 2.34)".into()]).unwrap().parse().unwrap();
            let package = staged["package"].as_table().unwrap();
            assert_eq!(package["version"].as_str(), Some("1.2.3"));
            assert!(!staged.to_string().contains("workspace = true"));
            assert!(staged.get("dependencies").is_none() && staged.get("workspace").is_some());
            let deb = package["metadata"]["deb"].as_table().unwrap();
            let depends = deb["depends"].as_str().unwrap();
            assert!(depends.starts_with("libc6 (>= 2.34), ") && depends.contains("systemd-sysusers"), "{depends}");
            assert_eq!(deb["name"].as_str(), Some(product.name()));
        }
    }

    #[test]
    fn crates_are_listed_once_and_without_our_own() {
        let tree = "gateway v0.1.0 (/src/gateway)\tApache-2.0\nserde v1.0.2\tMIT OR Apache-2.0\nanyhow v1.0.1\tMIT\nserde v1.0.2\tMIT OR Apache-2.0 (*)\n\
                    serde_derive v1.0.2 (proc-macro)\tMIT\n";
        let list = crates(tree);
        assert!(list.ends_with("\n\nanyhow 1.0.1 MIT\nserde 1.0.2 MIT OR Apache-2.0\n"), "{list}");
        assert!(!list.contains("gateway") && !list.contains("serde_derive"));
    }
}
