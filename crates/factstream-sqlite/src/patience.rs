//! Waiting for another process that is writing.
//!
//! SQLite's own waiting grows to pauses of 100 ms. A process that writes without a pause leaves the lock free for
//! microseconds at a time, so another one that looks so seldom may starve. Looking often meets such a moment soon.

use rusqlite::Connection;
use std::cell::Cell;
use std::time::Duration;

const PAUSE: Duration = Duration::from_micros(300);

thread_local! {
    /// How often a connection that is used on this thread looks before it gives up.
    static LOOKS_MAX: Cell<u32> = const { Cell::new(0) };
}

/// Makes a connection wait in this way, on this thread and on those that [`on_this_thread`] is called on.
pub(crate) fn give(connection: &Connection, at_most: Duration) -> rusqlite::Result<()> {
    on_this_thread(at_most);
    connection.busy_handler(Some(look_again))
}

/// How long connections that are used on this thread wait.
pub(crate) fn on_this_thread(at_most: Duration) {
    let looks = at_most.as_micros() / PAUSE.as_micros();
    LOOKS_MAX.set(u32::try_from(looks).unwrap_or(u32::MAX));
}

fn look_again(looks: i32) -> bool {
    let again = u32::try_from(looks).unwrap_or(0) < LOOKS_MAX.get();
    if again {
        std::thread::sleep(PAUSE);
    }
    again
}
