//! Headers that have one value.

use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderName};

/// The value of a header that may be there once; `None` when it is missing or empty.
///
/// Twice is refused: a client could send one beside that of a gateway, and nothing would say which counts.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request(format!("the header {name} is there more than once; send it once")));
    }
    let text = std::str::from_utf8(value.as_bytes());
    let text = text.map_err(|_| Problem::bad_request(format!("the header {name} is not UTF-8 text")))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}
