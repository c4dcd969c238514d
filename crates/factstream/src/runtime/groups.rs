//! Groups of the embedded broker: begun when they are declared, and not left behind when the store is given another broker.

use crate::app::App;
use crate::broker::Embedded;
use crate::error::Error;
use std::sync::Arc;

impl App {
    /// Has every group of this application begun, where the topics are embedded.
    pub(crate) async fn begin_groups(&self) -> Result<(), Error> {
        if !self.groups_need_lease() {
            return Ok(());
        }
        let embedded = Embedded::new(Arc::clone(self.store()));
        let namespace = &self.system().namespace;
        for spec in self.specs().iter().filter(|spec| !spec.source.topics().is_empty()) {
            let topics: Vec<String> =
                spec.source.topics().iter().map(|topic| namespace.whole(topic)).collect();
            embedded.begin_group(&namespace.whole(&spec.handler), &topics).await?;
        }
        Ok(())
    }

    /// Refuses another broker while a group has something unread in the embedded topics: there, nobody would ever read it.
    pub(crate) async fn refuse_to_leave_embedded_records(&self) -> Result<(), Error> {
        if self.groups_need_lease() {
            return Ok(());
        }
        let embedded = Embedded::new(Arc::clone(self.store()));
        for spec in self.specs().iter().filter(|spec| !spec.source.topics().is_empty()) {
            let unread = embedded.unread_of_begun(&self.system().namespace.whole(&spec.handler)).await?;
            if unread > 0 {
                return Err(Error::Wiring(format!(
                    "{} has {unread} records unread in the store's embedded topics, and with another broker nobody would read them: run it \
                     with the embedded broker until its lag is 0, or set it past them there (handlers reset {} --to now), and then \
                     give it the other broker",
                    spec.handler, spec.handler
                )));
            }
        }
        Ok(())
    }
}
