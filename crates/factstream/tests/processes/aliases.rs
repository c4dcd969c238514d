//! A second id of an instance, learned late: what comes by it is an input of the instance, in its order.

use crate::checkout::settled;
use crate::common::{Do, OrderEvent, Shop, eventually, quick, stop};
use factstream::process::{Act, Alias, InstanceStatus};
use factstream::testing::{any_order, process};
use factstream::{Acts, App, Correlate, Envelope, Failure, Input, Missing, Process, Running, Start};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// Follows an order, `o-..`, and its payments, `p-..`, which say nothing of the order. Notes of the order say which payments are its own.
#[derive(Default, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Paying {
    seen: Vec<String>,
}

impl Process for Paying {
    const NAME: &'static str = "paying";
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        let (id, by_payment) = (&event.aggregate_id, |id: &str| Correlate::go_on_by("payment", id));
        match &event.event {
            OrderEvent::Created { .. } => Correlate::start(id),
            OrderEvent::Noted { text } if id.starts_with("p-") && text == "maybe" => {
                by_payment(id).or(Missing::Skip)
            }
            OrderEvent::Noted { .. } if id.starts_with("p-") => by_payment(id),
            OrderEvent::Noted { text } => match text.strip_prefix("with ") {
                Some(payment) => by_payment(payment).and(Correlate::go_on(id)),
                None => Correlate::go_on(id),
            },
            OrderEvent::Closed => Correlate::go_on(id),
        }
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
        let Input::Event(event) = input else { return Ok(()) };
        match &event.event {
            OrderEvent::Created { .. } => self.seen.push("created".into()),
            OrderEvent::Noted { text } if text.starts_with("fail") => {
                return Err(Failure::permanent("told to fail"));
            }
            OrderEvent::Noted { text } if text == "wait" && not_yet(&event.event_id) => {
                return Err(Failure::transient("not yet").retry_after(Duration::from_millis(50)));
            }
            OrderEvent::Noted { text } => {
                self.seen.push(format!("{} {text}", event.aggregate_id));
                if let Some(payment) = text.strip_prefix("payment ") {
                    acts.alias("payment", payment);
                }
            }
            OrderEvent::Closed => acts.end(),
        }
        Ok(())
    }
}

/// Once for each event.
fn not_yet(event_id: &str) -> bool {
    static ASKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    ASKED.lock().unwrap().insert(event_id.to_owned())
}

async fn open(shop: &Shop, lanes: usize) -> App {
    let process = shop.builder().process::<Paying>().concurrency(lanes).batch(32).retry(quick(3));
    process.from(Start::Beginning).open().await.unwrap()
}

async fn note(app: &App, id: &str, text: &str) {
    app.execute(id, Do::Note(text.to_owned())).await.unwrap();
}

async fn seen(app: &App, id: &str) -> Vec<String> {
    app.process::<Paying>().get(id).await.unwrap().unwrap().state.seen
}

/// The keys of letters that wait, and their reasons.
async fn letters(app: &App) -> Vec<(String, String)> {
    let letters = app.dead_letters().list(None, true, 0).await.unwrap();
    letters.into_iter().map(|letter| (letter.key, letter.reason.unwrap_or_default())).collect()
}

async fn first_letter(app: &App) -> u64 {
    app.dead_letters().list(None, false, 0).await.unwrap()[0].id
}

/// With one lane and with several, all in the log before the process begins, and one after the other.
async fn in_each_way<T: Future<Output = ()>>(events: &[(&str, &str)], check: impl Fn(App) -> T) {
    for (lanes, is_early) in [(1, true), (4, true), (1, false), (4, false)] {
        let shop = Shop::new();
        let app = open(&shop, lanes).await;
        app.execute("o-1", Do::Create(1)).await.unwrap();
        let mut running: Option<Running> = None;
        if !is_early {
            running = Some(app.start().await.unwrap());
        }
        for (id, text) in events {
            note(&app, id, text).await;
            if !is_early {
                settled(&app).await;
            }
        }
        let running = match running {
            Some(running) => running,
            None => app.start().await.unwrap(),
        };
        settled(&app).await;
        check(app).await;
        stop(running).await;
    }
}

#[tokio::test]
async fn what_comes_by_an_alias_is_an_input_of_its_instance_in_its_order() {
    let events = [
        ("o-1", "payment p-1"),
        ("p-1", "maybe"),
        ("p-1", "asked"),
        ("o-1", "on"),
        ("p-1", "paid"),
        ("o-1", "payment p-1"),
        ("p-1", "back"),
    ];
    in_each_way(&events, |app| async move {
        let wanted: Vec<String> = std::iter::once("created".to_owned())
            .chain(events.map(|(id, text)| format!("{id} {text}")))
            .collect();
        assert_eq!(seen(&app, "o-1").await, wanted);
        let payings = app.process::<Paying>();
        let instance = payings.get_by("payment", "p-1").await.unwrap().unwrap();
        let alias = Alias { name: "payment".into(), value: "p-1".into() };
        assert_eq!((instance.id.as_str(), &instance.aliases), ("o-1", &vec![alias.clone()]));
        assert!(payings.get_by("payment", "p-2").await.unwrap().is_none());
        let history = payings.history("o-1", 0, 10).await.unwrap();
        assert_eq!(history[1].acts, [Act::Alias(alias)]);
        assert!(letters(&app).await.is_empty());
        // Made again from the history, it still has its alias, which nobody gives it again.
        assert_eq!(payings.rebuild("o-1").await.unwrap().seen, wanted);
        assert_eq!(payings.get_by("payment", "p-1").await.unwrap().unwrap().id, "o-1");
    })
    .await;
}

#[tokio::test]
async fn what_comes_before_the_alias_waits_for_it_and_comes_before_what_is_later() {
    let events = [("p-1", "early"), ("p-1", "soon"), ("o-1", "payment p-1"), ("p-1", "paid"), ("o-1", "on")];
    in_each_way(&events, |app| async move {
        let wanted = ["created", "o-1 payment p-1", "p-1 early", "p-1 soon", "p-1 paid", "o-1 on"];
        assert_eq!(seen(&app, "o-1").await, wanted);
        assert!(letters(&app).await.is_empty(), "{:?}", letters(&app).await);
        let version = app.process::<Paying>().get("o-1").await.unwrap().unwrap().version;
        let again = app.process::<Paying>().state_at("o-1", version).await.unwrap().unwrap();
        assert_eq!(again.seen, wanted, "the history has each event where it was taken");
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_the_alias_comes_before_what_the_same_batch_has_next() {
    for lanes in [1, 4] {
        let shop = Shop::new();
        let app = open(&shop, lanes).await;
        let running = app.start().await.unwrap();
        app.execute("o-1", Do::Create(1)).await.unwrap();
        note(&app, "p-1", "early").await;
        settled(&app).await;
        stop(running).await;
        for (id, text) in [("o-1", "payment p-1"), ("p-1", "paid"), ("o-1", "on")] {
            note(&app, id, text).await;
        }
        let running = app.start().await.unwrap();
        settled(&app).await;
        let wanted = ["created", "o-1 payment p-1", "p-1 early", "p-1 paid", "o-1 on"];
        assert_eq!(seen(&app, "o-1").await, wanted);
        stop(running).await;
    }
}

#[tokio::test]
async fn an_alias_that_nobody_has_is_told_or_passed_over() {
    let shop = Shop::new();
    let app = open(&shop, 1).await;
    let running = app.start().await.unwrap();
    note(&app, "p-1", "maybe").await;
    settled(&app).await;
    assert!(letters(&app).await.is_empty());
    note(&app, "p-1", "early").await;
    settled(&app).await;
    let [(key, reason)] = &letters(&app).await[..] else { panic!("one waits") };
    assert_eq!(key, "payment=p-1");
    assert!(reason.contains("no instance of paying has the alias payment=p-1 yet"), "{reason}");
    app.dead_letters().redrive(first_letter(&app).await).await.unwrap();
    settled(&app).await;
    assert_eq!(letters(&app).await.len(), 1, "it is still nobody's");
    stop(running).await;
}

#[tokio::test]
async fn what_fails_or_waits_does_so_under_the_id_of_the_instance() {
    let events = [("o-1", "payment p-1"), ("p-1", "fail"), ("o-1", "on"), ("p-1", "paid")];
    in_each_way(&events, |app| async move {
        assert_eq!(seen(&app, "o-1").await, ["created", "o-1 payment p-1"]);
        let keys: Vec<String> = letters(&app).await.into_iter().map(|(key, _)| key).collect();
        assert!(keys.iter().all(|key| key == "o-1"), "{keys:?}");
        assert!(app.process::<Paying>().get("o-1").await.unwrap().unwrap().blocked);
        app.dead_letters().edit(first_letter(&app).await, r#"{"text":"mended"}"#).await.unwrap();
        settled(&app).await;
        let wanted = ["created", "o-1 payment p-1", "p-1 mended", "o-1 on", "p-1 paid"];
        assert_eq!(seen(&app, "o-1").await, wanted);
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_its_next_attempt_holds_up_the_instance() {
    let events = [("o-1", "payment p-1"), ("p-1", "wait"), ("o-1", "on")];
    in_each_way(&events, |app| async move {
        let wanted = ["created", "o-1 payment p-1", "p-1 wait", "o-1 on"];
        assert_eq!(seen(&app, "o-1").await, wanted);
    })
    .await;
}

#[tokio::test]
async fn an_input_that_would_give_the_alias_and_fails_holds_up_what_comes_by_it() {
    let events = [("o-1", "fail payment p-1"), ("p-1", "paid"), ("o-1", "on"), ("p-1", "back")];
    in_each_way(&events, |app| async move {
        assert_eq!(seen(&app, "o-1").await, ["created"]);
        app.dead_letters().edit(first_letter(&app).await, r#"{"text":"payment p-1"}"#).await.unwrap();
        settled(&app).await;
        let wanted = ["created", "o-1 payment p-1", "p-1 paid", "o-1 on", "p-1 back"];
        assert_eq!(seen(&app, "o-1").await, wanted, "in the order of the log");
        assert!(letters(&app).await.is_empty(), "{:?}", letters(&app).await);
    })
    .await;
}

#[tokio::test]
async fn an_alias_belongs_to_one_instance() {
    let events = [("o-1", "payment p-1"), ("o-2", "payment p-1"), ("p-1", "paid")];
    for lanes in [1, 4] {
        let shop = Shop::new();
        let app = open(&shop, lanes).await;
        for id in ["o-1", "o-2"] {
            app.execute(id, Do::Create(1)).await.unwrap();
        }
        for (id, text) in events {
            note(&app, id, text).await;
        }
        let running = app.start().await.unwrap();
        settled(&app).await;
        // With lanes, either may be first.
        let owner = app.process::<Paying>().get_by("payment", "p-1").await.unwrap().unwrap();
        let other = if owner.id == "o-1" { "o-2" } else { "o-1" };
        assert!(lanes > 1 || owner.id == "o-1");
        assert_eq!(owner.state.seen.last().unwrap(), "p-1 paid");
        let [(key, reason)] = &letters(&app).await[..] else { panic!("{:?}", letters(&app).await) };
        let wanted = format!("the instance {:?} of paying has the alias payment=p-1 already", owner.id);
        assert!(key == other && reason.contains(&wanted), "{key} {reason}");
        assert_eq!(seen(&app, other).await, ["created"], "nothing of it took effect");
        stop(running).await;
    }
}

#[tokio::test]
async fn what_comes_by_the_alias_of_an_instance_that_has_ended_changes_nothing() {
    let shop = Shop::new();
    let app = open(&shop, 1).await;
    let running = app.start().await.unwrap();
    for id in ["o-1", "o-2"] {
        app.execute(id, Do::Create(1)).await.unwrap();
    }
    note(&app, "o-1", "payment p-1").await;
    app.execute("o-1", Do::Close).await.unwrap();
    note(&app, "p-1", "late").await;
    settled(&app).await;
    let instance = app.process::<Paying>().get_by("payment", "p-1").await.unwrap().unwrap();
    assert_eq!((instance.status, instance.state.seen.len()), (InstanceStatus::Ended, 2));
    assert!(letters(&app).await.is_empty());
    note(&app, "o-2", "payment p-1").await;
    settled(&app).await;
    let reason = &letters(&app).await[0].1;
    assert!(reason.contains("until that has ended and is forgotten"), "{reason}");
    stop(running).await;
}

#[tokio::test]
async fn an_event_that_names_an_instance_twice_is_one_input() {
    let events = [("o-1", "payment p-1"), ("o-1", "with p-1"), ("o-1", "with p-2"), ("o-1", "payment p-2")];
    in_each_way(&events, |app| async move {
        let wanted = ["created", "o-1 payment p-1", "o-1 with p-1", "o-1 with p-2", "o-1 payment p-2"];
        assert_eq!(seen(&app, "o-1").await, wanted);
        assert!(letters(&app).await.is_empty(), "{:?}", letters(&app).await);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_given_up_by_the_id_is_still_an_input_by_the_alias() {
    let shop = Shop::new();
    let app = open(&shop, 1).await;
    let running = app.start().await.unwrap();
    note(&app, "o-1", "with p-1").await;
    app.execute("o-1", Do::Create(1)).await.unwrap();
    note(&app, "o-1", "payment p-1").await;
    settled(&app).await;
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    let letter = letters.iter().find(|letter| letter.key == "o-1").unwrap();
    app.dead_letters().discard(letter.id, "it has come too early").await.unwrap();
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await, ["created", "o-1 payment p-1", "o-1 with p-1"]);
    stop(running).await;
}

#[tokio::test]
async fn aliases_hold_with_lanes_and_two_owners_that_are_killed() {
    const ORDERS: u64 = 12;
    let shop = Shop::new();
    let app = open(&shop, 4).await;
    for n in 0..ORDERS {
        let (order, payment) = (format!("o-{n}"), format!("p-{n}"));
        if n % 3 == 0 {
            note(&app, &payment, "early").await;
        }
        app.execute(&order, Do::Create(1)).await.unwrap();
        note(&app, &order, &format!("payment {payment}")).await;
        note(&app, &payment, "paid").await;
        note(&app, &order, "on").await;
    }
    let (one, two) = (open(&shop, 4).await, open(&shop, 1).await);
    for app in [&one, &two, &one] {
        let running = app.start().await.unwrap();
        let sql = "SELECT count(*) AS found FROM fs_process_history";
        let count = || async {
            let rows = app.store().query(sql, factstream::params![]).await.unwrap();
            rows[0].get::<u64>("found").unwrap()
        };
        let before = count().await;
        eventually("some of it is done", || async { count().await > before || before >= ORDERS * 4 }).await;
        drop(running); // everything stops where it is
    }
    let (running_one, running_two) = (one.start().await.unwrap(), two.start().await.unwrap());
    settled(&two).await;
    for n in 0..ORDERS {
        let mut wanted = vec!["created".to_owned(), format!("o-{n} payment p-{n}")];
        wanted.extend((n % 3 == 0).then(|| format!("p-{n} early")));
        wanted.extend([format!("p-{n} paid"), format!("o-{n} on")]);
        assert_eq!(seen(&two, &format!("o-{n}")).await, wanted);
    }
    assert!(letters(&two).await.is_empty(), "{:?}", letters(&two).await);
    stop(running_one).await;
    stop(running_two).await;
}

#[tokio::test]
async fn a_letter_that_nobody_saw_wait_when_its_alias_was_given_follows_the_alias() {
    let shop = Shop::new();
    let app = open(&shop, 1).await;
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    note(&app, "p-1", "early").await;
    settled(&app).await;
    // As an owner leaves it that was paused before its commit.
    let mut tx = app.begin().await.unwrap();
    let sql =
        "INSERT INTO fs_process_aliases (process, alias, process_id) VALUES ('paying', 'payment=p-1', 'o-1')";
    tx.sql(sql, factstream::params![]).await.unwrap();
    tx.commit().await.unwrap();
    note(&app, "p-1", "paid").await;
    note(&app, "o-1", "on").await;
    settled(&app).await;
    assert_eq!(
        seen(&app, "o-1").await,
        ["created", "o-1 on"],
        "what comes by the alias waits behind the letter"
    );
    note(&app, "o-1", "fail").await;
    settled(&app).await;
    let letter = first_letter(&app).await;
    app.dead_letters().redrive(letter).await.unwrap();
    settled(&app).await;
    assert_eq!(seen(&app, "o-1").await, ["created", "o-1 on"], "it waits behind what its instance failed on");
    app.dead_letters().edit(first_letter(&app).await, r#"{"text":"mended"}"#).await.unwrap();
    settled(&app).await;
    let wanted = ["created", "o-1 on", "o-1 mended", "p-1 early", "p-1 paid"];
    assert_eq!(seen(&app, "o-1").await, wanted);
    assert!(letters(&app).await.is_empty(), "{:?}", letters(&app).await);
    stop(running).await;
}

#[test]
fn the_kits_know_aliases() {
    let noted = |id: &str, text: &str| Envelope::of(id, OrderEvent::Noted { text: text.to_owned() });
    let created = || Envelope::of("o-1", OrderEvent::Created { customer_id: "c-1".into(), amount: 1 });
    process::<Paying>("o-1")
        .given([created()])
        .when(noted("o-1", "payment p-1"))
        .then(|acts| acts.alias("payment", "p-1"))
        .when(noted("p-1", "paid"))
        .then_nothing();
    let unknown = std::panic::catch_unwind(|| {
        process::<Paying>("o-1").given([created(), noted("p-1", "paid")]);
    });
    let told = unknown.unwrap_err().downcast::<String>().unwrap();
    assert!(told.contains("concerns [\"payment=p-1\"], not \"o-1\" with the aliases []"), "{told}");
    // Whichever stream is first, the payment is taken once the alias is given, or passed over where it says so.
    let outcome = any_order::<Counting>("o-1")
        .first(created())
        .stream([noted("o-1", "payment p-1")])
        .stream([noted("p-1", "paid")])
        .holds();
    assert_eq!((outcome.orders, outcome.state.payments), (2, 1));
    let passed_over = std::panic::catch_unwind(|| {
        let streams = any_order::<Counting>("o-1").first(created()).stream([noted("o-1", "payment p-1")]);
        streams.stream([noted("p-1", "maybe")]).holds();
    });
    assert!(passed_over.is_err(), "in one order it is an input, in the other it is not");
}

/// As [`Paying`], where no order of inputs makes a difference.
#[derive(Default, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Counting {
    payments: u32,
}

impl Process for Counting {
    const NAME: &'static str = "counting payments";
    type Events = OrderEvent;

    fn correlate(event: &Envelope<OrderEvent>) -> Correlate {
        Paying::correlate(event)
    }

    fn react(&mut self, input: Input<'_, OrderEvent>, acts: &mut Acts) -> Result<(), Failure> {
        if let Input::Event(event) = input {
            match event.aggregate_id.starts_with("p-") {
                true => self.payments = 1,
                false => Paying::default().react(Input::Event(event), acts)?,
            }
        }
        Ok(())
    }
}
