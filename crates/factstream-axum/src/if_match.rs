//! Lost updates: the version of what was read, its [`ETag`](crate::ETag), goes back as `If-Match` with what changes it (RFC 9110, 13.1.1).

use crate::problem::Problem;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use factstream::{ExpectedVersion, Version};

/// The header `If-Match`: the versions that its sender has seen. What is at another one is not changed, and the answer is 412 with the
/// current version.
///
/// `*` matches what exists, whatever its version; a list matches when one of its tags does; a weak tag (`W/"7"`) never matches, for a
/// change needs more than likeness. Anything that is no entity tag is answered with 400.
///
/// ```
/// # use axum::extract::State;
/// # use factstream::{Aggregate, App, Command};
/// use factstream_axum::{ETag, IfMatch, Problem};
/// # async fn ship<A: Aggregate, C: Command<A, Error = E> + Default + 'static, E>(
/// #     State(app): State<App>,
/// if_match: Option<IfMatch>,
/// # ) -> Result<ETag, Problem> where E: std::error::Error + Into<Problem> + Send + 'static {
///
/// let mut execute = app.execute::<A, C>("order-7", C::default());
/// if let Some(IfMatch(expected)) = if_match {
///     execute = execute.expect(expected);
/// }
/// Ok(ETag(execute.await?.version))
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(pub ExpectedVersion);

impl<S: Send + Sync> OptionalFromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Problem> {
        let lines: Vec<&[u8]> = parts.headers.get_all(IF_MATCH).iter().map(HeaderValue::as_bytes).collect();
        match lines[..] {
            [] => Ok(None),
            _ => parse(&lines.join(&b',')).map(Some),
        }
    }
}

/// For what must not be changed unseen: a request without `If-Match` is answered with 428.
impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let if_match = Option::<Self>::from_request_parts(parts, state).await?;
        if_match.ok_or_else(|| {
            let detail = "send the header If-Match with the ETag of what you have read, so that nobody's change is overwritten";
            Problem::new(StatusCode::PRECONDITION_REQUIRED, detail)
        })
    }
}

fn parse(list: &[u8]) -> Result<IfMatch, Problem> {
    if list.trim_ascii() == b"*" {
        return Ok(IfMatch(ExpectedVersion::Existing));
    }
    let refused = || {
        Problem::bad_request(
            "If-Match is the ETag of an earlier answer, with its quotes (\"7\"), several of them with commas between, or *",
        )
    };
    let (mut versions, mut tags, mut rest) = (Vec::new(), 0, list);
    loop {
        rest = rest.trim_ascii_start();
        while let Some(behind) = rest.strip_prefix(b",") {
            rest = behind.trim_ascii_start();
        }
        if rest.is_empty() {
            break;
        }
        let (is_weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let opaque = quoted.strip_prefix(b"\"").ok_or_else(refused)?;
        let end = opaque.iter().position(|byte| *byte == b'"').ok_or_else(refused)?;
        let is_etagc = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
        if !opaque[..end].iter().all(is_etagc) {
            return Err(refused());
        }
        tags += 1;
        versions.extend(version(&opaque[..end]).filter(|_| !is_weak));
        rest = opaque[end + 1..].trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return Err(refused());
        }
    }
    if tags == 0 { Err(refused()) } else { Ok(IfMatch(ExpectedVersion::OneOf(versions))) }
}

/// The version whose tag this is; a tag that was made elsewhere has none, and matches nothing. What does not exist has no tag.
fn version(opaque: &[u8]) -> Option<Version> {
    let version: Version = std::str::from_utf8(opaque).ok()?.parse().ok()?;
    (version > 0 && version.to_string().as_bytes() == opaque).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_what_rfc_9110_says() {
        let one_of = |versions: &[Version]| IfMatch(ExpectedVersion::OneOf(versions.to_vec()));
        for (list, expected) in [
            ("*", IfMatch(ExpectedVersion::Existing)),
            (" * ", IfMatch(ExpectedVersion::Existing)),
            (r#""7""#, one_of(&[7])),
            (r#""7", "9""#, one_of(&[7, 9])),
            (r#" , "7",,"9" ,"#, one_of(&[7, 9])),
            (r#"W/"7""#, one_of(&[])),
            (r#"W/"7", "8""#, one_of(&[8])),
            (r#""7,8""#, one_of(&[])),
            (r#""""#, one_of(&[])),
            (r#""07", "+7", "0", "-1", "ä", "18446744073709551616", "abc""#, one_of(&[])),
            (r#""18446744073709551615""#, one_of(&[u64::MAX])),
        ] {
            assert_eq!(parse(list.as_bytes()).ok(), Some(expected), "{list}");
        }
        for garbage in [
            "",
            ",",
            "7",
            "\"7",
            "7\"",
            "\"7\"x",
            "\"7\" \"8\"",
            "w/\"7\"",
            "W/",
            "W/7",
            "*, \"7\"",
            "\"a b\"",
            "'7'",
        ] {
            assert_eq!(parse(garbage.as_bytes()).unwrap_err().status().as_u16(), 400, "{garbage}");
        }
    }
}
