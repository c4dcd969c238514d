//! Passwords in every URL and setting: no log, answer, error or table tells them, whether the server takes them or not.

use factstream::{App, params};
use factstream_tests::client::{Client, order};
use factstream_tests::kafka::{self, Kafka};
use factstream_tests::postgres::{Kind, Postgres};
use factstream_tests::process::binary;
use factstream_tests::{eventually, lasting_ports};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{File, read};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// As it is anywhere, and as it is written in a URL: with signs that a URL, a log or JSON may write otherwise.
const CANARY: &str = "c4n4ry\"pa$$ & 50%";
const IN_URL: &str = "c4n4ry%22pa$$%20%26%2050%25";
/// What is told of it however it is written. Of the broker's own, too.
const TOLD: [&str; 4] = ["c4n4ry", "YzRuNHJ5", "s3cret", "czNjcmV0"];
/// The most that a command may take that cannot reach a server.
const ENDS_WITHIN: Duration = Duration::from_secs(90);
/// Everything that anybody might turn on.
const LOGS: [&str; 2] = ["trace", "debug,factstream=trace,orders=trace"];

/// `orders`, and all that it says.
struct Told {
    child: Child,
    dir: TempDir,
}

impl Told {
    fn start(args: &[&str], log: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(dir.path().join(name)).unwrap();
        let mut command = Command::new(binary());
        command.args(args).env("RUST_LOG", log).env("RUST_BACKTRACE", "1").current_dir(dir.path());
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { child, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The address that it says it listens at.
    fn url(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path("stdout")).unwrap();
        text.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
    }

    /// Waits until it has ended; whether it succeeded.
    fn end(&mut self) -> bool {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Nothing that it has written holds a secret: its output, and the files that it made.
    fn has_told_nothing(&self, what: &str) {
        for file in self.dir.path().read_dir().unwrap() {
            let path = file.unwrap().path();
            tells_nothing(&format!("{what}: {}", path.display()), &read(&path).unwrap());
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tells_nothing(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in TOLD {
        if let Some(line) = text.lines().find(|line| line.contains(secret)) {
            panic!("{what} tells {secret}: {line:.1000}");
        }
    }
}

/// PostgreSQL that asks for a password over TLS, and a database whose owner has one.
fn postgres() -> (Postgres, String) {
    let server = Postgres::start_with_tls(Kind::Signed);
    let password = CANARY.replace('\'', "''");
    server.run(&format!("CREATE ROLE keeper LOGIN PASSWORD '{password}'"));
    server.run("CREATE DATABASE kept OWNER keeper");
    let url = format!("postgres://keeper:{IN_URL}@localhost:{}/kept?sslmode=require", server.port());
    (server, url)
}

#[test]
fn servers_that_take_a_password_are_used_and_it_is_told_nowhere() {
    let (postgres, store) = postgres();
    let mut kafka = Kafka::start_own_with_credentials();
    let broker = format!("{}&debug=all", kafka.url());
    let args = [
        "serve",
        "--stop-grace",
        "0",
        "--listen",
        "127.0.0.1:0",
        "--mirror-dead-letters",
        "--store",
        &store,
        "--broker",
        &broker,
    ];
    let mut served = Told::start(&args, LOGS[0]);
    eventually("it is ready", || served.url().is_some() || served.child.try_wait().unwrap().is_some());
    let url =
        served.url().unwrap_or_else(|| panic!("{}", std::fs::read_to_string(served.path("stderr")).unwrap()));
    let client = Client::new(&url);
    client.stock("SKU-1", 100);
    client.place("SKU-1", 5);
    client.post("/orders", &order("c-1", "SKU-9", 1), None).unwrap(); // a dead letter
    eventually("all of it is handled", || client.is_settled());

    let answers = || {
        for path in ["/status", "/readyz", "/orders", "/orders/none", "/inventory/SKU-1"] {
            let answer =
                client.get(path).map_or_else(|error| error.to_string(), |answer| answer.body.to_string());
            tells_nothing(path, answer.as_bytes());
        }
    };
    answers();
    for args in [
        vec!["deadletters", "list", "--store", &store],
        vec!["deadletters", "show", "1", "--json", "--store", &store],
        vec!["deadletters", "redrive", "99", "--store", &store],
        vec!["projections", "list", "--store", &store],
        vec!["projections", "rebuild", "order_projections", "--store", &store],
        vec!["projections", "rebuild", "none", "--store", &store],
        vec!["topics", "check", "--broker", &broker],
        vec!["topics", "apply", "--broker", &broker],
        vec!["demo", "--orders", "20", "--store", &store, "--broker", &broker],
    ] {
        let mut told = Told::start(&args, LOGS[1]);
        told.end();
        told.has_told_nothing(&args.join(" "));
    }

    // Then both go away: what is told of that is told to others, too.
    kafka.stop();
    let log = || std::fs::read_to_string(served.path("stderr")).unwrap();
    eventually("the broker is missed", || log().contains("Connection refused"));
    answers();
    check_tables(&store);
    postgres.stop_fast();
    eventually("the store is missed", || client.get("/readyz").is_ok_and(|answer| answer.status == 503));
    answers();
    kill(Pid::from_raw(served.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    served.end();
    served.has_told_nothing("serve");
    let log = std::fs::read_to_string(served.path("stderr")).unwrap();
    assert!(log.contains("DEBUG") && log.contains("librdkafka"), "everything is logged that can be");
}

/// Every row of every table, as text.
fn check_tables(store: &str) {
    let rows = |sql: &str| -> Vec<String> {
        Runtime::new().unwrap().block_on(async {
            let app = App::open(store).await.unwrap();
            let rows = app.store().query(sql, params![]).await.unwrap();
            rows.iter().map(|row| row.get("text").unwrap()).collect()
        })
    };
    let tables = rows("SELECT tablename::text AS text FROM pg_tables WHERE schemaname = 'public'");
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables {
        for row in rows(&format!("SELECT t::text AS text FROM \"{table}\" t")) {
            tells_nothing(&table, row.as_bytes());
        }
    }
}

/// Store URLs that come to nothing, each with the canary somewhere.
fn stores() -> Vec<String> {
    let [closed] = lasting_ports();
    let url = |rest: &str| rest.replace("PORT", &closed.to_string()).replace("CANARY", IN_URL);
    [
        "postgres://me:CANARY@127.0.0.1:PORT/orders",
        "postgres://127.0.0.1:PORT/orders?user=me&password=CANARY",
        "postgres://me:CANARY@no-such-host.invalid/orders",
        "postgres://me:CANARY@127.0.0.1:port/orders",
        "postgres://me:CANARY@127.0.0.1:PORT/orders?sslmode=CANARY",
        "postgres://me:CANARY@127.0.0.1:PORT/orders?sslpassword=CANARY",
        "postgres://me:CANARY@127.0.0.1:PORT/orders?sslrootcert=none.pem&sslmode=verify-full",
        "postgres://me:CANARY@127.0.0.1:PORT",
        "postgres://me:CANARY",
        "postgres:me:CANARY@127.0.0.1/orders",
        "postgres://me:CANARY@x@127.0.0.1/orders",
        "mysql://me:CANARY@127.0.0.1:PORT/orders",
        "me:CANARY@127.0.0.1/orders",
        "host=127.0.0.1 user=me password=CANARY",
        "sqlite://me:CANARY@127.0.0.1/orders",
        "sqlite://orders.db?key=CANARY",
        "sqlite:orders.db#password=CANARY",
        "kafka://127.0.0.1:PORT?sasl.password=CANARY",
        "token=CANARY",
    ]
    .map(url)
    .into()
}

fn brokers() -> Vec<String> {
    let [closed] = lasting_ports();
    let url = |rest: &str| rest.replace("PORT", &closed.to_string()).replace("CANARY", IN_URL);
    [
        "kafka://127.0.0.1:PORT?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN&sasl.username=me&sasl.password=CANARY",
        "kafka://127.0.0.1:PORT?security.protocol=SSL&ssl.key.location=none.pem&ssl.key.password=CANARY",
        "kafka://127.0.0.1:PORT?security.protocol=SSL&ssl.keystore.location=none.p12&ssl.keystore.password=CANARY",
        "kafka://127.0.0.1:PORT?security.protocol=SSL&ssl.key.pem=CANARY",
        "kafka://127.0.0.1:PORT?security.protocol=SSL&ssl.certificate.pem=none&ssl.key.pem=CANARY&ssl.key.password=CANARY",
        "kafka://127.0.0.1:PORT?sasl.mechanism=OAUTHBEARER&security.protocol=SASL_PLAINTEXT&sasl.oauthbearer.config=principal%3DCANARY",
        "kafka://127.0.0.1:PORT?sasl.mechanism=OAUTHBEARER&security.protocol=SASL_SSL&sasl.oauthbearer.method=oidc&\
         sasl.oauthbearer.client.id=me&sasl.oauthbearer.client.secret=CANARY&sasl.oauthbearer.token.endpoint.url=http://127.0.0.1:PORT/",
        "kafka://127.0.0.1:PORT?sasl.jaas.config=org.apache.Login%20required%20password%3DCANARY",
        "kafka://127.0.0.1:PORT?api.token=CANARY",
        "kafka://127.0.0.1:PORT?acks=CANARY",
        "kafka://127.0.0.1:PORT?sasl.password:CANARY",
        "kafka://127.0.0.1:PORT&sasl.password=CANARY",
        "kafka://me:CANARY@127.0.0.1:PORT",
        "kafka:me:CANARY@127.0.0.1:PORT",
        "amqp://me:CANARY@127.0.0.1:PORT",
        "me:CANARY@127.0.0.1:PORT",
        "sasl.password=CANARY",
    ]
    .map(url)
    .into()
}

#[test]
fn servers_that_are_not_there_are_told_of_without_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let good = format!("sqlite://{}", dir.path().join("orders.db").display());
    let mut all: Vec<Vec<String>> = Vec::new();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    for store in stores() {
        all.push(words(&["serve", "--listen", "127.0.0.1:0", "--store", &store]));
        all.push(words(&["demo", "--orders", "1", "--store", &store]));
        all.push(words(&["deadletters", "list", "--store", &store]));
        all.push(words(&["projections", "rebuild", "order_projections", "--store", &store]));
    }
    for broker in brokers() {
        let broker_of = |command: &[&str]| words(&[command, &["--broker", broker.as_str()]].concat());
        all.push(broker_of(&["serve", "--listen", "127.0.0.1:0", "--store", &good]));
        all.push(broker_of(&["demo", "--orders", "1"]));
        all.push(broker_of(&["topics", "check"]));
        let debug = format!("{broker}{}debug=all", if broker.contains('?') { "&" } else { "?" });
        all.push(words(&["topics", "apply", "--broker", &debug]));
    }
    all_fail_and_tell_nothing(&all);
}

/// Each of these commands, some at a time: most only wait.
fn all_fail_and_tell_nothing(all: &[Vec<String>]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for log in LOGS.into_iter().cycle().take(8) {
            let next = &next;
            scope.spawn(move || {
                while let Some(args) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let args: Vec<&str> = args.iter().map(String::as_str).collect();
                    let mut told = Told::start(&args, log);
                    let succeeded = told.end();
                    assert!(!succeeded, "{args:?} succeeded");
                    told.has_told_nothing(&args.join(" "));
                }
            });
        }
    });
}

#[test]
fn a_wrong_password_is_refused_without_being_told() {
    let (server, store) = postgres();
    let store = store.replace(IN_URL, "c4n4ry-of-another");
    let kafka = Kafka::start_own_with_credentials();
    let broker = kafka.url_as(kafka::USER, "c4n4ry-of-another");
    let dir = tempfile::tempdir().unwrap();
    let good = format!("sqlite://{}", dir.path().join("orders.db").display());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    all_fail_and_tell_nothing(&[
        words(&["serve", "--listen", "127.0.0.1:0", "--store", &store]),
        words(&["demo", "--orders", "1", "--store", &store]),
        words(&["deadletters", "list", "--store", &store]),
        words(&["serve", "--listen", "127.0.0.1:0", "--store", &good, "--broker", &broker]),
        words(&["topics", "apply", "--broker", &format!("{broker}&debug=all")]),
    ]);
    drop(server);
}
