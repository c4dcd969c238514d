//! A proxy on the way to a server, with trouble on it when told so.
//!
//! Without trouble every byte goes through, in order. A connection that lost a byte is never used again: it is closed when
//! the trouble ends, at the latest.

use crate::schedule::Trouble;
use factstream_tests::lasting_ports;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

const HERE: &str = "127.0.0.1";
const CHUNK: usize = 64 * 1024;
/// How long a connection that is forgotten stays open on one side after it was closed on the other.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// How late a chunk is.
const DELAY_MILLIS: std::ops::RangeInclusive<u64> = 50..=500;
/// How the client says COMMIT, and how PostgreSQL says that it did.
const COMMIT: &[u8] = b"COMMIT\0";

type State = watch::Receiver<Option<Trouble>>;

/// A proxy before one server. It lives as long as the process.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) port: u16,
    way: Arc<Way>,
    trouble: watch::Sender<Option<Trouble>>,
    /// Held while there is trouble.
    turn: Mutex<()>,
}

impl Proxy {
    /// A proxy on a port of its own, before the server on this port of this machine.
    pub(crate) fn before(server: u16) -> Self {
        let [port] = lasting_ports();
        Self::on(port, server)
    }

    /// A proxy on this port.
    pub(crate) fn on(port: u16, server: u16) -> Self {
        let (trouble, state) = watch::channel(None);
        let way = Arc::new(Way { server: AtomicU16::new(server), ..Way::default() });
        runtime().spawn(listen(port, state, Arc::clone(&way)));
        Self { port, way, trouble, turn: Mutex::default() }
    }

    /// Leads to the server on another port from now on.
    pub(crate) fn lead_to(&self, server: u16) {
        self.way.server.store(server, Ordering::SeqCst);
    }

    /// Makes trouble for so long. Gives how many replies to COMMIT were lost; `None` when there is trouble already.
    pub(crate) fn trouble(&self, trouble: Trouble, time: Duration) -> Option<u32> {
        let _turn = self.turn.try_lock().ok()?;
        if trouble == Trouble::Forget {
            self.way.forgotten.fetch_add(1, Ordering::SeqCst);
            return Some(0);
        }
        self.way.lost_commits.store(0, Ordering::SeqCst);
        self.trouble.send_replace(Some(trouble));
        std::thread::sleep(time);
        self.trouble.send_replace(None);
        Some(self.way.lost_commits.load(Ordering::SeqCst))
    }
}

/// What all connections of a proxy share.
#[derive(Default)]
struct Way {
    /// The server's port.
    server: AtomicU16,
    lost_commits: AtomicU32,
    /// How often all connections were forgotten.
    forgotten: AtomicU32,
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads for the proxies")
    })
}

/// Takes connections; while the way is cut nobody listens, so that they are refused.
async fn listen(port: u16, mut state: State, way: Arc<Way>) {
    while state.wait_for(|trouble| *trouble != Some(Trouble::Cut)).await.is_ok() {
        let Ok(listener) = TcpListener::bind((HERE, port)).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while *state.borrow_and_update() != Some(Trouble::Cut) {
            tokio::select! {
                Ok((client, _)) = listener.accept() => {
                    tokio::spawn(carry(client, state.clone(), Arc::clone(&way)));
                }
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// One connection. It is closed when one side closes it, when the way is cut, and after bytes were swallowed.
async fn carry(mut client: TcpStream, state: State, way: Arc<Way>) {
    let born = way.forgotten.load(Ordering::SeqCst);
    let is_forgotten = || way.forgotten.load(Ordering::SeqCst) != born;
    let Ok(mut server) = TcpStream::connect((HERE, way.server.load(Ordering::SeqCst))).await else { return };
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let is_committing = AtomicBool::new(false);
    let asked = |chunk: &[u8], trouble| {
        if trouble == Some(Trouble::LostCommit) && has_commit(chunk) {
            is_committing.store(true, Ordering::SeqCst);
        }
        true
    };
    let answered = |chunk: &[u8], _| {
        let is_lost = is_committing.load(Ordering::SeqCst) && has_commit(chunk);
        if is_lost {
            way.lost_commits.fetch_add(1, Ordering::SeqCst);
        }
        !is_lost
    };
    tokio::select! {
        () = pass(from_client, to_server, state.clone(), is_forgotten, asked) => {}
        () = pass(from_server, to_client, state.clone(), is_forgotten, answered) => {}
        () = until_doomed(state) => {}
    }
}

fn has_commit(chunk: &[u8]) -> bool {
    chunk.windows(COMMIT.len()).any(|bytes| bytes == COMMIT)
}

/// Passes on what is sent, until it ends or `may_pass` says no.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: State,
    is_forgotten: impl Fn() -> bool,
    may_pass: impl Fn(&[u8], Option<Trouble>) -> bool,
) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await.unwrap_or(0);
        let trouble = *state.borrow();
        if is_forgotten() {
            if length == 0 {
                tokio::time::sleep(FORGOTTEN).await; // the other side is told of nothing
                return;
            }
            continue;
        }
        match trouble {
            // Not even the end of a connection gets through.
            Some(Trouble::HalfOpen) if length == 0 => std::future::pending().await,
            Some(Trouble::HalfOpen) => continue,
            Some(Trouble::Delay) => {
                let late = rand::random_range(DELAY_MILLIS);
                tokio::time::sleep(Duration::from_millis(late)).await;
            }
            _ => {}
        }
        if length == 0
            || !may_pass(&chunk[..length], trouble)
            || to.write_all(&chunk[..length]).await.is_err()
        {
            return;
        }
    }
}

async fn until_doomed(mut state: State) {
    let bad = |trouble: &Option<Trouble>| matches!(trouble, Some(Trouble::Cut | Trouble::HalfOpen));
    if state.wait_for(bad).await.is_ok_and(|trouble| *trouble == Some(Trouble::HalfOpen)) {
        let _ = state.wait_for(|trouble| *trouble != Some(Trouble::HalfOpen)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::thread;

    /// A proxy before a server that sends back what it is sent.
    fn before_an_echo() -> Proxy {
        let listener = std::net::TcpListener::bind((HERE, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut from = connection.unwrap();
                let mut to = from.try_clone().unwrap();
                thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        });
        Proxy::before(port)
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        loop {
            if let Ok(connection) = TcpStream::connect((HERE, proxy.port)) {
                connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                return connection;
            }
            thread::yield_now();
        }
    }

    /// What comes back, or nothing when the connection is closed.
    fn echo(connection: &mut TcpStream, sent: &[u8]) -> Option<Vec<u8>> {
        let mut back = vec![0; sent.len()];
        connection.write_all(sent).ok()?;
        connection.read_exact(&mut back).ok()?;
        Some(back)
    }

    #[test]
    fn a_way_that_is_cut_closes_connections_and_refuses_new_ones_until_it_heals() {
        let proxy = before_an_echo();
        let mut connection = connect(&proxy);
        assert_eq!(echo(&mut connection, b"one").as_deref(), Some(b"one".as_slice()));
        proxy.trouble.send_replace(Some(Trouble::Cut));
        assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0, "closed");
        factstream_tests::eventually("new connections are refused", || {
            TcpStream::connect((HERE, proxy.port))
                .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
        proxy.trouble.send_replace(None);
        assert!(echo(&mut connect(&proxy), b"two").is_some());
    }

    #[test]
    fn a_way_that_is_half_open_swallows_everything_and_drops_the_connection_in_the_end() {
        let proxy = before_an_echo();
        let mut connection = connect(&proxy);
        assert!(echo(&mut connection, b"one").is_some());
        proxy.trouble.send_replace(Some(Trouble::HalfOpen));
        connection.write_all(b"two").unwrap();
        connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let nothing = connection.read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "neither an answer nor an end");
        proxy.trouble.send_replace(None);
        connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(connection.read(&mut [0]).unwrap_or(0), 0, "closed");
    }

    #[test]
    fn connections_that_are_forgotten_swallow_everything_and_new_ones_work() {
        let proxy = before_an_echo();
        let mut connection = connect(&proxy);
        assert!(echo(&mut connection, b"one").is_some());
        assert_eq!(proxy.trouble(Trouble::Forget, Duration::ZERO), Some(0));
        connection.write_all(b"two").unwrap();
        connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let nothing = connection.read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "neither an answer nor an end");
        assert!(echo(&mut connect(&proxy), b"three").is_some());
    }

    #[test]
    fn the_reply_to_a_commit_is_lost_and_nothing_else() {
        let proxy = before_an_echo();
        proxy.trouble.send_replace(Some(Trouble::LostCommit));
        let mut connection = connect(&proxy);
        assert!(echo(&mut connection, b"SELECT 1\0").is_some());
        assert!(echo(&mut connection, b"COMMIT\0").is_none());
        assert_eq!(proxy.way.lost_commits.load(Ordering::SeqCst), 1);
    }
}
