//! An order is created and shipped; a row tells its status.
use factstream::{Aggregate, App, Command, Envelope, Event, Fold, ReadModel};

#[derive(Event, serde::Serialize, serde::Deserialize, Debug, PartialEq)]
#[event(topic = "orders.events")]
enum OrderEvent {
    OrderCreated { customer_id: String },
    OrderShipped { tracking_number: String },
}
use OrderEvent::{OrderCreated, OrderShipped};

#[derive(Default, Clone)]
struct Order(Option<&'static str>); // its status

impl Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Event = OrderEvent;
    fn apply(&mut self, event: &OrderEvent) {
        self.0 = Some(if matches!(event, OrderCreated { .. }) { "PENDING" } else { "SHIPPED" });
    }
}

enum OrderCommand {
    Create,
    Ship,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

impl Command<Order> for OrderCommand {
    type Error = Refused;
    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, Refused> {
        match (self, order.0) {
            (Self::Create, None) => Ok(vec![OrderCreated { customer_id: "c-1".into() }]),
            (Self::Ship, Some("PENDING")) => Ok(vec![OrderShipped { tracking_number: "TN-1".into() }]),
            _ => Err(Refused("this cannot be done with the order now")),
        }
    }
}

#[derive(ReadModel, Clone, Debug)]
#[read_model(table = "order_status")]
struct OrderStatus {
    #[column(key)]
    order_id: String,
    status: String,
}

impl Fold for OrderStatus {
    type Events = OrderEvent;
    fn fold(_: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let status = if matches!(event.event, OrderCreated { .. }) { "PENDING" } else { "SHIPPED" };
        Some(Self { order_id: event.aggregate_id.clone(), status: status.into() })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::builder("sqlite://quickstart.db").read_model::<OrderStatus>().open().await?;
    let running = app.start().await?; // the relay and the handlers
    let id = uuid::Uuid::now_v7().to_string();
    app.execute(&id, OrderCommand::Create).key(format!("create {id}")).await?; // a repeat has no second effect
    let done = app.execute(&id, OrderCommand::Ship).await?;
    let row = app.read::<OrderStatus>().wait_for(done.position).get(&id).await?; // read your writes
    println!("{row:?}");
    running.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}

#[test]
fn a_shipped_order_is_not_shipped_again() {
    let history =
        [OrderCreated { customer_id: "c-1".into() }, OrderShipped { tracking_number: "TN-1".into() }];
    let refused = Refused("this cannot be done with the order now");
    factstream::testkit::given::<Order>(history).when(OrderCommand::Ship).then_error(refused);
}
