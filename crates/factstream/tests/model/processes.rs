//! Up to two processes on one store: started, ended, killed, and taken over from.
//!
//! A process that is killed here loses its tasks wherever they are. That its number is free again, as it is after a real
//! kill, is written into the store, so that nobody waits for its beat to stand still.

use crate::compare::{is_idle, progress};
use crate::fate::Fate;
use factstream::{App, Builder, Running, params};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Everything settles within it, or something hangs.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// The application of a process, which may have to wait for its store.
pub(crate) type Making = Pin<Box<dyn Future<Output = Builder> + Send>>;

struct Process {
    app: App,
    running: Running,
    owner: String,
}

pub(crate) struct Processes {
    make: Box<dyn Fn() -> Making + Send + Sync>,
    /// A statement that is run in a new store.
    first: Option<&'static str>,
    slots: [Option<Process>; 2],
    /// Killed, and the store does not know it yet; and whether they could not write down how far they had come.
    dead: Vec<(String, bool)>,
}

impl Processes {
    pub(crate) fn new(make: Box<dyn Fn() -> Making + Send + Sync>, first: Option<&'static str>) -> Self {
        Self { make, first, slots: [None, None], dead: Vec::new() }
    }

    /// The process, or the other one where it does not run; one is started where none runs.
    pub(crate) async fn app(&mut self, by: usize) -> App {
        if self.slots.iter().all(Option::is_none) {
            self.start(by).await;
        }
        let process = self.slots[by].as_ref().or(self.slots[1 - by].as_ref());
        process.expect("one runs").app.clone()
    }

    /// Those that run, at least one.
    pub(crate) async fn all(&mut self) -> Vec<App> {
        self.app(0).await;
        self.slots.iter().flatten().map(|process| process.app.clone()).collect()
    }

    pub(crate) async fn meet(&mut self, fate: Fate) -> Result<(), String> {
        match fate {
            Fate::Crash { by, forgets } => self.crash(by, forgets).await,
            Fate::Stop { by } => return self.stop(by).await,
            Fate::Start { by } => self.start(by).await,
            Fate::Takeover => self.take_over().await,
        }
        Ok(())
    }

    /// Waits until nothing is left to do, also by what a case knows beside it.
    pub(crate) async fn settle(&mut self, is_quiet: impl AsyncFn(&App) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + SETTLES_WITHIN;
        let (mut calm, mut last) = (0, None);
        while calm < 3 {
            let (apps, mut statuses) = (self.all().await, Vec::new());
            for app in &apps {
                statuses.push(app.status().await);
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "this does not settle: {}",
                    serde_json::to_string_pretty(&statuses).unwrap()
                ));
            }
            let now = progress(&statuses);
            let is_idle = is_idle(&statuses) && is_quiet(&apps[0]).await;
            calm = if is_idle && last == Some(now.clone()) { calm + 1 } else { 0 };
            last = Some(now);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    async fn start(&mut self, by: usize) {
        if self.slots[by].is_some() {
            return;
        }
        let app = (self.make)().await.open().await.unwrap();
        if let Some(statement) = self.first.take() {
            write(&app, statement, &[]).await;
        }
        self.bury(&app).await;
        let before = owners(&app).await;
        let running = app.start().await.unwrap();
        let owner =
            owners(&app).await.into_iter().find(|owner| !before.contains(owner)).expect("it is known");
        self.slots[by] = Some(Process { app, running, owner });
    }

    pub(crate) async fn stop(&mut self, by: usize) -> Result<(), String> {
        let Some(Process { running, .. }) = self.slots[by].take() else { return Ok(()) };
        match running.stop(Duration::from_secs(20)).await {
            true => Ok(()),
            false => Err("the process did not stop in time".into()),
        }
    }

    async fn crash(&mut self, by: usize, forgets: bool) {
        let Some(Process { app, running, owner }) = self.slots[by].take() else { return };
        drop((running, app));
        self.dead.push((owner, forgets));
        if let Some(other) = self.slots[1 - by].as_ref().map(|process| process.app.clone()) {
            self.bury(&other).await;
        }
    }

    /// Makes the store look as it does after the kill of a process.
    async fn bury(&mut self, app: &App) {
        for (owner, forgets) in self.dead.drain(..) {
            let mut parts: Vec<&str> = owner.splitn(3, '/').collect();
            let nobody = u32::MAX.to_string();
            parts[1] = &nobody;
            let nobody = parts.join("/");
            write(
                app,
                "INSERT INTO fs_owners (owner, beat) VALUES ($1, 1) ON CONFLICT DO NOTHING",
                &[&nobody],
            )
            .await;
            if forgets {
                write(app, FORGET_RELAY, &[&owner]).await;
                write(app, FORGET_GROUPS, &[&owner]).await;
            }
            write(app, "UPDATE fs_leases SET owner = $1 WHERE owner = $2", &[&nobody, &owner]).await;
        }
    }

    /// The process that does not relay takes over everything from the one that does, which learns of it a little later.
    async fn take_over(&self) {
        let [Some(one), Some(other)] = &self.slots else { return };
        let sql = "SELECT owner FROM fs_leases WHERE name = 'relay'";
        let rows = one.app.store().query(sql, params![]).await.unwrap();
        let Some(owner) = rows.first().map(|row| row.get::<String>("owner").unwrap()) else { return };
        let to = if owner == one.owner { other } else { one };
        let sql = "UPDATE fs_leases SET owner = $1, token = token + 1 WHERE owner = $2";
        write(&to.app, sql, &[&to.owner, &owner]).await;
    }
}

/// What an owner that was killed had published or handled, and could not write down. Only what it owned: what another one
/// has written down stays.
const FORGET_RELAY: &str = "UPDATE fs_checkpoints SET position = 0 WHERE handler = 'relay' \
     AND EXISTS (SELECT 1 FROM fs_leases WHERE name = 'relay' AND owner = $1)";
const FORGET_GROUPS: &str = "DELETE FROM fs_group_offsets \
     WHERE 'handler ' || group_name IN (SELECT name FROM fs_leases WHERE owner = $1)";

async fn owners(app: &App) -> Vec<String> {
    let rows = app.store().query("SELECT owner FROM fs_owners", params![]).await.unwrap();
    rows.iter().map(|row| row.get("owner").unwrap()).collect()
}

async fn write(app: &App, sql: &str, texts: &[&str]) {
    let mut tx = app.begin().await.unwrap();
    tx.sql(sql, texts.iter().map(|text| (*text).into()).collect()).await.unwrap();
    tx.commit().await.unwrap();
}
