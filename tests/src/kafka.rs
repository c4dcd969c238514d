//! A private single-node Kafka for the tests of one process: real, on a free port, gone with the process.
//!
//! Whatever Kafka does by default it does here, too: topics are made for whoever asks about one, unless told not to.
//!
//! It starts from the jars that Maven Central has, without a container: `kafka_2.13` and `kafka-tools`.

mod own;

use crate::kafka_jars::jars;
pub use own::{Kafka, PASSWORD, PASSWORD_IN_URL, USER};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ADVERTISED: &str = "127.0.0.1";
const PROPERTIES: &str = "server.properties";
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// The URL of this process's broker, started at the first call.
///
/// # Panics
/// When Java or Maven is missing, or the broker does not start; says what to do.
pub fn server() -> String {
    static SERVER: OnceLock<(String, TempDir)> = OnceLock::new();
    SERVER.get_or_init(start).0.clone()
}

/// The URL of a broker that nobody else uses; it lives as long as this process.
///
/// # Panics
/// As [`server`].
pub fn fresh() -> String {
    static KEPT: Mutex<Vec<TempDir>> = Mutex::new(Vec::new());
    let (url, data) = start();
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(data);
    url
}

fn start() -> (String, TempDir) {
    let data = tempfile::tempdir().expect("a temporary folder");
    let (port, controller) = (free_port(), free_port());
    format(&Listeners::plain(port, controller), data.path(), "", &[]);
    serve(data.path());
    wait_until_it_listens(port);
    (format!("kafka://{ADVERTISED}:{port}"), data)
}

/// Where a broker listens.
struct Listeners {
    /// The broker's number in its cluster.
    node: usize,
    port: u16,
    /// Where clients are told to come, when that is not here.
    proxy: Option<u16>,
    /// Where each broker of the cluster speaks as a controller; the first is number 1.
    controllers: Vec<u16>,
    /// What clients have to speak.
    protocol: &'static str,
    /// Where the broker speaks with itself, when clients need credentials.
    internal: Option<u16>,
}

impl Listeners {
    fn plain(port: u16, controller: u16) -> Self {
        let controllers = vec![controller];
        Self { node: 1, port, proxy: None, controllers, protocol: "PLAINTEXT", internal: None }
    }

    fn properties(&self) -> String {
        let Self { node, port, proxy, controllers, protocol, internal } = self;
        let controller = controllers[node - 1];
        let voters = (1..).zip(controllers).map(|(node, port)| format!("{node}@{ADVERTISED}:{port}"));
        let voters = voters.collect::<Vec<_>>().join(",");
        let (internal, map, more) = match internal {
            None => (String::new(), "", ""),
            Some(internal) => (
                format!(",INTERNAL://{ADVERTISED}:{internal}"),
                ",INTERNAL:PLAINTEXT",
                "inter.broker.listener.name=INTERNAL\n",
            ),
        };
        let public = |port: &u16| format!("{protocol}://{ADVERTISED}:{port}{internal}");
        let (public, advertised) = (public(port), public(proxy.as_ref().unwrap_or(port)));
        format!(
            "process.roles=broker,controller\nnode.id={node}\ncontroller.quorum.voters={voters}\n\
             listeners={public},CONTROLLER://{ADVERTISED}:{controller}\nadvertised.listeners={advertised}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map={protocol}:{protocol},CONTROLLER:PLAINTEXT{map}\n{more}"
        )
    }
}

/// Writes the properties and makes the data folder; `more` are lines of properties, `users` options of the tool.
fn format(listeners: &Listeners, data: &Path, more: &str, users: &[String]) {
    let properties = data.join(PROPERTIES);
    let text = format!(
        "{}log.dirs={}\n\
         offsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\ngroup.initial.rebalance.delay.ms=0\n\
         group.consumer.min.heartbeat.interval.ms=500\ngroup.consumer.heartbeat.interval.ms=500\n{more}",
        listeners.properties(),
        data.join("log").display()
    );
    std::fs::write(&properties, text).expect("the properties can be written");
    let classpath = format!("{}/*", jars().display());
    let formatted = Command::new("java")
        .args(["-cp", &classpath, "kafka.tools.StorageTool", "format", "-t", CLUSTER])
        .args(users)
        .arg("-c")
        .arg(&properties)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(
        formatted.is_ok_and(|status| status.success()),
        "Kafka's storage cannot be formatted; is Java 17 there?"
    );
}

/// How long a broker may take that has to recover what it had when it was killed, on a machine with other work.
const LISTENS_WITHIN: Duration = Duration::from_secs(180);

fn wait_until_it_listens(port: u16) {
    let deadline = Instant::now() + LISTENS_WITHIN;
    while TcpStream::connect((ADVERTISED, port)).is_err() {
        assert!(Instant::now() < deadline, "Kafka does not listen within {LISTENS_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A broker as a process.
#[derive(Debug)]
struct Running {
    pid: u32,
    /// Says when it has ended.
    ended: mpsc::Receiver<()>,
}

/// Starts the broker as a child that ends when this process does.
fn serve(data: &Path) -> Running {
    let classpath = format!("{}/*", jars().display());
    let mut serve = Command::new("setpriv");
    serve
        .args(["--pdeathsig", "KILL", "--", "java", "-Xmx512m", "-cp", &classpath, "kafka.Kafka"])
        .arg(data.join(PROPERTIES));
    serve.stdout(Stdio::null()).stderr(Stdio::null());
    let (tell_pid, pid) = mpsc::channel();
    let (tell_end, ended) = mpsc::channel();
    // A child is told of the death of the thread that made it: that thread has to live as long as the child.
    std::thread::spawn(move || {
        let mut child = serve.spawn().expect("setpriv (util-linux) starts the broker");
        let _ = tell_pid.send(child.id());
        let _ = child.wait();
        let _ = tell_end.send(());
    });
    Running { pid: pid.recv().expect("the broker starts"), ended }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}
