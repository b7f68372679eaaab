//! First contact with a collector: a one-time token in, a certificate out. The private key is made here and never leaves.
//!
//! A token `mrt1.<base64url of JSON>` holds the collector's address, the SHA-256 of its CA certificate and the one-time secret. So the
//! first contact is authenticated in both directions: the server must show a chain that ends in exactly that CA; we must know the secret.
//!
//! Invariant: nothing is written before the answer was found to fit: the certificate to our key, the name to our configuration, the CA to
//! the token.

use std::{
    fs, io,
    os::unix::{self, fs::MetadataExt as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use protocol::{GatewayId, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::{Clock, System},
    config::Config,
    pki::{self, PkiError, Trust, Verifier},
};

const PREFIX: &str = "mrt1.";
/// An answer is a certificate and a CA: a few kilobytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    #[error("this is not an enrolment token: {what}")]
    Token { what: &'static str },
    #[error("no [collector] in the configuration: nothing to enrol with")]
    NoCollector,
    #[error("this gateway is enrolled already ({certificate}); use --force to replace its key and certificate")]
    AlreadyEnrolled { certificate: String },
    #[error("could not make a key or a signing request")]
    Key(#[from] rcgen::Error),
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the collector's certificate is not valid at the collector's own time")]
    Outdated(#[source] rustls::Error),
    #[error("the collector at {url} could not be asked (a collector with another CA than the token's is refused)")]
    Transport { url: String, source: reqwest::Error },
    #[error("the collector refused: {status} {detail}")]
    Refused { status: u16, detail: String },
    #[error("the collector's answer does not fit: {what}")]
    Answer { what: String },
    #[error("could not write {path}")]
    Write { path: String, source: io::Error },
}

/// What a token holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub url: String,
    /// In hex.
    pub ca_sha256: String,
    pub secret: String,
}

impl Token {
    /// Reads a token as the collector printed it.
    ///
    /// # Errors
    /// [`EnrollError::Token`] tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EnrollError> {
        let wrong = |what| EnrollError::Token { what };
        let body = text.trim().strip_prefix(PREFIX).ok_or_else(|| wrong("it does not begin with mrt1."))?;
        let json = URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).map_err(|_| wrong("it is cut off or damaged"))?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| wrong("its content is not what a collector makes"))?;
        if !token.url.starts_with("https://") {
            return Err(wrong("its address is not https"));
        }
        token.fingerprint().map(|_| token)
    }

    fn fingerprint(&self) -> Result<[u8; 32], EnrollError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(self.ca_sha256.replace(':', ""), &mut bytes)
            .map_err(|_| EnrollError::Token { what: "its CA fingerprint is no SHA-256" })?;
        Ok(bytes)
    }
}

#[derive(Serialize)]
struct Request<'a> {
    token: &'a str,
    csr: String,
}

#[derive(Deserialize)]
struct Answer {
    certificate: String,
    ca: String,
    gateway: GatewayId,
}

/// Gets a certificate with `token` and writes key, certificate and CA where `config` says. The clock need not be right.
///
/// # Errors
/// [`EnrollError`]; the files are as they were.
pub async fn enroll(config: &Config, token: &str, force: bool) -> Result<GatewayId, EnrollError> {
    enroll_by(System::machine(), config, token, force).await
}

/// The same with the clocks of `system`.
///
/// # Errors
/// [`EnrollError`]; the files are as they were.
pub async fn enroll_by(system: System, config: &Config, token: &str, force: bool) -> Result<GatewayId, EnrollError> {
    let token = Token::parse(token)?;
    let collector = config.collector.as_ref().ok_or(EnrollError::NoCollector)?;
    if collector.certificate.exists() && !force {
        return Err(EnrollError::AlreadyEnrolled { certificate: collector.certificate.display().to_string() });
    }
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, config.gateway.as_str());
    params.distinguished_name.push(DnType::OrganizationName, "Millrace");
    let csr = params.serialize_request(&key)?.pem()?;

    let clock = Arc::new(Clock::open(&config.data_dir, rand::random(), None, system));
    let answer = ask(&token, csr, &clock).await?;
    check(config, &token, &answer, &key)?;

    let write = |path: &Path, content: &str| {
        let failed = |source| EnrollError::Write { path: path.display().to_string(), source };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        pki::write_private(path, content.as_bytes()).map_err(failed)?;
        hand_over(path, &config.data_dir).map_err(failed)
    };
    write(&collector.key, &key.serialize_pem())?;
    write(&collector.ca, &answer.ca)?;
    // Last: with it the gateway counts as enrolled.
    write(&collector.certificate, &answer.certificate)?;
    Ok(answer.gateway)
}

/// Gives `path` and its folder to whom the data folder belongs: the running gateway, a user of its own, could not read what root wrote.
fn hand_over(path: &Path, data_dir: &Path) -> io::Result<()> {
    let Ok(owner) = fs::metadata(data_dir) else { return Ok(()) };
    // A folder elsewhere, as /etc/millrace, is shared with others.
    let folder = path.parent().filter(|folder| *folder != data_dir && folder.starts_with(data_dir));
    for path in folder.into_iter().chain([path]) {
        let is = fs::symlink_metadata(path)?;
        if (is.uid(), is.gid()) != (owner.uid(), owner.gid()) {
            unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

async fn ask(token: &Token, csr: String, clock: &Arc<Clock>) -> Result<Answer, EnrollError> {
    let (builder, verifier) = pki::client(Trust::Pinned(token.fingerprint()?), clock)?;
    let tls = builder.with_no_client_auth();
    let url = format!("{}/v1/enroll", token.url.trim_end_matches('/'));
    let transport = |source| EnrollError::Transport { url: url.clone(), source };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .build()
        .map_err(transport)?;
    let request = Request { token: &token.secret, csr };
    let asked = Instant::now();
    let mut response = client.post(&url).json(&request).send().await.map_err(transport)?;
    learn(&verifier, &response, asked.elapsed())?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(EnrollError::Answer { what: "it is too long".into() });
        }
    }
    if !status.is_success() {
        return Err(EnrollError::Refused { status: status.as_u16(), detail: crate::upload::problem_text(&body) });
    }
    serde_json::from_slice(&body).map_err(|error| EnrollError::Answer { what: error.to_string() })
}

/// Takes the time from the answer's `Date`, if it has one.
fn learn(verifier: &Verifier, response: &reqwest::Response, round_trip: Duration) -> Result<(), EnrollError> {
    let date = response.headers().get(reqwest::header::DATE).and_then(|value| value.to_str().ok());
    let Some(date) = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else { return Ok(()) };
    verifier.learn(Timestamp::from_micros(date.timestamp().as_microsecond()), round_trip).map_err(EnrollError::Outdated)
}

fn check(config: &Config, token: &Token, answer: &Answer, key: &KeyPair) -> Result<(), EnrollError> {
    let misfit = |what: String| EnrollError::Answer { what };
    if answer.gateway != config.gateway {
        return Err(misfit(format!("the token is for gateway {:?}, the configuration names {:?}", answer.gateway, config.gateway)));
    }
    let ca = CertificateDer::from_pem_slice(answer.ca.as_bytes()).map_err(|_| misfit("its CA is no certificate".into()))?;
    if Sha256::digest(&ca)[..] != token.fingerprint()? {
        return Err(misfit("its CA is not the one that the token names".into()));
    }
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(answer.certificate.as_bytes()).collect();
    let chain = chain.map_err(|_| misfit("its certificate can't be read".into()))?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|what| misfit(what.into()))?;
    // Refuses a certificate that was made for another key.
    ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn a_token_is_read_as_the_collector_prints_it() {
        let json = format!(r#"{{"url":"https://127.0.0.1:8443","ca_sha256":"{}","secret":"s"}}"#, "ab".repeat(32));
        let token = Token::parse(&format!(" {}\n", text(&json))).unwrap();
        assert_eq!((token.url.as_str(), token.secret.as_str()), ("https://127.0.0.1:8443", "s"));
    }

    #[test]
    fn what_root_writes_belongs_to_the_owner_of_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("pki"), dir.path().join("pki/gateway.key"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "key").unwrap();
        // Only root can give a folder away; others have nothing to hand over.
        let is_given = unix::fs::chown(dir.path(), Some(1234), Some(1234)).is_ok();
        hand_over(&file, dir.path()).unwrap();
        let owner = fs::metadata(dir.path()).unwrap();
        for path in [&folder, &file] {
            let is = fs::metadata(path).unwrap();
            assert_eq!((is.uid(), is.gid()), (owner.uid(), owner.gid()), "{}, given away: {is_given}", path.display());
        }
    }

    #[test]
    fn a_damaged_token_is_refused_with_what_is_wrong() {
        let plain = format!(r#"{{"url":"http://127.0.0.1","ca_sha256":"{}","secret":"s"}}"#, "ab".repeat(32));
        for (token, expected) in [
            ("hello".to_owned(), "mrt1."),
            ("mrt1.%%%".to_owned(), "damaged"),
            (text("{}"), "content"),
            (text(&plain), "https"),
            (text(r#"{"url":"https://x","ca_sha256":"abcd","secret":"s"}"#), "SHA-256"),
        ] {
            let error = Token::parse(&token).unwrap_err().to_string();
            assert!(error.contains(expected), "{token}: {error}");
        }
    }
}
