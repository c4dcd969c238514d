//! What must not be called inside a transaction is refused at once, and says what to do.

use crate::common::{Do, Order, OrderEvent, Refused, Shop, eventually, quick, stop};
use factstream::{
    App, Consumer, Envelope, Error, ExecuteError, Failure, Handler, Projection, Projector, Rows, Tx,
};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
enum Call {
    Execute,
    Begin,
    Transaction,
    Refused,
}

struct Calls(Call, &'static OnceLock<App>);

impl Handler for Calls {
    type Events = OrderEvent;

    async fn handle(&self, _: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
        let app = self.1.get().unwrap();
        match self.0 {
            // Also in what it awaits together with others.
            Call::Execute => drop(tokio::try_join!(app.execute("o-2", Do::Create(1)).into_future())?),
            Call::Begin => drop(app.begin().await?),
            Call::Transaction => drop(app.transaction(async |_tx| Ok::<_, Error>(())).await?),
            Call::Refused => {
                tx.command::<Order, _>("o-3", Do::Close).await?;
                tx.command::<Order, _>("o-3", Do::Close).await?;
            }
        }
        Ok(())
    }
}

struct Projects(&'static OnceLock<App>);

impl Projector for Projects {
    type Events = OrderEvent;

    async fn project(&self, _: &Envelope<OrderEvent>, _: &mut Rows) -> Result<(), Failure> {
        self.0.get().unwrap().execute("o-2", Do::Create(1)).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_that_holds_a_transaction_is_refused_others_at_once_and_for_good() {
    let shop = Shop::new();
    let app: &'static OnceLock<App> = Box::leak(Box::default());
    let retry = quick(50);
    let consumer = |name: &str, call| Consumer::new(name).handler(Calls(call, app)).retry(retry);
    let opened = shop
        .builder()
        .consumer(consumer("executes", Call::Execute))
        .consumer(consumer("begins", Call::Begin))
        .consumer(consumer("refused", Call::Refused))
        .consumer(consumer("transacts", Call::Transaction))
        .projection(Projection::new("projects", Projects(app)).retry(retry))
        .open()
        .await
        .unwrap();
    assert!(app.set(opened.clone()).is_ok());
    opened.execute("o-1", Do::Create(1)).await.unwrap();
    let began = Instant::now();
    let running = opened.start().await.unwrap();
    let mut letters = Vec::new();
    for handler in ["executes", "begins", "refused", "transacts", "projects"] {
        eventually("its event is a dead letter", || async {
            opened.dead_letters().list(Some(handler), false, 0).await.unwrap().len() == 1
        })
        .await;
        letters.extend(opened.dead_letters().list(Some(handler), false, 0).await.unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(15), "nothing waited for its own end");
    let reasons: Vec<String> = letters.iter().map(|letter| letter.reason.clone().unwrap()).collect();
    for letter in &letters {
        assert_eq!(letter.attempts, 1, "no attempt can help: {letter:?}");
    }
    assert!(reasons[0].contains("App::execute was called inside"), "{:?}", letters[0]);
    assert!(reasons[0].contains("Tx::command"), "says what to do");
    assert_eq!(reasons[2], "Order is closed", "once, not twice");
    stop(running).await;
    assert_eq!(opened.load::<Order>("o-2").await.unwrap().1, 0);
}

#[tokio::test]
async fn a_transaction_of_ones_own_is_refused_others_and_another_store_is_not_concerned() {
    let (shop, elsewhere) = (Shop::new(), Shop::new());
    let (app, again, other) = (shop.open().await, shop.open().await, elsewhere.open().await);
    let began = Instant::now();
    for app_inside in [&app, &again] {
        let refused = app
            .transaction(async |_tx| {
                app_inside.execute("o-1", Do::Create(1)).await?;
                Ok::<_, ExecuteError<Refused>>(())
            })
            .await;
        assert!(matches!(refused, Err(ExecuteError::Failed(Error::InsideTransaction { .. }))), "{refused:?}");
    }
    let elsewhere = app.transaction(async |_tx| {
        other.execute("o-1", Do::Create(1)).await?;
        Ok::<_, ExecuteError<Refused>>(())
    });
    elsewhere.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
}
