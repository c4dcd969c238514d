// What the examples of scheduled commands share: orders, of which somebody is reminded.

use factstream::*;
use std::time::Duration;

#[derive(Event, serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq)]
#[event(topic = "orders.events")]
pub enum OrderEvent {
    Created { customer_id: String },
    Reminded {},
}

#[derive(Default, Clone)]
pub struct Order {
    pub exists: bool,
}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = OrderEvent;

    fn apply(&mut self, _: &OrderEvent) {
        self.exists = true;
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
pub struct Remind {}

impl Command<Order> for Remind {
    type Error = std::convert::Infallible;

    fn decide(&self, order: &Order) -> Result<Vec<OrderEvent>, Self::Error> {
        Ok(if order.exists { vec![OrderEvent::Reminded {}] } else { vec![] }) // nothing to do is no failure
    }
}

pub fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3_600)
}

pub async fn shop() -> testing::TestApp {
    let app = testing::TestApp::start(App::builder("").scheduled_command::<Order, Remind>("order-remind")).await;
    app.record::<Order>("o-1", [OrderEvent::Created { customer_id: "c-1".into() }]).await;
    app
}
