//! What fails is told with its place and what was expected, and never with what is in an event: that may be personal data.

use crate::common::{Order, OrderEvent, Shop, eventually, quick, settled, stop};
use crate::ledger::{Ledger, with_ledger};
use crate::unreadable::send;
use factstream::{App, Consumer, Envelope, Failure, Handler, Tx, params};
use std::io::Write;
use std::sync::{Arc, Mutex};

const CANARY: &str = "Jane Doe";
const NOTED: (&str, &[u8]) = ("event_type", b"OrderNoted");

async fn reasons(app: &App) -> Vec<String> {
    let letters = app.dead_letters().list(None, true, 0).await.unwrap();
    let mut texts: Vec<String> = letters.iter().filter_map(|letter| letter.reason.clone()).collect();
    for letter in letters {
        let shown = app.dead_letters().show(letter.id).await.unwrap();
        texts.extend(shown.history.iter().map(|entry| entry.detail.to_string()));
    }
    texts
}

#[tokio::test]
async fn a_letter_says_the_path_and_the_expected_type_and_quotes_nothing() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let running = app.start().await.unwrap();
    send(&app, "k1", format!(r#"{{"text":["{CANARY}"]}}"#).as_bytes(), &[NOTED]).await;
    let created = format!(r#"{{"customer_id":"c","amount":"{CANARY}"}}"#);
    send(&app, "k2", created.as_bytes(), &[("event_type", b"OrderCreated")]).await;
    send(&app, "k3", b"{\"text\":\"x\"}", &[NOTED, ("timestamp", CANARY.as_bytes())]).await;
    settled(&app).await;
    let reasons = reasons(&app).await;
    assert!(
        reasons.iter().any(|reason| reason.contains("amount: invalid type: string, expected i64")),
        "{reasons:?}"
    );
    assert!(reasons.iter().all(|reason| !reason.contains(CANARY)), "{reasons:?}");
    stop(running).await;
}

#[tokio::test]
async fn an_event_of_the_log_that_does_not_fit_is_not_quoted_either() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    let mut tx = app.begin().await.unwrap();
    tx.append::<Order>("o-1", &[OrderEvent::Noted { text: CANARY.into() }]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    let sql = "UPDATE events SET event_data = $1 WHERE position = 1";
    tx.sql(sql, params![format!(r#"{{"text":{{"a":"{CANARY}"}}}}"#)]).await.unwrap();
    tx.commit().await.unwrap();
    let error = shop.open().await.load::<Order>("o-1").await.unwrap_err();
    let texts: Vec<String> =
        std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect();
    assert_eq!(texts.len(), 1, "the reason stands in it once: {texts:?}");
    assert!(
        texts[0].contains("text: invalid type: map, expected a string") && !texts[0].contains(CANARY),
        "{texts:?}"
    );
}

/// Breaks a rule of its own table with what the event says.
struct Twice;

impl Handler for Twice {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let OrderEvent::Noted { text } = &event.event else { return Ok(()) };
        if text == "json" {
            serde_json::from_str::<u32>(&format!("\"{CANARY}\""))?;
        }
        tx.sql("INSERT INTO people (name) VALUES ($1)", params![text]).await?;
        Ok(())
    }
}

#[tokio::test]
async fn neither_a_broken_constraint_nor_a_handlers_own_json_is_quoted() {
    let shop = Shop::new();
    let people = "CREATE TABLE {table} (name TEXT PRIMARY KEY)";
    let consumer = Consumer::new("people").table("people", people, &[]).retry(quick(1)).handler(Twice);
    let app = shop.builder().consumer(consumer).open().await.unwrap();
    let running = app.start().await.unwrap();
    for (key, text) in [("k1", CANARY), ("k2", CANARY), ("k3", "json")] {
        send(&app, key, format!(r#"{{"text":"{text}"}}"#).as_bytes(), &[NOTED]).await;
    }
    eventually("two letters", || async { reasons(&app).await.len() >= 4 }).await;
    let reasons = reasons(&app).await;
    assert!(
        reasons.iter().any(|reason| reason.contains("invalid type: string, expected u32")),
        "{reasons:?}"
    );
    assert!(reasons.iter().all(|reason| !reason.contains(CANARY)), "{reasons:?}");
    stop(running).await;
}

/// What is logged by all tests of this program: which callsites are on is decided for the program, not for a thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_says_which_event_failed_in_which_conversation_and_how_often() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default()).retry(quick(2))).await;
    let running = app.start().await.unwrap();
    let headers = [NOTED, ("event_id", b"e-7".as_slice()), ("correlation_id", b"talk-7")];
    send(&app, "k1", format!(r#"{{"text":["{CANARY}"]}}"#).as_bytes(), &headers).await;
    settled(&app).await;
    stop(running).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("talk-7")).unwrap_or_else(|| panic!("{log}"));
    for part in ["event_id=", "event_type=OrderNoted", "correlation_id=talk-7", "attempt=1", "handler=ledger"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains(CANARY), "{line}");
}
