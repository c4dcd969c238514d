#[allow(unused_imports)]
use factstream_core as factstream;
use serde::{Deserialize, Serialize};

use factstream::aggregate::Command;

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum OrderEvent {
    Created { customer_id: String },
}

#[derive(Default, Clone)]
struct Order;

struct Ship;

impl Command<Order> for Ship {
    type Error = std::fmt::Error;
    fn decide(&self, _: &Order) -> Result<Vec<OrderEvent>, std::fmt::Error> {
        Ok(vec![])
    }
}

fn main() {}
