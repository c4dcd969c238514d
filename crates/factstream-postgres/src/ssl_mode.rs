//! `sslmode` and `sslrootcert` of a URL, with libpq's meaning. They are taken out before the driver reads the rest: it does
//! not know `verify-ca`, `verify-full` and `sslrootcert`.

use crate::url::take_settings;
use std::path::PathBuf;
use tokio_postgres::config::SslMode;

/// How much is asked of the connection's encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// None.
    Disable,
    /// Encrypted when the server can.
    Prefer,
    /// Encrypted; who the server is, is not checked unless a root is given.
    Require,
    /// The server's certificate is signed by a trusted root.
    VerifyCa,
    /// .. and names the host that is connected to.
    VerifyFull,
}

/// Where the trusted roots are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// `sslrootcert=FILE`
    File(PathBuf),
    /// The machine's own: `sslrootcert=system`, or a mode that verifies and no file.
    System,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) mode: Mode,
    /// Roots to check the certificate against; `None` when it is not checked.
    pub(crate) roots: Option<Roots>,
}

impl Mode {
    /// What the driver needs to know of it.
    pub(crate) fn of_driver(self) -> SslMode {
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

/// Splits a URL into what is wanted of TLS and the URL without it.
pub(crate) fn split(url: &str) -> Result<(Wanted, String), String> {
    let (mut mode, mut roots) = (None, None);
    let rest = take_settings(url, |name, value| {
        match name {
            "sslmode" => mode = Some(parse_mode(value)?),
            "sslrootcert" => {
                roots = Some(match value {
                    "" => return Err("sslrootcert is empty; write sslrootcert=FILE".into()),
                    "system" => Roots::System,
                    file => Roots::File(file.into()),
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    // libpq: the machine's roots sign certificates for anybody, so they say something only with the host's name.
    if roots == Some(Roots::System) && mode.is_some_and(|mode| mode != Mode::VerifyFull) {
        return Err("sslrootcert=system needs sslmode=verify-full".into());
    }
    let mode = mode.unwrap_or(if roots == Some(Roots::System) { Mode::VerifyFull } else { Mode::Prefer });
    let roots = match mode {
        Mode::Disable => None,
        Mode::Prefer | Mode::Require => roots,
        Mode::VerifyCa | Mode::VerifyFull => Some(roots.unwrap_or(Roots::System)),
    };
    Ok((Wanted { mode, roots }, rest))
}

fn parse_mode(word: &str) -> Result<Mode, String> {
    Ok(match word {
        "disable" => Mode::Disable,
        "prefer" => Mode::Prefer,
        "require" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        _ => {
            let known = "write disable, prefer, require, verify-ca or verify-full";
            return Err(format!("this sslmode is not known; {known}"));
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Result<(Mode, Option<Roots>), String> {
        let (wanted, rest) = split(&format!("postgres://u:p?w@host/db?{query}"))?;
        assert!(rest.starts_with("postgres://u:p?w@host/db") && !rest.contains("ssl"), "{rest}");
        Ok((wanted.mode, wanted.roots))
    }

    #[test]
    fn each_mode_says_whether_the_certificate_is_checked_and_against_what() {
        let file = || Some(Roots::File("/a b".into()));
        assert_eq!(wanted("").unwrap(), (Mode::Prefer, None));
        assert_eq!(wanted("sslmode=disable&sslrootcert=/a").unwrap(), (Mode::Disable, None));
        assert_eq!(wanted("sslmode=require").unwrap(), (Mode::Require, None));
        assert_eq!(wanted("sslmode=require&sslrootcert=/a%20b").unwrap(), (Mode::Require, file()));
        assert_eq!(wanted("sslmode=verify-ca&sslrootcert=/a%20b").unwrap(), (Mode::VerifyCa, file()));
        assert_eq!(wanted("sslmode=verify-full").unwrap(), (Mode::VerifyFull, Some(Roots::System)));
        assert_eq!(wanted("sslrootcert=system").unwrap(), (Mode::VerifyFull, Some(Roots::System)));
    }

    #[test]
    fn what_is_not_about_tls_stays_in_the_url() {
        let (_, rest) = split("postgres://h/db?connect_timeout=5&sslmode=require&options=-cx").unwrap();
        assert_eq!(rest, "postgres://h/db?connect_timeout=5&options=-cx");
    }

    #[test]
    fn words_that_make_no_sense_are_refused_with_those_that_do() {
        assert!(wanted("sslmode=allow").unwrap_err().contains("verify-full"));
        assert!(wanted("sslmode=verify-ca&sslrootcert=system").unwrap_err().contains("verify-full"));
        assert!(wanted("sslrootcert=").unwrap_err().contains("FILE"));
    }
}
