//! The commands that may be scheduled: declared with a name each, kept as JSON, and executed inside the handler's transaction.

use crate::error::Error;
use crate::handler::Failure;
use crate::kernel::ScheduledNames;
use crate::kernel::names::RESERVED;
use crate::timer::DueTimer;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::decode::read_json;
use factstream_core::envelope::{StreamId, check_id};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::type_name;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// The commands that this build can execute at a time, by the names that they are kept under.
#[derive(Default)]
pub(crate) struct Commands {
    by_name: BTreeMap<String, Arc<dyn AnyCommand>>,
    names: ScheduledNames,
}

/// A type of command of a type of aggregate.
#[async_trait]
trait AnyCommand: Send + Sync {
    /// Whether the JSON is one.
    fn check(&self, json: &str) -> Result<(), String>;
    /// The stream that it looks at.
    fn stream(&self, key: &str) -> Option<StreamId>;
    async fn execute(&self, key: &str, json: &str, tx: &mut Tx) -> Result<(), Failure>;
}

struct Typed<A, C>(PhantomData<fn() -> (A, C)>);

/// The aggregate's id in a timer's key.
fn id_of<A: Aggregate>(key: &str) -> Option<&str> {
    key.strip_prefix(A::TYPE)?.strip_prefix('/')
}

#[async_trait]
impl<A: Aggregate, C: Command<A> + DeserializeOwned + 'static> AnyCommand for Typed<A, C> {
    fn check(&self, json: &str) -> Result<(), String> {
        read_json::<C>(json).map(drop).map_err(|error| error.to_string())
    }

    fn stream(&self, key: &str) -> Option<StreamId> {
        StreamId::new(A::TYPE, id_of::<A>(key)?).ok()
    }

    async fn execute(&self, key: &str, json: &str, tx: &mut Tx) -> Result<(), Failure> {
        let command: C = read_json(json).map_err(Failure::permanent)?;
        let Some(id) = id_of::<A>(key) else {
            return Err(Failure::permanent(format!("{key} is no {}", A::TYPE)));
        };
        tx.command::<A, C>(id, command).await?;
        Ok(())
    }
}

impl Commands {
    /// Takes a command in.
    ///
    /// # Errors
    /// [`Error::Wiring`] when the name cannot be used, or another command has it.
    pub(crate) fn add<A, C>(&mut self, name: String) -> Result<(), Error>
    where
        A: Aggregate,
        C: Command<A> + Serialize + DeserializeOwned + 'static,
    {
        check_id("name of a scheduled command", &name)?;
        if name.starts_with(RESERVED) {
            let text =
                format!("a scheduled command cannot be called {name:?}: {RESERVED:?} is the framework's own");
            return Err(Error::Wiring(text));
        }
        if let Some(other) = self.names.insert::<A, C>(&name) {
            return Err(Error::Wiring(format!(
                "the command {} is declared twice, as {other:?} and as {name:?}; keep one of the two",
                type_name::<C>()
            )));
        }
        if self.by_name.insert(name.clone(), Arc::new(Typed::<A, C>(PhantomData))).is_some() {
            let text = format!("two scheduled commands are called {name:?}; give each a name of its own");
            return Err(Error::Wiring(text));
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The names of the types, for whoever schedules.
    pub(crate) fn names_of_types(&self) -> ScheduledNames {
        self.names.clone()
    }

    /// What a timer is to do.
    pub(crate) fn plan(&self, timer: &DueTimer) -> Result<Planned, String> {
        let name = &timer.payload_type;
        let Some(command) = self.by_name.get(name) else {
            return Err(format!(
                "no scheduled command is called {name:?} in this build; declare it with Builder::scheduled_command under this name, or \
                 discard it"
            ));
        };
        command
            .check(&timer.payload)
            .map_err(|error| format!("it is no {name} as this build knows it: {error}"))?;
        Ok(Planned { command: Arc::clone(command), key: timer.key.clone(), json: timer.payload.clone() })
    }
}

/// A command whose time has come.
pub(crate) struct Planned {
    command: Arc<dyn AnyCommand>,
    key: String,
    json: String,
}

impl Planned {
    /// The stream that it looks at.
    pub(super) fn stream(&self) -> Option<StreamId> {
        self.command.stream(&self.key)
    }

    pub(super) async fn execute(&self, tx: &mut Tx) -> Result<(), Failure> {
        self.command.execute(&self.key, &self.json, tx).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate as factstream;
    use factstream_macros::Event;
    use jiff::Timestamp;
    use serde::Deserialize;

    #[derive(Event, Serialize, Deserialize)]
    #[event(topic = "letters.events")]
    enum LetterEvent {
        Sent {},
    }

    #[derive(Default, Clone)]
    struct Letter;

    impl Aggregate for Letter {
        const TYPE: &'static str = "letter";
        type Event = LetterEvent;

        fn apply(&mut self, _: &LetterEvent) {}
    }

    #[derive(Serialize, Deserialize)]
    struct Send {
        copies: u32,
    }

    impl Command<Letter> for Send {
        type Error = std::convert::Infallible;

        fn decide(&self, _: &Letter) -> Result<Vec<LetterEvent>, Self::Error> {
            Ok(vec![LetterEvent::Sent {}])
        }
    }

    #[test]
    fn content_that_does_not_fit_is_told_by_its_place_and_not_quoted() {
        let mut commands = Commands::default();
        commands.add::<Letter, Send>("send".into()).unwrap();
        let timer = DueTimer {
            key: "letter/l-1".into(),
            name: "t".into(),
            token: "t-1".into(),
            due_at: Timestamp::UNIX_EPOCH,
            payload_type: "send".into(),
            payload: r#"{"copies":"Jane Doe"}"#.into(),
            origin: "{}".into(),
            set_at: Timestamp::UNIX_EPOCH,
        };
        let Err(told) = commands.plan(&timer) else { panic!("it is taken") };
        assert!(told.contains("copies: invalid type: string, expected u32"), "{told}");
        assert!(!told.contains("Jane"), "{told}");
    }
}
