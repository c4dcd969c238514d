//! A process with a time-out, and its test: an invitation that nobody accepts in a week expires.

use factstream::process::{Acts, Correlate, Input};
use factstream::{Aggregate, App, Builder, Command, Envelope, Event, Failure, Process, Start};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
enum InvitationEvent {
    Sent { to: String },
    Accepted,
    Expired,
}

#[derive(Default, Debug, Clone, PartialEq)]
struct Invitation(bool); // whether it is open

impl Aggregate for Invitation {
    const TYPE: &'static str = "invitation";
    type Event = InvitationEvent;

    fn apply(&mut self, event: &InvitationEvent) {
        self.0 = matches!(event, InvitationEvent::Sent { .. });
    }
}

#[derive(Debug)]
struct Expire;

impl Command<Invitation> for Expire {
    type Error = std::convert::Infallible;

    fn decide(&self, invitation: &Invitation) -> Result<Vec<InvitationEvent>, Self::Error> {
        Ok(if invitation.0 { vec![InvitationEvent::Expired] } else { vec![] })
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Reminder {}

impl Process for Reminder {
    const NAME: &'static str = "reminder";
    type Events = InvitationEvent;

    fn correlate(event: &Envelope<InvitationEvent>) -> Correlate {
        Correlate::start(&event.aggregate_id)
    }

    fn react(&mut self, input: Input<'_, InvitationEvent>, acts: &mut Acts) -> Result<(), Failure> {
        match input {
            Input::Event(event) => match event.event {
                InvitationEvent::Sent { .. } => acts.timer("expiry").after(Duration::from_hours(168)),
                InvitationEvent::Accepted | InvitationEvent::Expired => acts.end(),
            },
            Input::Timer(_) => acts.command::<Invitation, _>(acts.id().to_owned(), Expire),
            _ => {}
        }
        Ok(())
    }
}

fn application(url: &str) -> Builder {
    App::builder(url).aggregate::<Invitation>().process::<Reminder>().from(Start::Now)
}

#[tokio::main]
async fn main() -> Result<(), factstream::Error> {
    let _running = application("sqlite://invitations.db").open().await?.start().await?;
    std::future::pending().await // until it is stopped
}

#[tokio::test]
async fn an_invitation_expires_after_a_week() {
    let app = factstream::testing::TestApp::start(application("")).await;
    app.record::<Invitation>("i-1", [InvitationEvent::Sent { to: "ada".into() }]).await;
    app.advance(Duration::from_hours(168)).await;
    assert_eq!(app.load::<Invitation>("i-1").await.unwrap().0, Invitation(false));
}
