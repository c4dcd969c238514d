//! Opens two accounts, moves money between them and shows the balances: `cargo run -p accounts`.

use accounts::{AccountCommand, Balance, application, transfer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = application("sqlite://accounts.db").open().await?;
    let running = app.start().await?;
    let ada = app.create(AccountCommand::Open { owner: "Ada".into() }).await?.aggregate_id;
    let grace = app.create(AccountCommand::Open { owner: "Grace".into() }).await?.aggregate_id;
    app.execute(&ada, AccountCommand::Deposit { cents: 10_000 }).await?;
    let position = transfer(&app, &format!("{ada}-1"), (&ada, &grace), 2_500).await?;
    for id in [&ada, &grace] {
        println!("{:?}", app.read::<Balance>().wait_for(position).get(id).await?);
    }
    running.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}
