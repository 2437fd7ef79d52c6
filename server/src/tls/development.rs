//! The certificate of `--dev-tls`: a certification authority of this machine's own, and a server
//! certificate from it for `localhost`.
//!
//! The authority is there to be trusted by a developer's tools, so what it could be abused for is
//! kept small: the only name that it may sign for is `localhost`, and its key stays in a file of the
//! owner's. For addresses it may sign without restriction, as one tool or another takes no
//! certificate of an authority that restricts them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hubwire_proto::token::UnixSeconds;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use thiserror::Error;

use super::{Identity, validity};
use crate::{private_file, regular_file};

const DAY: u64 = 86_400;
/// So long that it has to be trusted once only.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(3650 * DAY);
/// Some systems take no server certificate that is good for more than 825 days.
const SERVER_LIFETIME: Duration = Duration::from_secs(365 * DAY);
/// With less than this left, a certificate is made anew.
const RENEWAL: Duration = Duration::from_secs(30 * DAY);
/// Begun so long ago, a certificate is valid on a machine whose clock is a little behind.
const BACKDATED: Duration = Duration::from_secs(DAY);

/// More than any of the files has.
const MOST_FILE_BYTES: u64 = 64 * 1024;

/// The files of a folder. The keys in them are readable for their owner only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DevelopmentFiles {
    folder: PathBuf,
}

/// Why there is no development certificate.
#[derive(Debug, Error)]
#[error("{}: {problem}", .path.display())]
pub(crate) struct DevelopmentError {
    path: PathBuf,
    problem: String,
}

impl DevelopmentFiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The certificate to trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn authority_key(&self) -> PathBuf {
        self.folder.join("ca-key.pem")
    }

    /// Certificate and key of the server in one file, so that they are replaced together.
    fn server(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    /// Locked by the process that changes the others.
    fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }
}

/// The identity in `files`, which are made if there are none, and renewed if they are about to
/// expire at `now`.
///
/// # Errors
///
/// If a file cannot be read, understood or written.
pub(crate) fn prepare(
    files: &DevelopmentFiles,
    now: UnixSeconds,
) -> Result<Identity, DevelopmentError> {
    if let Some(identity) = usable(files, now)? {
        return Ok(identity);
    }
    let folder = &files.folder;
    private_file::create_folder(folder).map_err(|error| failed(folder, error))?;
    let path = files.lock();
    // Until it is dropped, other processes wait. Whoever had to wait finds what the first one made.
    let _lock = private_file::open_lock(&path)
        .and_then(|lock| lock.lock().map(|()| lock))
        .map_err(|error| failed(&path, error))?;
    if let Some(identity) = usable(files, now)? {
        return Ok(identity);
    }
    if authority(files, now)?.is_none() {
        create(files, now)?;
    } else {
        renew(files, now)?;
    }
    let problem = "does not fit ca-key.pem, or is not valid yet; remove the folder";
    usable(files, now)?.ok_or_else(|| failed(&files.authority(), problem))
}

/// The identity in the files, if they exist, fit together and are good for some time.
fn usable(
    files: &DevelopmentFiles,
    now: UnixSeconds,
) -> Result<Option<Identity>, DevelopmentError> {
    let Some(authority) = authority(files, now)? else {
        return Ok(None);
    };
    let Some(pem) = read(&files.server())? else {
        return Ok(None);
    };
    // What cannot be used is made anew: nobody has to trust this file, unlike the authority.
    let Ok(identity) = Identity::from_pem(pem.as_bytes(), pem.as_bytes()) else {
        return Ok(None);
    };
    let current = identity.expires_at().is_some_and(|end| lasts(end, now));
    let usable = current && is_believed(&identity, authority, now);
    Ok(usable.then_some(identity))
}

/// The certificate to trust, if it exists and is good for some time.
fn authority(
    files: &DevelopmentFiles,
    now: UnixSeconds,
) -> Result<Option<CertificateDer<'static>>, DevelopmentError> {
    let path = files.authority();
    let Some(pem) = read(&path)? else {
        return Ok(None);
    };
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| failed(&path, format!("is no certificate: {error}")))?;
    let current = validity::not_after(&certificate).is_some_and(|end| lasts(end, now));
    Ok(current.then_some(certificate))
}

/// Whether a client that trusts `authority` takes the certificate of `identity` (RFC 5280 §6).
fn is_believed(identity: &Identity, authority: CertificateDer<'static>, now: UnixSeconds) -> bool {
    let mut roots = RootCertStore::empty();
    let key = identity.certified_key();
    let Ok([own, others @ ..]) = roots.add(authority).map(|()| key.cert.as_slice()) else {
        return false;
    };
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    ParsedCertificate::try_from(own).is_ok_and(|own| {
        let now = UnixTime::since_unix_epoch(since_epoch(now));
        verify_server_cert_signed_by_trust_anchor(&own, &roots, others, now, algorithms.all).is_ok()
    })
}

fn lasts(end: UnixSeconds, now: UnixSeconds) -> bool {
    end > now.plus(RENEWAL)
}

/// Makes all files anew. The certificate to trust comes last: until then nothing is usable.
fn create(files: &DevelopmentFiles, now: UnixSeconds) -> Result<(), DevelopmentError> {
    let key = KeyPair::generate().map_err(|error| failed(&files.authority_key(), error))?;
    let certificate = authority_params(now)
        .self_signed(&key)
        .map_err(|error| failed(&files.authority(), error))?;
    write(&files.authority_key(), &key.serialize_pem())?;
    renew(files, now)?;
    write(&files.authority(), &certificate.pem())
}

/// Makes a server certificate with the authority that there is.
fn renew(files: &DevelopmentFiles, now: UnixSeconds) -> Result<(), DevelopmentError> {
    let path = files.authority_key();
    let pem = read(&path)?.ok_or_else(|| failed(&path, "is missing; remove the folder"))?;
    let key = KeyPair::from_pem(&pem).map_err(|error| failed(&path, error))?;
    // What a certificate takes from its issuer is the name and the key.
    let issuer = Issuer::new(authority_params(now), key);
    let path = files.server();
    let made = KeyPair::generate().and_then(|key| {
        let certificate = server_params(now)?.signed_by(&key, &issuer)?;
        Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
    });
    write(&path, &made.map_err(|error| failed(&path, error))?)
}

fn authority_params(now: UnixSeconds) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Hubwire development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Addresses are left out: Mono takes no certificate of an authority that constrains them.
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("localhost".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    set_lifetime(&mut params, now, AUTHORITY_LIFETIME);
    params
}

fn server_params(now: UnixSeconds) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    set_lifetime(&mut params, now, SERVER_LIFETIME);
    Ok(params)
}

fn set_lifetime(params: &mut CertificateParams, now: UnixSeconds, lifetime: Duration) {
    let since = since_epoch(now);
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since.saturating_sub(BACKDATED);
    params.not_after = epoch + since + lifetime;
}

fn since_epoch(now: UnixSeconds) -> Duration {
    Duration::from_secs(u64::try_from(now.0).unwrap_or_default())
}

fn read(path: &Path) -> Result<Option<String>, DevelopmentError> {
    match regular_file::read(path, MOST_FILE_BYTES) {
        // What is not PEM is found out later, and not by its encoding.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), DevelopmentError> {
    private_file::replace(path, text).map_err(|error| failed(path, error))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "errors are passed on where they end"
)]
fn failed(path: &Path, problem: impl ToString) -> DevelopmentError {
    DevelopmentError {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::now;

    fn files(folder: &tempfile::TempDir) -> DevelopmentFiles {
        DevelopmentFiles::new(folder.path().join("data").join("dev-tls"))
    }

    fn contents(files: &DevelopmentFiles) -> [String; 2] {
        [files.authority(), files.server()].map(|path| fs::read_to_string(path).unwrap())
    }

    #[test]
    fn what_is_there_is_used_until_it_is_about_to_expire() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let start = now();
        let end = prepare(&files, start).unwrap().expires_at().unwrap();
        assert_eq!(end, start.plus(SERVER_LIFETIME));
        let made = contents(&files);
        let check = |after_days: u64, same_authority: bool, same_server: bool| {
            let before = contents(&files);
            prepare(&files, start.plus(Duration::from_secs(after_days * DAY))).unwrap();
            let after = contents(&files);
            let same = [before[0] == after[0], before[1] == after[1]];
            assert_eq!(same, [same_authority, same_server], "after {after_days}");
        };
        check(0, true, true);
        check(334, true, true);
        check(336, true, false);
        check(3621, false, false);
        assert_ne!(contents(&files), made);
    }

    #[test]
    #[cfg(unix)]
    fn keys_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        prepare(&files, now()).unwrap();
        for (path, mode) in [
            (files.folder.clone(), 0o700),
            (files.authority_key(), 0o600),
            (files.server(), 0o600),
        ] {
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
    }

    #[test]
    fn processes_that_start_together_use_one_authority() {
        let check = |before: &dyn Fn(&DevelopmentFiles)| {
            let folder = tempfile::tempdir().unwrap();
            let files = files(&folder);
            before(&files);
            let start = std::sync::Barrier::new(8);
            let identities: Vec<_> = std::thread::scope(|scope| {
                let prepare = || {
                    start.wait();
                    prepare(&files, now()).unwrap()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(prepare)).collect();
                let joined = threads.into_iter().map(|thread| thread.join());
                joined.map(Result::unwrap).collect()
            });
            let there = usable(&files, now()).unwrap().unwrap();
            for identity in identities {
                assert_eq!(identity.certified_key().cert, there.certified_key().cert);
            }
            let names = fs::read_dir(&files.folder).unwrap();
            let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, ["ca-key.pem", "ca.pem", "lock", "server.pem"]);
        };
        let long_ago = UnixSeconds(now().0 - 3650 * 86_400);
        check(&|_| {});
        check(&|files| drop(prepare(files, long_ago).unwrap()));
        check(&|files| {
            prepare(files, now()).unwrap();
            fs::remove_file(files.authority()).unwrap();
        });
    }

    #[test]
    fn a_certificate_of_another_authority_is_not_used() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [mine, other] = folders.each_ref().map(files);
        for files in [&mine, &other] {
            prepare(files, now()).unwrap();
        }
        fs::copy(other.server(), mine.server()).unwrap();
        let before = contents(&mine);
        prepare(&mine, now()).unwrap();
        let after = contents(&mine);
        assert_eq!(after[0], before[0]);
        assert_ne!(after[1], before[1]);

        fs::copy(other.server(), mine.server()).unwrap();
        fs::copy(other.authority_key(), mine.authority_key()).unwrap();
        let error = prepare(&mine, now()).unwrap_err().to_string();
        assert!(error.contains("ca.pem: does not fit ca-key.pem"), "{error}");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        prepare(&files, now()).unwrap();
        fs::write(files.authority(), "nothing").unwrap();
        let error = prepare(&files, now()).unwrap_err().to_string();
        assert!(error.contains("ca.pem: is no certificate"), "{error}");
    }

    #[test]
    fn a_damaged_certificate_of_the_server_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        prepare(&files, now()).unwrap();
        let authority = fs::read(files.authority()).unwrap();
        let whole = fs::read(files.server()).unwrap();
        for damaged in [&b""[..], b"nothing", b"\xff\xfe", &whole[..whole.len() / 2]] {
            fs::write(files.server(), damaged).unwrap();
            prepare(&files, now()).unwrap();
            assert!(fs::read(files.server()).unwrap().len() > damaged.len());
            assert_eq!(fs::read(files.authority()).unwrap(), authority);
        }
    }
}
