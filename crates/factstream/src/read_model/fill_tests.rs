//! Filling with few rows in memory against a plain fold.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::handler::tables::Managed;
use crate::tx::TableNames;
use crate::{App, Fold};
use factstream_core::decode::Upcasters;
use factstream_core::event::EventSet;
use factstream_core::params;
use std::collections::BTreeMap;

extern crate self as factstream;

#[derive(factstream_macros::Event, serde::Serialize, serde::Deserialize)]
enum Counted {
    #[event(name = "Added")]
    Added { number: i64 },
    #[event(name = "Removed")]
    Removed,
}

#[derive(factstream_macros::ReadModel, Clone)]
#[read_model(table = "counts")]
struct Count {
    #[column(key)]
    id: String,
    total: i64,
}

impl Fold for Count {
    type Events = Counted;

    fn fold(row: Option<Self>, event: &Envelope<Counted>) -> Option<Self> {
        match event.event {
            Counted::Added { number } => {
                let total = row.map_or(0, |row| row.total) + number;
                Some(Self { id: event.aggregate_id.clone(), total })
            }
            Counted::Removed => None,
        }
    }
}

fn event(position: u64, id: u64, number: Option<i64>) -> RecordedEvent {
    RecordedEvent {
        position,
        aggregate_type: "counter".into(),
        aggregate_id: format!("c-{id:03}"),
        version: position,
        event_id: uuid::Uuid::now_v7(),
        event_type: number.map_or("Removed", |_| "Added").into(),
        schema_version: 1,
        data: number.map_or("{}".into(), |number| format!("{{\"number\":{number}}}")),
        metadata: "{\"source\":\"test\"}".into(),
        timestamp: factstream_core::sql::now(),
    }
}

#[tokio::test]
async fn rows_that_were_let_go_and_are_touched_again_come_out_as_the_fold_has_them() {
    Box::pin(fill_within(20, usize::MAX)).await;
}

#[tokio::test]
async fn large_rows_are_let_go_before_there_are_many_of_them() {
    Box::pin(fill_within(usize::MAX, 500)).await;
}

/// Rows that come, go and come back, far more of them than may be in memory.
async fn fill_within(rows_max: usize, bytes_max: usize) {
    let dir = tempfile::tempdir().unwrap();
    let app = App::builder(format!("sqlite://{}", dir.path().join("c.db").display())).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    Managed::of::<Count>().tables[0].create(&mut tx, &TableNames::Live).await.unwrap();
    tx.commit().await.unwrap();

    let decoder = Upcasters::new().decoder(Counted::event_types()).unwrap();
    let mut filling = Fill::<Count>::new(decoder);
    (filling.rows_max, filling.bytes_max) = (rows_max, bytes_max);
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    let (mut position, mut loaded) = (0, 0);
    for _ in 0..300 {
        let page: Vec<RecordedEvent> = (0..10)
            .map(|_| {
                position += 1;
                let id = rand::random_range(0..150);
                let number = rand::random_bool(0.7).then(|| rand::random_range(1..100));
                let key = format!("c-{id:03}");
                match number {
                    Some(number) => *wanted.entry(key).or_default() += number,
                    None => drop(wanted.remove(&key)),
                }
                event(position, id, number)
            })
            .collect();
        filling.fold(page).unwrap();
        if filling.wants_rows() {
            loaded += 1;
            filling.load(&mut app.begin().await.unwrap()).await.unwrap();
        }
        let unwritten = if filling.is_full() { filling.let_go(false) } else { Vec::new() };
        write(&app, unwritten).await;
        assert!(filling.rows.len() <= rows_max.saturating_add(10));
        assert!(!filling.is_full() && (filling.bytes > 0 || filling.rows.is_empty()));
    }
    let rest = filling.let_go(true);
    assert!(
        filling.rows.is_empty() && filling.bytes == 0 && loaded > 50,
        "{loaded} pages touched rows that had been let go"
    );
    write(&app, rest).await;
    let rows = app.store().query("SELECT id, total FROM counts ORDER BY id", params![]).await.unwrap();
    let found: BTreeMap<String, i64> =
        rows.iter().map(|row| (row.get("id").unwrap(), row.get("total").unwrap())).collect();
    assert_eq!(found, wanted);
}

async fn write(app: &App, unwritten: Vec<Box<dyn Unwritten>>) {
    for part in unwritten {
        let mut tx = app.begin().await.unwrap();
        part.write(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[test]
fn a_key_that_was_added_is_never_denied_and_few_others_are_taken_for_added() {
    let mut seen = Seen::new();
    for number in 0..1_000_000 {
        seen.add(&RowKey::Integer(number));
    }
    assert!((0..1_000_000).all(|number| seen.may_have(&RowKey::Integer(number))));
    let wrong = (1_000_000..2_000_000).filter(|number| seen.may_have(&RowKey::Integer(*number))).count();
    assert!(wrong < 2_000, "{wrong} of a million");
}
