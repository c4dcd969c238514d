//! Waiting for what a command led to, by the log.

use crate::common::{Do, OrderEvent, Shop};
use factstream::{Context, Error};
use std::time::{Duration, Instant};

/// A conversation whose id JSON has to escape.
const ODD: &str = "request \"42\" / ü";

#[tokio::test]
async fn the_first_event_of_the_conversation_is_given_whether_it_is_recorded_or_yet_to_come() {
    let shop = Shop::new();
    let app = shop.open().await;
    let context = Context::new().correlation_id(ODD);
    let other = Context::new().correlation_id("request 43");
    for n in 0..700 {
        app.execute(format!("other-{n}"), Do::Create(n)).context(&other).await.unwrap();
    }
    let done = app.execute("o-1", Do::Create(1)).context(&context).await.unwrap();
    let recorded = app.outcome::<OrderEvent>(ODD).await.unwrap();
    assert_eq!((recorded.aggregate_id.as_str(), recorded.position), ("o-1", Some(done.position)));
    let (later, noted) =
        tokio::join!(async { app.outcome::<OrderEvent>(ODD).after(done.position).await }, async {
            tokio::task::yield_now().await;
            app.execute("other-1", Do::Close).context(&other).await.unwrap();
            app.execute("o-1", Do::Note("hello".into())).context(&context).await.unwrap()
        });
    let later = later.unwrap();
    assert_eq!(
        (later.position, later.event),
        (Some(noted.position), OrderEvent::Noted { text: "hello".into() })
    );
}

#[tokio::test]
async fn when_the_time_is_over_it_is_an_error_that_says_so() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).await.unwrap();
    let began = Instant::now();
    let within = Duration::from_millis(300);
    let none = app.outcome::<OrderEvent>("request-1").within(within).await;
    assert!(began.elapsed() >= within);
    assert!(matches!(none, Err(Error::NoOutcome { looked_to: 1, .. })), "{none:?}");
}
