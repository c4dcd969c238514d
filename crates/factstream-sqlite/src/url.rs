//! `sqlite://FILE` to a path.

use factstream_core::store::StoreError;
use std::path::PathBuf;

/// The most of a URL that an error shows.
const URL_SHOWN_MAX: usize = 300;

/// The file that a URL names: `sqlite://orders.db`, `sqlite:orders.db` or `sqlite:///var/lib/orders.db`.
pub fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let refuse = |reason: &str| Err(StoreError::Url { url: shown(url), reason: reason.to_owned() });
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return refuse("it does not begin with sqlite:; write sqlite://FILE, for example sqlite://orders.db");
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    match path {
        "" | "/" => refuse("it names no file; write sqlite://FILE, for example sqlite://orders.db"),
        _ if path.contains(":memory:") => {
            refuse("a store in memory keeps nothing; name a file, for example sqlite://orders.db")
        }
        _ if path.contains('\0') => refuse("a file's name has no NUL; write sqlite://FILE"),
        _ if has_credentials(path) => {
            refuse("a SQLite store has no user, password and host; write just sqlite://FILE")
        }
        _ if path.contains("://") => refuse("a file's name has no ://; write just sqlite://FILE"),
        _ if path.contains(['?', '#']) => {
            refuse("a SQLite store has no settings in its URL; write just sqlite://FILE")
        }
        _ => Ok(PathBuf::from(path)),
    }
}

/// Whether it begins as `user:password@` does, in the place of a host: it would be told as a file's name.
fn has_credentials(path: &str) -> bool {
    let place = path.split('/').next().unwrap_or_default();
    place.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// A URL that was meant for another engine may hold a password, and a wrong one anything: neither is shown.
fn shown(url: &str) -> String {
    let place = url.split(['?', '#']).next().unwrap_or_default();
    match place.strip_prefix("sqlite:") {
        Some(_) if !place.contains('@') => place.chars().take(URL_SHOWN_MAX).collect(),
        _ => "sqlite://***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file_or_says_what_to_write() {
        assert_eq!(path_of("sqlite://orders.db").unwrap(), PathBuf::from("orders.db"));
        assert_eq!(path_of("sqlite:orders.db").unwrap(), PathBuf::from("orders.db"));
        assert_eq!(path_of("sqlite:///tmp/orders.db").unwrap(), PathBuf::from("/tmp/orders.db"));
        for bad in [
            "",
            "orders.db",
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://a.db?mode=ro",
            "postgres://x",
        ] {
            let error = path_of(bad).unwrap_err().to_string();
            assert!(error.contains("sqlite://"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_never_shown() {
        for bad in [
            "postgres://me:s3cret@db/orders",
            "sqlite://a.db?password=s3cret",
            "sqlite://a.db#s3cret",
            "sqlite://postgres://me:s3cret@db/orders",
            "sqlite://me:s3cret@db/orders",
            "sqlite:me:s3cret@db",
            "s3cret",
        ] {
            let error = path_of(bad).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{bad}: {error}");
        }
        assert!(path_of("sqlite:///var/lib/a:b@c.db").is_ok(), "a file's name may have any sign");
        let long = path_of(&format!("sqlite://{}?", "x".repeat(1_000_000))).unwrap_err().to_string();
        assert!(long.len() < 1_000, "{}", long.len());
    }
}
