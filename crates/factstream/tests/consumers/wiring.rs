//! What does not fit together is refused at start.

use crate::common::Shop;
use crate::ledger::Ledger;
use factstream::{Consumer, Envelope, Event, Failure, Handler, Tx};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
enum Secret {
    #[event(name = "SecretKept", private)]
    Kept,
}

struct Nosy;

impl Handler for Nosy {
    type Events = Secret;

    async fn handle(&self, _: &Envelope<Secret>, _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test]
async fn wrong_wiring_is_refused_at_start_with_advice() {
    let shop = Shop::new();
    let open = |consumer| shop.builder().consumer(consumer).open();
    let error = open(Consumer::new("nosy").handler(Nosy)).await.err().unwrap().to_string();
    assert!(error.contains("SecretKept") && error.contains("private"), "{error}");
    let twice = Consumer::new("twice").handler(Ledger::default()).handler(Ledger::default());
    let error = open(twice).await.err().unwrap().to_string();
    assert!(error.contains("two handlers for OrderCreated"), "{error}");
    let error = open(Consumer::new("empty")).await.err().unwrap().to_string();
    assert!(error.contains("empty has no handler"), "{error}");
}
