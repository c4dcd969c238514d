//! What docs/concepts.md shows, to the letter, and run from end to end.

use factstream::testing::TestApp;
use factstream::{
    Aggregate, App, Command, Consumer, Envelope, Event, ExecuteError, Failure, Fold, Handler, ReadModel, Tx,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

const PAGE: &str = include_str!("../../../../docs/concepts.md");

#[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
#[event(topic = "library.books")]
enum BookEvent {
    Lent { to: String },
    Returned,
}

#[derive(Default, Clone)]
struct Book {
    lent_to: Option<String>,
}

impl Aggregate for Book {
    const TYPE: &'static str = "book";
    type Event = BookEvent;

    fn apply(&mut self, event: &BookEvent) {
        self.lent_to = match event {
            BookEvent::Lent { to } => Some(to.clone()),
            BookEvent::Returned => None,
        };
    }
}

#[derive(Serialize, Clone)]
enum BookCommand {
    Lend { to: String },
    Return,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the book is lent to {0}")]
struct IsLent(String);

impl Command<Book> for BookCommand {
    type Error = IsLent;

    fn decide(&self, book: &Book) -> Result<Vec<BookEvent>, IsLent> {
        match (self, &book.lent_to) {
            (Self::Lend { to }, None) => Ok(vec![BookEvent::Lent { to: to.clone() }]),
            (Self::Lend { .. }, Some(reader)) => Err(IsLent(reader.clone())),
            (Self::Return, Some(_)) => Ok(vec![BookEvent::Returned]),
            (Self::Return, None) => Ok(vec![]), // nothing to change
        }
    }
}

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "loans")]
struct Loan {
    #[column(key)]
    book: String,
    reader: String,
}

impl Fold for Loan {
    type Events = BookEvent;

    fn fold(_: Option<Self>, event: &Envelope<BookEvent>) -> Option<Self> {
        match &event.event {
            BookEvent::Lent { to } => Some(Self { book: event.aggregate_id.clone(), reader: to.clone() }),
            BookEvent::Returned => None, // no loan, no row
        }
    }
}

#[derive(Default, Clone)]
struct Reader {
    loans: u32,
}

#[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
enum ReaderEvent {
    Borrowed { book: String },
}

impl Aggregate for Reader {
    const TYPE: &'static str = "reader";
    type Event = ReaderEvent;

    fn apply(&mut self, _: &ReaderEvent) {
        self.loans += 1;
    }
}

/// Whether the readers' office is open.
static OPEN: AtomicBool = AtomicBool::new(false);

struct CountLoans;

impl Handler for CountLoans {
    type Events = BookEvent;

    async fn handle(&self, event: &Envelope<BookEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let BookEvent::Lent { to } = &event.event else { return Ok(()) };
        if !OPEN.load(Ordering::Relaxed) {
            return Err(Failure::permanent("the readers' office is closed"));
        }
        let borrowed = ReaderEvent::Borrowed { book: event.aggregate_id.clone() };
        tx.append::<Reader>(to, &[borrowed]).await?; // committed together with the mark "handled"
        Ok(())
    }
}

fn library() -> factstream::Builder {
    App::builder("sqlite://library.db") // a TestApp replaces the URL by a store of its own
        .aggregate::<Reader>() // which only a handler appends to: its topics are made at start
        .read_model::<Loan>()
        .consumer(Consumer::new("readers").handler(CountLoans))
}

#[tokio::test]
async fn the_concepts_work_as_they_are_shown() {
    let app = TestApp::start(library()).await;

    let to = || "ada".to_owned();
    let lent = app.execute("book-7", BookCommand::Lend { to: to() }).key("request-1").await.unwrap();
    assert_eq!((lent.version, lent.events), (1, vec![BookEvent::Lent { to: to() }]));

    let again = app.execute("book-7", BookCommand::Lend { to: to() }).key("request-1").await.unwrap();
    assert!(again.repeated && again.position == lent.position);

    let refused = app.execute("book-7", BookCommand::Lend { to: "grace".into() }).await;
    assert!(matches!(refused, Err(ExecuteError::Rejected(IsLent(reader))) if reader == "ada"));

    let loan = app.read::<Loan>().wait_for(lent.position).get("book-7").await.unwrap();
    assert_eq!(loan, Some(Loan { book: "book-7".into(), reader: "ada".into() }));

    app.execute("book-7", BookCommand::Return).await.unwrap();
    app.settle().await;
    let letters = app.dead_letters().list(Some("readers"), false, 0).await.unwrap();
    assert_eq!(letters[0].reason.as_deref(), Some("the readers' office is closed"));
    OPEN.store(true, Ordering::Relaxed); // what was wrong is fixed
    app.dead_letters().redrive(letters[0].id).await.unwrap();
    app.settle().await;
    assert_eq!(app.load::<Reader>("ada").await.unwrap().0.loans, 1);

    app.rebuilds_to_the_same_rows().await;
    app.stop().await;
}

/// Every block of Rust on the page stands in this file, whatever its indentation.
#[test]
fn the_page_shows_what_is_run() {
    let lines = |text: &str| {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    let source = lines(include_str!("concepts.rs"));
    let blocks: Vec<&str> =
        PAGE.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 8, "the page's examples are not found");
    for block in blocks {
        assert!(source.contains(&lines(block)), "docs/concepts.md shows what is not run:\n{block}");
    }
}
