//! `postgres://..` to connections and pools of them, all made by one connector. Credentials are never printed: errors name
//! host and database only.

use crate::error;
use crate::options::Options;
use crate::ssl_mode::{self, Mode};
use crate::tls::{self, Connector};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use factstream_core::store::StoreError;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};

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
        let (mut wanted, rest) = ssl_mode::split(url).map_err(refuse)?;
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            refuse(format!("{error}; write postgres://USER:PASSWORD@HOST:5432/DATABASE"))
        })?;
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
        Pool::builder(manager).max_size(size.max(1)).build().map_err(|error| error::engine(&error))
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
        let mut settings = format!(
            "-c synchronous_commit=on -c client_min_messages=warning -c statement_timeout={limit} \
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
    format!("the PostgreSQL database {} on {host}", config.get_dbname().unwrap_or_default())
}
