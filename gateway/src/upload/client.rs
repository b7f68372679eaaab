//! The HTTP client, made anew when its certificates change.
//!
//! A client's identity is fixed when it is made, so a new one takes its place; requests under way end with the old one. Files are compared
//! by content: two writes within one tick of the file system's clock are seen as well.
//!
//! An answer tells the time. A collector whose certificate was accepted only because nobody knew the time is judged by its own; if it fails, its
//! answer is not used, and neither is its connection again.
//!
//! Invariant: a client that could be made is only ever replaced by another that could be made.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::codec;

use super::{
    Answer, BATCH_TYPE,
    answer::{self, chain},
};
use crate::{clock::Clock, config, pki};

/// The files are read at most so often.
const INTERVAL: Duration = Duration::from_millis(500);

/// Certificate, key and CA, as far as they are there.
type Files = [Option<Vec<u8>>; 3];

pub(super) struct Client {
    collector: config::Collector,
    url: String,
    clock: Arc<Clock>,
    current: Option<Current>,
    looked_at: Option<Instant>,
    trouble: String,
}

struct Current {
    http: reqwest::Client,
    made_of: Files,
    /// `None` without TLS.
    verifier: Option<Arc<pki::Verifier>>,
}

impl Client {
    pub(super) fn new(collector: config::Collector, clock: Arc<Clock>) -> Self {
        let url = format!("{}/v1/batches", collector.url.trim_end_matches('/'));
        Self { collector, url, clock, current: None, looked_at: None, trouble: String::new() }
    }

    /// Makes the client, anew if its files have changed. True if there is a new one.
    ///
    /// # Errors
    /// Why the files that are there now can't be used; [`Client::is_usable`] tells whether an earlier client still is.
    pub(super) fn refresh(&mut self) -> Result<bool, String> {
        if self.looked_at.is_some_and(|at| at.elapsed() < INTERVAL) {
            return if self.trouble.is_empty() { Ok(false) } else { Err(self.trouble.clone()) };
        }
        self.looked_at = Some(Instant::now());
        let files = [&self.collector.certificate, &self.collector.key, &self.collector.ca].map(|path| fs::read(path).ok());
        self.trouble.clear();
        if self.current.as_ref().is_some_and(|current| current.made_of == files) {
            return Ok(false);
        }
        match make(&self.collector, &self.clock, files) {
            Ok(client) => {
                if self.current.is_some() {
                    tracing::info!("the certificates have changed; uploading with the new ones");
                }
                self.current = Some(client);
                Ok(true)
            }
            Err(trouble) => {
                self.trouble.clone_from(&trouble);
                Err(trouble)
            }
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.current.is_some()
    }

    /// Posts a batch and reads the answer.
    pub(super) async fn exchange(&mut self, body: Vec<u8>) -> Answer {
        let Some(Current { http, verifier, .. }) = &self.current else { return Answer::Wait { reason: "no client".into(), after: None } };
        let asked = Instant::now();
        let request = http.post(&self.url).header(reqwest::header::CONTENT_TYPE, BATCH_TYPE).body(body);
        let answer = answer::read(request.send().await, codec::decode_ack).await;
        if let (Answer::Ack(ack), Some(verifier)) = (&answer, verifier)
            && let Err(error) = verifier.learn(ack.received_at, asked.elapsed())
        {
            self.reconnect();
            let reason = format!("the collector's certificate is not valid at its own time: {}", chain(&error));
            return Answer::Wait { reason, after: None };
        }
        answer
    }

    /// A new client of the same files, without the connections of the old one.
    fn reconnect(&mut self) {
        let Some(Current { made_of, .. }) = self.current.take() else { return };
        self.current = make(&self.collector, &self.clock, made_of).ok();
    }
}

fn make(collector: &config::Collector, clock: &Arc<Clock>, made_of: Files) -> Result<Current, String> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10).min(collector.timeout))
        .timeout(collector.timeout)
        .pool_idle_timeout(Duration::from_secs(90));
    let mut verifier = None;
    if collector.url.starts_with("https:") {
        let (tls, judge) = pki::uplink(collector, clock).map_err(|error| chain(&error))?;
        builder = builder.tls_backend_preconfigured(tls);
        verifier = Some(judge);
    }
    let http = builder.build().map_err(|error| chain(&error))?;
    Ok(Current { http, made_of, verifier })
}
