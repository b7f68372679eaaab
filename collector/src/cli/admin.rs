//! `token`, `key`, `gateway`: work on the database, whether a server runs or not; it sees changes at once.

use std::time::Duration;

use protocol::{GatewayId, Timestamp};

use super::{CommandError, GatewayCommand, KeyCommand, say};
use crate::{
    auth, clock,
    config::Config,
    enroll, local,
    pki::Pki,
    store::{Store, StoreError},
};

const MAX_KEY_NAME: usize = 64;

pub(super) async fn create_token(config: &Config, gateway: &GatewayId, ttl: Duration) -> Result<(), CommandError> {
    if local::is_local(gateway) {
        return Err(CommandError::Usage(format!("{gateway:?} is the name of what comes by the API: choose another")));
    }
    let pki = Pki::open(&config.in_data_dir("pki"))?;
    let store = open(config).await?;
    let token = enroll::create_token(&store, &pki, &config.uplink.advertise, gateway, ttl).await?;
    store.close().await;
    say(&token)
}

pub(super) async fn keys(config: &Config, command: KeyCommand) -> Result<(), CommandError> {
    let store = open(config).await?;
    match command {
        KeyCommand::Create { name, role } => {
            if name.is_empty() || name.len() > MAX_KEY_NAME || name.chars().any(char::is_control) {
                return Err(CommandError::Usage(format!("a name has 1 to {MAX_KEY_NAME} printable characters")));
            }
            let key = auth::new_key();
            match store.insert_key(&name, role, &auth::hash(&key), clock::now()).await {
                Err(StoreError::NameTaken(_)) => {
                    return Err(CommandError::Usage(format!("there is a key of the name {name:?} (revoked ones count): choose another")));
                }
                done => done?,
            }
            say("This key is shown once:")?;
            say(&format!("{role} key: {key}"))?;
        }
        KeyCommand::Ls => {
            say(&format!("{:<32} {:<9} {:<21} revoked", "name", "role", "created"))?;
            for key in store.keys().await? {
                let revoked = key.revoked_at.map_or_else(|| "-".into(), time);
                say(&format!("{:<32} {:<9} {:<21} {revoked}", key.name, key.role.as_str(), time(key.created_at)))?;
            }
        }
        KeyCommand::Revoke { name } => {
            if !store.revoke_key(&name, clock::now()).await? {
                return Err(CommandError::Refused(format!("there is no key {name:?} that is not revoked")));
            }
            say(&format!("revoked {name}"))?;
        }
    }
    store.close().await;
    Ok(())
}

pub(super) async fn gateways(config: &Config, command: GatewayCommand) -> Result<(), CommandError> {
    let store = open(config).await?;
    match command {
        GatewayCommand::Ls => {
            say(&format!("{:<32} {:<21} {:<21} revoked", "gateway", "enrolled", "last seen"))?;
            for row in store.gateways().await? {
                let or_none = |at: Option<Timestamp>| at.map_or_else(|| "-".into(), time);
                let gateway = row.gateway.as_str();
                say(&format!("{gateway:<32} {:<21} {:<21} {}", time(row.enrolled_at), or_none(row.last_seen), or_none(row.revoked_at)))?;
            }
        }
        GatewayCommand::Revoke { gateway } => {
            if !store.revoke_gateway(&gateway, clock::now()).await? {
                return Err(CommandError::Refused(format!("there is no gateway {gateway} that is not revoked")));
            }
            say(&format!("revoked {gateway}"))?;
        }
    }
    store.close().await;
    Ok(())
}

async fn open(config: &Config) -> Result<Store, CommandError> {
    let path = config.in_data_dir("collector.db");
    // Without this a mistyped data_dir would get a database of its own.
    if !path.exists() {
        return Err(crate::app::StartError::NotInitialised { path: config.data_dir.clone() }.into());
    }
    Ok(Store::open(&path).await?)
}

/// To the second, UTC.
fn time(at: Timestamp) -> String {
    let second = at.as_micros().div_euclid(1_000_000);
    jiff::Timestamp::from_second(second).map_or_else(|_| at.as_micros().to_string(), |time| time.to_string())
}
