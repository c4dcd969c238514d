//! A way to the server that has forgotten its connections: what is sent vanishes, and no end ever comes.

use crate::common::{append, connect, log, number};
use factstream_conformance::support::{appending, event, stream};
use factstream_core::params;
use factstream_core::store::{Commit, Expected, Outcome, Store};
use factstream_postgres::{Options, PostgresStore};
use factstream_tests::postgres::server;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What an event holds whose answer vanishes, with everything after it on its connection.
const VANISHES: &str = "the answer vanishes";

/// A proxy that takes what is sent, and on connections that it has forgotten passes none of it on.
struct Proxy {
    url: String,
    /// How often it was told to forget the connections that there are.
    forgotten: watch::Sender<u32>,
    vanished: Arc<AtomicBool>,
}

impl Proxy {
    async fn before(url: &str) -> Self {
        let (head, rest) = url.split_once('@').unwrap();
        let (place, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let (forgotten, state) = watch::channel(0);
        let vanished = Arc::new(AtomicBool::new(false));
        tokio::spawn({
            let (place, vanished) = (place.to_owned(), Arc::clone(&vanished));
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(&place).await.unwrap();
                    tokio::spawn(carry(client, server, state.clone(), Arc::clone(&vanished)));
                }
            }
        });
        Self { url: format!("{head}@{own}/{database}"), forgotten, vanished }
    }

    fn forget(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mut state: watch::Receiver<u32>,
    vanished: Arc<AtomicBool>,
) {
    state.mark_unchanged();
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut silent = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Some(length) = read.ok().filter(|length| *length > 0) else { return };
                let forgotten = state.has_changed().unwrap_or(false);
                if !forgotten && !silent && server.write_all(&asked[..length]).await.is_err() { return }
                let marked = asked[..length].windows(VANISHES.len()).any(|window| window == VANISHES.as_bytes());
                silent |= marked && !vanished.swap(true, Ordering::SeqCst);
            }
            read = server.read(&mut answered) => {
                let Some(length) = read.ok().filter(|length| *length > 0) else {
                    // Not even the end gets through.
                    if silent || state.has_changed().unwrap_or(false) { std::future::pending::<()>().await }
                    return
                };
                let forgotten = state.has_changed().unwrap_or(false);
                if !forgotten && !silent && client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_the_way_has_forgotten_hold_nobody_up() {
    let direct = server().database();
    let proxy = Proxy::before(&direct).await;
    let store = PostgresStore::open_url(&proxy.url).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(store.begin().await.unwrap());
    }
    for (n, tx) in held.into_iter().enumerate() {
        tx.commit(vec![append(&format!("warm-{n}"))]).await.unwrap();
    }
    store.append(append("warm"), None).await.unwrap();
    // What is being tested: a pause as long as connections are taken to be alive.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    proxy.forget();
    let began = Instant::now();
    let mut work = JoinSet::new();
    for n in 0..12 {
        let store = store.clone();
        work.spawn(async move {
            assert!(matches!(
                store.append(append(&format!("{n}")), None).await.unwrap(),
                Outcome::Appended(_)
            ));
            let tx = store.begin().await.unwrap();
            assert!(matches!(
                tx.commit(vec![append(&format!("{n}-b"))]).await.unwrap(),
                Commit::Committed(_)
            ));
            assert!(!store.query("SELECT 1", params![]).await.unwrap().is_empty());
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(12), "it took {:?}", began.elapsed());
    assert_eq!(log(&store).await.len(), 9 + 24);

    // The listener, too: what others commit is told.
    let other = PostgresStore::open_url(&direct).await.unwrap();
    other.append(append("elsewhere"), None).await.unwrap();
    assert_eq!(store.wait_beyond(33, Duration::from_secs(10)).await.unwrap(), 34);
}

/// A store that is soon out of patience.
async fn impatient(url: &str) -> PostgresStore {
    let short = Duration::from_millis(400);
    let options = Options {
        transaction_time_limit: short,
        lock_timeout: short / 2,
        answer_timeout: short,
        ..Options::default()
    };
    PostgresStore::open_with(url, options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_vanishes_is_not_waited_for_and_what_was_committed_is_asked_for() {
    let vanishing = |id: &str| {
        let event = event(format!(r#"{{"text":"{VANISHES}"}}"#));
        appending(&stream(id), Expected::Exact(0), vec![event])
    };
    for in_transaction in [false, true] {
        let direct = server().database();
        let proxy = Proxy::before(&direct).await;
        let store = impatient(&proxy.url).await;
        let began = Instant::now();
        if in_transaction {
            let tx = store.begin().await.unwrap();
            let done = tx.commit(vec![vanishing("t")]).await;
            assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
            // Where the INSERT's answer vanished, nothing was committed; where that of both did, it is found.
            let client = connect(&direct).await;
            let stored = number(&client, "SELECT count(*) FROM events").await;
            match done {
                Ok(Commit::Committed(_)) => assert_eq!(stored, 1),
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert!(error.is_infrastructure(), "{error}");
                    assert_eq!(stored, 0, "{error}");
                }
            }
        } else {
            let done = store.append(vanishing("s"), None).await.unwrap();
            assert!(matches!(done, Outcome::Appended(_)), "{done:?}");
            assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
            assert_eq!(log(&store).await.len(), 1);
        }
        assert!(proxy.vanished.load(Ordering::SeqCst));
        assert!(matches!(store.append(append("after"), None).await.unwrap(), Outcome::Appended(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exchange_has_an_end_also_a_users_own_on_the_native_connection() {
    let proxy = Proxy::before(&server().database()).await;
    let store = impatient(&proxy.url).await;
    let mut tx = store.begin().await.unwrap();
    let native: &mut factstream_postgres::PostgresTransaction = tx.as_any().downcast_mut().unwrap();
    proxy.forget();
    let began = Instant::now();
    assert!(native.client().unwrap().query("SELECT 1", &[]).await.is_err());
    let error = tx.execute("CREATE TABLE t (n BIGINT)", params![]).await.unwrap_err();
    assert!(error.is_infrastructure(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}
