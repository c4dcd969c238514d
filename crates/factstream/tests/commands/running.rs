//! The handlers never stop without a word, and there is more than one way to keep them running.

use crate::common::{Do, OrderRow, Shop, stop};
use factstream::App;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn reading(shop: &Shop) -> App {
    shop.builder().read_model::<OrderRow>().open().await.unwrap()
}

/// Why the row of the order's first event does not come.
async fn missing(app: &App, id: &str) -> String {
    let done = app.execute(id, Do::Create(1)).await.unwrap();
    let read = app.read::<OrderRow>().wait_for(done.position).deadline(Duration::from_millis(50));
    read.get(id).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_dropped_handle_says_so_in_the_log_and_to_whoever_waits() {
    let (shop, logged) = (Shop::new(), Logged::default());
    let subscriber = tracing_subscriber::fmt().with_writer(logged.clone()).finish();
    let _subscribed = tracing::subscriber::set_default(subscriber);
    let app = reading(&shop).await;
    let never = missing(&app, "o-1").await;
    assert!(never.contains("was App::start called?"), "{never}");

    let _ = app.start().await.unwrap();
    let log = logged.text();
    assert!(log.contains("ERROR") && log.contains("run_until or detach"), "{log}");
    let dropped = missing(&app, "o-2").await;
    assert!(dropped.contains("the value that App::start gave was dropped"), "{dropped}");

    let running = app.start().await.unwrap();
    let done = app.execute("o-3", Do::Create(3)).await.unwrap();
    assert!(app.read::<OrderRow>().wait_for(done.position).get("o-3").await.unwrap().is_some());
    stop(running).await;
    let again = logged.text();
    assert_eq!(again.matches("run_until or detach").count(), 1, "a clean stop says nothing: {again}");
    assert!(!missing(&app, "o-4").await.contains("dropped"));
}

#[tokio::test]
async fn handlers_run_until_the_program_is_to_end_or_as_long_as_it_lives() {
    let shop = Shop::new();
    let app = reading(&shop).await;
    let ordered = async {
        let done = app.execute("o-1", Do::Create(1)).await.unwrap();
        app.read::<OrderRow>().wait_for(done.position).get("o-1").await.unwrap().unwrap()
    };
    let running = app.start().await.unwrap();
    assert!(running.run_until(ordered, Duration::from_secs(10)).await, "it ends in time");
    assert!(missing(&app, "o-2").await.contains("App::start"));

    app.start().await.unwrap().detach();
    let done = app.execute("o-3", Do::Create(3)).await.unwrap();
    assert!(app.read::<OrderRow>().wait_for(done.position).get("o-3").await.unwrap().is_some());
}
