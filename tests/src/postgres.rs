//! A private PostgreSQL server for the tests of one process: real, on a free port, gone with the process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running server.
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    /// Lives as long as the process.
    _data: TempDir,
}

/// The server of this process, started at the first call.
///
/// # Panics
/// When PostgreSQL is not installed or does not start; says what to do.
pub fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

impl Postgres {
    fn start() -> Self {
        let programs = programs();
        let data = tempfile::tempdir().expect("a temporary folder");
        let cluster = data.path().join("cluster");
        let port = free_port();
        let mut own = Command::new("chown");
        if is_root() {
            let owned = own.arg("postgres").arg(data.path()).status();
            assert!(
                owned.is_ok_and(|status| status.success()),
                "the user postgres is missing; install postgresql"
            );
        }
        let made = as_postgres(&programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=factstream",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&cluster)
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "initdb failed");
        serve(&programs, &cluster, data.path(), port);
        let server = Self { programs, port, _data: data };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !server.psql("SELECT 1").is_ok_and(|done| done) {
            assert!(Instant::now() < deadline, "PostgreSQL does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// A new, empty database: its URL.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = self.psql(&format!("CREATE DATABASE {name}"));
        assert!(made.is_ok_and(|done| done), "the database {name} cannot be made");
        format!("postgres://factstream@127.0.0.1:{}/{name}", self.port)
    }

    fn psql(&self, sql: &str) -> std::io::Result<bool> {
        let port = self.port.to_string();
        let args = ["-h", "127.0.0.1", "-p", &port, "-U", "factstream", "-d", "postgres", "-q", "-c", sql];
        let mut psql = Command::new(self.programs.join("psql"));
        Ok(psql.args(args).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
    }
}

/// Starts the server as a child that ends when this process does.
fn serve(programs: &Path, cluster: &Path, sockets: &Path, port: u16) {
    let mut serve = Command::new("setpriv");
    serve.args(["--pdeathsig", "KILL"]);
    if is_root() {
        serve.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    serve.arg("--").arg(programs.join("postgres")).arg("-D").arg(cluster).args(["-p", &port.to_string()]);
    serve.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=600"]);
    serve.arg("-c").arg(format!("unix_socket_directories={}", sockets.display()));
    serve.stdout(Stdio::null()).stderr(Stdio::null());
    // A child is told of the death of the thread that made it: that thread has to live as long as the process.
    std::thread::spawn(move || {
        let mut child = serve.spawn().expect("setpriv (util-linux) starts the server");
        let _ = child.wait();
    });
}

fn as_postgres(program: &Path) -> Command {
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

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a free port").port()
}

/// The newest server programs on this machine.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
    newest.expect("PostgreSQL is not installed; ./dev test installs it, or: apt-get install postgresql")
}
