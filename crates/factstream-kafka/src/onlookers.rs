//! Clients that ask about a group and are no member of it, so that looking moves nothing.

mod peek;

use crate::config::{self, Reasons, refused};
use crate::place::Place;
use factstream_core::broker::BrokerError;
use jiff::Timestamp;
use peek::Peeked;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Groups whose client is kept.
const CLIENTS_MAX: usize = 64;
/// How many events of a client are served between two questions. There are few: nobody subscribes with it.
const EVENTS_MAX: usize = 100;

/// A client that asks about one group.
pub(crate) struct Onlooker {
    pub(crate) client: BaseConsumer<Reasons>,
    peeked: Peeked,
}

impl Onlooker {
    /// When the oldest of the records at these offsets was published, as far as the cluster shows them in time.
    pub(crate) fn oldest(&self, waiting: &HashMap<Place, i64>) -> Option<Timestamp> {
        self.peeked.oldest(&self.client, waiting)
    }
}

pub(crate) struct Onlookers {
    settings: ClientConfig,
    clients: Mutex<HashMap<String, Arc<Onlooker>>>,
}

impl Onlookers {
    pub(crate) fn new(settings: ClientConfig) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    /// Asks with the client of a group, on a thread that may wait.
    pub(crate) async fn ask<T, F>(&self, group: &str, ask: F) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: FnOnce(&Onlooker) -> Result<T, BrokerError> + Send + 'static,
    {
        let client = self.client(group)?;
        let asked = tokio::task::spawn_blocking(move || ask(&client)).await;
        asked.map_err(|error| BrokerError::Engine(error.to_string()))?
    }

    fn client(&self, group: &str) -> Result<Arc<Onlooker>, BrokerError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(group) {
            return Ok(Arc::clone(client));
        }
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        let config = config::onlooker(&self.settings, group);
        let client = config.create_with_context(Reasons::of(&config)).map_err(|error| refused(&error))?;
        let client = Arc::new(Onlooker { client, peeked: Peeked::default() });
        clients.insert(group.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

/// Asks the cluster, and serves the client's events, for that is how it tells the reason of an error.
pub(crate) fn answered<T>(
    client: &BaseConsumer<Reasons>,
    ask: impl Fn(Duration) -> KafkaResult<T>,
) -> Result<T, BrokerError> {
    client.context().ask(|wait| {
        let answer = ask(wait);
        if answer.is_err() {
            for _ in 0..EVENTS_MAX {
                if client.poll(Duration::ZERO).is_none() {
                    break;
                }
            }
        }
        answer
    })
}
