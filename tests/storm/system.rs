//! The system in the storm: real servers, two processes of each service, and how a fault is done to them.

use crate::schedule::{Fault, Target};
use factstream_tests::client::Client;
use factstream_tests::kafka::Kafka;
use factstream_tests::pair::Pair;
use factstream_tests::postgres::Postgres;
use factstream_tests::process::Server;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The processes, by what they run.
pub(crate) const SERVICES: [&str; 6] = ["order", "inventory", "payment", "order", "inventory", "payment"];
/// How long a service may take to start, servers that are down included.
const START_WITHIN: Duration = Duration::from_secs(90);

pub(crate) struct System {
    pub(crate) store: String,
    pub(crate) broker: String,
    services: Vec<Mutex<Option<Server>>>,
    /// The addresses of the services, also while they are down.
    urls: Vec<Mutex<String>>,
    postgres: Option<Postgres>,
    kafka: Option<Mutex<Kafka>>,
    _dir: TempDir,
}

impl System {
    /// Starts everything.
    pub(crate) fn start(pair: Pair) -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let on_postgres = matches!(pair, Pair::PostgresEmbedded | Pair::PostgresKafka);
        let on_kafka = matches!(pair, Pair::SqliteKafka | Pair::PostgresKafka);
        let postgres = on_postgres.then(Postgres::start_own);
        let kafka = on_kafka.then(Kafka::start_own);
        let store = match &postgres {
            Some(postgres) => postgres.database(),
            None => format!("sqlite://{}", dir.path().join("orders.db").display()),
        };
        let broker = kafka.as_ref().map_or_else(|| "embedded".to_owned(), Kafka::url);
        let system = Arc::new(Self {
            store,
            broker,
            services: SERVICES.iter().map(|_| Mutex::new(None)).collect(),
            urls: SERVICES.iter().map(|_| Mutex::default()).collect(),
            postgres,
            kafka: kafka.map(Mutex::new),
            _dir: dir,
        });
        for number in 0..SERVICES.len() {
            let server = system.start_service(number);
            *lock(&system.services[number]) = Some(server);
        }
        system
    }

    pub(crate) fn has_store_server(&self) -> bool {
        self.postgres.is_some()
    }

    pub(crate) fn has_broker_server(&self) -> bool {
        self.kafka.is_some()
    }

    /// A client of one process of a service: which one, `any` says.
    pub(crate) fn client(&self, service: &str, any: usize) -> Client {
        let of: Vec<usize> = (0..SERVICES.len()).filter(|number| SERVICES[*number] == service).collect();
        Client::new(&lock(&self.urls[of[any % of.len()]]))
    }

    fn start_service(&self, number: usize) -> Server {
        let deadline = Instant::now() + START_WITHIN;
        let args = ["--service", SERVICES[number], "--broker", &self.broker, "--gateway-failure-rate", "0.1"];
        loop {
            match Server::try_start(&self.store, &args) {
                Ok(server) => {
                    lock(&self.urls[number]).clone_from(&server.url);
                    return server;
                }
                // The store or the broker is down: a supervisor would start it again, too.
                Err(error) => {
                    assert!(Instant::now() < deadline, "{} does not start: {error}", SERVICES[number])
                }
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Does a fault, beside whatever goes on. `None` when the target is in the middle of another one.
    pub(crate) fn strike(self: &Arc<Self>, fault: Fault) -> Option<JoinHandle<()>> {
        let system = Arc::clone(self);
        match fault {
            Fault::Kill(Target::Service(number)) => Some(thread::spawn(move || {
                let Some(mut slot) = try_lock(&system.services[number]) else { return };
                if let Some(server) = slot.take() {
                    server.kill();
                }
                *slot = Some(system.start_service(number));
            })),
            Fault::Pause(Target::Service(number), time) => Some(thread::spawn(move || {
                let Some(slot) = try_lock(&system.services[number]) else { return };
                let Some(server) = slot.as_ref() else { return };
                server.pause();
                thread::sleep(time);
                server.resume();
            })),
            Fault::Kill(Target::Store) | Fault::Pause(Target::Store, _) => {
                let postgres = system.postgres.as_ref()?;
                postgres.kill();
                postgres.start_again();
                None
            }
            Fault::Kill(Target::Broker) => Some(thread::spawn(move || {
                let Some(mut kafka) = system.kafka.as_ref().and_then(try_lock) else { return };
                kafka.kill();
                kafka.start();
            })),
            Fault::Pause(Target::Broker, time) => Some(thread::spawn(move || {
                let Some(kafka) = system.kafka.as_ref().and_then(try_lock) else { return };
                kafka.pause();
                thread::sleep(time);
                kafka.resume();
            })),
        }
    }

    /// Whether nothing is under way in any process.
    pub(crate) fn is_settled(&self) -> bool {
        let clients: Vec<Client> = self.urls.iter().map(|url| Client::new(&lock(url))).collect();
        let position = |client: &Client| client.status()["position"].as_u64();
        let before: Vec<Option<u64>> = clients.iter().map(position).collect();
        before.iter().all(|position| position.is_some() && *position == before[0])
            && clients.iter().all(Client::is_settled)
            && clients.iter().map(position).collect::<Vec<_>>() == before
    }

    /// What each process says, for a storm that does not settle.
    pub(crate) fn told(&self) -> String {
        let told = self.urls.iter().map(|url| Client::new(&lock(url)).status().to_string());
        told.collect::<Vec<_>>().join("\n")
    }

    /// Stops the services as one should.
    pub(crate) fn stop_services(&self) {
        for (number, slot) in self.services.iter().enumerate() {
            let server = lock(slot).take().expect("every service runs at the end");
            assert!(server.stop().success(), "{} did not stop with success", SERVICES[number]);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<std::sync::MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
