//! What a connection is for, and what it is called on the server.

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    /// Transactions.
    Write,
    /// Appends by themselves: short statements.
    Append,
    Listen,
}

impl Purpose {
    pub(crate) fn application_name(self) -> &'static str {
        match self {
            Self::Listen => "factstream listener",
            Self::Read | Self::Write | Self::Append => "factstream",
        }
    }
}
