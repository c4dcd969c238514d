//! Handlers carry on what came with a request: to the commands and events that they cause, into the headers of messages, and from
//! the messages of other teams.

use crate::common::{Do, Order, OrderEvent, Shop, eventually, quick, settled, stop};
use crate::unreadable::send;
use factstream::dead_letters::Bytes;
use factstream::{App, Consumer, Context, Envelope, ExternalHandler, Failure, Tx};
use std::sync::{Arc, OnceLock};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Causes events in every way that a handler has, for orders whose ids begin with `o-`.
#[derive(Clone, Default)]
struct Carrier {
    /// This application, and one on another store.
    apps: Arc<OnceLock<(App, App)>>,
}

impl ExternalHandler for Carrier {
    type Events = OrderEvent;
    type Outcome = ();

    async fn call(&self, event: &Envelope<OrderEvent>) -> Result<(), Failure> {
        let (OrderEvent::Created { .. }, Some((app, _))) = (&event.event, self.apps.get()) else {
            return Ok(());
        };
        if event.aggregate_id.starts_with("o-") {
            let of = &event.aggregate_id;
            app.execute(format!("call {of}"), Do::Create(1)).await?;
            let as_carrier = Context::new().actor("carrier");
            app.execute(format!("call as carrier {of}"), Do::Create(1)).context(&as_carrier).await?;
            let handed_on = Context::caused_by(event);
            let task = app.clone();
            let id = format!("task {of}");
            tokio::spawn(async move { task.execute(id, Do::Create(1)).context(&handed_on).await }).await??;
        }
        Ok(())
    }

    async fn handle(&self, event: &Envelope<OrderEvent>, (): &(), tx: &mut Tx) -> Result<(), Failure> {
        match &event.event {
            OrderEvent::Created { .. } if event.aggregate_id.starts_with("o-") => {
                let of = &event.aggregate_id;
                tx.command(&format!("command {of}"), Do::Create(1)).await?;
                tx.append::<Order>(&format!("append {of}"), &[OrderEvent::Closed]).await?;
                let elsewhere = self.apps.get().map(|(_, elsewhere)| elsewhere).ok_or("too early")?;
                elsewhere.execute(format!("elsewhere {of}"), Do::Note("a".into())).await?;
                tx.set_context(&Context::new().actor("carrier"))?;
                tx.append::<Order>(&format!("append as carrier {of}"), &[OrderEvent::Closed]).await?;
                Ok(())
            }
            OrderEvent::Noted { text } if text == "permanent" => Err(Failure::permanent("told to")),
            _ => Ok(()),
        }
    }
}

async fn open(shop: &Shop, other: &Shop) -> (App, App) {
    let carrier = Carrier::default();
    let consumer = Consumer::new("carrier").external(carrier.clone()).retry(quick(3));
    let app = shop.builder().consumer(consumer).open().await.unwrap();
    let elsewhere = other.builder().service("elsewhere").open().await.unwrap();
    carrier.apps.set((app.clone(), elsewhere.clone())).unwrap();
    (app, elsewhere)
}

async fn of(app: &App, id: &str) -> Envelope<()> {
    let events = app.events::<Order>(id, 0, 10).await.unwrap();
    events.last().unwrap_or_else(|| panic!("{id}")).envelope().unwrap()
}

/// What is caused by an event of the order `id`.
async fn caused(app: &App, elsewhere: &App, id: &str) -> Vec<Envelope<()>> {
    let mut caused = Vec::new();
    for way in ["call", "task", "command", "append"] {
        caused.push(of(app, &format!("{way} {id}")).await);
    }
    let there = of(elsewhere, &format!("elsewhere {id}")).await;
    assert_eq!(there.source, "elsewhere");
    caused.push(there);
    caused
}

#[tokio::test]
async fn handlers_carry_a_request_on_to_all_that_they_cause() {
    let (shop, other) = (Shop::new(), Shop::new());
    let (app, elsewhere) = open(&shop, &other).await;
    let running = app.start().await.unwrap();
    let asked =
        Context::new().actor("user-ä").correlation_id("request-1").traceparent(TRACE).attribute("a", "b");
    app.execute("o-1", Do::Create(1)).context(&asked).await.unwrap();
    settled(&app).await;
    let cause = of(&app, "o-1").await;
    assert_ne!(cause.causation_id.as_deref(), Some("request-1"));
    for event in caused(&app, &elsewhere, "o-1").await {
        assert_eq!(event.correlation_id.as_deref(), Some("request-1"), "{event:?}");
        assert_eq!(event.causation_id.as_deref(), Some(cause.event_id.as_str()), "{event:?}");
        assert_eq!((event.actor.as_deref(), event.traceparent.as_deref()), (Some("user-ä"), Some(TRACE)));
        assert_eq!(event.attributes, asked.attributes);
    }
    for way in ["call", "append"] {
        let event = of(&app, &format!("{way} as carrier o-1")).await;
        assert_eq!((event.actor.as_deref(), event.traceparent.as_deref()), (Some("carrier"), Some(TRACE)));
        assert_eq!(event.correlation_id.as_deref(), Some("request-1"), "what it does not say is the event's");
        assert_eq!(event.causation_id.as_deref(), Some(cause.event_id.as_str()));
    }
    stop(running).await;
}

#[tokio::test]
async fn a_letter_keeps_what_came_with_the_request() {
    let (shop, other) = (Shop::new(), Shop::new());
    let (app, _elsewhere) = open(&shop, &other).await;
    let running = app.start().await.unwrap();
    let asked = Context::new().actor("user-7").attribute("channel", "web").traceparent(TRACE);
    app.execute("n-1", Do::Note("permanent".into())).context(&asked).await.unwrap();
    let dead = || async { app.dead_letters().list(None, false, 0).await.unwrap() };
    eventually("a letter", || async { dead().await.len() == 1 }).await;
    let letter = app.dead_letters().show(dead().await[0].id).await.unwrap();
    for (name, value) in [("actor", "user-7"), ("attributes", r#"{"channel":"web"}"#), ("traceparent", TRACE)]
    {
        let header = letter.headers.iter().find(|(header, _)| header == name);
        assert_eq!(header.map(|(_, value)| value), Some(&Bytes::Text(value.to_owned())), "{name}");
    }
    stop(running).await;
}

#[tokio::test]
async fn what_came_with_another_teams_message_is_carried_on_in_the_same_way() {
    let (shop, other) = (Shop::new(), Shop::new());
    let (app, elsewhere) = open(&shop, &other).await;
    let running = app.start().await.unwrap();
    let created = br#"{"customer_id":"c-1","amount":1}"#;
    let headers: [(&str, &[u8]); 5] = [
        ("event_type", b"OrderCreated"),
        ("correlation_id", b"theirs"),
        ("traceparent", TRACE.as_bytes()),
        ("actor", b"user-7"),
        ("attributes", br#"{"channel":"app"}"#),
    ];
    send(&app, "o-1", created, &headers).await;
    // These names are other teams' own, too: whatever is in them is not in the way.
    let own: [(&str, &[u8]); 3] =
        [("event_type", b"OrderCreated"), ("actor", b"\xff\x00"), ("attributes", b"some")];
    send(&app, "o-2", created, &own).await;
    settled(&app).await;
    for event in caused(&app, &elsewhere, "o-1").await {
        assert_eq!(event.correlation_id.as_deref(), Some("theirs"));
        assert_eq!((event.actor.as_deref(), event.traceparent.as_deref()), (Some("user-7"), Some(TRACE)));
        assert_eq!(event.attributes["channel"], "app");
    }
    for event in caused(&app, &elsewhere, "o-2").await {
        assert_eq!((event.actor, event.attributes.len()), (None, 0));
    }
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    stop(running).await;
}
