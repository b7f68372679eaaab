//! Keys and certificates on disk, and the TLS set-ups made of them.
//!
//! Invariant: a private key is only ever in a file that its owner alone can read, and such a file is complete or not there.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

use crate::config;

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

/// The TLS set-up of the uplink: the collector's CA alone is trusted, and this gateway shows its certificate.
///
/// # Errors
/// [`PkiError::NotEnrolled`] as long as there is no certificate.
pub fn uplink(collector: &config::Collector) -> Result<ClientConfig, PkiError> {
    let builder = ClientConfig::builder().with_root_certificates(roots(&collector.ca)?);
    let mut config = with_identity(builder, &collector.certificate, &collector.key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
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
