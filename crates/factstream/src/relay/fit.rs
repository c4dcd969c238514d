//! Events of which no message can be made, and the message of one that a person has sent on its way again.

use crate::kernel::Kernel;
use crate::processor::letters::Letter;
use factstream_core::decode::ContentError;
use factstream_core::envelope::{Metadata, RecordedEvent};
use factstream_core::message::Message;

/// Why no message can be made of an event, and what to do.
pub(super) fn reason(event: &RecordedEvent, error: &serde_json::Error) -> String {
    let (position, error) = (event.position, ContentError::from(error));
    format!(
        "event {position} of the log is not as factstream writes it, so that it cannot be published: {error}; redrive it to publish it to the topic that \
         this build declares for its type, edit its data, or discard it"
    )
}

/// The message of a letter's event, with the data that the letter has now; `None` when the event stays home.
///
/// Metadata that cannot be read names no topic: that of the event's type, as this build declares it, takes its place.
pub(super) fn message(
    kernel: &Kernel,
    event: RecordedEvent,
    letter: &Letter,
) -> Result<Option<Message>, String> {
    let data = letter.record.value.clone().unwrap_or_default();
    let data = String::from_utf8(data).map_err(|_| "its data is not UTF-8; edit it".to_owned())?;
    let mut event = RecordedEvent { data, ..event };
    if serde_json::from_str::<Metadata>(&event.metadata).is_err() {
        let event_type = &event.event_type;
        let topic = kernel.topic_of(event_type).ok_or_else(|| {
            format!(
                "its metadata cannot be read, and this build declares no public event type {event_type:?} that says its topic; redrive it where \
                 that is declared, or discard it"
            )
        })?;
        let (source, topic) = (kernel.service.to_string(), Some(topic.to_owned()));
        let metadata = Metadata { source, topic, ..Metadata::default() };
        event.metadata = serde_json::to_string(&metadata).map_err(|error| error.to_string())?;
    }
    Message::of(&event).map_err(|error| reason(&event, &error))
}
