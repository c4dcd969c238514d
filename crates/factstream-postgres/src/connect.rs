//! `postgres://..` to connections and pools of them, all made by one connector. Credentials are never printed: errors name
//! host and database only.

use crate::error;
use crate::options::Options;
use crate::ssl_mode::{self, Mode};
use crate::tls::{self, Connector};
use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod};
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::store::StoreError;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};

/// The most that an error shows of a name in the URL.
const NAME_SHOWN_MAX: usize = 300;
const WANTED: &str = "write postgres://USER:PASSWORD@HOST:5432/DATABASE";

/// Checks a URL without asking the server; gives what may be shown of it.
///
/// # Errors
/// [`StoreError::Url`]
pub fn check_url(url: &str) -> Result<String, StoreError> {
    Server::of_url(url).map(|server| server.place)
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
    Listen,
}

/// A connection to be driven by who asked for it.
pub(crate) type Driven = Connection<Socket, <Connector as MakeTlsConnect<Socket>>::Stream>;

/// The server and database that a URL names, and how to get there.
pub(crate) struct Server {
    config: Config,
    connector: Connector,
    /// As it may be shown.
    pub(crate) place: String,
}

impl Server {
    pub(crate) fn of_url(url: &str) -> Result<Self, StoreError> {
        let refuse = |reason: String| StoreError::Url { url: "postgres://***".into(), reason };
        // The driver would take anything else for settings written as name=value, and name in its error what it read.
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(refuse(WANTED.to_owned()));
        }
        if url.contains('\0') {
            return Err(refuse(format!("it holds a NUL; {WANTED}")));
        }
        // A setting there would become a part of the database's name, which is told.
        let after = url.split_once('@').map_or(url, |(_, place)| place).split('?').next().unwrap_or_default();
        if after.contains(['&', '=']) {
            return Err(refuse(format!(
                "settings begin with a ?, and a & or = in a name is written %26 or %3D: {WANTED}"
            )));
        }
        let (mut wanted, rest) = ssl_mode::split(url).map_err(refuse)?;
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            refuse(format!("{}; {WANTED}", shortened(&error.to_string())))
        })?;
        // Credentials end at the first @: what follows would be shown as a host, and be the rest of a password.
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
            return Err(refuse(format!("it has more than one @; write one in a password as %40: {WANTED}")));
        }
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(refuse(
                "it names no host or no database; write postgres://USER@HOST:5432/DATABASE".into(),
            ));
        }
        // A socket of this machine needs no TLS, and PostgreSQL has none on it.
        if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) {
            (wanted.mode, wanted.roots) = (Mode::Disable, None);
        }
        config.ssl_mode(wanted.mode.of_driver());
        let connector = tls::connector(&wanted).map_err(refuse)?;
        let place = place(&config);
        Ok(Self { config, connector, place })
    }

    /// The one that all connections are made with, also those that cancel.
    #[allow(clippy::clone_on_copy)] // without the feature tls it is one that can be copied
    pub(crate) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// A pool of at most `size` connections.
    pub(crate) fn pool(&self, options: &Options, purpose: Purpose, size: usize) -> Result<Pool, StoreError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.with_settings(options, purpose), self.connector(), settings);
        // The connection that was used last: its backend has at hand what it needs.
        let pool = Pool::builder(manager).max_size(size.max(1)).queue_mode(QueueMode::Lifo);
        pool.build().map_err(|error| error::engine(&error))
    }

    /// One connection.
    pub(crate) async fn connect(
        &self,
        options: &Options,
        purpose: Purpose,
    ) -> Result<(Client, Driven), StoreError> {
        let config = self.with_settings(options, purpose);
        let connected = config.connect(self.connector()).await;
        connected.map_err(|error| error::of_connecting(&self.place, &error))
    }

    fn with_settings(&self, options: &Options, purpose: Purpose) -> Config {
        let mut config = self.config.clone();
        config.application_name(match purpose {
            Purpose::Listen => "factstream listener",
            Purpose::Read | Purpose::Write => "factstream",
        });
        let limit = options.transaction_time_limit.as_millis();
        let durably = if is_on(Sabotage::SynchronousOff) { "off" } else { "on" };
        let mut settings = format!(
            "-c synchronous_commit={durably} -c client_min_messages=warning -c statement_timeout={limit} \
             -c idle_in_transaction_session_timeout={limit} -c lock_timeout={}",
            options.lock_timeout.as_millis()
        );
        if purpose != Purpose::Write {
            settings.push_str(" -c default_transaction_read_only=on");
        }
        if let Some(own) = config.get_options() {
            settings = format!("{own} {settings}");
        }
        config.options(settings);
        config
    }
}

fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "(no host)".to_owned(),
    };
    let (database, host) = (shortened(config.get_dbname().unwrap_or_default()), shortened(&host));
    format!("the PostgreSQL database {database} on {host}")
}

fn shortened(text: &str) -> String {
    text.chars().take(NAME_SHOWN_MAX).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_password_is_shown_whatever_is_wrong_with_the_url() {
        for bad in [
            "postgres://me:s3cret",
            "postgres://me:s3cret@",
            "postgres://me:s3cret@db",
            "postgres://me:x@s3cret@db/orders",
            "postgres://me:s3cret@db:port/orders",
            "postgres://me:s3cret@db/orders?no_such=s3cret",
            "postgres://me:s3cret@db/orders?port=s3cret",
            "postgres://me:s3cret%zz@db/orders?connect_timeout=s3cret",
            "postgres://me:s3cret@db/orders?sslmode",
            "postgres://db/orders?s3cret",
            "postgres://db/orders&password=s3cret",
            "postgres://db/orders;password=s3cret",
            "postgres:///?@db/orders&password=s3cret",
            "postgres:me:s3cret@db/orders",
            "postgres:password=s3cret host=db",
            "postgres:s3cret=x",
        ] {
            let error = check_url(bad).unwrap_err().to_string();
            assert!(error.contains("write") && !error.contains("s3cret"), "{bad}: {error}");
        }
        assert_eq!(
            check_url("postgres://me:s3cret@db/orders").unwrap(),
            "the PostgreSQL database orders on db"
        );
        assert!(check_url("postgres://me:p%40ss@db/orders").is_ok());
    }
}
