//! Redrive, edit and discard (G9).

use crate::common::{Shop, eventually, quick, settled, stop};
use crate::ledger::{broken, ledger, note, with_ledger};
use factstream::dead_letters::HISTORY_MAX;
use factstream::sql::now;
use factstream::{Consumer, params};
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

#[tokio::test]
async fn a_history_of_years_comes_in_pages_and_keeps_its_beginning_its_end_and_what_people_did() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(broken()).retry(quick(1))).await;
    let running = app.start().await.unwrap();
    note(&app, "bad", "permanent").await;
    settled(&app).await;
    let id = app.dead_letters().list(None, false, 0).await.unwrap()[0].id;
    let mut tx = app.store().begin().await.unwrap();
    let sql = "INSERT INTO fs_dead_letter_history (letter_id, entry, at, action, detail) VALUES ($1, $2, $3, $4, $5)";
    let attempt = |entry: u64| params![id, entry, now(), "attempt", r#"{"attempt":1,"errors":["no"]}"#];
    tx.execute_many(sql, (2..3_000).map(attempt).collect()).await.unwrap();
    let large = format!(r#"{{"before":{{"text":"{}"}}}}"#, "x".repeat(400_000));
    for entry in [200_u64, 201, 202, 203, 3_000, 3_001, 3_002, 3_003] {
        let sql = format!(
            "{sql} ON CONFLICT (letter_id, entry) DO UPDATE SET action = excluded.action, detail = excluded.detail"
        );
        tx.execute(&sql, params![id, entry, now(), "edit", &large]).await.unwrap();
    }
    tx.commit(Vec::new()).await.unwrap();
    app.dead_letters().redrive(id).await.unwrap();
    eventually("it died again", || async {
        app.dead_letters().history(id, None).await.unwrap().last().is_some_and(|last| last.entry == 3_005)
    })
    .await;

    let shown = app.dead_letters().show(id).await.unwrap().history;
    let numbers = shown.iter().map(|entry| entry.entry).collect::<Vec<_>>();
    assert_eq!(numbers, [3_002, 3_003, 3_004, 3_005], "two of 400 kB fill a page");
    let (mut before, mut all) = (None, Vec::new());
    loop {
        let page = app.dead_letters().history(id, before).await.unwrap();
        let Some(oldest) = page.first() else { break };
        let bytes: usize = page.iter().map(|entry| entry.detail.to_string().len()).sum();
        assert!(page.len() <= HISTORY_MAX && bytes < 1_500_000, "{} entries, {bytes} bytes", page.len());
        before = Some(oldest.entry);
        all.splice(0..0, page);
    }
    let kept: Vec<u64> = all.iter().map(|entry| entry.entry).collect();
    let wanted: Vec<u64> = (1..=100).chain(200..=203).chain(2_106..=3_005).collect();
    assert_eq!(kept, wanted);
    stop(running).await;
}
