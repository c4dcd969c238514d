//! How the system is put together: one store, one broker, three services, one read model.

use crate::gateway::SimulatedGateway;
use crate::inventory::Stock;
use crate::order::Order;
use crate::payment::Payment;
use crate::projection::OrderProjection;
use crate::reservation::Reservation;
use crate::{cli, fulfilment, inventory, payment};
use factstream::{App, Error};

/// The `source` of every event that is recorded here.
pub const SERVICE: &str = "orders";

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the events are kept, for example `sqlite://orders.db`.
    pub store: String,
    /// Where the topics are kept: `embedded` keeps them in the store.
    pub broker: String,
    /// Whether an order ships by itself when it is paid and its stock reserved.
    pub auto_ship: bool,
    /// How often the simulated gateway fails, from 0.0 to 1.0.
    pub gateway_failure_rate: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: cli::STORE.to_owned(),
            broker: "embedded".to_owned(),
            auto_ship: true,
            gateway_failure_rate: 0.0,
        }
    }
}

/// Opens the system. Nothing is handled before [`App::start`].
///
/// # Errors
/// When the store or the broker cannot be used; the error says why and what to do.
pub async fn open(config: Config) -> Result<App, Error> {
    App::builder(config.store)
        .broker(config.broker)
        .service(SERVICE)
        .aggregate::<Order>()
        .aggregate::<Stock>()
        .aggregate::<Reservation>()
        .aggregate::<Payment>()
        .read_model::<OrderProjection>()
        .consumer(inventory::consumer())
        .consumer(payment::consumer(SimulatedGateway::new(config.gateway_failure_rate)))
        .consumer(fulfilment::consumer(config.auto_ship))
        .open()
        .await
}
