//! The URL of a store or a broker from where an operator gives it: the command line, a file, or the environment.
//!
//! Invariants: the command line wins over the environment, so that a tool can be pointed elsewhere. Two values from one
//! place are refused, for one of them would be ignored in silence. No error shows what a URL, or a file, holds.

use crate::error::Error;
use crate::redact::redact_url;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most that a file with a URL may have.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// A URL, and where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// The URL, password and all: show it through [`redact_url`] only.
    pub url: String,
    /// Where it comes from, for errors: `--store`, `FACTSTREAM_STORE_FILE=/run/secrets/store`.
    pub from: String,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("url", &redact_url(&self.url)).field("from", &self.from).finish()
    }
}

/// The URL that is called `name` (`store`, `broker`): the option's value, else what is in the option's file, else the
/// environment's `FACTSTREAM_NAME`, else what is in the file that `FACTSTREAM_NAME_FILE` names. `None` when there is none of
/// them; a variable that is empty is none.
///
/// A file holds one line, as `printf` or an editor leaves it: spaces and line ends around the URL do not count. With a file
/// no password stands in the arguments or the environment, where others on the machine may read it.
///
/// # Errors
/// [`Error::Setting`]: both the value and the file are given in one place, or a file cannot be used.
pub fn url(name: &str, value: Option<String>, file: Option<PathBuf>) -> Result<Option<Given>, Error> {
    find(name, value, file, |variable| match std::env::var(variable) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err("its value is not UTF-8".to_owned()),
    })
}

fn find(
    name: &str,
    value: Option<String>,
    file: Option<PathBuf>,
    variable: impl Fn(&str) -> Result<Option<String>, String>,
) -> Result<Option<Given>, Error> {
    let flag = format!("--{name}");
    if let Some(given) = one_of(&flag, value, &format!("{flag}-file"), " ", file)? {
        return Ok(Some(given));
    }
    let names =
        [format!("FACTSTREAM_{}", name.to_uppercase()), format!("FACTSTREAM_{}_FILE", name.to_uppercase())];
    let read = |name: &str| {
        let read = variable(name).map_err(|reason| refused(name.to_owned(), reason))?;
        Ok::<_, Error>(read.filter(|text| !text.trim().is_empty()))
    };
    let (value, file) = (read(&names[0])?, read(&names[1])?.map(PathBuf::from));
    one_of(&names[0], value, &names[1], "=", file)
}

/// What one place gives: a value, or a file that holds it.
fn one_of(
    value_name: &str,
    value: Option<String>,
    file_name: &str,
    joint: &str,
    file: Option<PathBuf>,
) -> Result<Option<Given>, Error> {
    match (value, file) {
        (Some(_), Some(_)) => Err(refused(
            format!("{value_name} and {file_name}"),
            "both are given; leave one of them out".into(),
        )),
        (Some(url), None) => Ok(Some(Given { url: url.trim().to_owned(), from: value_name.to_owned() })),
        (None, Some(path)) => {
            let from = format!("{file_name}{joint}{}", path.display());
            match read(&path) {
                Ok(url) => Ok(Some(Given { url, from })),
                Err(reason) => Err(refused(from, reason)),
            }
        }
        (None, None) => Ok(None),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| {
        format!(
            "the file cannot be read: {error}; it must hold one URL, and this process's user must be able to read it"
        )
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {FILE_BYTES_MAX} bytes; it must hold one URL"));
    }
    match text.trim() {
        "" => Err("the file is empty; it must hold one URL".to_owned()),
        url if url.contains(['\n', '\r']) => {
            Err("the file has several lines; it must hold one URL".to_owned())
        }
        url => Ok(url.to_owned()),
    }
}

fn refused(from: String, reason: String) -> Error {
    Error::Setting { from, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const SECRET: &str = "postgres://me:s3cret@db/orders";

    fn with(
        variables: &[(&str, &str)],
        value: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Option<Given>, String> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        let variable = |name: &str| Ok(variables.get(name).map(|text| (*text).to_owned()));
        let found = find("store", value.map(str::to_owned), file.map(Path::to_owned), variable);
        found.map_err(|error| error.to_string())
    }

    fn from(found: Result<Option<Given>, String>) -> (String, String) {
        let Given { url, from } = found.expect("it is found").expect("it is given");
        (url, from)
    }

    #[test]
    fn the_command_line_wins_over_the_environment_and_a_file_is_read_without_its_line_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store");
        std::fs::write(&path, format!("{SECRET}\n")).expect("the file can be written");
        let shown = path.display().to_string();
        let in_file = ("FACTSTREAM_STORE_FILE", shown.as_str());
        let both = [("FACTSTREAM_STORE", "sqlite://env.db")];
        assert_eq!(
            from(with(&both, Some("sqlite://x.db"), None)),
            ("sqlite://x.db".into(), "--store".into())
        );
        assert_eq!(from(with(&both, None, Some(&path))), (SECRET.into(), format!("--store-file {shown}")));
        assert_eq!(from(with(&both, None, None)), ("sqlite://env.db".into(), "FACTSTREAM_STORE".into()));
        let from_file = (SECRET.to_owned(), format!("FACTSTREAM_STORE_FILE={shown}"));
        assert_eq!(from(with(&[in_file, ("FACTSTREAM_STORE", " ")], None, None)), from_file);
        assert_eq!(with(&[("FACTSTREAM_BROKER", "embedded")], None, None), Ok(None));
        let given = with(&[in_file], None, None);
        assert!(!format!("{given:?}").contains("s3cret"), "{given:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_place_and_without_its_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store");
        let missing = with(&[], None, Some(&path)).unwrap_err();
        assert!(missing.contains("--store-file") && missing.contains("cannot be read"), "{missing}");
        let both = with(&[], Some(SECRET), Some(&path)).unwrap_err();
        assert!(both.contains("--store and --store-file: both are given"), "{both}");
        let shown = path.display().to_string();
        let variables = [("FACTSTREAM_STORE", SECRET), ("FACTSTREAM_STORE_FILE", shown.as_str())];
        let twice = with(&variables, None, None).unwrap_err();
        assert!(twice.contains("FACTSTREAM_STORE and FACTSTREAM_STORE_FILE: both"), "{twice}");
        for (content, reason) in [
            (" \n".to_owned(), "is empty"),
            (format!("{SECRET}\n{SECRET}"), "several lines"),
            (SECRET.repeat(1_000), "larger than"),
        ] {
            std::fs::write(&path, content).expect("the file can be written");
            let refused = with(&[("FACTSTREAM_STORE_FILE", &shown)], None, None).unwrap_err();
            assert!(refused.contains("FACTSTREAM_STORE_FILE=") && refused.contains(reason), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }
}
