//! An application that is checked, and how it is put together once its store is there.

use super::connect::{self, Connected};
use crate::app::{App, Parts};
use crate::error::Error;
use crate::handler::tables::Managed;
use crate::health::Healths;
use crate::kernel::names::{RELAY, SEALER};
use crate::kernel::states::States;
use crate::kernel::turns::{self, Turns};
use crate::kernel::{Kernel, Progress, ScheduledNames, StoreClock, TimerNews, system};
use crate::migrations;
use crate::processor::Spec;
use crate::registry::Build;
use crate::retention::Retention;
use factstream_core::store::Store;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// An application that is checked, but not connected yet.
pub(super) struct Plan {
    pub(super) store_url: String,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) clock: Arc<StoreClock>,
    pub(super) turns: turns::Limits,
    pub(super) event_bytes_max: usize,
    pub(super) topics_of_types: HashMap<&'static str, &'static str>,
    pub(super) broker_url: String,
    pub(super) namespace: Option<String>,
    pub(super) service: Arc<str>,
    pub(super) mirrors_dead_letters: bool,
    pub(super) seals_within: Option<Duration>,
    pub(super) retention: Retention,
    pub(super) states: States,
    pub(super) specs: Vec<Spec>,
    pub(super) managed: Vec<Managed>,
    pub(super) builds: Vec<Build>,
    pub(super) scheduled: ScheduledNames,
}

impl Plan {
    /// The store that was given, or that the URL names.
    pub(super) async fn store(&self, to_look: bool) -> Result<Arc<dyn Store>, Error> {
        match &self.store {
            Some(store) => Ok(Arc::clone(store)),
            None => connect::store(&self.store_url, self.event_bytes_max, to_look).await,
        }
    }

    pub(super) async fn assemble(
        self: Box<Self>,
        store: Arc<dyn Store>,
        looks_only: bool,
    ) -> Result<App, Error> {
        self.states.follow(Arc::clone(&store));
        self.clock.ask(store.as_ref()).await?;
        let former_until = migrations::former_until(store.as_ref()).await?;
        let system = system::of_store(store.as_ref(), self.namespace.as_deref()).await?;
        let Connected { broker, groups_need_lease } =
            connect::broker(&self.broker_url, &store, &self.clock, system.store_id, &self.service)?;
        let broker = system.namespace.clone().within(broker);
        let own = [RELAY].into_iter().chain(self.seals_within.map(|_| SEALER));
        let names = self.specs.iter().map(|spec| spec.name.clone()).chain(own.map(str::to_owned));
        let healths = Healths::new(names);
        let turns = Arc::new(Turns::new(self.turns));
        turns.run_in(tokio::runtime::Handle::current());
        let kernel = Kernel {
            store,
            broker,
            system,
            clock: self.clock,
            service: self.service,
            states: self.states,
            turns,
            progress: Progress::default(),
            timer_news: TimerNews::default(),
            scheduled: self.scheduled,
            groups_need_lease,
            mirrors_dead_letters: self.mirrors_dead_letters,
            seals_within: self.seals_within,
            former_until,
            topics_of_types: self.topics_of_types,
        };
        Ok(App::new(Parts {
            kernel: Arc::new(kernel),
            retention: self.retention,
            specs: self.specs,
            managed: self.managed,
            builds: self.builds,
            looks_only,
            healths,
        }))
    }
}
