//! Redrive, edit and discard (G9).

use crate::common::{Shop, eventually, quick, settled, stop};
use crate::ledger::{broken, ledger, note, with_ledger};
use factstream::Consumer;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_permanent_failure_is_a_dead_letter_at_once_and_a_redrive_goes_through_the_key_in_order() {
    let shop = Shop::new();
    let handler = broken();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(handler.clone()).retry(quick(5))).await;
    let running = app.start().await.unwrap();
    for text in ["1", "permanent", "3", "4"] {
        note(&app, "bad", text).await;
    }
    settled(&app).await;
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].attempts, letters[0].parked_behind), (1, 2));
    let letter = app.dead_letters().show(letters[0].id).await.unwrap();
    assert_eq!(letter.summary.reason.as_deref(), Some("it can never work"));
    assert_eq!(letter.history.len(), 1);
    assert_eq!(letter.parked.len(), 2);
    let value = r#"{"aggregate_id":"bad","text":"permanent"}"#;
    assert_eq!(letter.value, Some(factstream::dead_letters::Bytes::Text(value.into())));
    assert_eq!(ledger(&app, "bad").await, ["1"]);

    // Behind the dead letter, also what comes later waits; a redrive that fails again changes nothing of that.
    note(&app, "bad", "5").await;
    app.dead_letters().redrive(letter.summary.id).await.unwrap();
    eventually("it died again", || async {
        app.dead_letters().show(letter.summary.id).await.unwrap().history.len() == 3
    })
    .await;
    assert_eq!(ledger(&app, "bad").await, ["1"]);

    handler.broken.store(false, Ordering::SeqCst);
    assert_eq!(app.dead_letters().redrive_all(Some("ledger")).await.unwrap(), 1);
    eventually("the key flows", || async { ledger(&app, "bad").await == ["1", "permanent", "3", "4", "5"] })
        .await;
    note(&app, "bad", "6").await;
    eventually("and goes on", || async { ledger(&app, "bad").await.len() == 6 }).await;
    let letter = app.dead_letters().show(letter.summary.id).await.unwrap();
    let actions: Vec<&str> = letter.history.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["attempt", "redrive", "attempt", "redrive", "handled"]);
    assert_eq!(letter.summary.state, "handled");
    let error = app.dead_letters().redrive(letter.summary.id).await.unwrap_err();
    assert!(error.to_string().contains("handled already"), "{error}");
    stop(running).await;
}

#[tokio::test]
async fn a_dead_letter_can_be_edited_or_discarded_and_both_are_on_record() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(broken()).retry(quick(1))).await;
    let running = app.start().await.unwrap();
    for id in ["a", "b"] {
        note(&app, id, "permanent").await;
        note(&app, id, "behind").await;
    }
    settled(&app).await;
    let letters = app.dead_letters().list(Some("ledger"), false, 0).await.unwrap();
    let of = |key: &str| letters.iter().find(|letter| letter.key == key).unwrap().id;
    let (a, b) = (of("a"), of("b"));
    for nonsense in ["", "[]", "{", "null"] {
        assert!(app.dead_letters().edit(a, nonsense).await.is_err(), "{nonsense}");
    }
    app.dead_letters().edit(a, r#"{"text":"mended"}"#).await.unwrap();
    eventually("edited", || async { ledger(&app, "a").await == ["mended", "behind"] }).await;
    assert!(app.dead_letters().discard(b, " ").await.is_err());
    app.dead_letters().discard(b, "a test order").await.unwrap();
    eventually("discarded", || async { ledger(&app, "b").await == ["behind"] }).await;
    let shown = app.dead_letters().show(b).await.unwrap();
    assert_eq!(shown.summary.state, "discarded");
    assert_eq!(shown.history.last().unwrap().detail["reason"], "a test order");
    let shown = app.dead_letters().show(a).await.unwrap();
    let edit = shown.history.iter().find(|entry| entry.action == "edit").unwrap();
    assert!(edit.detail["before"]["text"].as_str().unwrap().contains("permanent"));
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    let error = app.dead_letters().show(999).await.unwrap_err();
    assert!(error.to_string().contains("dead letter 999"), "{error}");
    stop(running).await;
}
