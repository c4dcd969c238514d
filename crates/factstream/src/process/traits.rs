//! What a process manager looks like.

use super::acts::Acts;
use super::correlate::Correlate;
use super::input::Input;
use crate::handler::Failure;
use factstream_core::envelope::Envelope;
use factstream_core::event::EventSet;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A business process over several aggregates: a pure state machine that reacts to events and asks for commands. **Exactly once**
/// (G15).
///
/// The struct is the state of one instance; its [`Default`] is the state before the first input. Each event goes to the instances that
/// [`Process::correlate`] names. Their states, what [`Process::react`] asks for and the mark that the event was handled commit together. One
/// instance takes one input at a time, in the order of the log, whatever aggregates its events come from.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::{Acts, Correlate, Input, Process, Start};
/// use serde::{Deserialize, Serialize};
///
/// /// Ships each order that is created.
/// #[derive(Default, Serialize, Deserialize)]
/// struct Fulfilment {
///     refused: bool,
/// }
///
/// impl Process for Fulfilment {
///     const NAME: &'static str = "fulfilment";
///     type Events = OrderEvent;
///
///     fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
///         match event.event {
///             OrderEvent::Created { .. } => Correlate::start(&event.aggregate_id),
///             OrderEvent::Shipped { .. } => Correlate::go_on(&event.aggregate_id),
///         }
///     }
///
///     fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
///         match input {
///             Input::Event(event) => match event.event {
///                 OrderEvent::Created { .. } => acts.command::<Order, _>(&event.aggregate_id, ship()),
///                 OrderEvent::Shipped { .. } => acts.end(),
///             },
///             Input::Refused(_) => self.refused = true,
///             _ => {}
///         }
///         Ok(())
///     }
/// }
///
/// let builder = App::builder("").aggregate::<Order>().process::<Fulfilment>().from(Start::Now);
/// # let app = testing::TestApp::start(builder).await;
/// # app.create(create()).await?;
/// # app.execute("o-1", create()).await?;
/// # app.settle().await;
/// let instance = app.process::<Fulfilment>().get("o-1").await?.expect("it was started");
/// assert!(instance.has_ended() && !instance.state.refused);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process",
    label = "this does not implement `Process`",
    note = "implement `Process` for it, with `#[derive(Default, Serialize, Deserialize)]`: a NAME, `correlate` and `react`"
)]
pub trait Process: Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What its instances, its progress and its dead letters are listed by. No other handler has this name.
    const NAME: &'static str;

    /// The version of the state's shape, from 1. Raise it when the struct changes so that stored states no longer fit, and write
    /// [`Process::upcast`].
    const VERSION: u32 = 1;

    /// The events that it may be given: of the log, unless [`DeclareProcess`](crate::DeclareProcess) says that they come from topics.
    type Events: EventSet;

    /// The instances that an event concerns. Pure: a function of the event alone.
    fn correlate(event: &Envelope<Self::Events>) -> Correlate;

    /// Takes one input: changes the state, and asks for what is to be done. Pure: no I/O, no clock, no randomness. It runs again
    /// when a conflict or a crash undid the transaction, and without its acts when a state is rebuilt from the history.
    ///
    /// # Errors
    /// A [`Failure`] undoes everything and blocks this instance, no other (G8), until its input is redriven or discarded.
    fn react(&mut self, input: Input<'_, Self::Events>, acts: &mut Acts) -> Result<(), Failure>;

    /// Turns the JSON of a state of version `from` into one of version `from + 1`. Called once for each version up to
    /// [`Process::VERSION`].
    ///
    /// ```
    /// # use factstream::Failure;
    /// # struct Checkout;
    /// # impl Checkout {
    /// fn upcast(from: u32, mut state: serde_json::Value) -> Result<serde_json::Value, Failure> {
    ///     if from == 1 {
    ///         state["attempts"] = 0.into(); // version 2 counts attempts
    ///     }
    ///     Ok(state)
    /// }
    /// # }
    /// # assert_eq!(Checkout::upcast(1, serde_json::json!({})).unwrap(), serde_json::json!({ "attempts": 0 }));
    /// ```
    ///
    /// # Errors
    /// A [`Failure`] when the state cannot be read any more: the input becomes a dead letter.
    fn upcast(from: u32, state: serde_json::Value) -> Result<serde_json::Value, Failure> {
        let _ = state;
        Err(Failure::permanent(format!(
            "a state of version {from} is stored and this build of {} has version {}; write Process::upcast",
            Self::NAME,
            Self::VERSION
        )))
    }
}
