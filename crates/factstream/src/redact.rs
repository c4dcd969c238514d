//! URLs without their secrets, as errors and logs show them.

/// Parts of the names of settings that hold secrets.
const SECRETS: [&str; 8] = ["pass", "pwd", "secret", "token", "credential", "key", "jaas", "oauth"];
/// The most of a URL that an error shows.
const URL_SHOWN_MAX: usize = 300;

/// A URL as it may be shown: passwords and other secrets are `***`, the rest can still be read and typed.
///
/// ```
/// # use factstream::redact_url;
/// assert_eq!(redact_url("postgres://me:s3cret@db/orders"), "postgres://me:***@db/orders");
/// assert_eq!(redact_url("postgres://me@db/orders?sslmode=require"), "postgres://me@db/orders?sslmode=require");
/// assert_eq!(redact_url("kafka://h:9092?sasl.password=x&linger.ms=5"), "kafka://h:9092?sasl.password=***&linger.ms=5");
/// assert_eq!(redact_url("postgres://me:s3?cret@db/orders"), "postgres://***");
/// assert_eq!(redact_url("me:s3cret@db/orders"), "***");
/// ```
pub fn redact_url(url: &str) -> String {
    if let (Some((scheme, _)), Some((_, settings))) = (url.split_once("://"), url.split_once('?'))
        && settings.contains('@')
    {
        return format!("{scheme}://***"); // it is not known where a password ends
    }
    let (place, settings) =
        url.split_once('?').map_or((url, None), |(place, settings)| (place, Some(settings)));
    let Some((scheme, _)) = place.split_once("://") else {
        // It is no URL: a file's name, a word, or credentials whose beginning was left out.
        return if place == url && !url.contains(['@', '=']) { url.to_owned() } else { "***".to_owned() };
    };
    if may_hide_a_secret(place) {
        return format!("{scheme}://***");
    }
    let place = match (place.split_once("://"), place.rsplit_once('@')) {
        (Some((scheme, rest)), Some((_, host))) => {
            let user = rest.strip_suffix(host).unwrap_or_default().trim_end_matches('@');
            match user.split_once(':') {
                Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
                None => place.to_owned(),
            }
        }
        _ => place.to_owned(),
    };
    let Some(settings) = settings else { return place };
    let settings = settings.split('&').map(|setting| match setting.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***"),
        None if is_secret(setting) => "***".to_owned(),
        _ => setting.to_owned(),
    });
    format!("{place}?{}", settings.collect::<Vec<_>>().join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
}

/// Whether settings stand in the place of hosts, or something that is no number in the place of a port.
fn may_hide_a_secret(place: &str) -> bool {
    let Some((_, rest)) = place.split_once("://") else { return false };
    if rest.contains('@') {
        return false; // then it is known where a password stands
    }
    let hosts = rest.split('/').next().unwrap_or_default().split(',');
    let mut ports = hosts.filter_map(|host| Some(host.rsplit_once(':')?.1));
    let is_port = |port: &str| port.chars().all(|sign| sign.is_ascii_digit() || sign == ']');
    !ports.all(is_port) || (rest.contains('=') && is_secret(rest))
}

/// As much of a URL that cannot be used as an error may show.
pub(crate) fn shown(url: &str) -> String {
    redact_url(url).chars().take(URL_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_of_a_url_shows_a_secret() {
        for url in [
            "mysql:me:s3cret@db/orders",
            "me:s3cret@db/orders",
            "//me:s3cret@db/orders",
            "postgres:/me:s3cret@db/orders",
            "postgres://me:s3cret",
            "postgres://me:s3cret/orders",
            "postgres://me:x@s3cret@db/orders",
            "postgres://me:x/s3cret@db/orders",
            "postgres://db/orders?password=s3cret",
            "postgres://db/orders?PASSWORD:s3cret",
            "kafka://h:9092&sasl.password=s3cret",
            "kafka://h:9092/sasl.password=s3cret",
            "kafka://h:9092?linger.ms=5&sasl.oauthbearer.assertion.private.key.passphrase=s3cret",
            "host=db password=s3cret",
            "sasl.password=s3cret",
        ] {
            let shown = redact_url(url);
            assert!(!shown.contains("s3cret"), "{url}: {shown}");
        }
        for url in [
            "embedded",
            "sqlite:orders.db",
            "sqlite:///var/lib/orders=1.db",
            "sqlite://orders.db",
            "postgres://db:5432/orders",
            "postgres://me@[::1]:5432/orders?sslmode=require",
            "kafka://a:9092,b:9092?linger.ms=5",
        ] {
            assert_eq!(redact_url(url), url);
        }
    }
}
