//! Five processes of one group share a rate, before one server. The clocks of three of them are wrong.

use crate::common::{Do, OrderEvent, Shop, eventually, settled, stop};
use crate::server::{Answer, Server};
use factstream::{App, Consumer, Envelope, Event, ExternalHandler, Failure, Handler, Rate, Tx};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

const MEMBERS: usize = 5;
/// By how many seconds each one's clock is off. That of a database in a file is its machine's, which all processes share: they have the
/// right one there.
const OFF: [i64; MEMBERS] = [0, 3_600, -3_600, 0, 86_400];
const PER_SECOND: u32 = 50;
/// Calls that are looked at.
const CALLS: usize = 300;
const STRETCHES: usize = 6;

/// Asks the server, and says who asks.
struct AskingAs {
    server: Server,
    member: String,
}

impl ExternalHandler for AskingAs {
    type Events = OrderEvent;
    type Outcome = ();

    async fn call(&self, event: &Envelope<OrderEvent>) -> Result<(), Failure> {
        self.server.ask(&format!("/{}/{}", self.member, event.aggregate_id)).await
    }

    async fn handle(&self, _: &Envelope<OrderEvent>, (): &(), _: &mut Tx) -> Result<(), Failure> {
        Ok(())
    }
}

/// What a member's process runs until its input ends; nothing where no member was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn member() {
    let Ok(member) = std::env::var("LIMITS_MEMBER") else { return };
    let set = |name: &str| std::env::var(name).unwrap();
    let server = Server::at(set("LIMITS_SERVER").parse().unwrap());
    let asking = Consumer::new("asking").external(AskingAs { server, member }).concurrency(4);
    let app = Shop::at(set("LIMITS_STORE"))
        .builder()
        .broker(set("LIMITS_BROKER"))
        .consumer(asking.rate(Rate::per_second(PER_SECOND).shared()));
    let app = app.open().await.unwrap();
    let running = app.start().await.unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    stop(running).await;
}

/// A member's process, until it is dropped.
struct Member(Child);

impl Member {
    fn start(number: usize, shop: &Shop, broker: &str, server: &Server, clock: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "members::member", "--nocapture"])
            .env("LIMITS_MEMBER", number.to_string())
            .env("LIMITS_STORE", shop.url())
            .env("LIMITS_BROKER", broker)
            .env("LIMITS_SERVER", server.address.to_string())
            .stdin(Stdio::piped());
        if !shop.url().starts_with("sqlite") {
            command.env("LD_PRELOAD", clock).env("CLOCK_OFF_SECONDS", OFF[number].to_string());
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The library by which the clock of a process is off, as the storm has it.
fn clock(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, include_str!("../../../../tests/storm/clock.c")).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    assert!(compiler.status().unwrap().success(), "cc cannot build clock.c");
    library
}

async fn publish(app: &App, orders: usize) {
    for n in 0..orders {
        app.execute(format!("o-{n}"), Do::Create(n as i64)).await.unwrap();
    }
    settled(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_members_with_wrong_clocks_share_a_rate_and_use_it() {
    let shop = Shop::new();
    let broker = factstream_tests::kafka::server();
    let server = Server::start(|_, _| Answer::Ok).await;
    let app = shop.builder().broker(&broker).open().await.unwrap();
    let running = app.start().await.unwrap();
    publish(&app, 3_000).await;
    let clock = clock(shop.dir.path());
    let members: Vec<Member> =
        (0..MEMBERS).map(|number| Member::start(number, &shop, &broker, &server, &clock)).collect();
    let have_called = || {
        let paths = server.paths();
        paths.iter().filter_map(|path| path.split('/').nth(1).map(str::to_owned)).collect::<BTreeSet<_>>()
    };
    eventually("all members call", || async { have_called().len() == MEMBERS }).await;
    // A machine that is busy with other work holds members up, each by itself: one stretch of the time has to be without that.
    let mut used = Vec::new();
    while used.last().is_none_or(|used| *used < 0.95) && used.len() < STRETCHES {
        let before = server.calls().len();
        eventually("they go on", || async { server.calls().len() >= before + CALLS }).await;
        let calls = &server.calls()[before..before + CALLS];
        server.assert_at_most(calls, f64::from(PER_SECOND));
        used.push(server.used(calls, f64::from(PER_SECOND)));
    }
    assert!(used.last().is_some_and(|used| *used >= 0.95), "the rate is not used: {used:.3?}");
    drop(members);
    stop(running).await;
}

/// Of a topic's events, those that are not for the consumer.
#[derive(Event, Serialize, Deserialize)]
#[event(topic = "orders.events")]
enum Opened {
    #[event(name = "OrderCreated")]
    Created { customer_id: String },
}

#[derive(Clone, Default)]
struct Counting(Arc<Mutex<Vec<String>>>);

impl Handler for Counting {
    type Events = Opened;

    async fn handle(&self, event: &Envelope<Opened>, _: &mut Tx) -> Result<(), Failure> {
        self.0.lock().unwrap().push(event.aggregate_id.clone());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_given_back_with_events_of_others_is_read_to_its_end_and_handled_once() {
    let shop = Shop::new();
    let counting = Counting::default();
    let consumer = Consumer::new("counting").handler(counting.clone()).concurrency(20);
    let builder = shop.builder().broker(factstream_tests::kafka::server()).namespace("given-back.");
    let app = builder.consumer(consumer.rate(Rate::per_second(2))).open().await.unwrap();
    for n in 0..12 {
        app.execute(format!("o-{n:02}"), Do::Create(n)).await.unwrap();
        app.execute(format!("o-{n:02}"), Do::Note("for others".into())).await.unwrap();
    }
    let running = app.start().await.unwrap();
    settled(&app).await;
    let mut handled = counting.0.lock().unwrap().clone();
    handled.sort();
    assert_eq!(handled, (0..12).map(|n| format!("o-{n:02}")).collect::<Vec<_>>());
    stop(running).await;
}
