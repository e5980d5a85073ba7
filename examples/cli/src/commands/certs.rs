//! `certs`: a small authority in a folder, and the certificates that it gives.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clusterkit::net::{CertificateName, Role};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use crate::args::{CertsCommand, IssueArgs};
use crate::error::{CliError, Result};
use crate::output::Out;

const CA_CERT_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";
/// The file with the name of the cluster, which is a part of every certificate.
const CLUSTER_FILE: &str = "cluster-name";
/// How much earlier than now a certificate is valid: clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);
/// The hosts of a node's certificate where none is given.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const MAX_NAME_LEN: usize = 255;

/// Makes what the command line says.
pub(crate) fn run(command: &CertsCommand, out: &mut Out) -> Result<()> {
    match command {
        CertsCommand::Init {
            cluster_name,
            folder,
            days,
        } => init(cluster_name, &folder.dir, *days, out),
        CertsCommand::Node { issue, hosts } => make(Role::Peer, issue, hosts, out),
        CertsCommand::Operate { issue } => make(Role::Operate, issue, &[], out),
        CertsCommand::Read { issue } => make(Role::Read, issue, &[], out),
    }
}

fn init(cluster: &str, dir: &Path, days: u32, out: &mut Out) -> Result<()> {
    // The key of the authority is in it.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| CliError::io(dir.display(), &error))?;
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = authority(cluster);
    set_validity(&mut params, days)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let files = NewFiles::create(
        dir,
        &[
            (CA_KEY_FILE, &key.serialize_pem(), 0o600),
            (CA_CERT_FILE, &certificate.pem(), 0o644),
            (CLUSTER_FILE, &format!("{cluster}\n"), 0o644),
        ],
    )?;
    files.answer(out)
}

/// The authority of a cluster, as it is in its certificate, without the times.
fn authority(cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = format!("ClusterKit authority of {cluster}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn make(role: Role, args: &IssueArgs, hosts: &[String], out: &mut Out) -> Result<()> {
    let (name, dir) = (&args.name, &args.folder.dir);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if name.is_empty() || name.len() > MAX_NAME_LEN || !name.bytes().all(is_allowed) {
        return Err(CliError::Usage(format!(
            "{name:?} is no name: it has at most {MAX_NAME_LEN} of A-Z a-z 0-9 . _ : -"
        )));
    }
    let read = |file: &str| {
        std::fs::read_to_string(dir.join(file)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => CliError::Usage(format!(
                "{} is missing: make the authority first, by `clusterkit certs init --dir {}`",
                dir.join(file).display(),
                dir.display()
            )),
            _ => CliError::io(dir.join(file).display(), &error),
        })
    };
    let cluster = read(CLUSTER_FILE)?.trim_end_matches('\n').to_owned();
    // The certificate itself is not read: the name and the key of the authority are all that is needed of it.
    let ca_key = KeyPair::from_pem(&read(CA_KEY_FILE)?).map_err(failed)?;
    let issuer = Issuer::new(authority(&cluster), ca_key);

    let hosts: Vec<String> = match role {
        Role::Peer if hosts.is_empty() => LOCAL_HOSTS.map(str::to_owned).into(),
        _ => hosts.to_vec(),
    };
    let mut params = CertificateParams::new(hosts).map_err(|error| CliError::Usage(error.to_string()))?;
    let uri = CertificateName {
        cluster,
        role,
        name: name.clone(),
    };
    let uri = uri.to_string().try_into().map_err(failed)?;
    params.subject_alt_names.push(SanType::URI(uri));
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if role == Role::Peer {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, args.days)?;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    let stem = match role {
        Role::Peer => name.clone(),
        _ => format!("{}-{name}", role.name()),
    };
    let (cert_file, key_file) = (format!("{stem}.pem"), format!("{stem}.key"));
    let files = NewFiles::create(
        dir,
        &[
            (&key_file, &key.serialize_pem(), 0o600),
            (&cert_file, &certificate.pem(), 0o644),
        ],
    )?;
    files.answer(out)
}

fn set_validity(params: &mut CertificateParams, days: u32) -> Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now =
        now.map_err(|_| CliError::failed(clusterkit::ErrorCode::Internal, "the clock is before 1970"))?;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CLOCK_TOLERANCE);
    params.not_after = epoch + now + Duration::from_secs(u64::from(days) * 86_400);
    Ok(())
}

/// An error of what makes certificates.
fn failed(error: rcgen::Error) -> CliError {
    CliError::failed(clusterkit::ErrorCode::Internal, error.to_string())
}

/// Files that were made, all of them or none.
#[derive(Debug, Default)]
struct NewFiles(Vec<PathBuf>);

impl NewFiles {
    /// Makes files of these names, contents and modes. None of them may be there.
    fn create(dir: &Path, files: &[(&str, &str, u32)]) -> Result<Self> {
        let mut made = NewFiles::default();
        for (name, content, mode) in files {
            let path = dir.join(name);
            if let Err(error) = made.write(&path, content, *mode) {
                made.remove();
                return Err(match error.kind() {
                    ErrorKind::AlreadyExists => CliError::failed(
                        clusterkit::ErrorCode::AlreadyExists,
                        format!("{} is there already, and nothing is overwritten", path.display()),
                    ),
                    _ => CliError::io(path.display(), &error),
                });
            }
        }
        Ok(made)
    }

    fn write(&mut self, path: &Path, content: &str, mode: u32) -> std::io::Result<()> {
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        self.0.push(path.to_owned());
        file.write_all(content.as_bytes())?;
        file.sync_all()
    }

    fn remove(&self) {
        for path in &self.0 {
            // What is left is not overwritten later, and the error says where.
            drop(std::fs::remove_file(path));
        }
    }

    fn answer(&self, out: &mut Out) -> Result<()> {
        let files: Vec<String> = self.0.iter().map(|path| path.display().to_string()).collect();
        out.answer(&json!({ "files": files }), &files.join("\n"))
    }
}
