//! An order is placed, once; a row shows it.
use factstream::{Aggregate, App, Command, Envelope, Event, Fold, ReadModel};

#[derive(Event, serde::Serialize, serde::Deserialize, Debug, PartialEq)]
#[event(topic = "orders.events")]
enum OrderEvent {
    Placed { item: String }, // stored and published as OrderPlaced
}

#[derive(Default, Clone)]
struct Order(bool); // whether it is placed: all that decisions need to know

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = OrderEvent;
    fn apply(&mut self, _: &OrderEvent) {
        self.0 = true;
    }
}

#[derive(serde::Serialize)]
struct Place(&'static str);

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the order is placed already")]
struct AlreadyPlaced;

impl Command<Order> for Place {
    type Error = AlreadyPlaced;
    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, AlreadyPlaced> {
        if order.0 { Err(AlreadyPlaced) } else { Ok(vec![OrderEvent::Placed { item: self.0.into() }]) }
    }
}

#[derive(ReadModel, Clone, Debug)]
#[read_model(table = "order_rows")]
struct OrderRow {
    #[column(key)]
    order_id: String,
    item: String,
}

impl Fold for OrderRow {
    type Events = OrderEvent;
    fn fold(_: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let OrderEvent::Placed { item } = &event.event;
        Some(Self { order_id: event.aggregate_id.clone(), item: item.clone() })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = App::builder("sqlite://quickstart.db").read_model::<OrderRow>().open().await?;
    let running = app.start().await?; // the relay and the handlers, until it is stopped or dropped
    let placed = app.execute("o-1", Place("tea")).key("request-1").await?; // a repeat has no second effect
    let row = app.read::<OrderRow>().wait_for(placed.position).get("o-1").await?; // read your writes
    println!("{row:?}");
    running.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}

#[test]
fn an_order_is_placed_once() {
    let placed = OrderEvent::Placed { item: "tea".into() };
    factstream::testing::given::<Order>([placed]).when(Place("cake")).then_error(AlreadyPlaced);
}
