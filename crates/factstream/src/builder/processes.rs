//! Declaring a process: its options, and where it begins.

use super::{Builder, Declared};
use crate::handler::options::{Options, Start, option_methods};
use crate::process::Process;
use crate::process::received::Topics;
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
        DeclareProcess { builder: self, options, topics: Topics::default(), process: PhantomData }
    }
}

/// A process that is being declared, until it is said where it begins: made by [`Builder::process`].
#[must_use = "say where the process begins: .from(Start::Now) or .from(Start::Beginning)"]
pub struct DeclareProcess<P> {
    builder: Builder,
    options: Options,
    topics: Topics,
    process: PhantomData<fn() -> P>,
}

impl<P: Process> DeclareProcess<P> {
    /// Takes the events of this enum from their topics, and not from the log: those of other services, whose log is not this
    /// store's. They belong to [`Process::Events`] like all others, and are correlated like them. **Exactly once** (G15).
    ///
    /// A consumer called `<NAME>-inputs` reads the topics. It records each message that concerns an instance as a private fact of this store's
    /// log, in the transaction of its mark; the process takes it from there. So a message that arrives twice is one input, one
    /// that fails waits under the instance's id, and the history has it.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # use factstream::{Acts, Correlate, EventSet, Input, Process, Start};
    /// #[derive(Event, serde::Serialize, serde::Deserialize)]
    /// #[event(topic = "payments.events")]
    /// enum PaymentEvent {
    ///     PaymentTaken { order_id: String },
    /// }
    ///
    /// #[derive(EventSet)]
    /// enum Facts {
    ///     Order(OrderEvent),     // from the log
    ///     Payment(PaymentEvent), // the payment service's, from its topic
    /// }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # struct Checkout {}
    /// # impl Process for Checkout {
    /// #     const NAME: &'static str = "checkout";
    /// #     type Events = Facts;
    /// #     fn correlate(event: &Envelope<Facts>) -> Correlate { Correlate::start(&event.aggregate_id) }
    /// #     fn react(&mut self, _: Input<'_, Facts>, _: &mut Acts) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # fn main() {
    ///
    /// let builder = App::builder("sqlite://orders.db").process::<Checkout>().topics_of::<PaymentEvent>().from(Start::Now);
    /// # let _ = builder;
    /// # }
    /// ```
    pub fn topics_of<E: EventSet>(mut self) -> Self {
        self.topics.add::<E>();
        self
    }

    /// As [`DeclareProcess::topics_of`], from a topic of another team, whose records are plain JSON with none of our headers: each is an
    /// event of the one type that this enum has for the topic. A record is known by its place.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// # use factstream::{Acts, Correlate, Input, Process, Start};
    /// #[derive(Event, serde::Serialize, serde::Deserialize)]
    /// #[event(topic = "bank.transfers")]
    /// enum BankEvent {
    ///     TransferBooked { reference: String, cents: i64 }, // {"reference": "order-7", "cents": 995, ..}
    /// }
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// # struct Checkout {}
    /// # impl Process for Checkout {
    /// #     const NAME: &'static str = "checkout";
    /// #     type Events = BankEvent;
    /// #     fn correlate(event: &Envelope<BankEvent>) -> Correlate { Correlate::start(&event.aggregate_id) }
    /// #     fn react(&mut self, _: Input<'_, BankEvent>, _: &mut Acts) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # fn main() {
    ///
    /// let builder = App::builder("sqlite://orders.db").process::<Checkout>().json_topics_of::<BankEvent>().from(Start::Now);
    /// # let _ = builder;
    /// # }
    /// ```
    pub fn json_topics_of<E: EventSet>(mut self) -> Self {
        self.topics.add_json::<E>();
        self
    }

    /// Where it begins in a store that has not seen it before, and in topics that it has not read before. Later it goes on where it stands.
    pub fn from(self, start: Start) -> Builder {
        let options = Options { start, ..self.options };
        let mut builder = self.builder;
        if !self.topics.is_empty() {
            let types = self.topics.event_types().to_vec();
            builder = builder.declare(types, Declared::inputs::<P>(self.topics.clone(), options));
        }
        builder.declare(P::Events::event_types(), Declared::process::<P>(self.topics, options))
    }

    option_methods!();
}

impl<P: Process> fmt::Debug for DeclareProcess<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclareProcess").field("name", &P::NAME).finish_non_exhaustive()
    }
}
