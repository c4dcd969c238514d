//! A store that an older build has written, read by a newer one: event by event, and in use.

use super::*;
use crate::schema::Place;
use crate::{Command, Consumer, Envelope, Failure, Fold, Handler, ReadModel, Tx};
use std::time::Duration;

mod old {
    use super::*;

    events!(OldEvent {
        #[event(name = "OrderCreated")] Created { who: String },
        #[event(name = "OrderNoted")] Noted { text: String },
        #[event(name = "OrderClosed")] Closed {},
    });

    pub(super) struct Create;
    impl Command<Of<OldEvent>> for Create {
        type Error = std::convert::Infallible;
        fn decide(&self, _: &Of<OldEvent>) -> Result<Vec<OldEvent>, Self::Error> {
            let text = "n".to_owned();
            Ok(vec![OldEvent::Created { who: "Ada".into() }, OldEvent::Noted { text }, OldEvent::Closed {}])
        }
    }

    pub(super) type Order = Of<OldEvent>;
}

events!(NewEvent {
    #[event(name = "OrderPlaced", was = ["OrderCreated"], version = 2)] Placed { customer: String, source: String },
    #[event(name = "OrderClosed", retired)] Closed {},
});

#[derive(Default, Clone)]
struct Order {
    customer: String,
    closed: bool,
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = NewEvent;
    fn apply(&mut self, event: &NewEvent) {
        match event {
            NewEvent::Placed { customer, .. } => self.customer.clone_from(customer),
            NewEvent::Closed {} => self.closed = true,
        }
    }
}

#[derive(ReadModel, Clone)]
#[read_model(table = "orders_seen")]
struct Row {
    #[column(key)]
    id: String,
    customer: String,
}

impl Fold for Row {
    type Events = NewEvent;
    fn fold(row: Option<Self>, event: &Envelope<NewEvent>) -> Option<Self> {
        match &event.event {
            NewEvent::Placed { customer, .. } => {
                Some(Self { id: event.aggregate_id.clone(), customer: customer.clone() })
            }
            NewEvent::Closed {} => row,
        }
    }
}

struct Greeter;

impl Handler for Greeter {
    type Events = NewEvent;
    async fn handle(&self, event: &Envelope<NewEvent>, _: &mut Tx) -> Result<(), Failure> {
        match &event.event {
            NewEvent::Placed { source, .. } => assert_eq!(source, "shop"),
            NewEvent::Closed {} => {}
        }
        Ok(())
    }
}

struct Close;

impl Command<Order> for Close {
    type Error = std::convert::Infallible;
    fn decide(&self, _: &Order) -> Result<Vec<NewEvent>, Self::Error> {
        Ok(vec![NewEvent::Closed {}])
    }
}

fn lift() -> Upcasters {
    Upcasters::new().drop("OrderNoted").step_with_origin("OrderPlaced", 1, 2, |mut event, origin| {
        event["customer"] = event["who"].take();
        event["source"] = origin.source.clone().into();
        Ok(event)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_an_older_build_is_read_by_every_name_and_version_and_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("orders.db").display());
    let first = App::builder(&url).service("shop").aggregate::<old::Order>().open().await.unwrap();
    for id in ["o-1", "o-2", "o-3"] {
        first.execute(id, old::Create).await.unwrap();
    }
    let running = first.start().await.unwrap();
    loop {
        let rows =
            first.store().query("SELECT count(*) AS n FROM fs_records", crate::params![]).await.unwrap();
        if rows[0].get::<u64>("n").unwrap() == 9 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(running.stop(Duration::from_secs(10)).await);
    drop(first);

    let now = |upcasters| {
        App::builder(&url)
            .service("shop")
            .aggregate::<Order>()
            .read_model::<Row>()
            .consumer(
                Consumer::new("greeter").unknown_types(crate::UnknownTypes::DeadLetter).handler(Greeter),
            )
            .upcasters(upcasters)
    };
    let builder = now(lift());
    let events = builder.events().unwrap();
    let app = builder.open().await.unwrap();
    let matrix = events.verify(&app, |_| {}).await.unwrap();
    assert!(matrix.passes(), "{matrix}");
    let log: Vec<(&str, u32, u64)> = matrix
        .rows
        .iter()
        .filter(|row| row.place == Place::Log)
        .map(|row| (row.event.as_str(), row.version, row.events))
        .collect();
    assert_eq!(log, [("OrderCreated", 1, 3), ("OrderNoted", 1, 3), ("OrderClosed", 1, 3)]);
    assert!(
        matrix.rows.iter().any(|row| row.place == Place::Records && row.event == "OrderCreated"),
        "{matrix:?}"
    );

    let state = app.load::<Order>("o-1").await.unwrap().0;
    assert_eq!((state.customer.as_str(), state.closed), ("Ada", true));
    let running = app.start().await.unwrap();
    let row = app.read::<Row>().wait_for(9).get("o-2").await.unwrap().unwrap();
    assert_eq!(row.customer, "Ada");
    let rebuilt = app.rebuild("orders_seen", |_| {}).await.unwrap();
    assert_eq!(rebuilt.position, 9);
    assert_eq!(app.read::<Row>().get("o-3").await.unwrap().unwrap().customer, "Ada");
    let retired = app.execute("o-1", Close).await.err().unwrap().to_string();
    assert!(retired.contains("OrderClosed") && retired.contains("retired"), "{retired}");
    loop {
        let status = app.status().await;
        let greeter = status.handlers.iter().find(|handler| handler.name == "greeter").unwrap();
        if greeter.lag_events == Some(0) {
            assert_eq!(greeter.dead_letters, Some(0), "no event is unknown: one was renamed, one dropped");
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(running.stop(Duration::from_secs(10)).await);

    // The sabotage: the step does nothing. Each event that was lifted is counted, with its type and version.
    let broken = now(Upcasters::new().drop("OrderNoted").step("OrderPlaced", 1, 2, Ok));
    let matrix = broken.events().unwrap().verify(&app, |_| {}).await.unwrap();
    assert!(!matrix.passes());
    let text = matrix.to_string();
    assert!(
        text.contains("OrderCreated v1: 3 of 3 in the log cannot be read; the first is at position 1"),
        "{text}"
    );
    let undropped = now(Upcasters::new().step("OrderPlaced", 1, 2, Ok)).events().unwrap();
    let matrix = undropped.verify(&app, |_| {}).await.unwrap();
    assert!(matrix.to_string().contains("OrderNoted v1: 3 of 3 in the log cannot be read"), "{matrix}");
}
