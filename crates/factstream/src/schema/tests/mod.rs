//! The gates, on a folder of their own.

use super::{EventCatalogue, Folder, Report};
use crate as factstream;
use crate::{Aggregate, App, Builder, Event, Upcasters};
use factstream_core::schema::Level;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// An aggregate whose events are those of `E`.
struct Of<E>(std::marker::PhantomData<fn() -> E>);

impl<E> Clone for Of<E> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<E> Default for Of<E> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<E: Event> Aggregate for Of<E> {
    const TYPE: &'static str = "order";
    type Event = E;
    fn apply(&mut self, _: &E) {}
}

fn builder<E: Event>(upcasters: Upcasters) -> Builder {
    App::builder("sqlite://not-opened.db").aggregate::<Of<E>>().upcasters(upcasters)
}

fn catalogue<E: Event>() -> EventCatalogue {
    builder::<E>(Upcasters::new()).events().unwrap()
}

/// The code, level and column of what fails or is warned of, but for what says that the folder is to be rewritten.
fn codes(report: &Report) -> Vec<(&str, Level, &str)> {
    let stale = ["stale", "not-locked", "golden-new", "golden-changed"];
    let mut codes: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| !stale.contains(&finding.code))
        .map(|finding| (finding.code, finding.level, finding.column.name()))
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// What the gates say of a build, after another one was locked.
fn after<Old: Event, New: Event>(upcasters: Upcasters) -> Report {
    let folder = tempfile::tempdir().unwrap();
    catalogue::<Old>().bless(folder.path()).unwrap();
    let new = builder::<New>(upcasters).events().unwrap();
    new.check(&Folder::read(folder.path()).unwrap())
}

fn files(folder: &Path) -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    files
}

macro_rules! events {
    ($name:ident { $($(#[$attribute:meta])* $variant:ident $fields:tt),* $(,)? }) => {
        #[derive(Event, Serialize, Deserialize)]
        #[event(topic = "orders.events")]
        #[allow(dead_code)]
        pub(in crate::schema::tests) enum $name { $($(#[$attribute])* $variant $fields),* }
    };
}

mod cycle;
mod input;
mod history;

events!(First { #[event(name = "OrderPlaced")] Placed { id: String, total: u32 } });

/// The rows of the table that are about names, topics and versions.
mod rows {
    use super::*;

    #[test]
    fn nothing_changes() {
        assert!(codes(&after::<First, First>(Upcasters::new())).is_empty());
    }

    #[test]
    fn a_field_is_needed_that_was_never_written() {
        events!(New { #[event(name = "OrderPlaced")] Placed { id: String, total: u32, by: String } });
        assert_eq!(
            codes(&after::<First, New>(Upcasters::new())),
            [("field-missing", Level::Break, "stored"), ("golden-unreadable", Level::Break, "stored")]
        );
    }

    #[test]
    fn a_field_is_written_no_more() {
        events!(New { #[event(name = "OrderPlaced")] Placed { id: String } });
        let found = after::<First, New>(Upcasters::new());
        assert_eq!(
            codes(&found),
            [("field-missing", Level::Break, "foreign"), ("field-missing", Level::Break, "wire")]
        );
    }

    #[test]
    fn an_event_is_renamed_without_was() {
        events!(New { #[event(name = "OrderOpened")] Placed { id: String, total: u32 } });
        assert_eq!(
            codes(&after::<First, New>(Upcasters::new())),
            [("event-unknown", Level::Break, "stored")]
        );
    }

    #[test]
    fn an_event_is_renamed_with_was() {
        events!(New { #[event(name = "OrderOpened", was = ["OrderPlaced"])] Placed { id: String, total: u32 } });
        let renamed = [("event-renamed", Level::Break, "foreign"), ("event-renamed", Level::Break, "wire")];
        assert_eq!(codes(&after::<First, New>(Upcasters::new())), renamed);
    }

    #[test]
    fn an_event_is_published_elsewhere() {
        events!(New { #[event(name = "OrderPlaced", topic = "sales.events")] Placed { id: String, total: u32 } });
        let moved = [("topic-changed", Level::Break, "foreign"), ("topic-changed", Level::Break, "wire")];
        assert_eq!(codes(&after::<First, New>(Upcasters::new())), moved);
    }

    events!(Second { #[event(name = "OrderPlaced", version = 2)] Placed { id: String, cents: u64 } });

    #[test]
    fn a_version_is_raised_with_an_upcaster() {
        let upcasters = Upcasters::new().step("OrderPlaced", 1, 2, |mut event| {
            event["cents"] = event["total"].take();
            Ok(event)
        });
        let raised = [("version-raised", Level::Warn, "foreign"), ("version-raised", Level::Warn, "wire")];
        let report = after::<First, Second>(upcasters);
        assert_eq!(codes(&report), raised);
        assert!(report.to_string().contains("their keys wait until it is deployed"), "{report}");
    }

    /// The mutation: the upcaster forgets its work.
    #[test]
    fn an_upcaster_that_does_not_lift_is_caught() {
        let report = after::<First, Second>(Upcasters::new().step("OrderPlaced", 1, 2, Ok));
        assert!(codes(&report).contains(&("upcast-fails", Level::Break, "stored")), "{report}");
        assert!(codes(&report).contains(&("golden-unreadable", Level::Break, "stored")), "{report}");
    }

    #[test]
    fn a_version_is_raised_without_an_upcaster() {
        let error = builder::<Second>(Upcasters::new()).events().unwrap_err().to_string();
        assert!(error.contains("no upcaster leads from version 1 to 2"), "{error}");
    }

    #[test]
    fn a_version_is_raised_without_need() {
        events!(New { #[event(name = "OrderPlaced", version = 2)] Placed { id: String, total: u32, #[serde(default)] note: Option<u8> } });
        let report = after::<First, New>(Upcasters::new().step("OrderPlaced", 1, 2, Ok));
        assert!(codes(&report).contains(&("version-needless", Level::Break, "lock")), "{report}");
    }

    #[test]
    fn an_old_version_is_given_up_and_a_version_is_lowered() {
        events!(Since { #[event(name = "OrderPlaced", version = 2, since = 2)] Placed { id: String, cents: u64 } });
        let given_up = after::<First, Since>(Upcasters::new());
        assert!(codes(&given_up).contains(&("version-given-up", Level::Break, "stored")), "{given_up}");
        let lowered = after::<Since, First>(Upcasters::new());
        assert!(codes(&lowered).contains(&("version-lowered", Level::Break, "stored")), "{lowered}");
    }

    #[test]
    fn an_event_is_retired_or_dropped() {
        events!(Both { #[event(name = "OrderPlaced")] Placed { id: String, total: u32 }, #[event(name = "OrderNoted")] Noted { text: String } });
        events!(Retired { #[event(name = "OrderPlaced")] Placed { id: String, total: u32 }, #[event(name = "OrderNoted", retired)] Noted { text: String } });
        assert!(codes(&after::<Both, Retired>(Upcasters::new())).is_empty());
        assert!(codes(&after::<Both, First>(Upcasters::new().drop("OrderNoted"))).is_empty());
        let gone = codes(&after::<Both, First>(Upcasters::new())).len();
        assert_eq!(gone, 1, "the event that nobody knows");
    }

    #[test]
    fn a_private_event_has_no_consumers_to_hurt() {
        events!(Private { #[event(name = "OrderPlaced", private)] Placed { id: String, total: u32 } });
        events!(Shorter { #[event(name = "OrderPlaced", private)] Placed { id: String } });
        assert!(codes(&after::<Private, Shorter>(Upcasters::new())).is_empty());
        assert!(codes(&after::<Private, First>(Upcasters::new())).is_empty());
    }

    #[test]
    fn a_handler_that_cannot_read_what_was_locked_is_named() {
        #[derive(Event, Serialize, Deserialize)]
        #[event(topic = "orders.events")]
        enum Facts {
            #[event(name = "OrderPlaced")]
            Placed { id: u64 },
        }
        struct Reader;
        impl crate::Handler for Reader {
            type Events = Facts;
            async fn handle(
                &self,
                event: &crate::Envelope<Facts>,
                _: &mut crate::Tx,
            ) -> Result<(), crate::Failure> {
                let Facts::Placed { id } = &event.event;
                assert!(*id > 0);
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        catalogue::<First>().bless(folder.path()).unwrap();
        let both =
            builder::<First>(Upcasters::new()).consumer(crate::Consumer::new("reader").handler(Reader));
        let report = both.events().unwrap().check(&Folder::read(folder.path()).unwrap());
        assert_eq!(codes(&report), [("type-changed", Level::Break, "stored")]);
        assert!(report.to_string().contains("Facts"), "{report}");
    }

    #[test]
    fn a_shape_that_is_not_true_is_found() {
        #[derive(Event, Serialize, Deserialize)]
        enum Lies {
            #[event(name = "Lied")]
            Told {
                #[shape(as = "String")]
                number: u8,
            },
        }
        let report = catalogue::<Lies>().check(&Folder::default());
        assert_eq!(codes(&report), [("shape-wrong", Level::Break, "lock")]);
    }
}
