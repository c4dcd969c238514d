//! `sqlite://FILE` to a path.

use factstream_core::store::StoreError;
use std::path::PathBuf;

/// The file that a URL names: `sqlite://orders.db`, `sqlite:orders.db` or `sqlite:///var/lib/orders.db`.
pub(crate) fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let refuse = |reason: &str| Err(StoreError::Url { url: url.to_owned(), reason: reason.to_owned() });
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return refuse("it does not begin with sqlite:; write sqlite://FILE, for example sqlite://orders.db");
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    match path {
        "" | "/" => refuse("it names no file; write sqlite://FILE, for example sqlite://orders.db"),
        _ if path.contains(":memory:") => {
            refuse("a store in memory keeps nothing; name a file, for example sqlite://orders.db")
        }
        _ if path.contains('\0') => refuse("a file's name has no NUL"),
        _ if path.contains(['?', '#']) => {
            refuse("a SQLite store has no settings in its URL; write just sqlite://FILE")
        }
        _ => Ok(PathBuf::from(path)),
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
}
