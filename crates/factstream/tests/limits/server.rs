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
}

/// The server. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Server {
    /// One that answers by what is asked for and how often that was asked before.
    pub(crate) async fn start(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, calls) = (listener.local_addr().unwrap(), Arc::default());
        let server = Self { address, calls };
        let (serving, answer) = (server.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (server, answer) = (serving.clone(), Arc::clone(&answer));
                tokio::spawn(async move { server.serve(connection, answer.as_ref()).await });
            }
        });
        server
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
            Answer::TooMany(seconds) => format!("429 Too Many Requests\r\nRetry-After: {seconds}\r\n"),
        };
        let _ = connection.write_all(format!("HTTP/1.1 {head}Content-Length: 0\r\n\r\n").as_bytes()).await;
    }

    /// When it was asked for this path.
    pub(crate) fn calls_of(&self, path: &str) -> Vec<Instant> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(_, asked)| asked == path).map(|(at, _)| *at).collect()
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
