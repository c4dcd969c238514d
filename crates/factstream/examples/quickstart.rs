use factstream::{Aggregate, App, Command, Envelope, Event, Fold, ReadModel};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
#[event(topic = "orders.events")]
enum OrderEvent {
    #[event(name = "OrderCreated")]
    Created { customer_id: String },
    #[event(name = "OrderShipped")]
    Shipped { tracking_number: String },
}

#[derive(Default, Clone, PartialEq)]
enum Order { #[default] New, Pending, Shipped }

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Event = OrderEvent;
    fn apply(&mut self, event: &OrderEvent) {
        *self = match event {
            OrderEvent::Created { .. } => Order::Pending,
            OrderEvent::Shipped { .. } => Order::Shipped,
        }
    }
}

enum OrderCommand { Create { customer_id: String }, Ship { tracking_number: String } }

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

impl Command<Order> for OrderCommand {
    type Error = Refused;
    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, Refused> {
        match (self, order) {
            (Self::Create { customer_id }, Order::New) => Ok(vec![OrderEvent::Created { customer_id: customer_id.clone() }]),
            (Self::Create { .. }, _) => Err(Refused("Order already created")),
            (Self::Ship { tracking_number }, Order::Pending) => Ok(vec![OrderEvent::Shipped { tracking_number: tracking_number.clone() }]),
            (Self::Ship { .. }, _) => Err(Refused("Only a pending order can be shipped")),
        }
    }
}

#[derive(ReadModel, Clone, Debug)]
#[read_model(table = "order_status")]
struct OrderStatus { #[column(key)] order_id: String, status: String, tracking_number: Option<String> }

impl Fold for OrderStatus {
    type Events = OrderEvent;
    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        match &event.event {
            OrderEvent::Created { .. } => Some(Self { order_id: event.aggregate_id.clone(), status: "PENDING".into(), tracking_number: None }),
            OrderEvent::Shipped { tracking_number } => row.map(|row| Self { status: "SHIPPED".into(), tracking_number: Some(tracking_number.clone()), ..row }),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::builder("sqlite://quickstart.db").read_model::<OrderStatus>().open().await?;
    let running = app.start().await?; // the relay and the handlers
    let id = uuid::Uuid::now_v7().to_string();
    app.execute(&id, OrderCommand::Create { customer_id: "c-1".into() }).key(format!("create {id}")).await?;
    let done = app.execute(&id, OrderCommand::Ship { tracking_number: "TN-1".into() }).await?;
    let row = app.read::<OrderStatus>().wait_for(done.position).get(&id).await?; // read your writes
    println!("{row:?}");
    running.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}

#[test]
fn a_shipped_order_cannot_be_shipped_again() {
    let history = [OrderEvent::Created { customer_id: "c-1".into() }, OrderEvent::Shipped { tracking_number: "TN-1".into() }];
    factstream::testkit::given::<Order>(history)
        .when(OrderCommand::Ship { tracking_number: "TN-2".into() })
        .then_error(Refused("Only a pending order can be shipped"));
}
