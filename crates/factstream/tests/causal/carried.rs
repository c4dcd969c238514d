//! Where an event comes from, it is told what led to it: through handlers, processes, timers and commands.

use crate::common::{Do, Order, OrderEvent, Shop, settled, stop};
use crate::setup::{Payment, PaymentEvent};
use factstream::context::Context;
use factstream::envelope::Metadata;
use factstream::{
    Acts, App, Consumer, Correlate, Envelope, Failure, Handler, Input, Missing, Process, Start, Tx,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Takes the money for each order, and notes on another order that it did.
struct Paying;

impl Handler for Paying {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        match &event.event {
            OrderEvent::Created { .. } => {
                let taken = [PaymentEvent::PaymentTaken { what: "paid".into() }];
                tx.append::<Payment>(&event.aggregate_id, &taken).await?;
                tx.command::<Order, _>("journal", Do::Note(format!("paid {}", event.aggregate_id))).await?;
            }
            OrderEvent::Noted { text } if text == "by process" => {
                let app_context = Context::caused_by(event);
                assert_eq!(app_context.causes.iter().next().unwrap().id, event.event_id);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Sets a timer for each payment, and closes the order when it fires.
#[derive(Default, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Following {
    order: String,
}

impl Process for Following {
    const NAME: &'static str = "following";
    type Events = PaymentEvent;

    fn correlate(event: &Envelope<PaymentEvent>) -> Correlate {
        Correlate::start(&event.aggregate_id).or(Missing::Skip)
    }

    fn react(&mut self, input: Input<'_, PaymentEvent>, acts: &mut Acts) -> Result<(), Failure> {
        match input {
            Input::Event(event) => {
                self.order.clone_from(&event.aggregate_id);
                acts.command::<Order, _>(&self.order, Do::Note("by process".into()));
                acts.timer("close").after(Duration::from_millis(10));
            }
            Input::Timer(_) => acts.command::<Order, _>(&self.order, Do::Close),
            _ => {}
        }
        Ok(())
    }
}

/// What each event of the log says of its causes, by type: newest first.
async fn causes(app: &App) -> Vec<(String, Vec<String>)> {
    let events = app.read_log(0, 100).await.unwrap();
    let told = |event: &factstream::RecordedEvent| {
        let metadata: Metadata = serde_json::from_str(&event.metadata).unwrap();
        let name = |id: &str| {
            let of = events.iter().find(|event| event.event_id.to_string() == id).unwrap();
            format!("{} {}", of.event_type, of.aggregate_id)
        };
        let causes = metadata.causes.iter().map(|cause| name(&cause.id)).collect();
        (format!("{} {}", event.event_type, event.aggregate_id), causes)
    };
    events.iter().map(told).collect()
}

#[tokio::test]
async fn an_event_carries_what_led_to_it_through_handlers_processes_timers_and_commands() {
    let shop = Shop::new();
    let app = shop
        .builder()
        .aggregate::<Payment>()
        .consumer(Consumer::new("paying").handler(Paying))
        .process::<Following>()
        .from(Start::Beginning)
        .open()
        .await
        .unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(7)).await.unwrap();
    settled(&app).await;
    crate::common::eventually("the timer has fired", || async { causes(&app).await.len() == 5 }).await;
    let mut told = causes(&app).await;
    told.sort();
    let of =
        |what: &str, causes: &[&str]| (what.to_owned(), causes.iter().map(|c| (*c).to_owned()).collect());
    let (created, paid) = ("OrderCreated o-1", "PaymentTaken o-1");
    let mut expected: Vec<(String, Vec<String>)> = vec![
        of(created, &[]),
        of(paid, &[created]),
        of("OrderNoted journal", &[created]),
        of("OrderNoted o-1", &[paid, created]),
        of("OrderClosed o-1", &[paid, created]),
    ];
    expected.sort();
    assert_eq!(told, expected);
    settled(&app).await;
    stop(running).await;
}
