//! K3: from a command to a service, over its log, its relay and Kafka, to the row that another service writes.
//!
//! Commands come at a fixed rate, and each one's time counts from when it was to come: whoever is late cannot hide it. A
//! watcher looks for the rows that are missing, by their key, every half millisecond; it is the same for all.

mod clock;

use super::consumer::group;
use super::log;
use super::support::topic_anew;
use crate::Failed;
use crate::contest::Place;
use crate::figures::Figures;
use crate::postgres::connect;
use crate::workload::create;
pub(super) use clock::{Clock, TABLE};
use factstream::{App, Consumer, Envelope, Event, Failure, Handler, Tx, params};
use orders::order::Order;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

pub(super) const TOPIC: &str = "orders.events";
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What the other service reads of an order.
#[derive(Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
enum Seen {
    #[event(name = "OrderCreated", version = 1)]
    Created { customer_id: String },
}

struct Seeing;

impl Handler for Seeing {
    type Events = Seen;

    async fn handle(&self, event: &Envelope<Seen>, tx: &mut Tx) -> Result<(), Failure> {
        let Seen::Created { customer_id } = &event.event;
        let sql = "INSERT INTO seen_orders (order_id, customer_id) VALUES ($1, $2)
            ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id";
        tx.sql(sql, params![&event.aggregate_id, customer_id]).await?;
        Ok(())
    }
}

pub(crate) async fn services(place: Place) -> Result<Figures, Failed> {
    topic_anew(&place.kafka, TOPIC).await?;
    let other = Database::make(&place).await?;
    connect(&other.url).await?.batch_execute(TABLE).await?;
    let orders = log::app(&place.database, &place.kafka).await?;
    let consumer = Consumer::new(group()).handler(Seeing);
    let seeing =
        App::builder(&other.url).broker(&place.kafka).service("seeing").consumer(consumer).open().await?;
    let running = [orders.start().await?, seeing.start().await?];
    let clock = Clock::new(&other.url)?;
    let figures = clock
        .measure(place.size, move |order_id, number| {
            let orders = orders.clone();
            async move {
                orders.execute::<Order, _>(order_id, create(number)).await?;
                Ok(())
            }
        })
        .await?;
    for running in running {
        running.stop(STOP_WITHIN).await;
    }
    other.drop(&place).await?;
    Ok(figures)
}

/// The other service's database. A group of its own in a topic of the run's own: nothing is left of earlier runs.
pub(super) struct Database {
    pub(super) url: String,
    name: String,
}

impl Database {
    pub(super) async fn make(place: &Place) -> Result<Self, Failed> {
        let name = format!("other_{}", Uuid::now_v7().simple());
        connect(&place.shared).await?.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let (server, _) = place.shared.rsplit_once('/').ok_or("a database's URL ends with its name")?;
        Ok(Self { url: format!("{server}/{name}"), name })
    }

    pub(super) async fn drop(self, place: &Place) -> Result<(), Failed> {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        Ok(connect(&place.shared).await?.batch_execute(&sql).await?)
    }
}
