//! Connections to the HTTP API: taken up to a number, each with a head of bounded size that comes in bounded time.
//!
//! Invariants: what all connections together keep in memory has a limit (G13): that of one times [`CONNECTIONS_MAX`].
//! More of them wait where the operating system queues them.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections that are open at the same time.
const CONNECTIONS_MAX: usize = 1_024;
/// The most of a request line with its headers, and of what is read of a body before it is asked for.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long a head may take, and how long a connection may stand idle.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// How long to wait when the machine has no connection left to give.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Serves until asked to stop; then takes no new connection, and returns when the requests that run are answered.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    let mut stop = std::pin::pin!(stop);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut stop => break,
        };
        let stream = tokio::select! {
            stream = accept(&listener) => TokioIo::new(stream),
            () = &mut stop => break,
        };
        let connection = http.serve_connection(stream, TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_the_client(error.kind()) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken; are there too many open files?");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// It was gone before it was taken.
fn is_of_the_client(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(kind, ConnectionAborted | ConnectionRefused | ConnectionReset)
}
