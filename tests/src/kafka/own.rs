//! A broker that a test may do anything to: kill it, stop it, start it again on the same ports and data. And one that
//! demands TLS and SASL/SCRAM.

use super::{ADVERTISED, Listeners, PROPERTIES, Running, format, serve, wait_until_it_listens};
use crate::kafka_tools::run;
use crate::lasting_ports;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The user that a broker with credentials knows.
pub const USER: &str = "orders";
/// Its password: with signs that mean something in a URL.
pub const PASSWORD: &str = "s3cret&50%=/+";
/// The password as it is written in a URL.
pub const PASSWORD_IN_URL: &str = "s3cret%2650%25%3D/+";
const STORE_PASSWORD: &str = "of-the-key-store";

/// A broker of one test's own. Dropping it ends it.
#[derive(Debug)]
pub struct Kafka {
    port: u16,
    internal: u16,
    data: TempDir,
    demands_credentials: bool,
    running: Option<Running>,
}

impl Kafka {
    /// A plain broker.
    ///
    /// # Panics
    /// When Java or Maven is missing, or the broker does not start.
    pub fn start_own() -> Self {
        Self::make(false, None, "")
    }

    /// A plain broker that tells its clients to come to another port, where a proxy stands before its
    /// [`port`](Self::port). Who comes to [`internal_url`](Self::internal_url) goes around the proxy.
    ///
    /// # Panics
    /// As [`start_own`](Self::start_own).
    pub fn start_own_behind(proxy: u16) -> Self {
        Self::make(false, Some(proxy), "")
    }

    /// A broker that demands TLS and SASL/SCRAM-SHA-512; it knows [`USER`] with [`PASSWORD`].
    ///
    /// # Panics
    /// As [`start_own`](Self::start_own).
    pub fn start_own_with_credentials() -> Self {
        Self::make(true, None, "")
    }

    /// As [`start_own_with_credentials`](Self::start_own_with_credentials), and [`USER`] has no rights but those that it is
    /// [granted](Self::grant).
    ///
    /// # Panics
    /// As [`start_own`](Self::start_own).
    pub fn start_own_with_rights() -> Self {
        // Who comes to the internal port is nobody, and may do everything.
        let more = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\nsuper.users=User:ANONYMOUS\n";
        Self::make(true, None, more)
    }

    /// Grants [`USER`] operations on topics.
    ///
    /// # Panics
    /// As [`run`].
    pub fn grant(&self, operations: &[&str], topics: &[&str]) {
        let user = format!("User:{USER}");
        let mut args = vec!["--add", "--allow-principal", &user];
        args.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        args.extend(topics.iter().flat_map(|topic| ["--topic", topic]));
        run("org.apache.kafka.tools.AclCommand", &self.internal_url(), &args);
    }

    /// Three plain brokers in one cluster: each partition is on all three, and a message is acknowledged when two have it.
    ///
    /// # Panics
    /// As [`start_own`](Self::start_own).
    pub fn start_cluster() -> [Self; 3] {
        let ports: [u16; 6] = lasting_ports();
        let (clients, controllers) = ports.split_at(3);
        let more = "default.replication.factor=3\nmin.insync.replicas=2\noffsets.topic.replication.factor=3\n\
                    replica.lag.time.max.ms=3000\nbroker.session.timeout.ms=3000\n";
        let cluster = std::array::from_fn(|at| {
            let data = tempfile::tempdir().expect("a temporary folder");
            let (port, controllers) = (clients[at], controllers.to_vec());
            let listeners = Listeners { node: at + 1, controllers, ..Listeners::plain(port, 0) };
            format(&listeners, data.path(), more, &[]);
            let running = Some(serve(data.path()));
            Self { port, internal: 0, data, demands_credentials: false, running }
        });
        for kafka in &cluster as &[Self; 3] {
            wait_until_it_listens(kafka.port);
        }
        cluster
    }

    /// `authorizer` are lines of properties.
    fn make(demands_credentials: bool, proxy: Option<u16>, authorizer: &str) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let [port, controller, internal] = lasting_ports();
        let mut more = authorizer.to_owned();
        let mut user = Vec::new();
        let mut listeners = Listeners { proxy, ..Listeners::plain(port, controller) };
        if proxy.is_some() {
            listeners.internal = Some(internal);
        }
        if demands_credentials {
            make_key_store(data.path());
            listeners.protocol = "SASL_SSL";
            listeners.internal = Some(internal);
            let credentials = format!(
                "sasl.enabled.mechanisms=SCRAM-SHA-512\nlistener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
                 org.apache.kafka.common.security.scram.ScramLoginModule required;\nssl.keystore.type=PKCS12\n\
                 ssl.keystore.location={}\nssl.keystore.password={STORE_PASSWORD}\n",
                data.path().join("keys.p12").display()
            );
            more.push_str(&credentials);
            user = vec!["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")];
        }
        format(&listeners, data.path(), &more, &user);
        let mut kafka = Self { port, internal, data, demands_credentials, running: None };
        kafka.start();
        kafka
    }

    /// Has a broker behind a proxy listen on other ports when it starts again, with the same data.
    ///
    /// # Panics
    /// When it runs.
    pub fn move_to_other_ports(&mut self) {
        assert!(self.running.is_none(), "the broker runs");
        let file = self.data.path().join(PROPERTIES);
        let before = std::fs::read_to_string(&file).expect("the properties can be read");
        let [port, internal] = lasting_ports();
        // The port that clients are told to come to is the proxy's, and stays.
        let lines = before.lines().map(|line| {
            match line.starts_with("listeners=") || line.starts_with("advertised") {
                true => line
                    .replace(&format!(":{}", self.port), &format!(":{port}"))
                    .replace(&format!(":{}", self.internal), &format!(":{internal}")),
                false => line.to_owned(),
            }
        });
        std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("the properties can be written");
        (self.port, self.internal) = (port, internal);
    }

    /// Starts it again, on the same ports and data; returns as soon as it listens.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "the broker runs already");
        self.running = Some(serve(self.data.path()));
        wait_until_it_listens(self.port);
    }

    /// SIGKILL; returns when it is gone.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// SIGTERM; returns when it has ended.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// Halts it where it is.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("the broker runs");
        kill(Pid::from_raw(running.pid.cast_signed()), signal).expect("the broker can be told");
    }

    fn end(&mut self, signal: Signal) {
        let running = self.running.take().expect("the broker runs");
        kill(Pid::from_raw(running.pid.cast_signed()), signal).expect("the broker can be told to end");
        running.ended.recv().expect("the broker ends");
    }

    /// Its URL; with credentials also what is right to say to it.
    pub fn url(&self) -> String {
        if self.demands_credentials { self.url_as(USER, PASSWORD_IN_URL) } else { self.plain_url() }
    }

    /// Its URL for another user or password, each written as in a URL.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let authority = self.certificate();
        format!(
            "{}?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-512&sasl.username={user}&sasl.password={password}\
             &ssl.ca.location={}",
            self.plain_url(),
            authority.display()
        )
    }

    /// Its URL without any setting.
    pub fn plain_url(&self) -> String {
        format!("kafka://{ADVERTISED}:{}", self.port)
    }

    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL at which a broker with credentials, or behind a proxy, speaks with itself: for Kafka's own tools.
    pub fn internal_url(&self) -> String {
        format!("kafka://{ADVERTISED}:{}", self.internal)
    }

    /// The certificate that a client has to trust.
    pub fn certificate(&self) -> PathBuf {
        self.data.path().join("certificate.pem")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.end(Signal::SIGKILL);
        }
    }
}

/// A key with a certificate for the address, and the certificate for clients.
fn make_key_store(folder: &Path) {
    let keytool = |args: &[&str]| {
        let mut keytool = Command::new("keytool");
        keytool.args(args).arg("-keystore").arg(folder.join("keys.p12"));
        keytool.args(["-alias", "broker", "-storetype", "PKCS12", "-storepass", STORE_PASSWORD]);
        let done = keytool.stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "keytool of the JDK fails; is Java 17 there?");
    };
    let names = format!("SAN=IP:{ADVERTISED},DNS:localhost");
    let subject = ["-dname", "CN=factstream-test", "-ext", &names, "-validity", "30"];
    keytool(&[["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1"].as_slice(), &subject].concat());
    let certificate = folder.join("certificate.pem").display().to_string();
    keytool(&["-exportcert", "-rfc", "-file", &certificate]);
}
