//! What others write into the header is never in the way.

use crate::common::stop;
use crate::setup::{
    Setup, analytics, eventually_seen, eventually_waiting, note, nothing_is_left, payment, publish, seen,
};
use factstream::message::Message;

fn with_header(message: &Message, value: &[u8]) -> Message {
    let mut message = message.clone();
    message.headers = message.headers.iter().filter(|(name, _)| *name != "causes").collect();
    message.headers.push("causes", value);
    message
}

#[tokio::test]
async fn a_header_that_is_not_ours_is_no_causes() {
    let setup = Setup::new();
    let app = setup.open(analytics()).await;
    let running = app.start().await.unwrap();
    let cause = note("o-1", "cause", &[]);
    let entry = format!("{}/OrderNoted/orders.events", cause.id);
    let seventeen = vec![entry.clone(); 17].join(",");
    let long = format!("{entry},{}", "x".repeat(4_096));
    let bad: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\xff\xfe".to_vec(),
        b"[{\"because\":\"I say so\"}]".to_vec(),
        format!("{entry},").into_bytes(),
        format!("{entry},a/b").into_bytes(),
        format!("{entry}\0").into_bytes(),
        seventeen.into_bytes(),
        long.into_bytes(),
    ];
    let mut expected = Vec::new();
    for (n, value) in bad.iter().enumerate() {
        let event = payment(&format!("p-{n}"), &n.to_string(), &[]);
        app.broker().publish(vec![with_header(&event.message, value)]).await.unwrap();
        expected.push(n.to_string());
        eventually_seen(&app, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    nothing_is_left(&app).await;
    // And a good one by hand is as good as ours.
    let event = payment("p-9", "9", &[]);
    app.broker().publish(vec![with_header(&event.message, entry.as_bytes())]).await.unwrap();
    eventually_waiting(&app, 1).await;
    publish(&app, &[&cause]).await;
    expected.extend(["cause".to_owned(), "9".to_owned()]);
    eventually_seen(&app, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    stop(running).await;
}

#[tokio::test]
async fn events_that_name_each_other_or_themselves_as_causes_do_not_wait_for_ever() {
    let setup = Setup::new();
    let wait = std::time::Duration::from_millis(500);
    let app = setup.open(crate::setup::waiting(wait, factstream::Late::Handle)).await;
    let running = app.start().await.unwrap();
    let (one, other) = (payment("p-1", "one", &[]), payment("p-2", "other", &[]));
    let named = |id| format!("{id}/PaymentTaken/payments.events").into_bytes();
    let own = payment("p-3", "own", &[]);
    let messages = vec![
        with_header(&own.message, &named(own.id)),
        with_header(&one.message, &named(other.id)),
        with_header(&other.message, &named(one.id)),
    ];
    app.broker().publish(messages).await.unwrap();
    crate::common::eventually("all are handled", || async { seen(&app).await.len() == 3 }).await;
    let late = crate::setup::of_analytics(&app).await.late;
    assert!(
        late == Some(1) || late == Some(2),
        "one of a circle frees the other, or both are late: {late:?}"
    );
    stop(running).await;
}
