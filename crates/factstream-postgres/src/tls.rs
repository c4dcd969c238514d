//! TLS with rustls: which certificates are accepted, and what is wrong with one that is not.
//!
//! Invariants: the handshake's signature is always checked, also where the certificate is not, so that SCRAM's channel
//! binding holds. The roots are the machine's own or a file's: none are built in, so none get old with the build.

use crate::ssl_mode::{Mode, Roots, Wanted};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Whether this build has TLS.
pub(crate) const IS_SPOKEN: bool = true;

/// What makes connections.
pub(crate) type Connector = MakeRustlsConnect;

/// The connector for what is wanted, or why there is none.
pub(crate) fn connector(wanted: &Wanted) -> Result<Connector, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusted = wanted.roots.as_ref().map(Trusted::load).transpose()?;
    let verifier =
        Verifier { provider: Arc::clone(&provider), trusted, name: wanted.mode == Mode::VerifyFull };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // For servers and proxies that tell protocols apart by it, as libpq sends it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

/// What is wrong with the server's certificate or encryption, and what to do, when that is what the error is about.
pub(crate) fn advice(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let source = std::error::Error::source(error)?;
    let io = source.downcast_ref::<std::io::Error>()?;
    let error = io.get_ref()?.downcast_ref::<Error>()?;
    let advice = match error {
        // A bad signature: a root of the right name and another key.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "no trusted root has signed it; give the root that has with sslrootcert=FILE"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "connect by a host name that it has as subjectAltName, or check only who signed it with \
             sslmode=verify-ca"
        }
        Error::InvalidCertificate(_) => "give the server a valid X.509 version 3 certificate",
        _ => "see the server's log",
    };
    Some(format!("TLS with the server failed: {error}; {advice}"))
}

#[derive(Debug)]
struct Trusted {
    roots: RootCertStore,
    /// The same, to the letter.
    certificates: Vec<CertificateDer<'static>>,
}

impl Trusted {
    fn load(from: &Roots) -> Result<Self, String> {
        let (certificates, place) = match from {
            Roots::File(file) => (read(file)?, format!("sslrootcert={}", file.display())),
            Roots::System => {
                (rustls_native_certs::load_native_certs().certs, "the system's certificates".into())
            }
        };
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(certificates.iter().cloned()).0 == 0 {
            return Err(format!("{place}: no root certificate is there; write sslrootcert=FILE.pem"));
        }
        Ok(Self { roots, certificates })
    }
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(file)
        .map_err(|error| format!("sslrootcert={} cannot be read: {error}", file.display()))?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("sslrootcert={} is not a PEM file: {error}", file.display()))
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// `None` accepts every certificate.
    trusted: Option<Trusted>,
    /// Whether it must name the host.
    name: bool,
}

impl Verifier {
    fn check_chain(
        &self,
        trusted: &Trusted,
        end: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let checked =
            verify_server_cert_signed_by_trust_anchor(parsed, &trusted.roots, between, now, algorithms);
        match checked {
            // A self-signed certificate that is its own root, as PostgreSQL's manual makes it. Its dates are checked before.
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.to_string() == "CaUsedAsEndEntity" && trusted.certificates.contains(end) =>
            {
                Ok(())
            }
            checked => checked,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trusted) = &self.trusted {
            let parsed = ParsedCertificate::try_from(end)?;
            self.check_chain(trusted, end, &parsed, between, now)?;
            if self.name {
                verify_server_name(&parsed, name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
