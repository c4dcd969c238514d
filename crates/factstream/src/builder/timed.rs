//! What a service does when its time has come, as it is declared.

use super::Builder;
use crate::scheduled::recurring::Recurring;
use crate::scheduled::schedule::Schedule;
use factstream_core::aggregate::{Aggregate, Command};
use serde::Serialize;
use serde::de::DeserializeOwned;

impl Builder {
    /// Declares a command that may be scheduled ([`App::schedule`](crate::App::schedule)). It is kept as JSON under this name, which
    /// is therefore not to change as long as some wait.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/scheduled.rs"));
    /// # fn main() {
    /// let builder = factstream::App::builder("sqlite://orders.db").scheduled_command::<Order, Remind>("order-remind");
    /// # let _ = builder;
    /// # }
    /// ```
    pub fn scheduled_command<A, C>(mut self, name: impl Into<String>) -> Self
    where
        A: Aggregate,
        C: Command<A> + Serialize + DeserializeOwned + 'static,
    {
        if let Ok(commands) = &mut self.commands
            && let Err(error) = commands.add::<A, C>(name.into())
        {
            self.commands = Err(error);
        }
        self.aggregate::<A>()
    }

    /// Work that is done again and again, by a [`Schedule`], under a name of its own in this service. The example is at [`Recurring`].
    ///
    /// Its progress is kept under the name: a schedule that gets another name begins anew, one that is not declared any more is forgotten.
    pub fn every<R: Recurring>(mut self, schedule: Schedule, name: &str, work: R) -> Self {
        if let Ok(recurrences) = &mut self.recurrences
            && let Err(error) = recurrences.add(schedule, name, work)
        {
            self.recurrences = Err(error);
        }
        self
    }
}
