//! Consumers that ask the outside world: in parallel, and each outcome recorded once.

use crate::common::{Do, OrderEvent, Refused, Shop, quick, settled, stop};
use factstream::{Aggregate, Command, Consumer, Envelope, Event, ExternalHandler, Failure, Tx};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Event, Serialize, Deserialize, Debug)]
#[event(topic = "bills.events")]
enum BillEvent {
    #[event(name = "BillPaid")]
    Paid { receipt: String },
}

#[derive(Default, Clone)]
struct Bill {
    paid: bool,
}

impl Aggregate for Bill {
    const TYPE: &'static str = "bill";
    type Event = BillEvent;

    fn apply(&mut self, _: &BillEvent) {
        self.paid = true;
    }
}

struct Pay(String);

impl Command<Bill> for Pay {
    type Error = Refused;

    fn decide(&self, bill: &Bill) -> Result<Vec<BillEvent>, Refused> {
        match bill.paid {
            true => Err(Refused("paid twice")),
            false => Ok(vec![BillEvent::Paid { receipt: self.0.clone() }]),
        }
    }
}

/// Asks a till that is slow and fails every third time.
#[derive(Clone, Default)]
struct Till {
    calls: Arc<AtomicU32>,
    at_once: Arc<AtomicU32>,
    most_at_once: Arc<AtomicU32>,
}

impl ExternalHandler for Till {
    type Events = OrderEvent;
    type Outcome = Option<String>;

    async fn call(&self, event: &Envelope<OrderEvent>) -> Result<Option<String>, Failure> {
        let OrderEvent::Created { .. } = &event.event else { return Ok(None) };
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(3)).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        match self.calls.fetch_add(1, Ordering::SeqCst) % 3 {
            2 => Err("the till is out of paper".into()),
            _ => Ok(Some(format!("receipt of {}", event.event_id))),
        }
    }

    async fn handle(
        &self,
        event: &Envelope<OrderEvent>,
        outcome: &Option<String>,
        tx: &mut Tx,
    ) -> Result<(), Failure> {
        if let Some(receipt) = outcome {
            tx.command(&event.aggregate_id, Pay(receipt.clone())).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_caller_asks_outside_in_parallel_and_records_each_outcome_once_with_its_cause() {
    let shop = Shop::new();
    let till = Till::default();
    let consumer = Consumer::new("till").external(till.clone()).concurrency(8).retry(quick(50));
    let app = shop.builder().aggregate::<Bill>().consumer(consumer).open().await.unwrap();
    let running = app.start().await.unwrap();
    for n in 0..60 {
        app.execute(format!("o-{n}"), Do::Create(n)).await.unwrap();
        app.execute(format!("o-{n}"), Do::Close).await.unwrap();
    }
    settled(&app).await;
    let events = app.read_log(0, 10_000).await.unwrap();
    let created =
        |id: &str| events.iter().find(|e| e.aggregate_id == id && e.event_type == "OrderCreated").unwrap();
    let bills: Vec<_> = events.iter().filter(|event| event.event_type == "BillPaid").collect();
    assert_eq!(bills.len(), 60);
    for bill in bills {
        let (cause, envelope) = (created(&bill.aggregate_id), bill.envelope().unwrap());
        assert_eq!(envelope.causation_id, Some(cause.event_id.to_string()));
        assert_eq!(envelope.correlation_id, cause.envelope().unwrap().correlation_id);
        assert!(bill.data.contains(&cause.event_id.to_string()), "its own event's outcome");
    }
    assert!(app.dead_letters().list(None, true, 0).await.unwrap().is_empty());
    assert!(till.most_at_once.load(Ordering::SeqCst) > 1, "calls of different keys run in parallel");
    assert!(till.most_at_once.load(Ordering::SeqCst) <= 8);
    stop(running).await;
}
