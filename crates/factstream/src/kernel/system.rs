//! What a store says of itself: its id, made once, and the namespace of its topics and groups in the broker.
//!
//! Invariant: a store has one namespace. With another one its relay would publish where nobody reads, and what is unread in
//! the old topics would never be handled: a process that was given another one is refused.

use crate::error::Error;
use factstream_core::broker::Namespace;
use factstream_core::params;
use factstream_core::sql::RowError;
use factstream_core::store::{Commit, Store};
use uuid::Uuid;

/// A store's id and namespace.
#[derive(Debug, Clone)]
pub(crate) struct System {
    pub(crate) store_id: Uuid,
    pub(crate) namespace: Namespace,
}

/// What the store says, and what is `wanted` where it says nothing yet; refused when the two differ.
pub(crate) async fn of_store(store: &dyn Store, wanted: Option<&str>) -> Result<System, Error> {
    let (store_id, recorded) = read(store).await?;
    let namespace = match (recorded, wanted) {
        (Some(recorded), Some(wanted)) if recorded != wanted => {
            return Err(differs(store_id, &recorded, wanted));
        }
        (Some(namespace), _) => namespace,
        (None, wanted) => wanted.unwrap_or_default().to_owned(),
    };
    Ok(System { store_id, namespace: Namespace::new(namespace)? })
}

/// Records the namespace before anything is published or read in it; refused when another process was faster with another.
pub(crate) async fn keep_namespace(store: &dyn Store, system: &System) -> Result<(), Error> {
    let namespace = system.namespace.as_str();
    let mut recorded = read(store).await?.1;
    if recorded.is_none() {
        let mut tx = store.begin().await?;
        tx.execute("UPDATE fs_store SET namespace = $1 WHERE namespace IS NULL", params![namespace]).await?;
        if let Commit::Conflict(conflict) = tx.commit(Vec::new()).await? {
            return Err(Error::Conflict(conflict));
        }
        recorded = read(store).await?.1;
    }
    match recorded {
        Some(recorded) if recorded != namespace => Err(differs(system.store_id, &recorded, namespace)),
        _ => Ok(()),
    }
}

async fn read(store: &dyn Store) -> Result<(Uuid, Option<String>), Error> {
    let rows = store.query("SELECT store_id, namespace FROM fs_store", params![]).await?;
    let row = rows.first().ok_or_else(|| Error::Wiring("the table fs_store has lost its row".into()))?;
    let row = || Ok::<_, RowError>((row.get::<Uuid>("store_id")?, row.get("namespace")?));
    Ok(row()?)
}

fn differs(store_id: Uuid, recorded: &str, wanted: &str) -> Error {
    let named = |namespace: &str| match namespace {
        "" => "no namespace".to_owned(),
        namespace => format!("the namespace {namespace:?}"),
    };
    Error::Wiring(format!(
        "the store {store_id} has {} in the broker, and this process was given {}: what is unread in its topics would never \
         be handled; leave the setting out to use the store's, or change the store's as docs/operating.md says",
        named(recorded),
        named(wanted)
    ))
}

/// What the clients of a store's processes are called in a cluster, unless the URL says otherwise.
#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "only a cluster has clients"))]
pub(crate) fn client_name(store_id: Uuid) -> String {
    format!("{CLIENT}{store_id}")
}

/// The store that a client works for, where its name tells.
pub(crate) fn store_of_client(name: &str) -> Option<Uuid> {
    name.strip_prefix(CLIENT)?.parse().ok()
}

const CLIENT: &str = "factstream-";
