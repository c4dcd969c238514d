//! A build without the cargo feature `tls`: connections in the clear, and a refusal of everything else.

use crate::ssl_mode::{Mode, Wanted};

/// Whether this build has TLS.
pub(crate) const IS_SPOKEN: bool = false;

/// What makes connections.
pub(crate) type Connector = tokio_postgres::NoTls;

/// The connector for what is wanted, or why there is none.
pub(crate) fn connector(wanted: &Wanted) -> Result<Connector, String> {
    if matches!(wanted.mode, Mode::Disable | Mode::Prefer) && wanted.roots.is_none() {
        return Ok(tokio_postgres::NoTls);
    }
    Err("this build does not speak TLS; build factstream-postgres with its feature tls, \
         or use sslmode=disable on a trusted network"
        .into())
}

/// Nothing is known about TLS here.
pub(crate) fn advice(_: &(dyn std::error::Error + 'static)) -> Option<String> {
    None
}
