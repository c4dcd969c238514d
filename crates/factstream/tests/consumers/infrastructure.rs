//! What is not an event's fault is never counted against it: neither the store's faults nor other work on the same rows (G8).

use crate::common::{
    Do, Order, OrderEvent, OrderRow, Shop, eventually, folded, quick, settled, stop, stored,
};
use crate::ledger::{CREATE_LEDGER, Ledger, ledger, note, what, with_ledger};
use factstream::{App, Consumer, Envelope, Failure, Handler, Tx, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Writes in a ledger; while the store is at fault it either hides that in an error of its own, or goes on without a word.
#[derive(Clone)]
struct Hides {
    goes_on: bool,
    faulty: Arc<AtomicBool>,
    tried: Arc<AtomicU32>,
}

const WRITE: &str =
    "INSERT INTO ledger (entry, aggregate, what) SELECT coalesce(max(entry), 0) + 1, $1, $2 FROM ledger";

impl Handler for Hides {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        self.tried.fetch_add(1, Ordering::SeqCst);
        let faulty = self.faulty.load(Ordering::SeqCst);
        #[cfg(feature = "sqlite")]
        if let Some(sqlite) = tx.native::<factstream::sqlite::SqliteTransaction>().await? {
            // The file may not grow: it is as full as a disk can be.
            let pages_max = if faulty { 1 } else { 1_000_000 };
            sqlite
                .with(move |connection| {
                    connection.query_row(&format!("PRAGMA max_page_count = {pages_max}"), [], |_| Ok(()))
                })
                .await?;
            if faulty {
                let written = tx.sql("INSERT INTO ledger (what) VALUES (zeroblob(1000000))", params![]).await;
                return self.hide(written.is_err());
            }
        }
        let written = tx.sql(WRITE, params![&event.aggregate_id, what(&event.event)]).await;
        self.hide(written.is_err())
    }
}

impl Hides {
    fn hide(&self, failed: bool) -> Result<(), Failure> {
        if failed && !self.goes_on { Err(Failure::permanent("it did not work")) } else { Ok(()) }
    }
}

/// Two notes are handled once each, although the store was at fault in between: no attempt, no letter.
async fn is_never_the_events_fault(app: &App, handler: &Hides, mend: impl AsyncFnOnce()) {
    let running = app.start().await.unwrap();
    note(app, "o-1", "one").await;
    note(app, "o-2", "two").await;
    eventually("it was tried again and again", || async { handler.tried.load(Ordering::SeqCst) >= 3 }).await;
    let status = app.status().await;
    let found = &status.handlers[0];
    assert_eq!((found.attempts, found.retrying, found.dead_letters), (0, Some(0), Some(0)), "{status:?}");
    mend().await;
    for (id, text) in [("o-1", "one"), ("o-2", "two")] {
        eventually("it is handled", || async { ledger(app, id).await == [text] }).await;
    }
    let letters = app.store().query("SELECT 1 FROM fs_dead_letters", params![]).await.unwrap();
    assert!(letters.is_empty());
    stop(running).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_full_disk_is_no_events_fault_also_where_a_handler_hides_it() {
    for goes_on in [false, true] {
        let handler = Hides { goes_on, faulty: Arc::new(true.into()), tried: Arc::default() };
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("shop.db").display());
        let consumer = Consumer::new("ledger").handler(handler.clone()).retry(quick(2));
        let app = with_ledger(&Shop::at(url), consumer).await;
        let faulty = Arc::clone(&handler.faulty);
        is_never_the_events_fault(&app, &handler, async || faulty.store(false, Ordering::SeqCst)).await;
    }
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use super::*;
    use factstream::postgres::tokio_postgres::{Client, NoTls, connect};

    async fn admin(url: &str) -> Client {
        let (client, connection) = connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    #[tokio::test]
    async fn a_revoked_grant_is_no_events_fault_also_where_a_handler_hides_it() {
        let server = factstream_tests::postgres::server();
        server.run("DROP ROLE IF EXISTS clerk");
        server.run("CREATE ROLE clerk LOGIN");
        for goes_on in [false, true] {
            let owner = server.database();
            let handler = Hides { goes_on, faulty: Arc::default(), tried: Arc::default() };
            let consumer = || Consumer::new("ledger").handler(handler.clone()).retry(quick(2));
            drop(with_ledger(&Shop::at(owner.clone()), consumer()).await);
            let admin = admin(&owner).await;
            let all = "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk; REVOKE INSERT ON ledger FROM clerk";
            admin.batch_execute(all).await.unwrap();
            let clerk = Shop::at(owner.replace("factstream@", "clerk@"));
            let app = clerk.builder().consumer(consumer()).open().await.unwrap();
            let mend = async || admin.batch_execute("GRANT INSERT ON ledger TO clerk").await.unwrap();
            is_never_the_events_fault(&app, &handler, mend).await;
        }
    }

    /// Updates two rows, one after the other; at first it is told to serialize anew. While it refuses, it does nothing else.
    #[derive(Clone, Default)]
    struct Meets {
        serialization_failures: Arc<AtomicU32>,
        refuses: Arc<AtomicBool>,
    }

    impl Handler for Meets {
        type Events = OrderEvent;

        async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
            if self.refuses.load(Ordering::SeqCst) {
                return Err(Failure::permanent("told to"));
            }
            let one_less = |left: u32| left.checked_sub(1);
            let left = &self.serialization_failures;
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                let raise = "DO $$ BEGIN RAISE EXCEPTION 'serialize' USING ERRCODE = '40001'; END $$";
                tx.sql(raise, params![]).await?;
            }
            if event.aggregate_id == "meets" {
                for id in [1, 2] {
                    tx.sql("UPDATE met SET n = n + 1 WHERE id = $1", params![id]).await?;
                }
            }
            tx.sql(WRITE, params![&event.aggregate_id, what(&event.event)]).await?;
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_deadlock_and_a_serialization_failure_are_run_again_and_are_no_attempt() {
        let url = factstream_tests::postgres::server().database();
        let handler = Meets::default();
        let consumer = Consumer::new("ledger").handler(handler.clone()).retry(quick(1));
        let app = with_ledger(&Shop::at(url.clone()), consumer).await;
        let foreign = admin(&url).await;
        let tables =
            "CREATE TABLE met (id BIGINT PRIMARY KEY, n BIGINT); INSERT INTO met VALUES (1, 0), (2, 0)";
        foreign.batch_execute(tables).await.unwrap();
        let running = app.start().await.unwrap();

        handler.serialization_failures.store(3, Ordering::SeqCst);
        note(&app, "fine", "serialized").await;
        eventually("it is handled", || async { ledger(&app, "fine").await == ["serialized"] }).await;

        foreign.batch_execute("BEGIN; UPDATE met SET n = n + 1 WHERE id = 2").await.unwrap();
        note(&app, "meets", "deadlock").await;
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let other = admin(&url).await;
        eventually("the handler waits for row 2", || async {
            other.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        // It has waited for longer, so the server ends the handler's transaction and lets this one go on.
        foreign.batch_execute("UPDATE met SET n = n + 1 WHERE id = 1; COMMIT").await.unwrap();
        eventually("it is handled again", || async { ledger(&app, "meets").await == ["deadlock"] }).await;
        let n: i64 = other.query_one("SELECT sum(n)::bigint FROM met", &[]).await.unwrap().get(0);
        assert_eq!(n, 4, "once each by the handler and by the other");
        let status = app.status().await;
        let found = &status.handlers[0];
        assert_eq!((found.attempts, found.restarts, found.dead_letters), (0, 0, Some(0)), "{status:?}");
        stop(running).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_meets_other_work_when_it_is_redriven_is_run_again_and_does_not_die_of_it() {
        let url = factstream_tests::postgres::server().database();
        let handler = Meets::default();
        let consumer = Consumer::new("ledger").handler(handler.clone()).retry(quick(1));
        let app = with_ledger(&Shop::at(url), consumer).await;
        let running = app.start().await.unwrap();
        handler.refuses.store(true, Ordering::SeqCst);
        note(&app, "o-1", "letter").await;
        eventually("it is a dead letter", || async {
            app.status().await.handlers[0].dead_letters == Some(1)
        })
        .await;
        handler.refuses.store(false, Ordering::SeqCst);
        handler.serialization_failures.store(5, Ordering::SeqCst);
        let letters = app.dead_letters();
        let letter = letters.list(None, false, 0).await.unwrap().remove(0);
        letters.redrive(letter.id).await.unwrap();
        eventually("it is handled", || async { ledger(&app, "o-1").await == ["letter"] }).await;
        assert_eq!(handler.serialization_failures.load(Ordering::SeqCst), 0, "it met other work five times");
        let shown = letters.show(letter.id).await.unwrap();
        assert_eq!((shown.summary.state.as_str(), shown.summary.attempts), ("handled", 0), "{shown:?}");
        stop(running).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_standby_that_lacks_the_newest_events_is_gone_on_with_from_what_it_has() {
        let primary = factstream_tests::postgres::Postgres::start_own();
        let database = primary.database();
        let standby = primary.standby("standby");
        let (head, name) = database.rsplit_once('/').unwrap();
        let on_standby = head.replace(&primary.port().to_string(), &standby.port().to_string());
        let places = [head, &on_standby].map(|url| url.rsplit_once('@').unwrap().1);
        let both =
            format!("postgres://factstream@{}/{name}?target_session_attrs=read-write", places.join(","));
        let consumer = Consumer::new("ledger").handler(Ledger::default()).retry(quick(2));
        let shop = Shop::at(both);
        let app = shop.builder().read_model::<OrderRow>().consumer(consumer).open().await.unwrap();
        let mut tx = app.begin().await.unwrap();
        tx.sql(CREATE_LEDGER, params![]).await.unwrap();
        tx.commit().await.unwrap();
        let running = app.start().await.unwrap();
        app.execute("o-1", Do::Create(1)).await.unwrap();
        note(&app, "o-1", "kept").await;
        settled(&app).await;
        let copy = admin(&format!("{on_standby}/{name}")).await;
        let count = async |sql: &str| copy.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
        let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'ledger'";
        eventually("the table is on the standby", || async { count(tables).await == 1 }).await;
        eventually("it is on the standby", || async { count("SELECT count(*) FROM ledger").await == 2 })
            .await;
        copy.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
        copy.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
        eventually("the standby is told nothing", || async { count(receivers).await == 0 }).await;
        note(&app, "o-1", "lost").await;
        app.execute("o-2", Do::Create(2)).await.unwrap();
        settled(&app).await;

        primary.kill();
        copy.batch_execute("SELECT pg_promote(true)").await.unwrap();
        // Another process is there first: the stream is at the version that is remembered, with another event.
        let other = Shop::at(format!("{on_standby}/{name}")).builder().open().await.unwrap();
        other.execute("o-1", Do::Note("other".into())).await.unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while let Err(error) = app.execute("o-1", Do::Note("after".into())).await {
            assert!(std::time::Instant::now() < deadline, "{error}");
        }
        let (order, _) = app.load::<Order>("o-1").await.unwrap();
        assert_eq!(order.notes, ["kept", "other", "after"]);
        settled(&app).await;
        assert_eq!(ledger(&app, "o-1").await, ["created 1", "kept", "other", "after"]);
        assert_eq!(ledger(&app, "o-2").await, Vec::<String>::new());
        assert_eq!(stored::<OrderRow>(&app).await, folded(&app).await);
        stop(running).await;
    }
}
