//! Questions to the store and the broker that may take longer than whoever looks at the status wants to wait.
//!
//! Invariants: whoever asks waits no longer than the limit. A question that is not answered by then goes on, and the next one
//! on the same subject waits for its end, so that unanswered questions do not pile up, however often the status is read. An
//! answer belongs to the question it was given to: it is never older than the status that shows it.

use crate::error::Error;
use crate::tasks::lock;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// One desk for each subject.
#[derive(Default)]
pub(crate) struct Desks {
    by_subject: Mutex<HashMap<String, Arc<Desk>>>,
}

/// Where one question at a time is answered.
#[derive(Default)]
struct Desk {
    busy: Arc<tokio::sync::Mutex<()>>,
    last_error: Mutex<Option<String>>,
}

impl Desks {
    /// The answer, or why there is none. `subject` names what is asked for; there are as many as the application has parts.
    pub(crate) async fn ask<T, F>(&self, subject: &str, limit: Duration, question: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let desk = Arc::clone(lock(&self.by_subject).entry(subject.to_owned()).or_default());
        let until = Instant::now() + limit;
        let asking = async {
            let turn = Arc::clone(&desk.busy).lock_owned().await;
            let desk = Arc::clone(&desk);
            let asked = tokio::spawn(async move {
                let answer = question.await.map_err(|error| error.to_string());
                *lock(&desk.last_error) = answer.as_ref().err().cloned();
                drop(turn);
                answer
            });
            asked.await.unwrap_or_else(|error| Err(format!("the question failed: {error}")))
        };
        if let Ok(answer) = timeout_at(until, asking).await {
            return answer;
        }
        let before = lock(&desk.last_error).clone();
        Err(match before {
            Some(error) => format!("no answer within {limit:?}; the last one was: {error}"),
            None => format!("no answer within {limit:?}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factstream_core::store::StoreError;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_question_without_an_answer_holds_up_nobody_and_is_not_asked_twice() {
        let desks = Desks::default();
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let silent = async move {
            let _ = answered.await;
            Err::<u8, _>(Error::Store(StoreError::Closed))
        };
        assert_eq!(desks.ask("broker", SHORT, silent).await, Err("no answer within 20ms".to_owned()));
        let never = async { panic!("it is asked although the question before has no answer") };
        assert!(desks.ask::<u8, _>("broker", SHORT, never).await.is_err());
        assert_eq!(desks.ask("store", LONG, async { Ok(1) }).await, Ok(1), "another subject");
        answer.send(()).expect("the question waits");
        assert_eq!(desks.ask("broker", LONG, async { Ok(2) }).await, Ok(2));
    }

    #[tokio::test]
    async fn an_error_is_told_and_told_again_while_there_is_no_newer_answer() {
        let desks = Desks::default();
        let closed = async { Err::<u8, _>(Error::Store(StoreError::Closed)) };
        assert_eq!(desks.ask("store", LONG, closed).await, Err("the store is closed".to_owned()));
        let told = desks.ask::<u8, _>("store", SHORT, std::future::pending()).await;
        assert_eq!(told, Err("no answer within 20ms; the last one was: the store is closed".to_owned()));
    }
}
