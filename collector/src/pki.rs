//! The collector's own certificate authority: it vouches for this server to gateways, and for gateways to this server.
//!
//! Files in `data_dir/pki`: `ca.crt`, `ca.key` (0600, written whole or not at all). The first certificate in `ca.crt` is the one that `ca.key`
//! signs with; more may follow, of authorities whose gateways are let in as well (the one before, while gateways change over). The server's certificate is made anew, in memory, at
//! each start and every day after: no key of it lies on disk and a changed name needs no ceremony. Gateways trust the CA, not the leaf.
//!
//! Invariant: nothing is signed but a server's own key and a CSR that proved its key; what a CSR asks for beyond its key is ignored.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use protocol::{GatewayId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use sha2::{Digest, Sha256};

const DAY_US: i64 = 86_400_000_000;
const CA_DAYS: i64 = 3_650;
const GATEWAY_DAYS: i64 = 730;
/// Ample against the daily renewal; short, as nobody can revoke it.
const SERVER_DAYS: i64 = 90;
/// Clocks of gateways lag: certificates are good from a day before they are made.
const BACKDATED_DAYS: i64 = 1;
const ORGANISATION: &str = "Millrace";

/// The open certificate authority.
pub struct Pki {
    ca_pem: String,
    /// All in `ca.crt`; the first is ours.
    trusted: Vec<CertificateDer<'static>>,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain (leaf and CA) with its key, for a TLS server.
pub struct ServerIdentity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// A gateway's new certificate.
#[derive(Debug, Clone)]
pub struct SignedCertificate {
    pub pem: String,
    /// Hex.
    pub serial: String,
    pub expires_at: Timestamp,
}

/// Why the authority can't do it.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot use {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} holds no valid certificate or key: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    /// The sender's fault.
    #[error("the certificate signing request is not valid: {0}")]
    BadRequest(rcgen::Error),
    #[error("cannot make a certificate: {0}")]
    Making(#[from] rcgen::Error),
}

impl Pki {
    /// Opens the authority in `dir`, or makes it; tells whether it was made.
    ///
    /// # Errors
    /// [`PkiError::File`] or [`PkiError::Invalid`]. An authority of which one file is missing is not made anew: its gateways would be shut out.
    pub fn open_or_create(dir: &Path, now: Timestamp) -> Result<(Self, bool), PkiError> {
        let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        if certificate.exists() || key.exists() {
            return Ok((Self::open(dir)?, false));
        }
        create_dir(dir)?;
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // A name of its own for each authority, so that two plants' roots are told apart.
        name(&mut params, &format!("Millrace CA {}", hex::encode(rand::random::<[u8; 4]>())));
        validity(&mut params, now, CA_DAYS);
        params.serial_number = Some(serial());
        let ca = params.self_signed(&pair)?;
        // The key first: with a certificate alone the next start would find half an authority and refuse it.
        write_private(&key, pair.serialize_pem().as_bytes())?;
        write_private(&certificate, ca.pem().as_bytes())?;
        Ok((Self::open(dir)?, true))
    }

    /// Opens the authority in `dir`.
    ///
    /// # Errors
    /// [`PkiError::File`] or [`PkiError::Invalid`].
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
        let read = |path: &Path| fs::read_to_string(path).map_err(|source| PkiError::File { path: path.into(), source });
        let (ca_pem, key_pem) = (read(&certificate)?, read(&key)?);
        let invalid = |path: &Path, reason: &dyn std::fmt::Display| PkiError::Invalid { path: path.into(), reason: reason.to_string() };
        let pair = KeyPair::from_pem(&key_pem).map_err(|error| invalid(&key, &error))?;
        let trusted: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca_pem.as_bytes()).collect();
        let trusted = trusted.map_err(|error| invalid(&certificate, &error))?;
        let own = trusted.first().ok_or_else(|| invalid(&certificate, &"it holds none"))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(own).map_err(|error| invalid(&certificate, &error))?;
        if *parsed.public_key().subject_public_key.data != *pair.public_key_raw() {
            return Err(invalid(&key, &"it is not the key of the first certificate in ca.crt"));
        }
        let issuer = Issuer::from_ca_cert_der(own, pair).map_err(|error| invalid(&certificate, &error))?;
        Ok(Self { ca_pem, trusted, issuer })
    }

    /// All certificates in `ca.crt`, ours first.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The CA's certificate.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.trusted[0]
    }

    /// Authorities whose gateways are let in; ours is the first.
    pub fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.trusted
    }

    /// Hex SHA-256 of the CA's certificate (DER): how a gateway knows it at its first contact.
    pub fn ca_sha256(&self) -> String {
        hex::encode(Sha256::digest(self.ca_der()))
    }

    /// A new server certificate for `names` (host names and IP addresses) and this machine.
    ///
    /// # Errors
    /// [`PkiError::Making`], for a name that can't stand in a certificate.
    pub fn server_identity(&self, names: &[String], now: Timestamp) -> Result<ServerIdentity, PkiError> {
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        for name in names {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new(all)?;
        name(&mut params, "millrace-collector");
        validity(&mut params, now, SERVER_DAYS);
        params.serial_number = Some(serial());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&pair, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        // The CA goes along: an enrolling gateway finds it in the chain by its fingerprint.
        Ok(ServerIdentity { chain: vec![leaf.der().clone(), self.ca_der().clone()], key })
    }

    /// Signs the key of a CSR (PEM) as `gateway`.
    ///
    /// # Errors
    /// [`PkiError::BadRequest`] if it does not parse or its signature is not by its key.
    pub fn sign_gateway(&self, csr_pem: &str, gateway: &GatewayId, now: Timestamp) -> Result<SignedCertificate, PkiError> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(PkiError::BadRequest)?;
        let serial = serial();
        let mut params = CertificateParams::default();
        name(&mut params, gateway.as_str());
        validity(&mut params, now, GATEWAY_DAYS);
        params.serial_number = Some(serial.clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(SignedCertificate {
            pem: certificate.pem(),
            serial: hex::encode(serial.to_bytes()),
            expires_at: midnight(now.plus_micros(GATEWAY_DAYS * DAY_US)),
        })
    }
}

/// Checks that a CSR parses and is signed by its own key.
///
/// # Errors
/// [`PkiError::BadRequest`].
pub fn check_csr(csr_pem: &str) -> Result<(), PkiError> {
    CertificateSigningRequestParams::from_pem(csr_pem).map(drop).map_err(PkiError::BadRequest)
}

/// The gateway that a client certificate names, and the certificate's serial (hex). The TLS layer has verified the certificate before.
pub fn peer_of(certificate: &CertificateDer<'_>) -> Option<(GatewayId, String)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    Some((GatewayId::new(name).ok()?, hex::encode(parsed.raw_serial())))
}

/// Makes a folder that only this user can enter.
///
/// # Errors
/// [`PkiError::File`].
pub fn create_dir(dir: &Path) -> Result<(), PkiError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let file_error = |source| PkiError::File { path: dir.into(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file_error)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(file_error)
}

/// Writes a file that only this user can read: whole and durable, or not at all.
///
/// # Errors
/// [`PkiError::File`].
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    let staged = path.with_extension("new");
    let write = || {
        // What a crash left behind.
        if staged.exists() {
            fs::remove_file(&staged)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| PkiError::File { path: path.into(), source })
}

fn name(params: &mut CertificateParams, common_name: &str) {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, ORGANISATION);
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
}

fn validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let at = |at| {
        let (year, month, day) = date(at);
        rcgen::date_time_ymd(year, month, day)
    };
    params.not_before = at(now.plus_micros(-BACKDATED_DAYS * DAY_US));
    params.not_after = at(now.plus_micros(days * DAY_US));
}

/// 128 random bits, the first two `01`: positive, and always the same length.
fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// Certificates change at midnight (UTC): rcgen takes dates without help from another crate.
fn midnight(at: Timestamp) -> Timestamp {
    Timestamp(at.as_micros().div_euclid(DAY_US) * DAY_US)
}

/// Year, month, day (UTC) of `at`; the epoch for what no calendar holds.
fn date(at: Timestamp) -> (i32, u8, u8) {
    let date = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn gateway() -> GatewayId {
        GatewayId::new("press-gw1").expect("valid")
    }

    fn csr(key: &KeyPair) -> String {
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).expect("valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        name(&mut params, "somebody-else");
        params.serialize_request(key).expect("made").pem().expect("made")
    }

    #[test]
    fn the_authority_is_made_once_and_stays_the_same() {
        let dir = tempfile::tempdir().expect("folder");
        let pki_dir = dir.path().join("pki");
        let (made, new) = Pki::open_or_create(&pki_dir, NOW).expect("made");
        let (again, new_again) = Pki::open_or_create(&pki_dir, NOW).expect("opened");
        assert!(new && !new_again);
        assert_eq!(made.ca_sha256(), again.ca_sha256());
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&pki_dir.join("ca.key")), 0o600);
        assert_eq!(mode(&pki_dir), 0o700);
    }

    #[test]
    fn half_an_authority_is_an_error_and_not_replaced() {
        let dir = tempfile::tempdir().expect("folder");
        Pki::open_or_create(dir.path(), NOW).expect("made");
        fs::remove_file(dir.path().join("ca.key")).expect("removed");
        assert!(matches!(Pki::open_or_create(dir.path(), NOW), Err(PkiError::File { .. })));
    }

    #[test]
    fn a_gateway_gets_its_own_name_for_two_years_whatever_the_request_asks() {
        let dir = tempfile::tempdir().expect("folder");
        let (pki, _) = Pki::open_or_create(dir.path(), NOW).expect("made");
        let key = KeyPair::generate().expect("made");
        let signed = pki.sign_gateway(&csr(&key), &gateway(), NOW).expect("signed");
        let der = CertificateDer::from_pem_slice(signed.pem.as_bytes()).expect("PEM");
        assert_eq!(peer_of(&der), Some((gateway(), signed.serial.clone())));
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("parses");
        assert!(!parsed.is_ca());
        assert!(parsed.subject_alternative_name().expect("parses").is_none(), "names that were asked for are not granted");
        let usage = parsed.extended_key_usage().expect("parses").expect("there").value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(parsed.validity().not_after.timestamp(), signed.expires_at.as_micros() / 1_000_000);
        assert_eq!((signed.expires_at.as_micros() - midnight(NOW).as_micros()) / DAY_US, GATEWAY_DAYS);
        let (_, ca) = x509_parser::parse_x509_certificate(pki.ca_der()).expect("parses");
        parsed.verify_signature(Some(ca.public_key())).expect("signed by the CA");
        assert!(ca.is_ca());
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let key = KeyPair::generate().expect("made");
        let text = csr(&key);
        check_csr(&text).expect("valid");
        // Flip a bit of the signature, which stands at the end.
        let mut der = rcgen::CertificateParams::default().serialize_request(&key).expect("made").der().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        let forged = format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
        assert!(matches!(check_csr(&forged), Err(PkiError::BadRequest(_))));
        assert!(matches!(check_csr("garbage"), Err(PkiError::BadRequest(_))));
    }

    #[test]
    fn the_servers_chain_holds_the_authority() {
        let dir = tempfile::tempdir().expect("folder");
        let (pki, _) = Pki::open_or_create(dir.path(), NOW).expect("made");
        let identity = pki.server_identity(&["collector.plant.example".into(), "10.0.0.5".into()], NOW).expect("made");
        assert_eq!(identity.chain.len(), 2);
        assert_eq!(hex::encode(Sha256::digest(&identity.chain[1])), pki.ca_sha256());
    }
}
