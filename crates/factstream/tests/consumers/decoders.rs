//! The consumer's own decoder: formats of other teams, read before the framework's (G12).

use crate::common::{Shop, eventually, settled, stop};
use crate::ledger::{Ledger, ledger, with_ledger};
use crate::unreadable::send;
use factstream::Consumer;
use factstream::message::{Decoded, Record};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

type Answer = Result<Option<Decoded>, Box<dyn std::error::Error + Send + Sync>>;

/// What a team that takes events from everywhere would write.
fn decode(record: &Record) -> Answer {
    let bytes = record.value.as_deref().unwrap_or_default();
    if let (Some(kind), Some(id)) = (record.header("ce_type"), record.header("ce_id")) {
        let event = Decoded::new(kind, serde_json::from_slice(bytes)?).event_id(id);
        return Ok(Some(event.source(record.header("ce_source").unwrap_or_default())));
    }
    if record.header("content-type").is_some_and(|kind| kind.starts_with("application/cloudevents+json")) {
        let event: Value = serde_json::from_slice(bytes)?;
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let decoded = Decoded::new(text("type"), event["data"].clone());
        let decoded = decoded.event_id(text("id")).source(text("source")).timestamp(text("time").parse()?);
        return Ok(Some(decoded.aggregate_id(text("subject"))));
    }
    if let [0, _, _, _, _, json @ ..] = bytes {
        return Ok(Some(Decoded::new("OrderNoted", serde_json::from_slice(json)?)));
    }
    if let Some(kind) = record.header("__TypeId__") {
        let quoted: String = serde_json::from_slice(bytes)?;
        let name = kind.rsplit('.').next().unwrap_or_default();
        return Ok(Some(Decoded::new(name, serde_json::from_str(&quoted)?)));
    }
    if bytes.is_empty() {
        return Ok(Some(Decoded::new("OrderClosed", json!({}))));
    }
    Ok(None)
}

#[tokio::test]
async fn formats_of_other_teams_are_read_and_the_rest_is_the_frameworks() {
    let shop = Shop::new();
    let consumer = Consumer::new("ledger").handler(Ledger::default()).decode_with(decode);
    let app = with_ledger(&shop, consumer).await;
    let running = app.start().await.unwrap();
    let binary: [(&str, &[u8]); 3] = [("ce_type", b"OrderNoted"), ("ce_id", b"1"), ("ce_source", b"/a")];
    let other: [(&str, &[u8]); 3] = [("ce_type", b"OrderNoted"), ("ce_id", b"1"), ("ce_source", b"/b")];
    for headers in [binary, binary, other] {
        send(&app, "ce", br#"{"text":"binary"}"#, &headers).await;
    }
    let structured = json!({
        "specversion": "1.0", "type": "OrderNoted", "id": "1", "source": "/c", "subject": "o-9",
        "time": "2026-11-29T10:00:00Z", "data": { "text": "structured" }
    });
    let content: (&str, &[u8]) = ("content-type", b"application/cloudevents+json; charset=utf-8");
    send(&app, "x", structured.to_string().as_bytes(), &[content]).await;
    send(&app, "framed", b"\0\0\0\0\x07{\"text\":\"framed\"}", &[]).await;
    let spring: (&str, &[u8]) = ("__TypeId__", b"com.example.OrderNoted");
    send(&app, "spring", br#""{\"text\":\"quoted\"}""#, &[spring]).await;
    send(&app, "gone", b"", &[]).await;
    send(&app, "plain", br#"{"text":"plain"}"#, &[("event_type", b"OrderNoted")]).await;
    settled(&app).await;
    assert_eq!(ledger(&app, "ce").await, ["binary", "binary"], "one of each source, sent twice or not");
    assert_eq!(ledger(&app, "o-9").await, ["structured"]);
    for (key, what) in [("framed", "framed"), ("spring", "quoted"), ("gone", "closed"), ("plain", "plain")] {
        assert_eq!(ledger(&app, key).await, [what]);
    }
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    stop(running).await;
}

#[tokio::test]
async fn what_a_decoder_refuses_or_panics_at_is_a_dead_letter_and_is_redriven_through_it() {
    let shop = Shop::new();
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let decode = move |record: &Record| -> Answer {
        match record.value.as_deref() {
            Some(b"refused") if !is_mended.load(Ordering::SeqCst) => Err("nobody knows this format".into()),
            Some(b"panic") if !is_mended.load(Ordering::SeqCst) => panic!("told to"),
            value => {
                let text = String::from_utf8_lossy(value.unwrap_or_default());
                Ok(Some(Decoded::new("OrderNoted", json!({ "text": text }))))
            }
        }
    };
    let consumer = Consumer::new("ledger").handler(Ledger::default()).decode_with(decode);
    let app = with_ledger(&shop, consumer).await;
    let running = app.start().await.unwrap();
    for (key, value) in [("a", "refused"), ("a", "behind"), ("b", "panic"), ("b", "behind"), ("c", "fine")] {
        send(&app, key, value.as_bytes(), &[]).await;
    }
    settled(&app).await;
    assert_eq!(ledger(&app, "c").await, ["fine"]);
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    let reason = |key: &str| letters.iter().find(|letter| letter.key == key).unwrap().reason.clone().unwrap();
    assert!(reason("a").contains("nobody knows this format"), "{letters:?}");
    assert!(reason("b").contains("told to"), "{letters:?}");
    assert!(letters.iter().all(|letter| letter.parked_behind == 1), "{letters:?}");
    mended.store(true, Ordering::SeqCst);
    app.dead_letters().redrive_all(None).await.unwrap();
    eventually("redriven", || async {
        ledger(&app, "a").await == ["refused", "behind"] && ledger(&app, "b").await == ["panic", "behind"]
    })
    .await;
    stop(running).await;
}
