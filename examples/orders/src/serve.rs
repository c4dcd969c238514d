//! `orders serve`: opens the system, runs the handlers, listens, and stops cleanly (G14).
//!
//! Invariants: the address is taken before the store is opened, so that a second `serve` on it changes nothing. On
//! SIGTERM `/readyz` says 503, and for a grace requests are answered as before, so that whoever sends them can go elsewhere.
//! Then, or on ctrl-c at once: no new requests, those that run are finished, the handlers finish what they hold, exit
//! code 0. All within a deadline; what does not end by then is rolled back and handled after the next start.

use crate::app::{self, Config, Service};
use crate::phase::Phase;
use crate::{Failed, cli, http, urls};
use factstream::redact_url;
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
    let phase = follow_signals(Duration::from_secs(args.stop_grace.into()))?;
    let cli::Serve {
        store,
        broker,
        namespace,
        service,
        auto_ship,
        gateway_failure_rate,
        gateway_calls,
        mirror_dead_letters,
        seal_within,
        analytics,
        due_within,
        ..
    } = args;
    let (store, broker) = (store.find()?, broker.find()?);
    let config = Config {
        store: store.url.clone(),
        broker: broker.url.clone(),
        namespace,
        service,
        auto_ship,
        mirror_dead_letters,
        seal_within: seal_within.map(|seconds| Duration::from_secs(seconds.into())),
        analytics,
        gateway_failure_rate,
        gateway_calls,
    };
    let opened = app::open(config).await;
    let app = opened.map_err(|error| urls::explain(error, &store, &broker))?;
    let running = app.start().await?;
    let (store, broker) = (redact_url(&store.url), redact_url(&broker.url));
    let what = service.map_or("orders", Service::name);
    announce(&format!("{what} is ready: http://{} (store {store}, broker {broker})", listener.local_addr()?));

    let router = http::router(app, service, due_within, phase.clone());
    let server = http::serve(listener, router, until_closing(phase.clone()));
    tokio::select! {
        () = server => {}
        () = async { until_closing(phase).await; tokio::time::sleep(REQUESTS_END_WITHIN).await } => {
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

/// The phase, as the signals have it. SIGTERM begins the grace; ctrl-c, or another signal, ends it. One more ends the process
/// on the spot.
fn follow_signals(grace: Duration) -> Result<watch::Receiver<Phase>, Failed> {
    let mut signals = Signals::new()?;
    let (phase, followed) = watch::channel(Phase::Serving);
    tokio::spawn(async move {
        if signals.next().await == Signal::Terminate && !grace.is_zero() {
            tracing::info!(?grace, "leaving: not ready any more, requests are still taken");
            phase.send_replace(Phase::Leaving);
            let _ = tokio::time::timeout(grace, signals.next()).await;
        }
        tracing::info!("stopping; once more to stop without waiting");
        phase.send_replace(Phase::Closing);
        signals.next().await;
        std::process::exit(1);
    });
    Ok(followed)
}

async fn until_closing(mut phase: watch::Receiver<Phase>) {
    // An error means that the sender is gone, which ends with the process.
    let _ = phase.wait_for(|phase| *phase == Phase::Closing).await;
}

#[derive(PartialEq, Eq)]
enum Signal {
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is none"))]
    Terminate,
    Interrupt,
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

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
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

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}
