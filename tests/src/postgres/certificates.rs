//! Certificates for a server of a test: made anew each time, valid for `localhost` only.

use rcgen::{BasicConstraints, CertificateParams, Error, IsCa, Issuer, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How a server's certificate is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By a root of its own.
    Signed,
    /// By itself, and it says that it is a root: what `openssl req -x509` makes.
    SelfSigned,
}

/// The files that a client needs.
#[derive(Debug)]
pub struct Certificates {
    /// The root that the server's certificate stands on.
    pub root: PathBuf,
    /// A root that has signed nothing.
    pub other_root: PathBuf,
}

impl Certificates {
    /// Makes `server.crt` and `server.key` in a folder, and the roots.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn make(kind: Kind, folder: &Path) -> Self {
        let file = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("the certificate is written");
            path
        };
        let (certificate, key, root) = chain(kind).expect("the certificate is made");
        let (_, _, other_root) = chain(Kind::Signed).expect("the certificate is made");
        file("server.crt", certificate);
        let key = file("server.key", key);
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).expect("the key is protected");
        Self { root: file("root.crt", root), other_root: file("other_root.crt", other_root) }
    }
}

/// Certificate, key and root, as PEM.
fn chain(kind: Kind) -> Result<(String, String, String), Error> {
    let is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own_key = KeyPair::generate()?;
    let mut own = CertificateParams::new(vec!["localhost".into()])?;
    match kind {
        Kind::SelfSigned => {
            own.is_ca = is_ca;
            let own = own.self_signed(&own_key)?.pem();
            Ok((own.clone(), own_key.serialize_pem(), own))
        }
        Kind::Signed => {
            let root_key = KeyPair::generate()?;
            let mut root = CertificateParams::new(Vec::new())?;
            root.is_ca = is_ca;
            let root_text = root.self_signed(&root_key)?.pem();
            let own = own.signed_by(&own_key, &Issuer::new(root, root_key))?;
            Ok((own.pem(), own_key.serialize_pem(), root_text))
        }
    }
}
