//! The other side: an HTTP server on a port of its own, which writes down when it was asked for what, and answers as it is told.

use crate::common::OrderEvent;
use factstream::{Envelope, ExternalHandler, Failure, Tx};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server answers with.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Ok,
    /// 429, with this many seconds to wait.
    TooMany(u64),
    /// 503.
    Down,
}

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<(Instant, String)>>>,
    /// When this process was not given the processor for a while, and for how long: nothing can be on time then.
    stalls: Arc<Mutex<Vec<(Instant, Duration)>>>,
}

/// How often it is looked whether the process stalls, and what counts as that.
const TICK: Duration = Duration::from_millis(5);
const STALL: Duration = Duration::from_millis(10);
/// A stall so long before a second has calls of its own come late, in that second.
const BEFORE: Duration = Duration::from_millis(200);

impl Server {
    /// One that answers by what is asked for and how often that was asked before.
    pub(crate) async fn start(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::at(listener.local_addr().unwrap());
        let stalls = Arc::downgrade(&server.stalls);
        std::thread::spawn(move || {
            while let Some(stalls) = stalls.upgrade() {
                let began = Instant::now();
                std::thread::sleep(TICK);
                let stall = began.elapsed().saturating_sub(TICK);
                if stall > STALL {
                    stalls.lock().unwrap().push((Instant::now(), stall));
                }
            }
        });
        let (serving, answer) = (server.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (server, answer) = (serving.clone(), Arc::clone(&answer));
                tokio::spawn(async move { server.serve(connection, answer.as_ref()).await });
            }
        });
        server
    }

    /// One that another process has started.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, calls: Arc::default(), stalls: Arc::default() }
    }

    async fn serve(&self, mut connection: TcpStream, answer: &(dyn Fn(&str, usize) -> Answer + Send + Sync)) {
        let mut line = String::new();
        if BufReader::new(&mut connection).read_line(&mut line).await.is_err() {
            return;
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let before = self.calls_of(&path).len();
        self.calls.lock().unwrap().push((Instant::now(), path.clone()));
        let head = match answer(&path, before) {
            Answer::Ok => "200 OK\r\n".to_owned(),
            Answer::Down => "503 Service Unavailable\r\n".to_owned(),
            Answer::TooMany(seconds) => format!("429 Too Many Requests\r\nRetry-After: {seconds}\r\n"),
        };
        let _ = connection.write_all(format!("HTTP/1.1 {head}Content-Length: 0\r\n\r\n").as_bytes()).await;
    }

    /// When it was asked for this path.
    pub(crate) fn calls_of(&self, path: &str) -> Vec<Instant> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(_, asked)| asked == path).map(|(at, _)| *at).collect()
    }

    /// What it was asked for.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(_, path)| path.clone()).collect()
    }

    /// When it was asked for anything.
    pub(crate) fn calls(&self) -> Vec<Instant> {
        self.calls.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    async fn get(&self, path: &str) -> io::Result<String> {
        let mut connection = TcpStream::connect(self.address).await?;
        connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Asks for a path, as an application's client would.
    pub(crate) async fn ask(&self, path: &str) -> Result<(), Failure> {
        let answer = self.get(path).await?;
        let (status, headers) = answer.split_once("\r\n").unwrap_or((&answer, ""));
        if status.contains(" 200 ") {
            return Ok(());
        }
        let failure = Failure::transient(format!("the server says {status}"));
        let wait = headers.lines().find_map(|line| line.strip_prefix("Retry-After: "));
        Err(match wait.and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) => failure.retry_after(Duration::from_secs(seconds)),
            None => failure,
        })
    }
}

/// Asks the server about each order that is created, by the order's id.
#[derive(Clone)]
pub(crate) struct Asking(pub(crate) Server);

impl ExternalHandler for Asking {
    type Events = OrderEvent;
    type Outcome = ();

    async fn call(&self, event: &Envelope<OrderEvent>) -> Result<(), Failure> {
        self.0.ask(&format!("/{}", event.aggregate_id)).await
    }

    async fn handle(&self, _: &Envelope<OrderEvent>, (): &(), _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

impl Server {
    fn stalled(&self, from: Instant, to: Instant) -> Duration {
        let stalls = self.stalls.lock().unwrap();
        stalls.iter().filter(|(at, stall)| *at >= from && *at <= to + *stall).map(|(_, stall)| *stall).sum()
    }

    /// Asserts that in any second these calls came not more than 5 % above this rate.
    pub(crate) fn assert_at_most(&self, calls: &[Instant], per_second: f64) {
        let first = calls[0];
        for (at, from) in calls.iter().enumerate() {
            let to = *from + Duration::from_secs(1);
            let count = calls[at..].iter().take_while(|call| **call < to).count();
            // What came late because of a stall before comes on top; and a second that begins with a call has one at each end.
            let stalled = self.stalled(from.checked_sub(BEFORE).unwrap_or(*from), to).as_secs_f64();
            let most = (per_second * (1.05 + stalled)).floor() + 1.0;
            assert!(
                count as f64 <= most,
                "{count} calls in a second, not {most}, {:?} after the first",
                *from - first
            );
        }
    }

    /// How much of the rate these calls used, but for the time in which the machine did other work.
    pub(crate) fn used(&self, calls: &[Instant], per_second: f64) -> f64 {
        let (first, last) = (calls[0], calls[calls.len() - 1]);
        let seconds = (last - first).saturating_sub(self.stalled(first, last)).as_secs_f64();
        (calls.len() - 1) as f64 / seconds / per_second
    }
}
