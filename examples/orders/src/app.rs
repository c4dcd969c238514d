//! How the system is put together: one store, one broker, three services in one process or each in processes of its own,
//! one read model.

use crate::fulfilment::{ByHand, ByItself, Fulfilment};
use crate::gateway::SimulatedGateway;
use crate::inventory::Stock;
use crate::order::Order;
use crate::payment::Payment;
use crate::projection::OrderProjection;
use crate::report::{Report, Reporting};
use crate::reservation::Reservation;
use crate::{analytics, facts, inventory, order, payment, registry, report, urls};
use factstream::{App, Builder, Error, Start};
use std::num::NonZeroU32;
use std::time::Duration;

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    /// Takes orders, ships them, and keeps `order_projections`.
    Order,
    /// Keeps the stock and reserves it.
    Inventory,
    /// Charges, through the gateway.
    Payment,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Order, Self::Inventory, Self::Payment];

    /// Its name: the `source` of the events that it records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Payment => "payment",
        }
    }
}

/// What the three services are called where they run in one process.
const TOGETHER: &str = "orders";

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the events are kept, for example `sqlite://orders.db`.
    pub store: String,
    /// Where the topics are kept: `embedded` keeps them in the store.
    pub broker: String,
    /// What stands before every topic and group in the broker; what the store says unless said.
    pub namespace: Option<String>,
    /// The one service that runs here; all three unless said.
    pub service: Option<Service>,
    /// Whether an order ships by itself when it is paid and its stock reserved.
    pub auto_ship: bool,
    /// Whether dead letters are also published to `<topic>-dlt`.
    pub mirror_dead_letters: bool,
    /// How soon every event is sealed; not at all unless said.
    pub seal_within: Option<Duration>,
    /// Whether the order service also keeps `order_revenue`, what each order brought in.
    pub analytics: bool,
    /// How often the simulated gateway fails, from 0.0 to 1.0.
    pub gateway_failure_rate: f64,
    /// How many calls a second the simulated gateway allows each process; any number unless said. The payment service makes no more, in
    /// all of its processes together.
    pub gateway_calls: Option<NonZeroU32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: urls::STORE.to_owned(),
            broker: urls::BROKER.to_owned(),
            namespace: None,
            service: None,
            auto_ship: true,
            mirror_dead_letters: false,
            seal_within: None,
            analytics: false,
            gateway_failure_rate: 0.0,
            gateway_calls: None,
        }
    }
}

/// Opens the system. Nothing is handled before [`App::start`].
///
/// # Errors
/// When the store or the broker cannot be used; the error says why and what to do.
pub async fn open(config: Config) -> Result<App, Error> {
    builder(&config).open().await
}

/// What is declared: the parts of the services that run here.
pub fn builder(config: &Config) -> Builder {
    let mut builder = App::builder(&config.store)
        .broker(&config.broker)
        .service(config.service.map_or(TOGETHER, Service::name));
    // Services that ran in one process may run apart from now on, and the other way round.
    builder = match config.service {
        Some(_) => builder.formerly(TOGETHER),
        None => Service::ALL.into_iter().fold(builder, |builder, service| builder.formerly(service.name())),
    };
    builder = builder.mirror_dead_letters(config.mirror_dead_letters);
    if let Some(time) = config.seal_within {
        builder = builder.seal_within(time);
    }
    if let Some(namespace) = &config.namespace {
        builder = builder.namespace(namespace);
    }
    builder = registry::registry().into_iter().fold(builder, Builder::topic);
    let runs = |service| config.service.is_none_or(|only| only == service);
    if runs(Service::Order) {
        builder = builder
            .aggregate::<Order>()
            .upcasters(order::upcasters())
            .read_model::<OrderProjection>()
            .consumer(facts::consumer())
            .aggregate::<Report>()
            .every(report::schedule(), report::NAME, Reporting);
        if config.analytics {
            builder = builder.consumer(analytics::consumer());
        }
        // Orders of releases that had no process are taken on where they stand: its commands change nothing in what is done.
        builder = match config.auto_ship {
            true => builder.process::<Fulfilment<ByItself>>().from(Start::Beginning),
            false => builder.process::<Fulfilment<ByHand>>().from(Start::Beginning),
        };
    }
    if runs(Service::Inventory) {
        builder = builder.aggregate::<Stock>().aggregate::<Reservation>().consumer(inventory::consumer());
    }
    if runs(Service::Payment) {
        let gateway = SimulatedGateway::new(config.gateway_failure_rate);
        let gateway = match config.gateway_calls {
            Some(calls) => gateway.allowing(calls),
            None => gateway,
        };
        builder = builder.aggregate::<Payment>().consumer(payment::consumer(gateway, config.gateway_calls));
    }
    builder
}
