// What the examples in the documentation share: orders that are created and shipped.

use factstream::*;

#[derive(Event, serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq)]
#[event(topic = "orders.events")]
pub enum OrderEvent {
    Created { customer_id: String },
    Shipped { parcel: String },
}

#[derive(Default, Clone)]
pub struct Order(&'static str);

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = OrderEvent;

    fn apply(&mut self, event: &OrderEvent) {
        self.0 = status_after(event);
    }
}

pub fn status_after(event: &OrderEvent) -> &'static str {
    match event {
        OrderEvent::Created { .. } => "PENDING",
        OrderEvent::Shipped { .. } => "SHIPPED",
    }
}

#[derive(serde::Serialize, Clone, Debug)]
pub enum OrderCommand {
    Create { customer_id: String },
    Ship { parcel: String },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("not while the order is {0:?}")]
pub struct Refused(&'static str);

impl Command<Order> for OrderCommand {
    type Error = Refused;

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, Refused> {
        match (self.clone(), order.0) {
            (Self::Create { customer_id }, "") => Ok(vec![OrderEvent::Created { customer_id }]),
            (Self::Ship { parcel }, "PENDING") => Ok(vec![OrderEvent::Shipped { parcel }]),
            (_, status) => Err(Refused(status)),
        }
    }
}

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "order_status")]
pub struct OrderStatus {
    #[column(key)]
    pub order_id: String,
    pub status: String,
}

impl Fold for OrderStatus {
    type Events = OrderEvent;

    fn fold(_: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        Some(Self { order_id: event.aggregate_id.clone(), status: status_after(&event.event).into() })
    }
}

pub fn create() -> OrderCommand {
    OrderCommand::Create { customer_id: "c-1".into() }
}

pub fn ship() -> OrderCommand {
    OrderCommand::Ship { parcel: "p-1".into() }
}

/// A handler that cannot handle what is shipped to nowhere.
pub struct Mailing;

impl Handler for Mailing {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, _: &mut Tx) -> Result<(), Failure> {
        match &event.event {
            OrderEvent::Shipped { .. } => Err(Failure::permanent("the customer has no address")),
            OrderEvent::Created { .. } => Ok(()),
        }
    }
}

pub async fn shop() -> testing::TestApp {
    let mailing = Consumer::new("mailing").handler(Mailing);
    testing::TestApp::start(App::builder("").read_model::<OrderStatus>().consumer(mailing)).await
}
