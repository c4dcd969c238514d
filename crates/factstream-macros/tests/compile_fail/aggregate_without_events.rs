#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

use factstream::aggregate::Aggregate;

#[derive(Serialize, Deserialize)]
enum OrderEvent {
    Created { customer_id: String },
}

#[derive(Default, Clone)]
struct Order;

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Event = OrderEvent;
    fn apply(&mut self, _: &OrderEvent) {}
}

fn main() {}
