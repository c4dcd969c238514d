//! What the states in memory take, with aggregates that are large.
#![allow(clippy::unwrap_used)]

use crate::{Aggregate, App, Command};
use factstream_core::aggregate::SnapshotPolicy;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

extern crate self as factstream;

#[derive(factstream_macros::Event, Serialize, Deserialize)]
enum PageEvent {
    #[event(name = "PageWritten")]
    Written { text: String },
}

/// The newest text alone: it does not grow with its history.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Page {
    text: String,
}

impl Aggregate for Page {
    const TYPE: &'static str = "page";
    type Event = PageEvent;

    fn apply(&mut self, PageEvent::Written { text }: &PageEvent) {
        self.text.clone_from(text);
    }

    fn snapshots() -> Option<SnapshotPolicy<Self>> {
        Some(SnapshotPolicy::json(4, 1))
    }
}

struct Write(usize);

impl Command<Page> for Write {
    type Error = Infallible;

    fn decide(&self, _: &Page) -> Result<Vec<PageEvent>, Infallible> {
        Ok(vec![PageEvent::Written { text: "x".repeat(self.0) }])
    }
}

#[tokio::test]
async fn states_of_large_aggregates_stay_within_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("pages.db").display());
    let app = App::builder(url).aggregate::<Page>().states_bytes_max(2_000_000).open().await.unwrap();
    for number in 0..20 {
        app.execute(format!("p-{number}"), Write(300_000)).await.unwrap();
        let (states, bytes) = app.kernel().states.kept();
        assert!(bytes <= 2_000_000 && states == (number + 1).min(6), "{states} states of {bytes} bytes");
    }
    // They are loaded anew, by commands and by whoever asks.
    assert_eq!(app.execute("p-0", Write(1)).await.unwrap().version, 2);
    assert_eq!(app.load::<Page>("p-1").await.unwrap().0.text.len(), 300_000);
    assert!(app.kernel().states.kept().1 <= 2_000_000);
}

#[tokio::test]
async fn a_snapshot_says_how_large_a_state_is_whatever_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("pages.db").display());
    let app = App::builder(url).aggregate::<Page>().open().await.unwrap();
    for bytes in [100_000, 100_000, 100_000, 10] {
        app.execute("p", Write(bytes)).await.unwrap();
    }
    let (states, bytes) = app.kernel().states.kept();
    assert!(states == 1 && bytes < 2_000, "{bytes} bytes");
}
