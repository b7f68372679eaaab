//! The simulated plant from outside: over MQTT, over Modbus TCP, and as a program.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod modbus;
#[cfg(test)]
mod mqtt;
#[cfg(test)]
mod program;
#[cfg(test)]
mod truth;

use std::{future::Future, time::Duration};

/// Waits for something that is bound to happen.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("{what} did not happen in 30 s"))
}

/// Polls until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
