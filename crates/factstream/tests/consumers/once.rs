//! Every event takes effect once (G6).

use crate::common::{Shop, settled, stop};
use crate::ledger::{Ledger, ledger, note, with_ledger};
use factstream::{Consumer, message};

#[tokio::test]
async fn every_event_is_handled_once_although_the_topic_carries_it_twice() {
    let shop = Shop::new();
    let app = with_ledger(&shop, Consumer::new("ledger").handler(Ledger::default())).await;
    for n in 0..50 {
        note(&app, &format!("o-{}", n % 5), &format!("{n}")).await;
    }
    // A producer that publishes everything a second time, as a relay does after a crash.
    let again: Vec<_> = app.read_log(0, 100).await.unwrap();
    let again = again.iter().filter_map(|event| message::Message::of(event).unwrap()).collect::<Vec<_>>();
    app.broker().publish(again.clone()).await.unwrap();
    let running = app.start().await.unwrap();
    app.broker().publish(again).await.unwrap();
    settled(&app).await;
    for o in 0..5 {
        let wanted: Vec<String> = (0..50).filter(|n| n % 5 == o).map(|n| n.to_string()).collect();
        assert_eq!(ledger(&app, &format!("o-{o}")).await, wanted);
    }
    stop(running).await;
}
