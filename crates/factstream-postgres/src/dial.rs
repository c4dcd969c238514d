//! The way to a server: each host of the URL in turn, each of its addresses, until one has the session that is wanted.
//!
//! The driver could do this by itself, but only over a socket of its own, on which an answer has no deadline (`timed`).

use crate::connect::Server;
use crate::error;
use crate::timed::{Timed, TimedTls};
use crate::tls::Connector;
use factstream_core::store::StoreError;
use rand::seq::SliceRandom;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Client, Config, Connection};

type Tls = <Connector as MakeTlsConnect<Transport>>::TlsConnect;
/// A connection to be driven by who asked for it.
pub(crate) type Driven =
    Connection<Timed<Transport>, <TimedTls<Tls> as TlsConnect<Timed<Transport>>>::Stream>;

/// A host of the URL and where it may be reached.
#[derive(Clone)]
pub(crate) struct Target {
    name: Option<String>,
    at: At,
    port: u16,
}

#[derive(Clone)]
enum At {
    /// A name or an address.
    Name(String),
    Unix(PathBuf),
}

/// The hosts in the order in which they are tried.
pub(crate) fn targets(config: &Config) -> Vec<Target> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(addresses.len());
    let mut targets: Vec<Target> = (0..count)
        .map(|at| {
            let (name, unix) = match hosts.get(at) {
                Some(Host::Tcp(name)) => (Some(name.clone()), None),
                Some(Host::Unix(path)) => (None, Some(path.clone())),
                None => (None, None),
            };
            let address = addresses.get(at).map(ToString::to_string);
            let at_host = match (address, unix) {
                (Some(address), _) => At::Name(address),
                (None, Some(path)) => At::Unix(path),
                (None, None) => At::Name(name.clone().unwrap_or_default()),
            };
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5_432);
            Target { name, at: at_host, port }
        })
        .collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        targets.shuffle(&mut rand::rng());
    }
    targets
}

/// Connects to one host: to the first of its addresses that answers. Gives also where that was.
pub(crate) async fn dial(
    server: &Server,
    config: &Config,
    target: &Target,
    silence_max: Duration,
) -> Result<(Client, Driven, Target), StoreError> {
    let (transport, reached) = reach(server, config, target).await?;
    let mut config = config.clone();
    if matches!(transport, Transport::Unix(_)) {
        config.ssl_mode(SslMode::Disable); // PostgreSQL has none there
    }
    let stream = Timed::new(transport, silence_max);
    let connected = config.connect_raw(stream, TimedTls(tls(server, target)?)).await;
    let (client, driven) = connected.map_err(|error| error::of_connecting(&server.place, &error))?;
    Ok((client, driven, reached))
}

/// Asks the server that was reached to end what a connection is doing.
pub(crate) async fn cancel(server: &Server, target: &Target, cancel: CancelToken) -> Result<(), StoreError> {
    let (transport, _) = reach(server, server.config(), target).await?;
    let cancelled = cancel.cancel_query_raw(transport, tls(server, target)?).await;
    cancelled.map_err(|error| error::of_connecting(&server.place, &error))
}

fn tls(server: &Server, target: &Target) -> Result<Tls, StoreError> {
    let host = target.name.as_deref().unwrap_or_default();
    let made = MakeTlsConnect::<Transport>::make_tls_connect(&mut server.connector(), host);
    made.map_err(|error| StoreError::Unusable { what: server.place.clone(), reason: error.to_string() })
}

async fn reach(server: &Server, config: &Config, target: &Target) -> Result<(Transport, Target), StoreError> {
    let unreachable =
        |error: io::Error| StoreError::Busy(format!("{} cannot be reached ({error})", server.place));
    match &target.at {
        At::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{}", target.port));
            let stream = UnixStream::connect(path).await.map_err(unreachable)?;
            Ok((Transport::Unix(stream), target.clone()))
        }
        At::Name(name) => {
            let stream = connect(config, name, target.port).await.map_err(unreachable)?;
            let address = stream.peer_addr().map_err(unreachable)?.ip().to_string();
            Ok((Transport::Tcp(stream), Target { at: At::Name(address), ..target.clone() }))
        }
    }
}

async fn connect(config: &Config, name: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host((name, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return set_up(config, &stream).map(|()| stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// So that the system notices by itself when the other side is away: what was sent is not confirmed, or an idle connection does
/// not answer.
fn set_up(config: &Config, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
    if config.get_keepalives() {
        let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(interval) = config.get_keepalives_interval() {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            keepalive = keepalive.with_retries(retries);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

/// What carries a connection.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
