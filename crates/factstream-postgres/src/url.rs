//! Settings in a URL that are ours, not the driver's: limits and sizes of pools.

use crate::options::{CONNECTIONS_MIN, Options};
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// Takes settings out of a URL before the driver reads the rest: each that `take` says is its own.
pub(crate) fn take_settings(
    url: &str,
    mut take: impl FnMut(&str, &str) -> Result<bool, String>,
) -> Result<String, String> {
    // As the driver reads it: credentials end at the first @ and may hold a ?.
    let credentials = url.find('@').unwrap_or(0);
    let (head, query) = match url[credentials..].find('?') {
        Some(at) => (&url[..credentials + at], &url[credentials + at + 1..]),
        None => (url, ""),
    };
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_ours = match percent_decode_str(value).decode_utf8() {
            Ok(value) => take(name, &value)?,
            Err(_) => false, // the driver says so
        };
        if !is_ours {
            others.push(pair);
        }
    }
    Ok(if others.is_empty() { head.to_owned() } else { format!("{head}?{}", others.join("&")) })
}

/// What a URL says of the limits, in place of what the options say. Gives the URL without it.
pub(crate) fn split(url: &str, options: &mut Options) -> Result<String, String> {
    // First the whole, so that single ones can be said beside it in any order.
    let rest = take_settings(url, |name, value| {
        if name == "connections" {
            options.share(number(name, value, CONNECTIONS_MIN)?);
        }
        Ok(name == "connections")
    })?;
    take_settings(&rest, |name, value| {
        match name {
            "readers" => options.readers = number(name, value, 1)?,
            "transactions" => options.transactions = number(name, value, 1)?,
            "answer_timeout" => options.answer_timeout = seconds(name, value)?,
            "lock_timeout" => options.lock_timeout = seconds(name, value)?,
            "transaction_time_limit" => options.transaction_time_limit = seconds(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// More would be of no use to any server.
const CONNECTIONS_MAX: usize = 10_000;

fn number(name: &str, value: &str, min: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (min..=CONNECTIONS_MAX).contains(number));
    number.ok_or_else(|| format!("{name} is not a number of connections from {min} on; write {name}=10"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    let seconds = value.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("{name} is not a time in seconds; write {name}=10"))?;
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_taken_out_of_the_url_and_the_rest_stays() {
        let mut options = Options::default();
        let url = "postgres://u:p?w@h/db?readers=3&connections=5&connect_timeout=5&answer_timeout=2.5";
        assert_eq!(split(url, &mut options).unwrap(), "postgres://u:p?w@h/db?connect_timeout=5");
        assert_eq!((options.readers, options.transactions, options.hints), (3, 2, false));
        assert_eq!(options.answer_timeout, Duration::from_millis(2_500));
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_without_being_shown() {
        for bad in
            ["connections=3", "readers=0", "transactions=s3cret", "answer_timeout=0", "lock_timeout=1h"]
        {
            let error = split(&format!("postgres://h/db?{bad}"), &mut Options::default()).unwrap_err();
            assert!(error.contains("write") && !error.contains("s3cret"), "{bad}: {error}");
        }
    }
}
