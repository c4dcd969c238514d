//! `orders serve`: opens the system, runs the handlers, listens, and stops cleanly (G14).
//!
//! Invariants: the address is taken before the store is opened, so that a second `serve` on it changes nothing. On
//! SIGTERM or ctrl-c: no new requests, those that run are finished, the handlers finish what they hold, exit code 0. All
//! within a deadline; what does not end by then is rolled back and handled after the next start.

use crate::app::{self, Config, Service};
use crate::{Failed, cli, http};
use factstream::without_credentials;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long running requests may take to end.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(6);
/// How long the handlers may take to end.
const HANDLERS_END_WITHIN: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or ctrl-c.
///
/// # Errors
/// When the address is taken or the store cannot be used: the error says why and what to do.
pub async fn run(args: cli::Serve) -> Result<ExitCode, Failed> {
    let listener = listen(&args.listen).await?;
    let stopped = stop_signal()?;
    let cli::Serve { store, broker, service, auto_ship, gateway_failure_rate, mirror_dead_letters, .. } =
        args;
    let config = Config {
        store: store.clone(),
        broker: broker.clone(),
        service,
        auto_ship,
        mirror_dead_letters,
        gateway_failure_rate,
    };
    let app = app::open(config).await?;
    let running = app.start().await?;
    let (store, broker) = (without_credentials(&store), without_credentials(&broker));
    let what = service.map_or("orders", Service::name);
    announce(&format!("{what} is ready: http://{} (store {store}, broker {broker})", listener.local_addr()?));

    let mut asked = stopped.clone();
    let server = http::serve(listener, http::router(app, service), async move { wait(&mut asked).await });
    let mut asked = stopped;
    tokio::select! {
        () = server => {}
        () = async { wait(&mut asked).await; tokio::time::sleep(REQUESTS_END_WITHIN).await } => {
            tracing::warn!("some requests did not end within {REQUESTS_END_WITHIN:?}; they are cut off");
        }
    }
    tracing::info!("no more requests are taken; the handlers finish what they hold");
    if !running.stop(HANDLERS_END_WITHIN).await {
        tracing::warn!(
            "some handlers did not end within {HANDLERS_END_WITHIN:?}; their work is done after the next start"
        );
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn listen(address: &str) -> Result<TcpListener, Failed> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => {
                "another process listens there: stop it, or choose another port with --listen"
            }
            ErrorKind::PermissionDenied => "choose a port from 1024 with --listen",
            ErrorKind::AddrNotAvailable => {
                "this machine does not have that address: choose another with --listen"
            }
            _ => "write --listen HOST:PORT, for example 127.0.0.1:8080",
        };
        format!("cannot listen on {address}: {error}; {advice}").into()
    })
}

/// The one line on standard output. Nobody may be reading it.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Becomes true on SIGTERM or ctrl-c; a second one ends the process on the spot.
fn stop_signal() -> Result<watch::Receiver<bool>, Failed> {
    let mut signals = Signals::new()?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping; once more to stop without waiting");
        stop.send_replace(true);
        signals.next().await;
        std::process::exit(1);
    });
    Ok(stopped)
}

async fn wait(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends with the process.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

#[cfg(unix)]
struct Signals {
    term: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
