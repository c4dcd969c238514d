//! A checkout over three aggregates: it reserves the pieces of an order, asks for the money, and undoes what it did when one says no.

use crate::common::{Do, Order, OrderEvent, Shop, quick};
use factstream::{
    Acts, Aggregate, Builder, Command, Correlate, Envelope, Event, EventSet, Failure, Input, Missing,
    Process, Retry, Start,
};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) enum StockEvent {
    StockReserved { order_id: String, pieces: i64 },
    StockReleased { order_id: String },
}

/// The pieces of one product: those of each order are known.
#[derive(Default, Clone, Debug, PartialEq)]
pub(crate) struct Stock {
    pub reserved: i64,
}

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Event = StockEvent;

    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::StockReserved { pieces, .. } => self.reserved += pieces,
            StockEvent::StockReleased { .. } => self.reserved -= 1,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum AskStock {
    Reserve { order_id: String, pieces: i64 },
    Release { order_id: String },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct No(pub &'static str);

/// More pieces than there are.
pub(crate) const TOO_MANY: i64 = 1_000;

impl Command<Stock> for AskStock {
    type Error = No;

    fn decide(&self, _: &Stock) -> Result<Vec<StockEvent>, No> {
        match self.clone() {
            Self::Reserve { pieces, .. } if pieces >= TOO_MANY => Err(No("sold out")),
            Self::Reserve { order_id, pieces } => Ok(vec![StockEvent::StockReserved { order_id, pieces }]),
            Self::Release { order_id } => Ok(vec![StockEvent::StockReleased { order_id }]),
        }
    }
}

#[derive(EventSet)]
pub(crate) enum Facts {
    Order(OrderEvent),
    Stock(StockEvent),
}

/// The process: an order of `amount` cents reserves as many pieces; when it is reserved it is noted, and its close ends it.
#[derive(Default, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) struct Checkout {
    /// Every input, in the order in which it came.
    pub seen: Vec<String>,
}

impl Process for Checkout {
    const NAME: &'static str = "checkout";
    type Events = Facts;

    fn correlate(event: &Envelope<Facts>) -> Correlate {
        match &event.event {
            Facts::Order(OrderEvent::Created { .. }) => Correlate::start(&event.aggregate_id),
            Facts::Order(OrderEvent::Noted { text }) if text.starts_with("nowhere") => {
                Correlate::go_on("nobody")
            }
            Facts::Order(OrderEvent::Noted { text }) if text.starts_with("both ") => {
                text.split(' ').skip(1).map(|id| Correlate::go_on(id).or(Missing::Skip)).collect()
            }
            Facts::Order(_) => Correlate::go_on(&event.aggregate_id).or(Missing::Skip),
            Facts::Stock(
                StockEvent::StockReserved { order_id, .. } | StockEvent::StockReleased { order_id },
            ) => Correlate::go_on(order_id).or(Missing::Skip),
        }
    }

    fn react(&mut self, input: Input<'_, Facts>, acts: &mut Acts) -> Result<(), Failure> {
        match input {
            Input::Event(event) => {
                let order_id = event.aggregate_id.clone();
                self.seen.push(seen(event));
                match &event.event {
                    Facts::Order(OrderEvent::Created { amount, .. }) => {
                        acts.command::<Stock, _>("sku", AskStock::Reserve { order_id, pieces: *amount });
                    }
                    Facts::Order(OrderEvent::Noted { text }) => match text.as_str() {
                        "panic" => panic!("told to"),
                        "fail" => return Err(Failure::permanent("told to fail")),
                        "many" => (0..10_000).for_each(|n| acts.append::<Stock>(format!("sku-{n}"), [])),
                        "stranger" => acts.append::<Stranger>("s", [OtherEvent::OtherHappened {}]),
                        "badly" => acts.command::<Order, _>("", Do::Close),
                        "stubborn" => acts.command::<Order, _>(order_id, Do::Create(1)),
                        "give up" => {
                            acts.command::<Stock, _>("sku", AskStock::Reserve { order_id, pieces: TOO_MANY });
                            acts.end();
                        }
                        _ => {}
                    },
                    Facts::Order(OrderEvent::Closed) => acts.end(),
                    Facts::Stock(StockEvent::StockReserved { order_id, .. }) => {
                        acts.command::<Order, _>(order_id, Do::Note("reserved".into()));
                    }
                    Facts::Stock(StockEvent::StockReleased { .. }) => {}
                }
            }
            Input::Refused(refused) => {
                self.seen.push(format!("{} of {} refused: {}", refused.command, refused.id, refused.reason));
                if refused.command == "Create" {
                    acts.command::<Order, _>(&refused.id, Do::Create(1));
                } else if let Some(order) = self.seen[0].strip_prefix("OrderCreated ") {
                    acts.command::<Order, _>(order, Do::Note("sold out".into()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

pub(crate) fn seen(event: &Envelope<Facts>) -> String {
    match &event.event {
        Facts::Order(OrderEvent::Noted { text }) => format!("OrderNoted {text}"),
        _ => format!("{} {}", event.event_type, event.aggregate_id),
    }
}

#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub(crate) enum OtherEvent {
    OtherHappened {},
}

/// An aggregate that no application declares.
#[derive(Default, Clone)]
pub(crate) struct Stranger;

impl Aggregate for Stranger {
    const TYPE: &'static str = "stranger";
    type Event = OtherEvent;
    fn apply(&mut self, _: &OtherEvent) {}
}

pub(crate) const RETRY: fn() -> Retry = || quick(3);

/// The shop with this process in it.
pub(crate) fn checkout(shop: &Shop) -> Builder {
    shop.builder().aggregate::<Stock>().process::<Checkout>().retry(RETRY()).from(Start::Beginning)
}

/// What an order's instance sees when all goes well.
pub(crate) fn well(id: &str) -> Vec<String> {
    vec![format!("OrderCreated {id}"), "StockReserved sku".into(), "OrderNoted reserved".into()]
}

/// The pieces that are reserved, as the log tells.
pub(crate) async fn reserved(app: &factstream::App) -> i64 {
    app.load::<Stock>("sku").await.unwrap().0.reserved
}

/// Waits until nothing is under way: twice at the same position, for what a process asks for are inputs to come.
pub(crate) async fn settled(app: &factstream::App) {
    loop {
        let before = app.head().await.unwrap();
        crate::common::settled(app).await;
        if app.head().await.unwrap() == before {
            break;
        }
    }
}
