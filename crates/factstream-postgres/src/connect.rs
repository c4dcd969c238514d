//! `postgres://..` to the server and database that it names, and how to get there. Credentials are never printed: errors name
//! hosts and database only.

use crate::options::Options;
use crate::ssl_mode::{self, Mode};
use crate::tls::{self, Connector};
use crate::url;
use crate::url_options;
use factstream_core::store::StoreError;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The most that an error shows of a name in the URL.
const NAME_SHOWN_MAX: usize = 300;
const WANTED: &str = "write postgres://USER:PASSWORD@HOST:5432/DATABASE";

/// Checks a URL without asking the server; gives what may be shown of it.
///
/// # Errors
/// [`StoreError::Url`]
pub fn check_url(url: &str) -> Result<String, StoreError> {
    Server::of_url(url, &mut Options::default()).map(|server| server.place)
}

/// How long a server may take to accept a connection, where the URL does not say (`connect_timeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// When the system notices that the other side is away: what was sent is not confirmed for so long, or an idle connection has
/// not answered (`tcp_user_timeout`, `keepalives_idle`, `keepalives_interval`, `keepalives_retries` in the URL).
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// The server and database that a URL names, and how to get there.
pub(crate) struct Server {
    config: Config,
    connector: Connector,
    /// What the URL's `options` set.
    pub(crate) settings: Vec<(String, String)>,
    /// As it may be shown.
    pub(crate) place: String,
}

impl Server {
    /// What the URL says of limits goes into the options.
    pub(crate) fn of_url(url: &str, options: &mut Options) -> Result<Self, StoreError> {
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
        // Behind the first /, a password would be a part of the database's name, too.
        let hosts_and_database =
            url.split_once("://").map_or(url, |(_, rest)| rest).split('?').next().unwrap_or_default();
        if hosts_and_database.split_once('/').is_some_and(|(_, database)| database.contains('@')) {
            return Err(refuse(format!(
                "it has an @ after the first /; write / as %2F in a user name or a password, and @ as %40 in a database name: {WANTED}"
            )));
        }
        let (mut wanted, rest) = ssl_mode::split(url).map_err(refuse)?;
        let rest = url::split(&rest, options).map_err(refuse)?;
        let mut own = String::new();
        let rest = url::take_settings(&rest, |name, value| {
            let is_own = name == "options";
            if is_own {
                value.clone_into(&mut own);
            }
            Ok(is_own)
        });
        let rest = rest.map_err(refuse)?;
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
        let mode = wanted.mode.of_driver();
        config.ssl_mode(if tls::IS_SPOKEN { mode } else { SslMode::Disable });
        let (settings, others) = url_options::split(&own);
        if !others.is_empty() {
            config.options(others); // poolers refuse it, so only where nothing else will do
        }
        watch(&mut config);
        let connector = tls::connector(&wanted).map_err(refuse)?;
        let place = place(&config);
        Ok(Self { config, connector, settings, place })
    }

    /// The one that all connections are made with, also those that cancel.
    #[allow(clippy::clone_on_copy)] // without the feature tls it is one that can be copied
    pub(crate) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// How long connecting to one host may take.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().filter(|limit| !limit.is_zero()).unwrap_or(CONNECT_TIMEOUT)
    }
}

/// Has the system watch a connection, where the URL does not say how.
fn watch(config: &mut Config) {
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNCONFIRMED_MAX);
    }
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
}

fn place(config: &Config) -> String {
    let names = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(host) => host.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let host = names.collect::<Vec<_>>().join(", ");
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
            "postgres://@A/:s3cret@/?",
            "postgres://me/mine:s3cret@db/orders",
            "postgres:me:s3cret@db/orders",
            "postgres:password=s3cret host=db",
            "postgres:s3cret=x",
            "postgres://db/orders?connections=s3cret",
            "postgres://db/orders?answer_timeout=s3cret",
        ] {
            let error = check_url(bad).unwrap_err().to_string();
            assert!(error.contains("write") && !error.contains("s3cret"), "{bad}: {error}");
        }
        assert_eq!(
            check_url("postgres://me:s3cret@db/orders").unwrap(),
            "the PostgreSQL database orders on db"
        );
        assert!(check_url("postgres://me:p%40ss@db/orders").is_ok());
        assert!(check_url("postgres://me%2Fmine:p%2Fss@db/orders%40home").is_ok());
    }
}
