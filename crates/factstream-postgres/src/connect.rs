//! `postgres://..` to pools of connections. Credentials are never printed: errors name host and database only.

use crate::error;
use crate::options::Options;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use factstream_core::store::StoreError;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Config, NoTls};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
}

/// The settings that a URL says.
pub(crate) fn config(url: &str) -> Result<Config, StoreError> {
    let refuse = |reason: String| StoreError::Url { url: "postgres://***".into(), reason };
    let config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        refuse(format!("{error}; write postgres://USER:PASSWORD@HOST:5432/DATABASE"))
    })?;
    if config.get_hosts().is_empty() || config.get_dbname().is_none() {
        return Err(refuse(
            "it names no host or no database; write postgres://USER@HOST:5432/DATABASE".into(),
        ));
    }
    if config.get_ssl_mode() == SslMode::Require {
        return Err(refuse(
            "this build does not speak TLS yet; use sslmode=disable or prefer on a trusted network".into(),
        ));
    }
    Ok(config)
}

/// Where a store is, as it may be shown.
pub(crate) fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "(no host)".to_owned(),
    };
    format!("the PostgreSQL database {} on {host}", config.get_dbname().unwrap_or_default())
}

/// A pool of at most `size` connections.
pub(crate) fn pool(
    config: &Config,
    options: &Options,
    purpose: Purpose,
    size: usize,
) -> Result<Pool, StoreError> {
    let mut config = config.clone();
    config.application_name("factstream");
    let limit = options.transaction_time_limit.as_millis();
    let mut settings = format!(
        "-c synchronous_commit=on -c client_min_messages=warning -c statement_timeout={limit} \
         -c idle_in_transaction_session_timeout={limit} -c lock_timeout={}",
        options.lock_timeout.as_millis()
    );
    if purpose == Purpose::Read {
        settings.push_str(" -c default_transaction_read_only=on");
    }
    if let Some(own) = config.get_options() {
        settings = format!("{own} {settings}");
    }
    config.options(settings);
    let manager =
        Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager).max_size(size.max(1)).build().map_err(|error| error::engine(&error))
}
