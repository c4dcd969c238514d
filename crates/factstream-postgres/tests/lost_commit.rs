//! Exactly the reply to COMMIT is lost: what was committed is acknowledged, once.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{append, log};
use factstream_conformance::support::{appending, appending_one, event, key, stream};
use factstream_core::params;
use factstream_core::store::{Append, Appended, Commit, Expected, Outcome, Store, StoreError};
use factstream_postgres::PostgresStore;
use factstream_tests::postgres::server;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// A proxy before the server. While `swallow` is above 0, it waits for the reply to a COMMIT or to an event that is to be swallowed,
/// keeps it to itself, and cuts the connection. From a connection that sends an event which is to be held, the client is cut off at
/// once; what it sent goes to the server when `release` says so, and the server's answer is told.
struct Proxy {
    url: String,
    swallow: Arc<AtomicU32>,
    release: Arc<Notify>,
    answered: mpsc::UnboundedReceiver<Vec<u8>>,
}

/// In an event's data.
const SWALLOWED: &str = "the answer is swallowed";
const HELD: &str = "the question is held";

#[derive(Clone)]
struct Rules {
    swallow: Arc<AtomicU32>,
    release: Arc<Notify>,
    answer: mpsc::UnboundedSender<Vec<u8>>,
}

impl Proxy {
    async fn before(url: &str) -> Self {
        let (head, rest) = url.split_once('@').unwrap();
        let (place, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let (swallow, release) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (answer, answered) = mpsc::unbounded_channel();
        let rules = Rules { swallow: Arc::clone(&swallow), release: Arc::clone(&release), answer };
        tokio::spawn({
            let place = place.to_owned();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(&place).await.unwrap();
                    tokio::spawn(carry(client, server, rules.clone()));
                }
            }
        });
        Self { url: format!("{head}@{own}/{database}"), swallow, release, answered }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn carry(mut client: TcpStream, mut server: TcpStream, rules: Rules) {
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut swallowed = None;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Some(length) = read.ok().filter(|length| *length > 0) else { return };
                let asked = &asked[..length];
                if holds(asked, HELD) {
                    drop(client);
                    rules.release.notified().await;
                    server.write_all(asked).await.unwrap();
                    let length = server.read(&mut answered).await.unwrap();
                    rules.answer.send(answered[..length].to_vec()).unwrap();
                    return;
                }
                let one_less = |left: u32| left.checked_sub(1);
                let reply = match (holds(asked, "COMMIT\0"), holds(asked, SWALLOWED)) {
                    (true, _) => Some("COMMIT\0"),
                    (_, true) => Some("SELECT 1\0"),
                    _ => None,
                };
                if reply.is_some()
                    && rules.swallow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
                {
                    swallowed = reply;
                }
                if server.write_all(asked).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Some(length) = read.ok().filter(|length| *length > 0) else { return };
                let answered = &answered[..length];
                if swallowed.is_some_and(|reply| holds(answered, reply)) { return }
                if client.write_all(answered).await.is_err() { return }
            }
        }
    }
}

fn appending_text(id: &str, expected: Expected, text: &str) -> Append {
    appending(&stream(id), expected, vec![event(format!(r#"{{"text":"{text}"}}"#))])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_in_one_statement_that_was_not_answered_is_acknowledged_at_its_place_and_stored_once() {
    let proxy = Proxy::before(&server().database()).await;
    let store = PostgresStore::open_url(&proxy.url).await.unwrap();
    for number in 0..5 {
        proxy.swallow.store(1, Ordering::SeqCst);
        let id = format!("s-{}", number % 2);
        let append = appending_text(&id, Expected::Exact(number / 2), SWALLOWED);
        let key = key(&format!("k-{number}"), "command");
        let done = store.append(append, (number > 2).then_some(key)).await.unwrap();
        let placed = Appended { stream: stream(&id), version: number / 2 + 1, position: number + 1 };
        assert_eq!(done, Outcome::Appended(placed));
        assert_eq!(proxy.swallow.load(Ordering::SeqCst), 0, "the answer was swallowed");
    }
    assert_eq!(log(&store).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_the_server_reads_after_it_was_asked_for_is_refused() {
    let mut proxy = Proxy::before(&server().database()).await;
    let store = PostgresStore::open_url(&proxy.url).await.unwrap();
    for (number, key) in [None, Some(key("k-1", "command"))].into_iter().enumerate() {
        let held = appending_text("held", Expected::Exact(number as u64), HELD);
        let error = store.append(held, key.clone()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Busy(_)) && error.to_string().contains("nothing was stored"),
            "{error}"
        );
        assert_eq!(log(&store).await.len(), number);

        proxy.release.notify_one();
        let answer = proxy.answered.recv().await.unwrap();
        assert!(
            holds(&answer, "SELECT 0\0"),
            "no error, nothing appended: {}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(
            log(&store).await.len(),
            number,
            "what was said to be not stored is not stored afterwards"
        );

        let again = appending_text("held", Expected::Exact(number as u64), "not held");
        assert!(matches!(store.append(again, key).await.unwrap(), Outcome::Appended(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_whose_commit_was_not_answered_are_acknowledged_and_stored_once() {
    let proxy = Proxy::before(&server().database()).await;
    let store = PostgresStore::open_url(&proxy.url).await.unwrap();
    for n in 0..5 {
        proxy.swallow.store(1, Ordering::SeqCst);
        let done = store.append(appending_one(&format!("{n}"), Expected::Any), None).await.unwrap();
        assert!(matches!(done, Outcome::Appended(_)), "{done:?}");
        assert_eq!(proxy.swallow.load(Ordering::SeqCst), 0, "the reply was swallowed");
    }
    assert_eq!(log(&store).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_with_events_is_asked_for_and_one_without_is_told_to_be_unknown() {
    let proxy = Proxy::before(&server().database()).await;
    let store = PostgresStore::open_url(&proxy.url).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.execute("CREATE TABLE mine (n BIGINT)", params![]).await.unwrap();
    tx.commit(vec![]).await.unwrap();

    proxy.swallow.store(1, Ordering::SeqCst);
    let mut tx = store.begin().await.unwrap();
    tx.execute("INSERT INTO mine VALUES (1)", params![]).await.unwrap();
    assert!(matches!(tx.commit(vec![append("a")]).await.unwrap(), Commit::Committed(_)));

    proxy.swallow.store(1, Ordering::SeqCst);
    let mut tx = store.begin().await.unwrap();
    tx.execute("INSERT INTO mine VALUES (2)", params![]).await.unwrap();
    let error = tx.commit(vec![]).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)) && error.is_transient(), "{error}");

    assert_eq!(proxy.swallow.load(Ordering::SeqCst), 0, "both replies were swallowed");
    assert_eq!(log(&store).await.len(), 1);
    let rows = store.query("SELECT count(*) AS rows FROM mine", params![]).await.unwrap();
    assert_eq!(rows[0].get::<i64>("rows").unwrap(), 2);
}
