//! URLs to engines: the one place that knows which engines this build has.

use crate::broker::Embedded;
use crate::error::Error;
use crate::kernel::StoreClock;
#[cfg(feature = "kafka")]
use crate::kernel::system;
use crate::redact::shown;
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
    clock: &Arc<StoreClock>,
    store_id: Uuid,
    service: &str,
) -> Result<Connected, Error> {
    match url {
        "embedded" => Ok(Connected {
            broker: Arc::new(Embedded::new(Arc::clone(store)).by(Arc::clone(clock))),
            groups_need_lease: true,
        }),
        #[cfg(feature = "kafka")]
        url if url.starts_with("kafka:") => {
            let broker = factstream_kafka::KafkaBroker::open_url_as(url, &system::client_name(store_id))?;
            let committer = factstream_core::broker::Committer { store_id, service: service.to_owned() };
            Ok(Connected { broker: Arc::new(broker.for_system(committer)), groups_need_lease: false })
        }
        _ => {
            Err(BrokerError::Url { url: shown(url), reason: format!("this build knows {KNOWN_BROKERS}") }
                .into())
        }
    }
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
}
