//! What a person decided about an event of a projection holds in every rebuild: live rows equal rebuilt ones (G10).

use crate::common::{Do, OrderEvent, OrderRow, Shop, eventually, fill, settled, stop};
use factstream::{App, Builder, Envelope, Failure, Projection, Projector, Rows, Running, params};
use std::collections::BTreeMap;
use tokio::runtime::Handle;

const BAD: &str = "fold panics";

async fn note(app: &App, id: &str, text: &str) {
    app.execute(id, Do::Note(text.to_owned())).await.unwrap();
}

/// The letter that an order's key waits behind.
async fn letter(app: &App, id: &str) -> Option<u64> {
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    letters.iter().find(|letter| letter.key == id).map(|letter| letter.id)
}

async fn dead(app: &App, id: &str) -> u64 {
    eventually("it is a dead letter", || async { letter(app, id).await.is_some() }).await;
    letter(app, id).await.unwrap()
}

/// Three orders, each with a note that cannot be folded, and one after that.
async fn with_letters(builder: Builder) -> (App, Running) {
    let app = builder.open().await.unwrap();
    let running = app.start().await.unwrap();
    fill(&app, 0..5).await;
    for id in ["discarded", "edited", "waiting"] {
        app.execute(id, Do::Create(7)).await.unwrap();
        for text in ["before", BAD, "after"] {
            note(&app, id, text).await;
        }
    }
    app.dead_letters().discard(dead(&app, "discarded").await, "nobody wants it").await.unwrap();
    let mended = r#"{"text":"mended"}"#;
    app.dead_letters().edit(dead(&app, "edited").await, mended).await.unwrap();
    dead(&app, "waiting").await;
    settled(&app).await;
    (app, running)
}

/// The rows, once all is handled that can be: a letter that waits holds up whoever waits for a position.
async fn rows(app: &App) -> BTreeMap<String, OrderRow> {
    settled(app).await;
    let page = app.read::<OrderRow>().limit(1_000).list().await.unwrap();
    page.rows.into_iter().map(|row| (row.order_id.clone(), row)).collect()
}

fn notes<'a>(rows: &'a BTreeMap<String, OrderRow>, id: &str) -> &'a [String] {
    &rows[id].notes
}

fn is_as_decided(rows: &BTreeMap<String, OrderRow>) {
    assert_eq!(notes(rows, "discarded"), ["before", "after"]);
    assert_eq!(notes(rows, "edited"), ["before", "mended", "after"]);
    assert_eq!(notes(rows, "waiting"), ["before"]);
}

#[tokio::test]
async fn a_rebuild_leaves_out_what_was_discarded_and_reads_what_was_edited_as_edited() {
    let shop = Shop::new();
    let (app, running) = with_letters(shop.builder().read_model::<OrderRow>()).await;
    let live = rows(&app).await;
    is_as_decided(&live);
    app.rebuild("order_rows", |_| {}).await.unwrap();
    assert_eq!(rows(&app).await, live);
    let waiting = app.dead_letters().list(None, false, 0).await.unwrap();
    assert_eq!(waiting.iter().map(|letter| letter.key.as_str()).collect::<Vec<_>>(), ["waiting"]);

    // Letters that are settled go after their time; what was decided about their events stays.
    let mut tx = app.begin().await.unwrap();
    tx.sql("DELETE FROM fs_dead_letters WHERE state <> 'dead' AND state <> 'parked'", params![])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    app.rebuild("order_rows", |_| {}).await.unwrap();
    assert_eq!(rows(&app).await, live);

    // A later decision counts: what was edited badly is discarded.
    let decided = app.dead_letters().amendments("order_rows", 0).await.unwrap();
    let [discard, edit] = decided.as_slice() else { panic!("{decided:?}") };
    assert_eq!((discard.action.as_str(), edit.action.as_str()), ("discard", "edit"));
    app.dead_letters().withdraw("order_rows", discard.position).await.unwrap();
    app.rebuild("order_rows", |_| {}).await.unwrap();
    let id = dead(&app, "discarded").await;
    app.dead_letters().edit(id, &format!(r#"{{"text":"{BAD}"}}"#)).await.unwrap();
    let again = dead(&app, "discarded").await;
    app.dead_letters().discard(again, "not like this either").await.unwrap();
    settled(&app).await;
    is_as_decided(&rows(&app).await);
    app.rebuild("order_rows", |_| {}).await.unwrap();
    is_as_decided(&rows(&app).await);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_begins_again_when_a_letter_is_discarded_meanwhile() {
    let shop = Shop::new();
    let (app, running) = with_letters(shop.builder().read_model::<OrderRow>()).await;
    let id = dead(&app, "waiting").await;
    let mut pages = 0;
    app.rebuild("order_rows", |_| {
        if pages == 0 {
            let discard = async { app.dead_letters().discard(id, "nobody wants it").await.unwrap() };
            tokio::task::block_in_place(|| Handle::current().block_on(discard));
        }
        pages += 1;
    })
    .await
    .unwrap();
    assert!(pages > 1, "it began again");
    let decided = rows(&app).await;
    assert_eq!(notes(&decided, "waiting"), ["before", "after"]);
    assert_eq!(app.dead_letters().list(None, false, 0).await.unwrap(), []);
    app.rebuild("order_rows", |_| {}).await.unwrap();
    assert_eq!(rows(&app).await, decided);
    stop(running).await;
}

/// Writes rows by SQL; nothing of it is handled in memory, so a rebuild goes batch by batch.
struct Notes;

impl Projector for Notes {
    type Events = OrderEvent;

    async fn project(&self, event: &Envelope<OrderEvent>, rows: &mut Rows) -> Result<(), Failure> {
        let OrderEvent::Noted { text } = &event.event else { return Ok(()) };
        if text == BAD {
            return Err(Failure::permanent("told to"));
        }
        let table = rows.table("note_rows");
        let sql = format!(
            "INSERT INTO {table} (order_id, notes) VALUES ($1, $2) \
             ON CONFLICT (order_id) DO UPDATE SET notes = {table}.notes || ' ' || excluded.notes"
        );
        rows.sql(&sql, params![&event.aggregate_id, text]).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_projection_with_lanes_and_shards_keeps_to_what_was_decided_too() {
    let shop = Shop::new();
    let notes = Projection::new("notes", Notes)
        .table("note_rows", "CREATE TABLE {table} (order_id TEXT PRIMARY KEY, notes TEXT NOT NULL)", &[])
        .concurrency(4)
        .shards(2);
    let (app, running) = with_letters(shop.builder().projection(notes)).await;
    let written = || async {
        let sql = "SELECT order_id, notes FROM note_rows ORDER BY order_id";
        let rows = app.store().query(sql, params![]).await.unwrap();
        let row = |row: &factstream::sql::Row| (row.at::<String>(0).unwrap(), row.at::<String>(1).unwrap());
        rows.iter().map(row).collect::<BTreeMap<_, _>>()
    };
    let live = written().await;
    let of = |id: &str| live[id].as_str();
    assert_eq!(
        (of("discarded"), of("edited"), of("waiting")),
        ("before after", "before mended after", "before")
    );
    app.rebuild("notes", |_| {}).await.unwrap();
    settled(&app).await;
    assert_eq!(written().await, live);
    stop(running).await;
}
