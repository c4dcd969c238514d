//! The `timestamp` header as producers write it.

use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// From so many digits on, a number is a time since 1970, and no date.
const EPOCH_DIGITS_MIN: usize = 9;

/// RFC 3339 with a zone, or without one and then UTC; RFC 1123, as in HTTP; or a count since 1970, of seconds, milliseconds,
/// microseconds or nanoseconds, whichever makes a time of our days.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    if let Some(timestamp) = since_1970(text) {
        return Some(timestamp);
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return TimeZone::UTC.to_timestamp(civil).ok();
    }
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn since_1970(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() < EPOCH_DIGITS_MIN || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let count: i64 = whole.parse().ok()?;
    let unit_nanos = match whole.trim_start_matches('0').len() {
        ..=11 => 1_000_000_000,
        12..=14 => 1_000_000,
        15..=17 => 1_000,
        _ => 1,
    };
    let per_second = 1_000_000_000 / unit_nanos;
    let (seconds, rest) = (count / per_second, count % per_second * unit_nanos);
    let part: i64 = format!("{fraction:0<9.9}").parse().ok()?;
    let nanos = rest + part * unit_nanos / 1_000_000_000;
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::new(seconds, i32::try_from(nanos).ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_of_one_moment_are_one_time() {
        let moment: Timestamp = "2026-11-29T10:00:00.250Z".parse().unwrap();
        for text in [
            "2026-11-29T10:00:00.250Z",
            "2026-11-29T11:00:00.250+01:00",
            "2026-11-29T11:00:00.250+01:00[Europe/Berlin]",
            "2026-11-29T10:00:00.25",
            "2026-11-29 10:00:00.25",
            "1795946400.25",
            "1795946400250",
            "1795946400250.0",
            "1795946400250000",
            "1795946400250000000",
            " 1795946400250 ",
        ] {
            assert_eq!(parse(text), Some(moment), "{text}");
        }
        let second = "2026-11-29T10:00:00Z".parse().ok();
        for text in [
            "1795946400",
            "Sun, 29 Nov 2026 10:00:00 GMT",
            "Sun, 29 Nov 2026 11:00:00 +0100",
            "29 Nov 2026 10:00:00 GMT",
        ] {
            assert_eq!(parse(text), second, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "12",
            "1.2.3",
            "99999999999999999999",
            "1795946400x",
            "-5",
            "2026-13-01T00:00:00",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
