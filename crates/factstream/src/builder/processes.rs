//! Declaring a process: its options, and where it begins.

use super::{Builder, Declared};
use crate::handler::options::{Options, Start, option_methods};
use crate::process::Process;
use factstream_core::event::EventSet;
use std::fmt;
use std::marker::PhantomData;

impl Builder {
    /// A process manager, fed from the log. Where it begins must be said:
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # use factstream::{Acts, Correlate, Input, Process};
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # struct Checkout {}
    /// # impl Process for Checkout {
    /// #     const NAME: &'static str = "checkout";
    /// #     type Events = OrderEvent;
    /// #     fn correlate(event: &Envelope<OrderEvent>) -> Correlate { Correlate::start(&event.aggregate_id) }
    /// #     fn react(&mut self, _: Input<'_, OrderEvent>, _: &mut Acts) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # fn main() {
    /// use factstream::Start;
    ///
    /// let builder = App::builder("sqlite://orders.db").process::<Checkout>().concurrency(4).from(Start::Now);
    /// # let _ = builder;
    /// # }
    /// ```
    ///
    /// Without that it does not compile:
    ///
    /// ```compile_fail,E0599
    /// # use factstream::*;
    /// # #[derive(Event, serde::Serialize, serde::Deserialize)]
    /// # enum OrderEvent { OrderCreated {} }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # struct Checkout {}
    /// # impl Process for Checkout {
    /// #     const NAME: &'static str = "checkout";
    /// #     type Events = OrderEvent;
    /// #     fn correlate(event: &Envelope<OrderEvent>) -> Correlate { Correlate::start(&event.aggregate_id) }
    /// #     fn react(&mut self, _: Input<'_, OrderEvent>, _: &mut Acts) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// let opening = App::builder("sqlite://orders.db").process::<Checkout>().open();
    /// ```
    pub fn process<P: Process>(self) -> DeclareProcess<P> {
        let options = Options { version: P::VERSION, ..Options::default() };
        DeclareProcess { builder: self, options, process: PhantomData }
    }
}

/// A process that is being declared, until it is said where it begins: made by [`Builder::process`].
#[must_use = "say where the process begins: .from(Start::Now) or .from(Start::Beginning)"]
pub struct DeclareProcess<P> {
    builder: Builder,
    options: Options,
    process: PhantomData<fn() -> P>,
}

impl<P: Process> DeclareProcess<P> {
    /// Where it begins in a store that has not seen it before. Later it goes on where it stands.
    pub fn from(self, start: Start) -> Builder {
        let options = Options { start, ..self.options };
        self.builder.declare(P::Events::event_types(), Declared::process::<P>(options))
    }

    option_methods!();
}

impl<P: Process> fmt::Debug for DeclareProcess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclareProcess").field("name", &P::NAME).finish_non_exhaustive()
    }
}
