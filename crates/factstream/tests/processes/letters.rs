//! What is wrong with an input is told on its letter, and nothing is lost.

use crate::checkout::*;
use crate::common::{Do, Shop, stop};
use factstream::App;

async fn reason_of(app: &App, key: &str) -> String {
    let dead = app.dead_letters().list(None, false, 0).await.unwrap();
    let letter = dead.iter().find(|letter| letter.key == key && letter.state == "dead");
    letter.unwrap_or_else(|| panic!("no letter of {key}: {dead:?}")).reason.clone().unwrap()
}

#[tokio::test]
async fn each_mistake_of_a_process_is_a_letter_that_says_what_to_do() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    let mistakes = [
        ("many", "asks for 10000 commands, appends, timers and aliases; it can ask for 1000"),
        ("stranger", "type \"stranger\"), which this application does not declare; add .aggregate"),
        ("badly", "aggregate id"),
        ("fail", "told to fail"),
        ("panic", "the process panicked: told to"),
    ];
    for (text, _) in mistakes {
        app.execute(text, Do::Create(1)).await.unwrap();
        app.execute(text, Do::Note(text.to_owned())).await.unwrap();
    }
    app.execute("o-1", Do::Note("nowhere".into())).await.unwrap();
    settled(&app).await;
    for (key, wanted) in mistakes {
        let reason = reason_of(&app, key).await;
        assert!(reason.contains(wanted), "{key}: {reason}");
        let instance = app.process::<Checkout>().get(key).await.unwrap().unwrap();
        assert!(
            instance.blocked && !instance.state.seen.contains(&format!("OrderNoted {key}")),
            "{instance:?}"
        );
    }
    let reason = reason_of(&app, "nobody").await;
    assert!(reason.contains("checkout has no instance \"nobody\" to go on with"), "{reason}");
    assert_eq!(reserved(&app).await, 5, "nothing of a failed input has taken effect");
    stop(running).await;
}

#[tokio::test]
async fn a_letter_that_is_edited_is_taken_with_its_new_data_also_when_the_state_is_made_again() {
    let shop = Shop::new();
    let app = checkout(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    settled(&app).await;
    app.execute("o-1", Do::Note("fail".into())).await.unwrap();
    app.execute("o-1", Do::Note("after".into())).await.unwrap();
    settled(&app).await;
    let dead = app.dead_letters().list(None, false, 0).await.unwrap();
    let dead = dead.iter().find(|letter| letter.state == "dead").unwrap();
    app.dead_letters().edit(dead.id, r#"{"text":"both someone else"}"#).await.unwrap();
    settled(&app).await;
    let reason = reason_of(&app, "o-1").await;
    assert!(reason.contains("it stands in the order of the instance \"o-1\""), "{reason}");
    app.dead_letters().edit(dead.id, r#"{"text":"mended"}"#).await.unwrap();
    settled(&app).await;
    let checkouts = app.process::<Checkout>();
    let live = checkouts.get("o-1").await.unwrap().unwrap();
    let wanted = [well("o-1"), vec!["OrderNoted mended".into(), "OrderNoted after".into()]].concat();
    assert_eq!(live.state.seen, wanted);
    assert_eq!(checkouts.state_at("o-1", live.version).await.unwrap().unwrap(), live.state);
    stop(running).await;
}
