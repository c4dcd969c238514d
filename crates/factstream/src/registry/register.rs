//! Taking a handler over, each way in one transaction; and why a build is refused.

use super::Registered;
use super::build::Build;
use crate::error::Error;
use crate::handler::options::Start;
use crate::handler::tables::{self, Managed, TableMatch};
use crate::kernel::Kernel;
use crate::kernel::generation::Generation;
use crate::processor::layout::Layout;
use crate::processor::{HandlerKind, checkpoint, offsets};
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::broker::Partition;
use factstream_core::params;
use factstream_core::sql::{now, placeholders};
use factstream_core::store::Store;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Whether the store has seen this build before.
pub(crate) async fn was_registered(store: &dyn Store, build: &Build) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM fs_handler_builds WHERE handler = $1 AND build = $2";
    Ok(!store.query(sql, params![&build.handler, &build.id]).await?.is_empty())
}

/// Starting processes go one after the other from here to the end of the transaction.
pub(crate) async fn lock_registry(tx: &mut Tx) -> Result<(), Error> {
    tx.sql("UPDATE fs_migrations SET applied_at = applied_at", params![]).await?;
    Ok(())
}

/// Enters a handler that has no row yet: a new one, or one of a store that an earlier release of factstream made.
pub(crate) async fn register(
    kernel: &Arc<Kernel>,
    managed: Option<&Managed>,
    build: &Build,
) -> Result<(), Error> {
    let begins_at = match build.start {
        Start::Now => kernel.store.wait_beyond(0, Duration::ZERO).await?,
        Start::Beginning => 0,
    };
    let ends = ends_of_new_topics(kernel, build, None).await?;
    let mut tx = Tx::begin(kernel).await?;
    lock_registry(&mut tx).await?;
    if !tx.query(sql::SELECT_HANDLER, params![&build.handler]).await?.is_empty() {
        return Ok(()); // another process was faster
    }
    let before = checkpoint::divisions(&mut tx, &build.handler).await?;
    let fit = match managed {
        Some(managed) if build.reads_log => managed.fit(&mut tx).await?,
        Some(managed) => {
            managed.make_missing(kernel.store.as_ref(), &mut tx).await?;
            TableMatch::Same
        }
        None => TableMatch::Same,
    };
    if fit == TableMatch::Missing
        && before.is_empty()
        && let Some(managed) = managed
    {
        managed.make(&mut tx).await?;
    }
    // What stands for the build, the generation and the division of an earlier release.
    let known = before.iter().find(|(of, _)| *of == build.shards).or(before.first());
    let (shards, generation) = known.copied().unwrap_or((build.shards, 1));
    let is_same = shards == build.shards
        && (fit == TableMatch::Same || before.is_empty() && fit == TableMatch::Missing);
    let sql = "SELECT 1 FROM fs_inbox WHERE handler = $1 LIMIT 1";
    let had_lanes = build.reads_log && !tx.query(sql, params![&build.handler]).await?.is_empty();
    let row = Row {
        generation,
        build: if is_same { &build.id } else { "" },
        shape: if is_same { &build.shape } else { "" },
        shards,
        marks_inbox: had_lanes || build.has_lanes,
        topics: &build.topics,
    };
    insert(&mut tx, build, &row).await?;
    if build.reads_log {
        checkpoint::create(&mut tx, &build.handler, generation, shards, begins_at).await?;
        checkpoint::forget_others(&mut tx, &build.handler, generation).await?;
    }
    begin_topics(&mut tx, kernel, build, ends, generation).await?;
    if is_same {
        note_build(&mut tx, build, generation).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Where topics end, on which cluster.
struct Ends {
    cluster: String,
    next: Vec<(Partition, i64)>,
}

/// Where topics end that a handler has not read before, if it begins there. One that an event type of its has moved to is none of them: what
/// lies there was published for it.
async fn ends_of_new_topics(
    kernel: &Kernel,
    build: &Build,
    found: Option<&Registered>,
) -> Result<Option<Ends>, Error> {
    let was_read = |topic: &String, found: &Registered| {
        let mut types = build.event_types.iter().filter(|(_, of)| of.as_ref() == Some(topic));
        found.topics.contains(topic) || types.any(|(name, _)| found.event_types.contains_key(name))
    };
    let topics = build.topics.iter().filter(|topic| !found.is_some_and(|found| was_read(topic, found)));
    let topics: Vec<String> = topics.cloned().collect();
    if build.start != Start::Now || topics.is_empty() {
        return Ok(None);
    }
    let bounds = kernel.broker.bounds(&topics).await?;
    let next = bounds.into_iter().map(|(partition, bounds)| (partition, bounds.end)).collect();
    Ok(Some(Ends { cluster: kernel.broker.cluster().await?, next }))
}

/// Has a handler begin where topics end.
async fn begin_topics(
    tx: &mut Tx,
    kernel: &Kernel,
    build: &Build,
    ends: Option<Ends>,
    generation: Generation,
) -> Result<(), Error> {
    let Some(Ends { cluster, next }) = ends else { return Ok(()) };
    offsets::set(tx, &build.handler, &cluster, &next, generation).await?;
    if kernel.groups_need_lease {
        // The embedded broker's own offsets lie in the same store.
        let whole = |name: &str| kernel.system.namespace.whole(name);
        let row = |(at, next): &(Partition, i64)| {
            params![whole(&build.handler), whole(&at.topic), at.partition, *next]
        };
        tx.sql_many(sql::SET_OFFSET, next.iter().map(row).collect()).await?;
    }
    Ok(())
}

/// What a row of `fs_handlers` says beside the build's own.
struct Row<'a> {
    generation: Generation,
    build: &'a str,
    shape: &'a str,
    shards: u32,
    marks_inbox: bool,
    topics: &'a BTreeSet<String>,
}

async fn insert(tx: &mut Tx, build: &Build, row: &Row<'_>) -> Result<(), Error> {
    let event_types = json(&build.event_types)?;
    let params = params![
        &build.handler,
        build.kind.name(),
        &build.service,
        row.generation,
        row.build,
        row.shape,
        event_types,
        json(row.topics)?,
        row.shards,
        row.marks_inbox,
        now()
    ];
    tx.sql(sql::UPSERT_HANDLER, params).await?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|source| Error::Encode { what: "a row of fs_handlers".into(), source })
}

/// Remembers that this build has run under this generation.
async fn note_build(tx: &mut Tx, build: &Build, generation: Generation) -> Result<(), Error> {
    let sql = "INSERT INTO fs_handler_builds (handler, build, generation) VALUES ($1, $2, $3) \
               ON CONFLICT (handler, build) DO UPDATE SET generation = excluded.generation";
    tx.sql(sql, params![&build.handler, &build.id, generation]).await?;
    Ok(())
}

pub(crate) async fn rename(kernel: &Arc<Kernel>, build: &Build) -> Result<(), Error> {
    let mut tx = Tx::begin(kernel).await?;
    let sql = "UPDATE fs_handlers SET service = $2 WHERE handler = $1 AND build = $3";
    tx.sql(sql, params![&build.handler, &build.service, &build.id]).await?;
    tx.commit().await?;
    Ok(())
}

/// Locks a handler's row, if it still is of this generation; nobody else takes over until the end of the transaction.
pub(crate) async fn lock(tx: &mut Tx, handler: &str, generation: Generation) -> Result<bool, Error> {
    let sql = "UPDATE fs_handlers SET registered_at = registered_at WHERE handler = $1 AND generation = $2";
    Ok(tx.sql(sql, params![handler, generation]).await? > 0)
}

/// The next generation, without a rebuild: what was handled stays handled, and whoever runs the one before fails at its next
/// mark.
pub(crate) async fn take_over(
    kernel: &Arc<Kernel>,
    managed: Option<&Managed>,
    build: &Build,
    found: &Registered,
) -> Result<(), Error> {
    let passed_over = passed_over(kernel.store.as_ref(), build, found).await?;
    if !passed_over.is_empty() && !build.leaves_skipped {
        return Err(skipped(build, &passed_over));
    }
    refuse_forgotten(kernel.store.as_ref(), build, found).await?;
    let ends = ends_of_new_topics(kernel, build, Some(found)).await?;
    let mut tx = Tx::begin(kernel).await?;
    if !lock(&mut tx, &build.handler, found.generation).await? {
        return Ok(());
    }
    let generation = found.generation + 1;
    if let Some(managed) = managed
        && !build.reads_log
    {
        managed.make_missing(kernel.store.as_ref(), &mut tx).await?;
    }
    if build.reads_log {
        match found.shards == build.shards {
            true => checkpoint::hand_on(&mut tx, &build.handler, found.generation, generation).await?,
            false => divide(&mut tx, build, found.generation, generation).await?,
        }
    }
    let sql = "UPDATE fs_offsets SET generation = $2 WHERE handler = $1";
    tx.sql(sql, params![&build.handler, generation]).await?;
    begin_topics(&mut tx, kernel, build, ends, generation).await?;
    finish(&mut tx, build, found, generation).await?;
    tx.commit().await?;
    tracing::info!(handler = %build.handler, generation, "this build has taken the handler over");
    Ok(())
}

/// Writes what the handler is from now on.
pub(crate) async fn finish(
    tx: &mut Tx,
    build: &Build,
    found: &Registered,
    generation: Generation,
) -> Result<(), Error> {
    let topics = topics_to_read(build, found);
    let row = Row {
        generation,
        build: &build.id,
        shape: &build.shape,
        shards: build.shards,
        marks_inbox: build.reads_log && (build.has_lanes || found.marks_inbox),
        topics: &topics,
    };
    insert(tx, build, &row).await?;
    for event_type in build.event_types.keys() {
        let sql = "DELETE FROM fs_skipped_types WHERE handler = $1 AND event_type = $2";
        tx.sql(sql, params![&build.handler, event_type]).await?;
    }
    note_build(tx, build, generation).await
}

/// The topics of this build, and those where events that it still handles were published before: what is unread there is
/// handled, too.
fn topics_to_read(build: &Build, found: &Registered) -> BTreeSet<String> {
    let named_before: BTreeSet<&String> = found.event_types.values().flatten().collect();
    let moved = found
        .event_types
        .iter()
        .filter(|(event_type, _)| build.event_types.contains_key(*event_type))
        .filter_map(|(_, topic)| topic.clone());
    let moved_earlier = found.topics.iter().filter(|topic| !named_before.contains(topic)).cloned();
    build.topics.iter().cloned().chain(moved).chain(moved_earlier).collect()
}

/// New shards begin where the slowest of the old ones stood; the old checkpoints stay to say what was handled beyond that.
async fn divide(tx: &mut Tx, build: &Build, from: Generation, to: Generation) -> Result<(), Error> {
    let positions = checkpoint::retire(tx, &build.handler, from).await?;
    let slowest = Layout { positions }.slowest();
    checkpoint::create(tx, &build.handler, to, build.shards, slowest).await?;
    checkpoint::forget_reached(tx, &build.handler, slowest).await
}

/// Events of types that this build adds, and that the one before has passed over: type and how many.
async fn passed_over(
    store: &dyn Store,
    build: &Build,
    found: &Registered,
) -> Result<Vec<(String, u64)>, Error> {
    let added: Vec<&String> =
        build.event_types.keys().filter(|name| !found.event_types.contains_key(*name)).collect();
    if added.is_empty() || found.event_types.is_empty() {
        return Ok(Vec::new());
    }
    let list = placeholders(2, added.len());
    let (sql, mut params) = if build.reads_log {
        let furthest = checkpoint::live(store, &build.handler).await?.furthest();
        let sql = format!(
            "SELECT event_type, count(*) AS events FROM events \
             WHERE position <= $1 AND event_type IN ({list}) GROUP BY event_type ORDER BY event_type"
        );
        (sql, params![furthest])
    } else {
        let sql = format!(
            "SELECT event_type, events FROM fs_skipped_types \
             WHERE handler = $1 AND event_type IN ({list}) AND events > 0 ORDER BY event_type"
        );
        (sql, params![&build.handler])
    };
    params.extend(added.into_iter().map(Into::into));
    let rows = store.query(&sql, params).await?;
    rows.iter().map(|row| Ok((row.get("event_type")?, row.get("events")?))).collect()
}

/// Refuses a build that does not know what waits for its time: it would make dead letters of it.
async fn refuse_forgotten(store: &dyn Store, build: &Build, found: &Registered) -> Result<(), Error> {
    if build.kind != HandlerKind::Scheduled {
        return Ok(());
    }
    for name in found.event_types.keys().filter(|name| !build.event_types.contains_key(*name)) {
        let sql = "SELECT count(*) AS waiting FROM fs_timers WHERE handler = $1 AND payload_type = $2";
        let rows = store.query(sql, params![&build.handler, name]).await?;
        let waiting = rows.first().map(|row| row.get::<u64>("waiting")).transpose()?.unwrap_or(0);
        if waiting > 0 {
            return Err(Error::Wiring(format!(
                "{waiting} scheduled commands called {name:?} wait for their time, and this build does not declare them: declare them \
                 with .scheduled_command until none waits any more, or cancel them (App::timers)"
            )));
        }
    }
    Ok(())
}

fn skipped(build: &Build, passed_over: &[(String, u64)]) -> Error {
    let counts: Vec<String> =
        passed_over.iter().map(|(event_type, events)| format!("{events} of {event_type}")).collect();
    Error::Wiring(format!(
        "{} handles event types that its earlier build passed over: {}. They will not come again. Write \
         .leave_skipped() to go on without them, or give the handler a new name to begin at the oldest event",
        build.handler,
        counts.join(", ")
    ))
}

/// Refuses a build that calls what is stored by another name, only because factstream makes default names in another way than 0.1.
pub(crate) fn refuse_renamed(build: &Build, found: &Registered) -> Result<(), Error> {
    let is_known = |name: &str| found.event_types.contains_key(name);
    let renamed = build.former_names.iter().find(|(former, now)| is_known(former) && !is_known(now));
    let Some((former, now)) = renamed else { return Ok(()) };
    Err(Error::Wiring(format!(
        "{} has handled events of type {former}, which this build calls {now}: it would leave those that are stored \
         unhandled. To keep the stored name, write #[event(name = \"{former}\")] on the variant, or #[event(prefix = \"\")] \
         on its enum. If they are two events, write #[event(name = \"{now}\")]",
        build.handler
    )))
}

pub(crate) fn other_service(build: &Build, found: &Registered) -> Error {
    Error::Wiring(format!(
        "the handler {} belongs to the service {}, and this is the service {}: both would share its progress. Give one \
         of them another name; if the service was renamed, write .formerly({:?})",
        build.handler, found.service, build.service, found.service
    ))
}

pub(crate) fn other_kind(build: &Build, found: &Registered) -> Error {
    Error::Wiring(format!(
        "{} was a {} before and is a {} now; their progress is kept in different ways. Give it another name",
        build.handler,
        found.kind,
        build.kind.name()
    ))
}

/// Refuses a table that belongs to another handler.
pub(crate) async fn refuse_foreign_tables(store: &dyn Store, build: &Build) -> Result<(), Error> {
    for name in &build.tables {
        if let Some(owner) = tables::owner(store, name).await?
            && owner != build.handler
        {
            return Err(Error::Wiring(format!(
                "the table {name} belongs to the handler {owner}; {} needs one of its own name",
                build.handler
            )));
        }
    }
    Ok(())
}
