//! Where a process is on its way from start to end.

/// Where a process is on its way from start to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It takes requests.
    Serving,
    /// It still takes requests, and says that it is not ready for more.
    Leaving,
    /// It takes no new requests.
    Closing,
}
