//! Certificates for tests, each made when it is needed.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::TlsPem;

/// An authority.
pub(crate) struct TestCa {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What is in a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestCertificate<'a> {
    pub(crate) uris: &'a [&'a str],
    pub(crate) hosts: &'a [&'a str],
    /// From when until when it is valid, in seconds from now.
    pub(crate) valid: (i64, i64),
}

impl Default for TestCertificate<'_> {
    fn default() -> Self {
        TestCertificate {
            uris: &[],
            hosts: &[],
            valid: (-3600, 3600),
        }
    }
}

fn seconds_from_now(seconds: i64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let at = i64::try_from(now.as_secs()).unwrap() + seconds;
    Duration::from_secs(at.try_into().unwrap())
}

impl TestCa {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        TestCa {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// The certificate of the authority.
    pub(crate) fn pem(&self) -> &[u8] {
        self.pem.as_bytes()
    }

    /// A certificate with its key, and this authority.
    pub(crate) fn issue(&self, certificate: TestCertificate<'_>) -> TlsPem {
        let hosts: Vec<String> = certificate.hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        for uri in certificate.uris {
            params
                .subject_alt_names
                .push(SanType::URI((*uri).try_into().unwrap()));
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + seconds_from_now(certificate.valid.0);
        params.not_after = epoch + seconds_from_now(certificate.valid.1);
        let key = KeyPair::generate().unwrap();
        let issued = params.signed_by(&key, &self.issuer).unwrap();
        TlsPem {
            cert: issued.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            ca: self.pem.clone().into_bytes(),
        }
    }

    /// A certificate with one URI.
    pub(crate) fn issue_uri(&self, uri: &str) -> TlsPem {
        self.issue(TestCertificate {
            uris: &[uri],
            ..TestCertificate::default()
        })
    }

    /// The certificate of a member.
    pub(crate) fn issue_peer(&self, cluster: &str, node: &str) -> TlsPem {
        self.issue_uri(&super::peer_uri(cluster, node))
    }
}
