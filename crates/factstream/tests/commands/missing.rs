//! Streams of which events were deleted.

use crate::common::{Do, Order, Shop};
use factstream::{Error, ExecuteError, params};

#[tokio::test]
async fn a_stream_that_lost_events_is_not_folded_in_silence() {
    let shop = Shop::new();
    let app = shop.open().await;
    for id in ["first", "middle", "all"] {
        app.execute(id, Do::Create(1)).await.unwrap();
        app.execute(id, Do::Note("a".into())).await.unwrap();
        app.execute(id, Do::Note("b".into())).await.unwrap();
    }
    drop(app);
    let app = shop.open().await;
    let mut tx = app.begin().await.unwrap();
    for (id, from, to) in [("first", 1, 1), ("middle", 2, 2), ("all", 1, 3)] {
        let sql = "DELETE FROM events WHERE aggregate_id = $1 AND version >= $2 AND version <= $3";
        tx.sql(sql, params![id, from, to]).await.unwrap();
    }
    tx.commit().await.unwrap();
    let head = app.head().await.unwrap();
    for (id, lost) in [("first", 1), ("middle", 2), ("all", 1)] {
        let mut errors =
            vec![app.load::<Order>(id).await.unwrap_err(), app.load_at::<Order>(id, 3).await.unwrap_err()];
        for command in [Do::Create(1), Do::Note("c".into()), Do::Nothing] {
            match app.execute(id, command).await.unwrap_err() {
                ExecuteError::Failed(error) => errors.push(error),
                ExecuteError::Rejected(refusal) => panic!("{id}: decided on half a state: {refusal}"),
            }
        }
        let mut tx = app.begin().await.unwrap();
        errors.push(tx.load::<Order>(id).await.unwrap_err());
        drop(tx);
        for error in errors {
            let Error::Horizon { stream, missing, .. } = &error else { panic!("{id}: {error}") };
            assert_eq!((stream.id(), *missing), (id, lost), "{error}");
        }
    }
    assert_eq!(app.head().await.unwrap(), head, "nothing was appended");
}
