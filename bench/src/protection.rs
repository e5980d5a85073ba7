//! What protects a cluster that is measured: nothing, a secret, TLS, or both.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};

use crate::Outcome;

/// The secret of the clusters that are measured.
const SECRET: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
/// The name that every option has by default.
const CLUSTER: &str = "clusterkit-cluster";

/// How the members of a cluster prove themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Protection {
    #[default]
    None,
    Secret,
    Tls,
    Both,
}

impl Protection {
    pub(crate) const ALL: [Protection; 4] = [
        Protection::None,
        Protection::Secret,
        Protection::Tls,
        Protection::Both,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Protection::None => "none",
            Protection::Secret => "secret",
            Protection::Tls => "TLS",
            Protection::Both => "secret and TLS",
        }
    }

    fn has_secret(self) -> bool {
        matches!(self, Protection::Secret | Protection::Both)
    }

    fn has_tls(self) -> bool {
        matches!(self, Protection::Tls | Protection::Both)
    }
}

/// What hands each node of a cluster its secret and its certificate.
pub(crate) struct Authority {
    protection: Protection,
    folder: PathBuf,
    issuer: Option<Issuer<'static, KeyPair>>,
}

impl Authority {
    /// One whose files are in this folder.
    pub(crate) fn new(protection: Protection, folder: &Path) -> Outcome<Self> {
        let issuer = match protection.has_tls() {
            false => None,
            true => {
                let mut params = CertificateParams::default();
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages.push(KeyUsagePurpose::KeyCertSign);
                let key = KeyPair::generate()?;
                std::fs::write(folder.join("ca.pem"), params.self_signed(&key)?.pem())?;
                Some(Issuer::new(params, key))
            }
        };
        Ok(Authority {
            protection,
            folder: folder.to_owned(),
            issuer,
        })
    }

    /// The options of a node, by their names.
    pub(crate) fn options_of(&self, node: &str) -> Outcome<Vec<(&'static str, String)>> {
        let mut options = Vec::new();
        if self.protection.has_secret() {
            options.push(("cluster_secret", SECRET.to_owned()));
        }
        if let Some(issuer) = &self.issuer {
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()])?;
            let uri = format!("clusterkit://{CLUSTER}/peer/{node}");
            params.subject_alt_names.push(SanType::URI(uri.try_into()?));
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, issuer)?.pem();
            for (option, file, content) in [
                ("tls.cert", format!("{node}.pem"), certificate),
                ("tls.key", format!("{node}.key"), key.serialize_pem()),
            ] {
                let path = self.folder.join(file);
                std::fs::write(&path, content)?;
                options.push((option, path.display().to_string()));
            }
            options.push(("tls.ca", self.folder.join("ca.pem").display().to_string()));
        }
        Ok(options)
    }
}
