//! The certificate of `--dev-tls`: a certification authority of this machine's own, and a server
//! certificate from it for `localhost`.
//!
//! The authority is there to be trusted by a developer's tools, so what it could be abused for is
//! kept small: the only name that it may sign for is `localhost`, and its key stays in a file of the
//! owner's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire_proto::token::UnixSeconds;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

use super::{Identity, IdentityError, validity};

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
}

/// The present, from the system's clock.
pub(crate) fn now() -> UnixSeconds {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixSeconds(0).plus(since)
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
    if !is_current(&files.authority(), now)? {
        create(files, now)?;
    } else {
        renew(files, now)?;
    }
    usable(files, now)?.ok_or_else(|| failed(&files.server(), "cannot be renewed"))
}

/// The identity in the files, if they exist and are good for some time.
fn usable(
    files: &DevelopmentFiles,
    now: UnixSeconds,
) -> Result<Option<Identity>, DevelopmentError> {
    if !is_current(&files.authority(), now)? {
        return Ok(None);
    }
    let path = files.server();
    let Some(pem) = read(&path)? else {
        return Ok(None);
    };
    let identity = Identity::from_pem(pem.as_bytes(), pem.as_bytes())
        .map_err(|error: IdentityError| failed(&path, error))?;
    let current = identity.expires_at().is_some_and(|end| lasts(end, now));
    Ok(current.then_some(identity))
}

/// Whether `path` holds a certificate that is good for some time; `false` if it does not exist.
fn is_current(path: &Path, now: UnixSeconds) -> Result<bool, DevelopmentError> {
    let Some(pem) = read(path)? else {
        return Ok(false);
    };
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| failed(path, format!("is no certificate: {error}")))?;
    Ok(validity::not_after(&certificate).is_some_and(|end| lasts(end, now)))
}

fn lasts(end: UnixSeconds, now: UnixSeconds) -> bool {
    end > now.plus(RENEWAL)
}

/// Makes a folder beside its place and moves it there, so that of two processes that start together
/// both use the one that came first. A folder that is there already has expired.
fn create(files: &DevelopmentFiles, now: UnixSeconds) -> Result<(), DevelopmentError> {
    let folder = &files.folder;
    if folder.exists() {
        return fill(files, now);
    }
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
    let beside = DevelopmentFiles::new(unused_name(folder)?);
    create_folder(&beside.folder).map_err(|error| failed(&beside.folder, error))?;
    let moved = fill(&beside, now)
        .and_then(|()| fs::rename(&beside.folder, folder).map_err(|error| failed(folder, error)));
    if moved.is_err() {
        let _ = fs::remove_dir_all(&beside.folder);
        if usable(files, now)?.is_some() {
            return Ok(());
        }
    }
    moved
}

fn fill(files: &DevelopmentFiles, now: UnixSeconds) -> Result<(), DevelopmentError> {
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
    let since = Duration::from_secs(u64::try_from(now.0).unwrap_or_default());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since.saturating_sub(BACKDATED);
    params.not_after = epoch + since + lifetime;
}

fn unused_name(folder: &Path) -> Result<PathBuf, DevelopmentError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| failed(folder, error))?;
    Ok(folder.with_added_extension(format!("{:016x}", u64::from_ne_bytes(random))))
}

fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn read(path: &Path) -> Result<Option<String>, DevelopmentError> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(MOST_FILE_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// Puts a file that only its owner may read in place of `path`, all at once.
fn write(path: &Path, text: &str) -> Result<(), DevelopmentError> {
    let beside = unused_name(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| {
            let _ = fs::remove_file(&beside);
            failed(path, error)
        })
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
    use super::*;

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
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| prepare(&files, now()).unwrap());
            }
        });
        assert!(usable(&files, now()).unwrap().is_some());
        let left: Vec<_> = fs::read_dir(folder.path().join("data")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        prepare(&files, now()).unwrap();
        fs::write(files.server(), "nothing").unwrap();
        let error = prepare(&files, now()).unwrap_err().to_string();
        assert!(
            error.contains("server.pem: holds no certificate"),
            "{error}"
        );
    }
}
