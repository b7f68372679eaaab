//! `init`: the first start. Each step is done only where its result is missing, so that a second run changes nothing.

use std::{fs, path::Path};

use jiff::tz::TimeZone;

use super::{CommandError, say};
use crate::{
    auth::{self, Role},
    clock,
    config::{Config, EXAMPLE},
    pki::{self, Pki},
    store::Store,
};

const ADMIN: &str = "admin";
const DATA_DIR_LINE: &str = "data_dir = \"/var/lib/millrace-collector\"";
const TIMEZONE_LINE: &str = "timezone = \"Europe/Berlin\"                  # example";

pub(super) async fn init(path: &Path, data_dir: Option<&Path>) -> Result<(), CommandError> {
    let mut changed = false;
    if !path.exists() {
        write_config(path, data_dir)?;
        say(&format!("wrote {}", path.display()))?;
        changed = true;
    }
    let config = Config::load(path)?;
    if let Some(wanted) = data_dir
        && absolute(wanted)? != absolute(&config.data_dir)?
    {
        return Err(CommandError::Usage(format!(
            "{} says data_dir = {:?}: change it there, or leave --data-dir away",
            path.display(),
            config.data_dir
        )));
    }
    if !config.data_dir.exists() {
        say(&format!("made {}", config.data_dir.display()))?;
        changed = true;
    }
    pki::create_dir(&config.data_dir)?;
    let (pki, made) = Pki::open_or_create(&config.in_data_dir("pki"), clock::now())?;
    if made {
        say(&format!("made a certificate authority, SHA-256 {}", pki.ca_sha256()))?;
        changed = true;
    }
    let store = Store::open(&config.in_data_dir("collector.db")).await?;
    if store.keys().await?.is_empty() {
        let key = auth::new_key();
        store.insert_key(ADMIN, Role::Admin, &auth::hash(&key), clock::now()).await?;
        say("This key is shown once:")?;
        say(&format!("admin key: {key}"))?;
        changed = true;
    }
    store.close().await;
    if changed { Ok(()) } else { say(&format!("already initialised in {}: nothing changed", config.data_dir.display())) }
}

fn write_config(path: &Path, data_dir: Option<&Path>) -> Result<(), CommandError> {
    let data_dir = data_dir.map(absolute).transpose()?;
    let mut text = EXAMPLE.to_owned();
    if let Some(data_dir) = data_dir {
        let data_dir = data_dir.to_str().ok_or_else(|| CommandError::Usage("the data directory's name must be UTF-8".into()))?;
        // A TOML basic string escapes as JSON does.
        text = text.replace(DATA_DIR_LINE, &format!("data_dir = {}", serde_json::Value::from(data_dir)));
    }
    let zone = TimeZone::system();
    text = text.replace(TIMEZONE_LINE, &format!("timezone = {:?}", zone.iana_name().unwrap_or("UTC")));
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)
    };
    write().map_err(|source| CommandError::File { path: path.into(), source })
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, CommandError> {
    std::path::absolute(path).map_err(|source| CommandError::File { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_init_replaces_stands_in_the_example() {
        assert!(EXAMPLE.contains(DATA_DIR_LINE));
        assert!(EXAMPLE.contains(TIMEZONE_LINE));
    }
}
