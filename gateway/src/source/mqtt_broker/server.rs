//! The broker's listeners, each on a thread and runtime of its own, which can be stopped and held back: rumqttd's own can't.

use std::{
    collections::HashMap,
    future::Future,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rumqttd::ServerSettings;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::BrokerError;
use crate::{config, source::Feed};

/// A listener is up within this.
const LISTENING: Duration = Duration::from_secs(5);

/// A running listener with all its connections.
pub(super) struct Server {
    stop: Arc<Notify>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Closes the listener and every connection; when it returns, no more acknowledgement leaves the process.
    pub(super) fn stop(self) {
        self.stop.notify_one();
        let _ = self.thread.join();
    }
}

/// Picks a free port if `address` leaves it open, and reports an address that cannot be had (rumqttd would only log it).
pub(super) fn resolve(address: SocketAddr) -> Result<SocketAddr, BrokerError> {
    let probe = TcpListener::bind(address).and_then(|listener| listener.local_addr());
    probe.map_err(|source| BrokerError::Listen { listen: address, source })
}

/// Starts a listener. `serve` runs rumqttd's server for as long as it may: a closure, because the type of the router's sender, which the
/// server needs, cannot be named outside rumqttd.
pub(super) fn spawn<S, F>(settings: ServerSettings, serve: S, feed: &Feed) -> Result<Server, BrokerError>
where
    S: FnOnce(ServerSettings) -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| BrokerError::Thread { what: "server", source })?;
    let stop = Arc::new(Notify::new());
    let (stopped, feed) = (Arc::clone(&stop), feed.clone());
    let (name, listen) = (settings.name.clone(), settings.listen);
    let body = move || {
        runtime.block_on(async {
            tokio::select! {
                () = stopped.notified() => {}
                () = serve(settings) => feed.fatal("the MQTT broker's listener ended".into()),
            }
        });
        // Connections are tasks of this runtime: they end with it, their sockets closed.
        drop(runtime);
    };
    let thread = std::thread::Builder::new().name(name).spawn(body);
    let thread = thread.map_err(|source| BrokerError::Thread { what: "server", source })?;
    await_listening(listen)?;
    Ok(Server { stop, thread })
}

/// rumqttd does not tell when it listens: a connection does.
fn await_listening(listen: SocketAddr) -> Result<(), BrokerError> {
    let deadline = Instant::now() + LISTENING;
    loop {
        let mut target = listen;
        if target.ip().is_unspecified() {
            target.set_ip(if target.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        match TcpStream::connect_timeout(&target, LISTENING) {
            Ok(_) => return Ok(()),
            Err(source) if Instant::now() >= deadline => return Err(BrokerError::Listen { listen, source }),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Who may publish. Compares digests, so that the time it takes says nothing about the password.
pub(super) struct Users(HashMap<String, [u8; 32]>);

impl Users {
    pub(super) fn new(users: &[config::User]) -> Self {
        Self(users.iter().map(|user| (user.name.clone(), digest(user.password.expose()))).collect())
    }

    pub(super) fn admit(&self, name: &str, password: &str) -> bool {
        let given = digest(password);
        self.0.get(name).is_some_and(|expected| *expected == given)
    }
}

fn digest(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listed_name_with_its_password_is_admitted() {
        let users = Users::new(&[config::User { name: "press".into(), password: config::Secret::new("s3cret") }]);
        assert!(users.admit("press", "s3cret"));
        assert!(!users.admit("press", "S3cret"));
        assert!(!users.admit("press", ""));
        assert!(!users.admit("other", "s3cret"));
    }

    #[test]
    fn an_address_in_use_is_reported_before_the_broker_starts() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = resolve(taken.local_addr().unwrap()).unwrap_err();
        assert!(matches!(error, BrokerError::Listen { .. }), "{error}");
    }
}
