//! Keys and certificates on disk, and the TLS set-ups made of them.
//!
//! Invariant: a private key is only ever in a file that its owner alone can read, and such a file is complete or not there.
//!
//! Servers are judged by [`Verifier`], which works without a clock that is right. While the time is not known, only what has surely passed counts
//! against a certificate (the floor of known time); and one that is "not valid yet" but signed by a CA that is trusted shows that its beginning
//! has passed. What was accepted like this is judged again as soon as the server has told the time.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use protocol::Timestamp;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WantsClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
    time_provider::TimeProvider,
};
use sha2::{Digest as _, Sha256};

use crate::{clock::Clock, config};

/// Certificates of a chain that may each move the time at which it is judged.
const MAX_CHAIN: usize = 8;

/// What is wrong with a key or certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{path} is not there: run `millrace-gateway enroll --token …` with a token of the collector")]
    NotEnrolled { path: PathBuf },
    #[error("cannot use {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} holds no PEM that can be read")]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{path} holds no certificate")]
    Empty { path: PathBuf },
    #[error("TLS does not take these certificates")]
    Tls(#[from] rustls::Error),
}

/// The certificates in `ca` as the only trusted ones.
///
/// # Errors
/// [`PkiError`]: the file can't be read or holds none.
pub fn roots(ca: &Path) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// Ends a TLS set-up with the identity in two PEM files.
///
/// # Errors
/// [`PkiError`]: a file can't be read, or key and certificate do not belong together.
pub fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &Path,
    key: &Path,
) -> Result<ClientConfig, PkiError> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|source| PkiError::Pem { path: key.into(), source })?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

/// The beginning of a TLS set-up that judges servers by `trust` and `clock`, and the judge.
///
/// # Errors
/// [`PkiError::Tls`]: the provider offers no protocol version.
pub fn client(trust: Trust, clock: &Arc<Clock>) -> Result<(ConfigBuilder<ClientConfig, WantsClientCert>, Arc<Verifier>), PkiError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Verifier { trust, clock: Arc::clone(clock), provider: Arc::clone(&provider), on_credit: Mutex::new(None) });
    let builder = ClientConfig::builder_with_details(provider, Arc::new(CertificateTime(Arc::clone(clock))))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Verifier>::clone(&verifier));
    Ok((builder, verifier))
}

/// The TLS set-up of the uplink: the collector's CA alone is trusted, and this gateway shows its certificate.
///
/// # Errors
/// [`PkiError::NotEnrolled`] as long as there is no certificate.
pub fn uplink(collector: &config::Collector, clock: &Arc<Clock>) -> Result<(ClientConfig, Arc<Verifier>), PkiError> {
    let (builder, verifier) = client(Trust::Roots(Arc::new(roots(&collector.ca)?)), clock)?;
    let mut config = with_identity(builder, &collector.certificate, &collector.key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, verifier))
}

/// When the uplink's files were last written: another answer means that the TLS set-up is to be made anew.
pub fn version(collector: &config::Collector) -> [Option<SystemTime>; 3] {
    [&collector.certificate, &collector.key, &collector.ca].map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

/// Writes a file of mode 0600: whole and on the disk when it returns, or not at all.
///
/// # Errors
/// What the file system said.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let fresh = directory.join(name);
    // A left-over of an interrupted write may have any mode.
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    fs::File::open(directory)?.sync_all()
}

/// Whom to trust.
#[derive(Debug, Clone)]
pub enum Trust {
    /// These CAs.
    Roots(Arc<RootCertStore>),
    /// The CA of this SHA-256, which the server must show in its chain.
    Pinned([u8; 32]),
}

/// Judges servers' certificates; see the module.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    clock: Arc<Clock>,
    provider: Arc<CryptoProvider>,
    /// The last server that was accepted while the time was not known.
    on_credit: Mutex<Option<Chain>>,
}

#[derive(Debug, Clone)]
struct Chain {
    end_entity: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

impl Verifier {
    /// The server says that it is `at`: takes that time, unless its certificate was not valid then.
    ///
    /// # Errors
    /// The certificate was accepted while the time was not known, and by the server's own time it should not have been.
    pub fn learn(&self, at: Timestamp, round_trip: Duration) -> Result<(), rustls::Error> {
        let chain = self.on_credit.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(chain) = chain {
            self.judge(&chain.end_entity, &chain.intermediates, &chain.name, &[], unix(at))?;
            *self.on_credit.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.clock.learn(at, round_trip);
        Ok(())
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        at: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = match &self.trust {
            Trust::Roots(roots) => Arc::clone(roots),
            Trust::Pinned(fingerprint) => {
                let pinned = intermediates.iter().find(|certificate| Sha256::digest(certificate)[..] == *fingerprint);
                let ca = pinned.ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                let mut roots = RootCertStore::empty();
                roots.add(ca.clone().into_owned())?;
                Arc::new(roots)
            }
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp, at)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.clock.is_known() {
            return self.judge(end_entity, intermediates, server_name, ocsp_response, now);
        }
        let mut at = now;
        for _ in 0..MAX_CHAIN {
            match self.judge(end_entity, intermediates, server_name, ocsp_response, at) {
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) if not_before > at => {
                    at = not_before;
                }
                Ok(verified) => {
                    let chain = Chain {
                        end_entity: end_entity.clone().into_owned(),
                        intermediates: intermediates.iter().map(|certificate| certificate.clone().into_owned()).collect(),
                        name: server_name.to_owned(),
                    };
                    *self.on_credit.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
                    return Ok(verified);
                }
                Err(error) => return Err(error),
            }
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYet))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The time that TLS is given.
#[derive(Debug)]
struct CertificateTime(Arc<Clock>);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix(self.0.certificate_time()))
    }
}

fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or(0)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let bytes = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|source| PkiError::Pem { path: path.into(), source })?;
    if certificates.is_empty() {
        return Err(PkiError::Empty { path: path.into() });
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, PkiError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PkiError::NotEnrolled { path: path.into() },
        _ => PkiError::File { path: path.into(), source },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_replaced_as_a_whole_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gateway.key");
        fs::write(dir.path().join("gateway.key.new"), "left over").unwrap();
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_certificate_says_what_to_do() {
        let error = roots(Path::new("/nonexistent/ca.crt")).unwrap_err().to_string();
        assert!(error.contains("enroll"), "{error}");
    }
}
