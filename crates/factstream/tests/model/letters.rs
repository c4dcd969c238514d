//! What a person does with dead letters. Everything settles first, so that it is known which letters there are.

use crate::compare::text;
use crate::play::Play;
use crate::reference::{Ev, Kind};
use crate::steps::Temper;
use factstream::App;
use factstream::dead_letters::Bytes;
use serde_json::Value;

type Head = (&'static str, String, Ev);

impl Play {
    pub(crate) async fn redrive(&mut self, nth: usize, mend: bool) -> Result<(), String> {
        let Some((app, (handler, account, ev))) = self.nth_head(nth).await? else { return Ok(()) };
        if mend {
            self.mend(&ev);
        }
        let id = letter(&app, handler, &account).await?;
        app.dead_letters().redrive(id).await.map_err(text)?;
        self.reference.attempt(handler, &account);
        Ok(())
    }

    pub(crate) async fn redrive_all(&mut self, mend: bool) -> Result<(), String> {
        self.settle().await?;
        let heads = self.reference.heads();
        if mend {
            // All of them, also those that only wait until now.
            let all: Vec<Ev> = self.reference.lanes.values().flat_map(|lane| lane.held.clone()).collect();
            for ev in &all {
                self.mend(ev);
            }
        }
        let app = self.processes.app(1).await;
        let redriven = app.dead_letters().redrive_all(None).await.map_err(text)?;
        for (handler, account, _) in &heads {
            self.reference.attempt(handler, account);
        }
        if redriven as usize == heads.len() {
            return Ok(());
        }
        Err(format!("{} letters must be redriven, {redriven} are", heads.len()))
    }

    /// The event is made one that no handler has trouble with.
    pub(crate) async fn edit(&mut self, nth: usize) -> Result<(), String> {
        let Some((app, (handler, account, ev))) = self.nth_head(nth).await? else { return Ok(()) };
        if !is_readable(&ev) {
            return Ok(());
        }
        let id = letter(&app, handler, &account).await?;
        let Some(Bytes::Text(value)) = app.dead_letters().show(id).await.map_err(text)?.value else {
            return Err(format!("letter {id} has no value"));
        };
        let mut value: Value = serde_json::from_str(&value).map_err(|error| error.to_string())?;
        let tag = format!("{}, edited", ev.tag);
        (value["tag"], value["temper"]) = (tag.clone().into(), "Calm".into());
        app.dead_letters().edit(id, &value.to_string()).await.map_err(text)?;
        let edited = Ev { tag, temper: Temper::Calm, ..ev };
        self.reference.replace_head(handler, &account, Some(edited));
        Ok(())
    }

    pub(crate) async fn discard(&mut self, nth: usize) -> Result<(), String> {
        let Some((app, head)) = self.nth_head(nth).await? else { return Ok(()) };
        self.give_up(&app, head).await
    }

    /// Gives up what nobody can ever handle.
    pub(crate) async fn discard_garbage(&mut self) -> Result<(), String> {
        let app = self.processes.app(0).await;
        for head in self.reference.heads().into_iter().filter(|(.., ev)| !is_readable(ev)) {
            self.give_up(&app, head).await?;
        }
        Ok(())
    }

    async fn give_up(&mut self, app: &App, (handler, account, _): Head) -> Result<(), String> {
        let id = letter(app, handler, &account).await?;
        app.dead_letters().discard(id, "nobody wants it").await.map_err(text)?;
        self.reference.replace_head(handler, &account, None);
        Ok(())
    }

    async fn nth_head(&mut self, nth: usize) -> Result<Option<(App, Head)>, String> {
        self.settle().await?;
        let mut heads = self.reference.heads();
        if heads.is_empty() {
            return Ok(None);
        }
        let head = heads.remove(nth % heads.len());
        Ok(Some((self.processes.app(nth % 2).await, head)))
    }

    fn mend(&mut self, ev: &Ev) {
        self.world.mend(&ev.tag);
        self.reference.mend(&ev.tag);
    }
}

fn is_readable(ev: &Ev) -> bool {
    !matches!(ev.kind, Kind::Garbage | Kind::Unknown)
}

/// The id of the letter behind which a key stands still.
pub(crate) async fn letter(app: &App, handler: &str, account: &str) -> Result<u64, String> {
    let letters = app.dead_letters().list(Some(handler), false, 0).await.map_err(text)?;
    let found = letters.iter().find(|letter| letter.key == account);
    found.map(|letter| letter.id).ok_or_else(|| format!("{handler} has no letter of {account}"))
}
