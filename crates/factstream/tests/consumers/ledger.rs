//! What these tests are written with: a consumer that writes down what it is given.

use crate::common::{Do, OrderEvent, Shop};
use factstream::{App, Consumer, Envelope, Failure, Handler, Tx, params};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Writes down what it is given, in its transaction; fails as told.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) broken: Arc<AtomicBool>,
    pub(crate) tried: Arc<Mutex<Vec<String>>>,
}

pub(crate) const CREATE_LEDGER: &str = "CREATE TABLE ledger (entry BIGINT, aggregate TEXT, what TEXT)";

pub(crate) fn what(event: &OrderEvent) -> String {
    match event {
        OrderEvent::Created { amount, .. } => format!("created {amount}"),
        OrderEvent::Noted { text } => text.clone(),
        OrderEvent::Closed => "closed".to_owned(),
    }
}

impl Handler for Ledger {
    type Events = OrderEvent;

    async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let what = what(&event.event);
        self.tried.lock().unwrap().push(format!("{} {what}", event.aggregate_id));
        let sql = "INSERT INTO ledger (entry, aggregate, what) SELECT coalesce(max(entry), 0) + 1, $1, $2 FROM ledger";
        tx.sql(sql, params![&event.aggregate_id, &what]).await?;
        let broken = self.broken.load(Ordering::SeqCst);
        match what.as_str() {
            "permanent" if broken => Err(Failure::permanent("it can never work")),
            "transient" if broken => Err("it does not work now".into()),
            "panic" if broken => panic!("told to"),
            "slow" if broken => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

pub(crate) async fn ledger(app: &App, aggregate: &str) -> Vec<String> {
    let sql = "SELECT what FROM ledger WHERE aggregate = $1 ORDER BY entry";
    let rows = app.store().query(sql, params![aggregate]).await.unwrap();
    rows.iter().map(|row| row.get("what").unwrap()).collect()
}

pub(crate) async fn with_ledger(shop: &Shop, consumer: Consumer) -> App {
    let app = shop.builder().consumer(consumer).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.sql(CREATE_LEDGER, params![]).await.unwrap();
    tx.commit().await.unwrap();
    app
}

pub(crate) fn broken() -> Ledger {
    let ledger = Ledger::default();
    ledger.broken.store(true, Ordering::SeqCst);
    ledger
}

pub(crate) async fn note(app: &App, id: &str, text: &str) {
    app.execute(id, Do::Note(text.into())).await.unwrap();
}
