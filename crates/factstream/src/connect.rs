//! URLs to engines: the one place that knows which engines this build has.

use crate::broker::Embedded;
use crate::error::Error;
use factstream_core::broker::{Broker, BrokerError};
use factstream_core::store::{Store, StoreError};
use std::sync::Arc;

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

/// The store that a URL names.
pub(crate) async fn store(url: &str) -> Result<Arc<dyn Store>, Error> {
    match url.split_once(':').map(|(scheme, _)| scheme) {
        #[cfg(feature = "sqlite")]
        Some("sqlite") => Ok(Arc::new(factstream_sqlite::SqliteStore::open_url(url).await?)),
        #[cfg(feature = "postgres")]
        Some("postgres" | "postgresql") => {
            Ok(Arc::new(factstream_postgres::PostgresStore::open_url(url).await?))
        }
        _ => Err(StoreError::Url {
            url: without_credentials(url),
            reason: format!("this build knows {KNOWN}"),
        }
        .into()),
    }
}

/// A broker, and whether every member of a group reads all partitions, so that a group needs one owner at a time.
pub(crate) struct Connected {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) owned_groups: bool,
}

/// The broker that a URL names.
pub(crate) fn broker(url: &str, store: &Arc<dyn Store>) -> Result<Connected, Error> {
    match url {
        "embedded" => {
            Ok(Connected { broker: Arc::new(Embedded::new(Arc::clone(store))), owned_groups: true })
        }
        #[cfg(feature = "kafka")]
        url if url.starts_with("kafka:") => {
            let broker = Arc::new(factstream_kafka::KafkaBroker::open_url(url)?);
            Ok(Connected { broker, owned_groups: false })
        }
        _ => Err(BrokerError::Url {
            url: without_credentials(url),
            reason: format!("this build knows {KNOWN_BROKERS}"),
        }
        .into()),
    }
}

/// Parts of the names of settings that hold secrets.
const SECRETS: [&str; 5] = ["password", "secret", "key", "jaas", "oauth"];

/// A URL as it may be shown: passwords and other secrets are `***`, the rest can still be read and typed.
///
/// ```
/// # use factstream::without_credentials;
/// assert_eq!(without_credentials("postgres://me:s3cret@db/orders"), "postgres://me:***@db/orders");
/// assert_eq!(without_credentials("postgres://me@db/orders?sslmode=require"), "postgres://me@db/orders?sslmode=require");
/// assert_eq!(without_credentials("kafka://h:9092?sasl.password=x&linger.ms=5"), "kafka://h:9092?sasl.password=***&linger.ms=5");
/// assert_eq!(without_credentials("postgres://me:s3?cret@db/orders"), "postgres://***");
/// ```
pub fn without_credentials(url: &str) -> String {
    if let (Some((scheme, _)), Some((_, settings))) = (url.split_once("://"), url.split_once('?'))
        && settings.contains('@')
    {
        return format!("{scheme}://***"); // it is not known where a password ends
    }
    let (place, settings) =
        url.split_once('?').map_or((url, None), |(place, settings)| (place, Some(settings)));
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
    let is_secret = |name: &str| SECRETS.iter().any(|secret| name.to_ascii_lowercase().contains(secret));
    let settings = settings.split('&').map(|setting| match setting.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***"),
        _ => setting.to_owned(),
    });
    format!("{place}?{}", settings.collect::<Vec<_>>().join("&"))
}
