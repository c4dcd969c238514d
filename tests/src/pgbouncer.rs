//! A private PgBouncer before a PostgreSQL server, gone with the process.

use crate::postgres::{Postgres, as_owner, own};
use crate::{eventually, lasting_ports};
use std::fmt::Write;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// A pooler. It ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// A pooler that gives out a server's connections by this mode: `session`, `transaction` or `statement`. It drops the
    /// `options` that a connection begins with without a word, as many are set up to.
    ///
    /// # Panics
    /// When it is not installed or does not start; says what to do.
    pub fn before(server: &Postgres, mode: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [port] = lasting_ports();
        let mut file = String::from("[databases]\n");
        let _ = writeln!(file, "* = host=127.0.0.1 port={}", server.port());
        let _ =
            writeln!(file, "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =");
        let _ = writeln!(file, "auth_type = any\npool_mode = {mode}\nignore_startup_parameters = options");
        let _ = writeln!(
            file,
            "default_pool_size = 40\nmax_client_conn = 200\nlogfile = {}",
            folder.path().join("log").display()
        );
        let settings = folder.path().join("pgbouncer.ini");
        // Without a user of its own, all are let in as who they say they are.
        let users = folder.path().join("users.txt");
        let _ = writeln!(file, "auth_file = {}", users.display());
        std::fs::write(&users, "\"factstream\" \"\"\n").expect("the users are written");
        std::fs::write(&settings, file.replace("auth_type = any", "auth_type = trust"))
            .expect("the settings are written");
        own(folder.path());
        let mut command = as_owner("pgbouncer".as_ref());
        command.arg("-q").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .expect("PgBouncer is not installed; ./dev test installs it, or: apt-get install pgbouncer");
        let pooler = Self { child, port, _folder: folder };
        eventually("PgBouncer listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        pooler
    }

    /// A URL of the server's, through this.
    ///
    /// # Panics
    /// When it is none of a server of these tests.
    pub fn url(&self, of_server: &str) -> String {
        let (head, rest) = of_server.split_once("127.0.0.1:").expect("a URL of a server of these tests");
        let (_, database) = rest.split_once('/').expect("a URL with a database");
        format!("{head}127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
