//! URLs to engines: the one place that knows which engines this build has.

use crate::broker::Embedded;
use crate::error::Error;
use factstream_core::broker::{Broker, BrokerError};
use factstream_core::store::{Store, StoreError};
use std::sync::Arc;
use uuid::Uuid;

/// The URLs that this build understands.
const KNOWN: &str = if cfg!(feature = "postgres") {
    "sqlite://FILE (for example sqlite://orders.db) and postgres://USER@HOST/DATABASE"
} else {
    "sqlite://FILE (for example sqlite://orders.db); postgres:// needs the cargo feature postgres"
};

/// The brokers that this build understands.
const KNOWN_BROKERS: &str = if cfg!(feature = "kafka") {
    "embedded, and kafka://HOST:9092"
} else {
    "embedded; kafka:// needs the cargo feature kafka"
};

/// The store that a URL names, for events up to this size; to look at it only, it must be there as this release has it.
pub(crate) async fn store(url: &str, event_bytes_max: usize, to_look: bool) -> Result<Arc<dyn Store>, Error> {
    let makes_tables = !to_look;
    match url.split_once(':').map(|(scheme, _)| scheme) {
        #[cfg(feature = "sqlite")]
        Some("sqlite") => {
            let options = factstream_sqlite::Options { makes_tables, event_bytes_max, ..Default::default() };
            Ok(Arc::new(factstream_sqlite::SqliteStore::open_url_with(url, options).await?))
        }
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            let options =
                factstream_postgres::Options { makes_tables, event_bytes_max, ..Default::default() };
            Ok(Arc::new(factstream_postgres::PostgresStore::open_with(url, options).await?))
        }
        _ => Err(StoreError::Url { url: shown(url), reason: format!("this build knows {KNOWN}") }.into()),
    }
}

/// The URL with so many connections, where it names a server.
pub(crate) fn with_connections(url: String, connections: usize) -> String {
    if !url.starts_with("postgres") {
        return url;
    }
    // Credentials end at the @, and may hold a ?.
    let place = url.rsplit_once('@').map_or(url.as_str(), |(_, place)| place);
    let sign = if place.contains('?') { '&' } else { '?' };
    format!("{url}{sign}connections={connections}")
}

/// A broker, and whether every member of a group reads all partitions, so that a group needs one owner at a time.
pub(crate) struct Connected {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) groups_need_lease: bool,
}

/// The broker that a URL names.
///
/// In a cluster its clients are named after the store, and its offsets name the store and the service, so that another system in
/// a group is told apart.
#[cfg_attr(not(feature = "kafka"), expect(unused_variables, reason = "only a cluster has clients"))]
pub(crate) fn broker(
    url: &str,
    store: &Arc<dyn Store>,
    store_id: Uuid,
    service: &str,
) -> Result<Connected, Error> {
    match url {
        "embedded" => {
            Ok(Connected { broker: Arc::new(Embedded::new(Arc::clone(store))), groups_need_lease: true })
        }
        #[cfg(feature = "kafka")]
        url if url.starts_with("kafka:") => {
            let broker = factstream_kafka::KafkaBroker::open_url_as(url, &client_name(store_id))?;
            let committer = factstream_core::broker::Committer { store_id, service: service.to_owned() };
            Ok(Connected { broker: Arc::new(broker.for_system(committer)), groups_need_lease: false })
        }
        _ => {
            Err(BrokerError::Url { url: shown(url), reason: format!("this build knows {KNOWN_BROKERS}") }
                .into())
        }
    }
}

/// What the clients of a store's processes are called in a cluster, unless the URL says otherwise.
#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "only a cluster has clients"))]
fn client_name(store_id: Uuid) -> String {
    format!("{CLIENT}{store_id}")
}

/// The store that a client works for, where its name tells.
pub(crate) fn store_of_client(name: &str) -> Option<Uuid> {
    name.strip_prefix(CLIENT)?.parse().ok()
}

const CLIENT: &str = "factstream-";

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
fn shown(url: &str) -> String {
    redact_url(url).chars().take(URL_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_connections_is_a_setting_of_the_url() {
        let of = |url: &str| with_connections(url.to_owned(), 5);
        assert_eq!(of("postgres://u:p?w@h/db"), "postgres://u:p?w@h/db?connections=5");
        assert_eq!(of("postgres://h/db?sslmode=require"), "postgres://h/db?sslmode=require&connections=5");
        assert_eq!(of("sqlite://a.db"), "sqlite://a.db");
    }

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
