//! The system in the storm: real servers, two processes of each service, and a proxy on each way between them. What the
//! harness itself asks of a server goes around the proxies.

use crate::cast::{ROLE, SERVICES, WORKER, workers};
use crate::clock::{self, Clock};
use crate::effects;
use crate::partner::Ledger;
use crate::proxy::Proxy;
use crate::small_disk::SmallDisk;
use factstream_core::sabotage::{self, Sabotage};
use factstream_tests::client::Client;
use factstream_tests::kafka::Kafka;
use factstream_tests::lasting_ports;
use factstream_tests::ledger;
use factstream_tests::pair::Pair;
use factstream_tests::postgres::Postgres;
use factstream_tests::process::{Server, binary};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a service may take to start, servers that are down included.
const START_WITHIN: Duration = Duration::from_secs(180);
/// The process whose orders are due soon. Those of the other are due when all is over, so that orders are shipped on the slowest machine, too.
const HURRIED: usize = 0;
/// When they are: just when slow customers pay, and sooner than some faults are over.
const DUE_WITHIN: Duration = Duration::from_secs(15);
/// What keeps PostgreSQL's WAL small: its disk is in memory.
const SMALL_WAL: &str = "max_wal_size = '256MB'\nmin_wal_size = '80MB'\n";

pub(crate) struct System {
    pub(crate) begun: jiff::Timestamp,
    /// The store, around the proxies.
    pub(crate) store: String,
    /// The broker, around the proxy. It moves.
    broker: Mutex<String>,
    pub(crate) services: Vec<Mutex<Option<Server>>>,
    /// The addresses of the services, also while they are down.
    urls: Vec<Mutex<String>>,
    /// The way of each process to PostgreSQL.
    pub(crate) to_store: Vec<Proxy>,
    /// The way of all processes to Kafka.
    pub(crate) to_broker: Option<Proxy>,
    pub(crate) postgres: Option<Mutex<Postgres>>,
    pub(crate) kafka: Option<Mutex<Kafka>>,
    /// Where the store's data is; `None` where nothing may be mounted.
    pub(crate) disk: Option<Mutex<SmallDisk>>,
    /// What makes the clock of a process wrong.
    pub(crate) clock: PathBuf,
    /// Where workers remember what harmed them once.
    once: TempDir,
    is_healed: AtomicBool,
    /// As which release each process is started, if it is a worker.
    pub(crate) releases: Vec<AtomicU32>,
    /// What other teams have published.
    pub(crate) partners: Mutex<Ledger>,
    is_over: AtomicBool,
    _dir: TempDir,
}

/// How the store tells who does what, and how far.
const WHO_DOES_WHAT: [&str; 3] = [
    "SELECT handler, service, generation, build, shards FROM fs_handlers ORDER BY handler",
    "SELECT handler, generation, shard, position FROM fs_checkpoints ORDER BY handler, generation, shard",
    "SELECT o.owner, o.beat, o.states, l.name FROM fs_owners o LEFT JOIN fs_leases l ON l.owner = o.owner ORDER BY o.owner, l.name",
];

impl System {
    /// Starts everything. To be called before this process has other threads: they share its mounts.
    pub(crate) fn start(pair: Pair) -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // PostgreSQL runs as another user.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("the folder is ours");
        let disk = SmallDisk::mount(dir.path())
            .inspect_err(|reason| println!("no disk will be full: one cannot be mounted ({reason})"));
        let on_postgres = matches!(pair, Pair::PostgresEmbedded | Pair::PostgresKafka);
        let on_kafka = matches!(pair, Pair::SqliteKafka | Pair::PostgresKafka);
        let postgres = on_postgres.then(|| Postgres::start_own_in(dir.path(), SMALL_WAL));
        let [proxy_port] = lasting_ports();
        let kafka = on_kafka.then(|| Kafka::start_own_behind(proxy_port));
        let store = match &postgres {
            Some(postgres) => {
                postgres.run(&format!("CREATE ROLE {ROLE} LOGIN"));
                postgres.database_of(ROLE)
            }
            None => format!("sqlite://{}", dir.path().join("orders.db").display()),
        };
        let ways = postgres.iter().flat_map(|postgres| SERVICES.map(|_| Proxy::before(postgres.port())));
        let system = Arc::new(Self {
            begun: jiff::Timestamp::now(),
            store,
            broker: Mutex::new(kafka.as_ref().map_or_else(|| "embedded".to_owned(), Kafka::internal_url)),
            services: SERVICES.iter().map(|_| Mutex::new(None)).collect(),
            urls: SERVICES.iter().map(|_| Mutex::default()).collect(),
            to_store: ways.collect(),
            to_broker: kafka.as_ref().map(|kafka| Proxy::on(proxy_port, kafka.port())),
            postgres: postgres.map(Mutex::new),
            kafka: kafka.map(Mutex::new),
            disk: disk.ok().map(Mutex::new),
            clock: clock::build(dir.path()),
            once: tempfile::tempdir().expect("a temporary folder"),
            is_healed: AtomicBool::new(false),
            releases: SERVICES.iter().map(|_| AtomicU32::new(1)).collect(),
            partners: Mutex::default(),
            is_over: AtomicBool::new(false),
            _dir: dir,
        });
        if sabotage::is_on(Sabotage::PositionFromSequence) {
            effects::write(
                &system.store,
                &format!(
                    "CREATE SEQUENCE fs_sabotage_positions; ALTER SEQUENCE fs_sabotage_positions OWNER TO {ROLE}"
                ),
            );
        }
        for number in 0..SERVICES.len() {
            if SERVICES[number] == WORKER && SERVICES[number - 1] != WORKER {
                effects::prepare(&system.store);
            }
            let server = system.start_service(number, None);
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

    /// The store as a process is told of it: through its proxy, and as a role that owns its tables and is nobody else.
    pub(crate) fn store_of(&self, number: usize) -> String {
        let Some(proxy) = self.to_store.get(number) else { return self.store.clone() };
        let store = self.store.replacen("://factstream@", &format!("://{ROLE}@"), 1);
        let (server, database) = store.rsplit_once('/').expect("a PostgreSQL URL has a database");
        let (server, _) = server.rsplit_once(':').expect("a PostgreSQL URL has a port");
        format!("{server}:{}/{database}", proxy.port)
    }

    /// The broker as processes are told of it: through its proxy.
    pub(crate) fn broker_of_services(&self) -> String {
        let url = |proxy: &Proxy| format!("kafka://127.0.0.1:{}", proxy.port);
        self.to_broker.as_ref().map_or_else(|| self.broker_url(), url)
    }

    /// The broker, around the proxy.
    pub(crate) fn broker_url(&self) -> String {
        lock(&self.broker).clone()
    }

    /// Kafka goes to other ports, with all that it has.
    pub(crate) fn move_broker(&self, kafka: &mut Kafka) {
        kafka.kill();
        kafka.move_to_other_ports();
        if let Some(proxy) = &self.to_broker {
            proxy.lead_to(kafka.port());
        }
        *lock(&self.broker) = kafka.internal_url();
        kafka.start();
    }

    /// A client of one process of a service: which one, `any` says.
    pub(crate) fn client(&self, service: &str, any: usize) -> Client {
        let of: Vec<usize> = (0..SERVICES.len()).filter(|number| SERVICES[*number] == service).collect();
        Client::new(&lock(&self.urls[of[any % of.len()]]))
    }

    /// The address of one process, also while it is down.
    pub(crate) fn url(&self, number: usize) -> String {
        lock(&self.urls[number]).clone()
    }

    /// Starts a process that clients will know.
    pub(crate) fn start_service(&self, number: usize, clock: Option<&Clock<'_>>) -> Server {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            match self.try_start(number, clock) {
                Ok(server) => {
                    lock(&self.urls[number]).clone_from(&server.url);
                    return server;
                }
                // The store or the broker is down: a supervisor would start it again, too.
                Err(error) => {
                    let in_time = Instant::now() < deadline && !self.is_over.load(Ordering::Relaxed);
                    assert!(in_time, "{} does not start: {error}", SERVICES[number]);
                }
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Starts a process of a service, with the right time or another.
    pub(crate) fn try_start(&self, number: usize, clock: Option<&Clock<'_>>) -> Result<Server, String> {
        let mut command = match SERVICES[number] {
            WORKER => self.worker(number),
            service => {
                let mut command = Command::new(binary());
                command.args(["serve", "--listen", "127.0.0.1:0", "--gateway-failure-rate", "0.1"]);
                command.args(["--service", service, "--analytics"]);
                if number == HURRIED {
                    command.args(["--due-within", &DUE_WITHIN.as_secs().to_string()]);
                }
                command
            }
        };
        command.args(["--store", &self.store_of(number), "--broker", &self.broker_of_services()]);
        if let Some(clock) = clock {
            clock.set(&mut command);
        }
        Server::spawn(&mut command)
    }

    /// A worker of its release, to which its store and broker are not yet said.
    pub(crate) fn worker(&self, number: usize) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("a program knows its own file"));
        command.arg("worker").arg("--once").arg(self.once.path());
        command.args(["--release", &self.releases[number].load(Ordering::Relaxed).to_string()]);
        command.env("RUST_BACKTRACE", "0"); // its handlers panic all the time
        if self.is_healed.load(Ordering::Relaxed) {
            command.arg("--healed");
        }
        command
    }

    /// Starts again what a handler has aborted, as a supervisor would; how many.
    pub(crate) fn revive(&self) -> u32 {
        let mut revived = 0;
        for (number, slot) in self.services.iter().enumerate() {
            let Ok(mut slot) = slot.try_lock() else { continue };
            if slot.as_mut().is_some_and(Server::has_ended) {
                assert_eq!(SERVICES[number], WORKER, "a service ended by itself");
                *slot = Some(self.start_service(number, None));
                revived += 1;
            }
        }
        revived
    }

    /// Starts the workers anew, in good health: they redrive the dead letters.
    pub(crate) fn heal_workers(&self) {
        self.is_healed.store(true, Ordering::Relaxed);
        for number in workers() {
            let server = lock(&self.services[number]).take().expect("every service runs at the end");
            assert!(server.stop().success(), "a worker did not stop with success");
            *lock(&self.services[number]) = Some(self.start_service(number, None));
        }
    }

    /// Those that answer over HTTP, with the service that they run.
    fn answering(&self) -> impl Iterator<Item = (&'static str, Client)> + '_ {
        let answering = self.urls.iter().zip(SERVICES).filter(|(_, service)| *service != WORKER);
        answering.map(|(url, service)| (service, Client::new(&lock(url))))
    }

    fn clients(&self) -> Vec<Client> {
        self.answering().map(|(_, client)| client).collect()
    }

    /// Whether nothing is under way in any process.
    pub(crate) fn is_settled(&self) -> bool {
        let clients = self.clients();
        let position = |client: &Client| client.status()["position"].as_u64();
        let before: Vec<Option<u64>> = clients.iter().map(position).collect();
        before.iter().all(|position| position.is_some() && *position == before[0])
            && clients.iter().all(Client::is_settled)
            && clients.iter().map(position).collect::<Vec<_>>() == before
            && self.progress().is_done
    }

    fn progress(&self) -> effects::Progress {
        effects::progress(&self.store, &lock(&self.partners))
    }

    /// What each process says, for a storm that does not settle.
    pub(crate) fn told(&self) -> String {
        let mut told: Vec<String> = self.clients().iter().map(|client| client.status().to_string()).collect();
        for sql in WHO_DOES_WHAT {
            told.extend(ledger::query(&self.store, sql).iter().map(|row| format!("{row:?}")));
        }
        told.join("\n")
    }

    /// What is still under way, in a few lines.
    pub(crate) fn under_way(&self) -> String {
        let mut lines = vec![format!("the workers' work: {:?}", self.progress())];
        let missing = effects::missing_partners(&self.store, &lock(&self.partners));
        if !missing.is_empty() {
            lines.push(format!("messages of other teams of which nothing came: {missing:?}"));
        }
        for (service, client) in self.answering() {
            let status = client.status();
            let is_busy = |part: &Value| {
                part["lag_events"].as_u64() != Some(0) || part["retrying"].as_u64().unwrap_or(0) > 0
            };
            let handlers = status["handlers"].as_array().map_or(&[][..], Vec::as_slice);
            let busy: Vec<_> =
                handlers.iter().chain([&status["relay"]]).filter(|part| is_busy(part)).collect();
            lines.push(format!("{service} at {}: {}", status["position"], json!(busy)));
        }
        lines.join("\n")
    }

    /// Leaves no process behind after a storm that failed.
    pub(crate) fn kill_everything(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.services.iter().for_each(|slot| drop(lock(slot).take()));
        if let Some(postgres) = &self.postgres {
            lock(postgres).kill();
        }
        if let Some(kafka) = &self.kafka {
            lock(kafka).kill();
        }
    }

    /// Keeps the file of a store whose storm has failed beside the logs, where those are kept.
    pub(crate) fn keep_store(&self) {
        let (Some(path), Some(folder)) =
            (self.store.strip_prefix("sqlite://"), std::env::var_os("FACTSTREAM_LOGS"))
        else {
            return;
        };
        for end in ["", "-wal"] {
            let copy = PathBuf::from(&folder).join(format!("failed.db{end}"));
            if let Err(error) = std::fs::copy(format!("{path}{end}"), copy) {
                println!("the store is not kept: {error}");
            }
        }
    }

    /// Stops the services as one should.
    pub(crate) fn stop_services(&self) {
        for (number, slot) in self.services.iter().enumerate() {
            let server = lock(slot).take().expect("every service runs at the end");
            assert!(server.stop().success(), "{} did not stop with success", SERVICES[number]);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
