//! Who runs what: the processes on the store, and what each owns.

use crate::app::App;
use crate::error::Error;
use crate::leases::{self, LeaseOwner, RunningProcess};
use std::time::Duration;

impl App {
    /// Who owns what may have one owner only, over all processes on the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn owners(&self) -> Result<Vec<LeaseOwner>, Error> {
        leases::owners(self.store().as_ref()).await
    }

    /// The processes on the store that show, within `watch`, that they live: their beat moves about every second. With no time to watch, all that
    /// are not known to be dead, for some of which that will only turn out.
    ///
    /// ```no_run
    /// # async fn example(app: &factstream::App) -> Result<(), factstream::Error> {
    /// for process in app.processes(std::time::Duration::from_secs(3)).await? {
    ///     for (handler, doing) in &process.handlers {
    ///         println!("{handler} is {} in process {} on {}", doing.state, process.pid, process.host);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn processes(&self, watch: Duration) -> Result<Vec<RunningProcess>, Error> {
        leases::processes(self.store().as_ref(), watch).await
    }
}
