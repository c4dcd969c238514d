//! Groups of the embedded broker, begun when they are declared.

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
}
