//! The demo's own certificate authority. It can vouch for this machine's loopback names only (name
//! constraints, RFC 5280 §4.2.1.10), so trusting it costs nothing elsewhere. Files are reused while
//! they last and renewed before they end; keys are readable by their owner only.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use domain::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use time::OffsetDateTime;

use crate::tls::TlsFiles;

/// The names of the server certificate.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const DAY: i64 = 86_400;
const CA_DAYS: i64 = 3_650;
const SERVER_DAYS: i64 = 90;
/// Renewed when it would end within so many days.
const RENEW_DAYS: i64 = 30;
/// The line above a certificate that says when it ends, in seconds since the epoch.
const ENDS: &str = "# ends ";

/// Why the demo's certificates cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be written or read.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A certificate or key cannot be made, or an old one not be read.
    #[error("a certificate could not be made")]
    Make,
}

/// The demo's certificates.
#[derive(Clone, Debug)]
pub struct DemoPki {
    /// The certificate authority to trust, PEM.
    pub ca: PathBuf,
    /// The server's certificate and key.
    pub server: TlsFiles,
}

impl DemoPki {
    /// Makes, reuses or renews the files in a directory, which must exist.
    ///
    /// # Errors
    /// [`PkiError`] if a file cannot be written, or an old one is damaged.
    pub fn prepare(dir: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let (ca, ca_key) = (dir.join("ca.pem"), dir.join("ca.key"));
        let server = TlsFiles { certificate: dir.join("server.pem"), key: dir.join("server.key") };
        let ca_fits = fits(&ca, &ca_key, now);
        if !ca_fits {
            make_ca(&ca, &ca_key, now)?;
        }
        if !ca_fits || !fits(&server.certificate, &server.key, now) {
            make_server(&ca_key, &server, now)?;
        }
        Ok(Self { ca, server })
    }
}

/// Whether both files are there and the certificate lasts for a while.
fn fits(certificate: &Path, key: &Path, now: Timestamp) -> bool {
    let Ok(text) = fs::read_to_string(certificate) else { return false };
    let ends = text.lines().next().and_then(|line| line.strip_prefix(ENDS)?.parse().ok());
    key.exists() && ends.is_some_and(|ends: i64| now.secs() + RENEW_DAYS * DAY < ends)
}

fn make_ca(certificate: &Path, key_file: &Path, now: Timestamp) -> Result<(), PkiError> {
    let key = KeyPair::generate().map_err(|_| PkiError::Make)?;
    let (params, ends) = authority(now)?;
    let made = params.self_signed(&key).map_err(|_| PkiError::Make)?;
    // The key first: a certificate without its key would be taken for one that fits.
    write(key_file, &key.serialize_pem(), 0o600)?;
    write(certificate, &format!("{ENDS}{ends}\n{}", made.pem()), 0o644)
}

/// What the authority is; its name and key are all that its certificates refer to.
fn authority(now: Timestamp) -> Result<(CertificateParams, i64), PkiError> {
    let (mut params, ends) = lasting(Vec::new(), CA_DAYS, now)?;
    params.distinguished_name.push(DnType::CommonName, "Phiward demo (this machine only)");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let loopback6 = std::net::Ipv6Addr::LOCALHOST.octets();
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(loopback6, 128)),
        ],
        excluded_subtrees: Vec::new(),
    });
    Ok((params, ends))
}

fn make_server(ca_key: &Path, server: &TlsFiles, now: Timestamp) -> Result<(), PkiError> {
    let pem = fs::read_to_string(ca_key)
        .map_err(|source| PkiError::File { path: ca_key.into(), source })?;
    let issuer_key = KeyPair::from_pem(&pem).map_err(|_| PkiError::Make)?;
    let issuer = Issuer::new(authority(now)?.0, issuer_key);
    let key = KeyPair::generate().map_err(|_| PkiError::Make)?;
    let names = NAMES.iter().map(|name| (*name).to_owned()).collect();
    let (mut params, ends) = lasting(names, SERVER_DAYS, now)?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let made = params.signed_by(&key, &issuer).map_err(|_| PkiError::Make)?;
    write(&server.key, &key.serialize_pem(), 0o600)?;
    write(&server.certificate, &format!("{ENDS}{ends}\n{}", made.pem()), 0o644)
}

/// Parameters valid from an hour ago (clocks differ) for so many days, and the end in seconds.
fn lasting(
    names: Vec<String>,
    days: i64,
    now: Timestamp,
) -> Result<(CertificateParams, i64), PkiError> {
    let moment = |secs| OffsetDateTime::from_unix_timestamp(secs).map_err(|_| PkiError::Make);
    let ends = now.secs() + days * DAY;
    let mut params = CertificateParams::new(names).map_err(|_| PkiError::Make)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = moment(now.secs() - 3_600)?;
    params.not_after = moment(ends)?;
    Ok((params, ends))
}

/// Writes a whole file or none of it.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let fresh = path.with_extension("new");
    let attempt = || -> io::Result<()> {
        drop(fs::remove_file(&fresh));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    attempt().map_err(|source| PkiError::File { path: path.into(), source })
}
