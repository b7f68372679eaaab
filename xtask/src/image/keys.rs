//! The key that signs updates: made when it is first needed, and never in the repository or on a card (a card has its certificate).

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::work::Work;
use crate::command;

/// Paths of the pair.
pub struct UpdateKey {
    pub key: PathBuf,
    pub certificate: PathBuf,
}

/// Takes the pair in `folder` (or in the work folder), and makes it where there is none.
///
/// # Errors
/// One of two files is missing, others can read the key, or openssl fails.
pub fn open(folder: Option<&Path>, work: &Work) -> Result<UpdateKey> {
    let own = folder.map_or_else(|| work.kept("update-key"), Path::to_path_buf);
    let pair = UpdateKey { key: own.join("update.key"), certificate: own.join("update.crt") };
    match (pair.key.exists(), pair.certificate.exists()) {
        (true, true) => {
            check_mode(&pair.key)?;
            return Ok(pair);
        }
        (false, false) => {}
        _ => bail!("{} holds only one of update.key and update.crt; put the other one back from your copy", own.display()),
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&own).with_context(|| format!("cannot make {}", own.display()))?;
    let (key, certificate) = (own.join(".update.key.new"), own.join(".update.crt.new"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "36500"]);
    openssl.args(["-subj", "/O=Millrace/CN=update key of these gateways", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
    command::run(&mut openssl).context("the key that signs updates could not be made")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    // The key first: a certificate without its key would be of no use.
    fs::rename(&key, &pair.key)?;
    fs::rename(&certificate, &pair.certificate)?;
    eprintln!("update key: made in {}", own.display());
    if folder.is_none() {
        eprintln!(
            "warning: cards made with it take updates that it signed, and no others. Keep a copy, or name a folder with --update-key DIR"
        );
    }
    Ok(pair)
}

fn check_mode(key: &Path) -> Result<()> {
    let mode = fs::metadata(key)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("others can read {}; run: chmod 600 {}", key.display(), key.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("update.key");
        fs::write(&key, "x").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(check_mode(&key).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        check_mode(&key).unwrap();
    }
}
