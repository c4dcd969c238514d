//! What comes with a request is recorded with every event that follows from it, whatever way the event is appended.

use crate::common::{Do, Order, OrderEvent, Refused, Shop};
use factstream::{App, Context, Envelope, Error, ExecuteError};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn context() -> Context {
    Context::new()
        .actor("user-ä")
        .correlation_id("request-1")
        .causation_id("click-1")
        .traceparent(TRACE)
        .attribute("channel", "web")
}

async fn newest(app: &App) -> Envelope<()> {
    let head = app.head().await.unwrap();
    app.read_log(head - 1, 1).await.unwrap()[0].envelope().unwrap()
}

#[tokio::test]
async fn a_context_is_recorded_with_the_events_of_every_way_to_append() {
    let shop = Shop::new();
    let app = shop.open().await;
    let asked = context();
    let is_of_the_request = |event: Envelope<()>| {
        assert_eq!(event.actor.as_deref(), Some("user-ä"));
        assert_eq!(event.correlation_id.as_deref(), Some("request-1"));
        assert_eq!(event.causation_id.as_deref(), Some("click-1"));
        assert_eq!(event.traceparent.as_deref(), Some(TRACE));
        assert_eq!(event.attributes["channel"], "web");
    };
    app.execute("o-1", Do::Create(1)).context(&asked).await.unwrap();
    is_of_the_request(newest(&app).await);
    app.create(Do::Create(1)).key("k-1").context(&asked).await.unwrap();
    is_of_the_request(newest(&app).await);
    app.execute("o-1", Do::Note("a".into())).context(&asked).with_state().await.unwrap();
    is_of_the_request(newest(&app).await);
    let noted = async |mut tx: factstream::LentTx| {
        tx.append::<Order>("o-2", &[OrderEvent::Noted { text: "b".into() }]).await
    };
    app.transaction(noted).context(&asked).await.unwrap();
    is_of_the_request(newest(&app).await);
    let mut tx = app.begin().await.unwrap();
    tx.set_context(&asked).unwrap();
    tx.command("o-2", Do::Close).await.unwrap();
    tx.commit().await.unwrap();
    is_of_the_request(newest(&app).await);

    app.transaction(noted).await.unwrap();
    let other = newest(&app).await;
    assert_eq!((other.actor, other.traceparent, other.attributes.len()), (None, None, 0));
    assert_ne!(other.correlation_id.as_deref(), Some("request-1"), "a conversation of its own");
}

#[tokio::test]
async fn what_a_context_does_not_say_is_said_for_it() {
    let shop = Shop::new();
    let app = shop.open().await;
    app.execute("o-1", Do::Create(1)).context(&Context::new().correlation_id("request-1")).await.unwrap();
    let event = newest(&app).await;
    assert_eq!(event.correlation_id.as_deref(), Some("request-1"));
    assert!(event.causation_id.is_some_and(|cause| cause != "request-1"), "the command's own id");
    app.execute("o-1", Do::Close).context(&Context::new().actor("user-7")).await.unwrap();
    let event = newest(&app).await;
    assert_eq!(event.correlation_id, event.causation_id, "a command begins a conversation");
}

#[tokio::test]
async fn callers_that_are_decided_together_keep_their_own_contexts() {
    let shop = Shop::new();
    let app = shop.open().await;
    let calls = (0..50).map(|n| {
        let app = &app;
        async move {
            let context = Context::new().actor(format!("user-{n}"));
            app.execute("o-1", Do::Note(format!("{n}"))).context(&context).await.unwrap()
        }
    });
    futures_util::future::join_all(calls).await;
    for event in app.events::<Order>("o-1", 0, 100).await.unwrap() {
        let actor = event.envelope().unwrap().actor.unwrap();
        assert_eq!(event.data, format!(r#"{{"text":"{}"}}"#, actor.strip_prefix("user-").unwrap()));
    }
}

#[tokio::test]
async fn a_context_that_cannot_be_recorded_is_refused_with_advice_and_nothing_is_stored() {
    let shop = Shop::new();
    let app = shop.open().await;
    let long = "x".repeat(256);
    for (bad, advice) in [
        (Context::new().actor(""), "1 to 255 bytes"),
        (Context::new().actor("a\0b"), "remove it"),
        (Context::new().correlation_id("a\nb"), "remove it"),
        (Context::new().causation_id(&long), "at most 255"),
        (Context::new().traceparent("00-abc"), "as it came"),
        (Context::new().traceparent(TRACE.to_uppercase()), "as it came"),
        (Context::new().attribute("a\tb", "c"), "remove it"),
        ((0..33).fold(Context::new(), |bad, n| bad.attribute(n.to_string(), "x")), "at most 32"),
    ] {
        let of_execute = app.execute("o-1", Do::Create(1)).context(&bad).await.unwrap_err();
        let ExecuteError::<Refused>::Failed(of_execute) = of_execute else { panic!("{of_execute}") };
        let work = async |mut tx: factstream::LentTx| tx.append::<Order>("o-2", &[OrderEvent::Closed]).await;
        let of_transaction = app.transaction(work).context(&bad).await.unwrap_err();
        let mut tx = app.begin().await.unwrap();
        for error in [of_execute, of_transaction, tx.set_context(&bad).unwrap_err()] {
            assert!(matches!(error, Error::InvalidContext(_)), "{error}");
            assert!(error.to_string().contains(advice) && !error.to_string().contains(&long), "{error}");
        }
    }
    assert_eq!(app.head().await.unwrap(), 0);
}
