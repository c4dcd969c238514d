//! Private PostgreSQL servers for tests: real, on free ports, gone with the process. One is shared by the tests of a process;
//! a test that kills its server, or wants TLS of it, starts one of its own.

mod certificates;

use crate::lasting_ports;
pub use certificates::{Certificates, Kind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    running: Mutex<Option<Running>>,
    certificates: Option<Certificates>,
    /// Lives as long as this.
    data: TempDir,
}

#[derive(Debug)]
struct Running {
    pid: Pid,
    ended: Receiver<()>,
}

/// The server of this process, started at the first call.
///
/// # Panics
/// When PostgreSQL is not installed or does not start; says what to do.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start_own)
}

impl Postgres {
    /// A server that no other test uses. It ends when this is dropped.
    ///
    /// # Panics
    /// As [`server`].
    pub fn start_own() -> Self {
        Self::start_own_in(&std::env::temp_dir(), "")
    }

    /// The same with its data in this folder, and with these lines of settings. Its port is one that lasts while it is down.
    ///
    /// # Panics
    /// As [`server`].
    pub fn start_own_in(folder: &Path, settings: &str) -> Self {
        let server = Self::make(folder);
        std::fs::write(server.cluster().join("postgresql.auto.conf"), settings)
            .expect("the settings are written");
        server.start_again();
        server
    }

    /// A server that refuses connections in the clear. It has a certificate for `localhost` and for no other name, asks
    /// everybody for a password (scram-sha-256), but trusts its owner `factstream`.
    ///
    /// # Panics
    /// As [`server`].
    pub fn start_with_tls(kind: Kind) -> Self {
        let mut server = Self::make(&std::env::temp_dir());
        let cluster = server.cluster();
        let certificates = Certificates::make(kind, server.data.path());
        let demand =
            "hostssl all factstream 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        let settings = "ssl = on\nssl_cert_file = '../server.crt'\nssl_key_file = '../server.key'\n";
        std::fs::write(cluster.join("pg_hba.conf"), demand).expect("pg_hba.conf is written");
        std::fs::write(cluster.join("postgresql.auto.conf"), settings).expect("the settings are written");
        own(server.data.path());
        server.certificates = Some(certificates);
        server.start_again();
        server
    }

    fn make(folder: &Path) -> Self {
        let programs = programs();
        let data = tempfile::tempdir_in(folder).expect("a temporary folder");
        own(data.path());
        let made = as_owner(&programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=factstream",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(data.path().join("cluster"))
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "initdb failed");
        let [port] = lasting_ports();
        Self { programs, port, running: Mutex::new(None), certificates: None, data }
    }

    /// A standby of this server, streaming from it, under this name. It ends when it is dropped.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn standby(&self, name: &str) -> Self {
        let data = tempfile::tempdir_in(self.data.path().parent().expect("a folder of ours has a parent"));
        let data = data.expect("a temporary folder");
        own(data.path());
        let standby = Self {
            programs: self.programs.clone(),
            port: lasting_ports::<1>()[0],
            running: Mutex::new(None),
            certificates: None,
            data,
        };
        let from = format!("host=127.0.0.1 port={} user=factstream application_name={name}", self.port);
        let copied = as_owner(&self.programs.join("pg_basebackup"))
            .args(["--checkpoint=fast", "--write-recovery-conf", "--no-sync", "-d", &from, "-D"])
            .arg(standby.cluster())
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "pg_basebackup failed");
        standby.start_again();
        standby
    }

    /// Fails over: a standby is made that every commit waits for; then this server is killed, and the standby is promoted and takes
    /// its place, at the same port.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn fail_over(&mut self) {
        let mut standby = self.standby("heir");
        self.run("ALTER SYSTEM SET synchronous_standby_names = 'heir'");
        self.run("SELECT pg_reload_conf()");
        let deadline = Instant::now() + Duration::from_secs(30);
        let is_waited_for =
            "DO $$ BEGIN ASSERT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync'); END $$";
        while !self.psql(is_waited_for).is_ok_and(|done| done) {
            assert!(Instant::now() < deadline, "the standby does not come near");
            std::thread::sleep(Duration::from_millis(50));
        }
        // What was committed before the setting was in force is on the standby when this is.
        self.run("CREATE ROLE fail_over");
        self.run("DROP ROLE fail_over");
        self.kill();
        standby.run("SELECT pg_promote()");
        standby.stop_fast();
        standby.port = self.port;
        standby.start_again();
        *self = standby;
    }

    fn cluster(&self) -> PathBuf {
        self.data.path().join("cluster")
    }

    /// The certificates of a server with TLS.
    ///
    /// # Panics
    /// When it has none.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a server that was started with TLS")
    }

    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new, empty database: its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("CREATE DATABASE {name}"));
        format!("postgres://factstream@127.0.0.1:{}/{name}", self.port)
    }

    /// A new, empty database that this role owns: its URL, for the server's owner.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn database_of(&self, role: &str) -> String {
        let url = self.database();
        let name = url.rsplit('/').next().expect("a database has a name");
        self.run(&format!("ALTER DATABASE {name} OWNER TO {role}"));
        url
    }

    /// Runs a statement as the server's owner.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, sql: &str) {
        assert!(self.psql(sql).is_ok_and(|done| done), "this failed: {sql}");
    }

    /// Ends the server as a crash does: nothing is written any more, and nobody is told.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&self) {
        self.end(Signal::SIGKILL);
    }

    /// Stops the server in order, at once: who is connected is sent away.
    ///
    /// # Panics
    /// When it is not running.
    pub fn stop_fast(&self) {
        self.end(Signal::SIGINT);
    }

    /// Halts the server and all its processes where they are.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pause(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets them go on.
    ///
    /// # Panics
    /// When it is not running.
    pub fn resume(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, signal: Signal) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let server = running.as_ref().expect("the server is running").pid;
        let _ = kill(server, signal); // first: halted it makes no more children
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
        for child in children.expect("Linux tells a process's children").split_whitespace() {
            let _ = kill(Pid::from_raw(child.parse().expect("a process's number")), signal);
        }
    }

    fn end(&self, signal: Signal) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Running { pid, ended } = running.expect("the server is running");
        let _ = kill(pid, signal);
        let _ = ended.recv();
    }

    /// Starts the server, on the same port and data as before, and waits until it answers.
    ///
    /// # Panics
    /// When it does not within 30 seconds.
    pub fn start_again(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.psql("SELECT 1").is_ok_and(|done| done) {
            assert!(Instant::now() < deadline, "PostgreSQL does not answer");
            // It refuses to start while processes of a killed one are still there.
            if running.as_ref().is_none_or(|running| running.ended.try_recv().is_ok()) {
                *running = Some(self.serve());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the server as a child that ends when this process does.
    fn serve(&self) -> Running {
        let mut serve = Command::new("setpriv");
        serve.args(["--pdeathsig", "KILL"]);
        if is_root() {
            serve.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        }
        serve.arg("--").arg(self.programs.join("postgres")).arg("-D").arg(self.cluster());
        serve.args(["-p", &self.port.to_string()]);
        serve.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=600"]);
        serve.arg("-c").arg(format!("unix_socket_directories={}", self.data.path().display()));
        serve.stdout(Stdio::null()).stderr(Stdio::null());
        let ((pid, is), (over, ended)) = (channel(), channel());
        // A child is told of the death of the thread that made it: that thread has to live as long as the child.
        std::thread::spawn(move || {
            let mut child = serve.spawn().expect("setpriv (util-linux) starts the server");
            let _ = pid.send(Pid::from_raw(child.id().cast_signed()));
            let _ = child.wait();
            let _ = over.send(());
        });
        Running { pid: is.recv().expect("the server's process"), ended }
    }

    fn psql(&self, sql: &str) -> std::io::Result<bool> {
        let port = self.port.to_string();
        let args = ["-h", "127.0.0.1", "-p", &port, "-U", "factstream", "-d", "postgres", "-q", "-c", sql];
        let mut psql = Command::new(client_program(&self.programs, "psql"));
        Ok(psql.args(args).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if running {
            self.stop_fast();
        }
    }
}

/// Gives a folder to the user that the server runs as.
pub(crate) fn own(folder: &Path) {
    if is_root() {
        let owned = Command::new("chown").args(["-R", "postgres"]).arg(folder).status();
        assert!(
            owned.is_ok_and(|status| status.success()),
            "the user postgres is missing; install postgresql"
        );
    }
}

/// A program that runs as the user that a server runs as.
pub(crate) fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The server programs that `FACTSTREAM_POSTGRES` names, else the newest on this machine.
fn programs() -> PathBuf {
    if let Some(chosen) = std::env::var_os("FACTSTREAM_POSTGRES") {
        return chosen.into();
    }
    let newest = installed().max();
    newest.expect("PostgreSQL is not installed; ./dev test installs it, or: apt-get install postgresql")
}

fn installed() -> impl Iterator<Item = PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists())
}

/// A client program: the server's own, or that of another version, for packages of servers alone have none.
fn client_program(programs: &Path, name: &str) -> PathBuf {
    let own = programs.join(name);
    if own.exists() { own } else { installed().max().map_or(own, |bin| bin.join(name)) }
}
