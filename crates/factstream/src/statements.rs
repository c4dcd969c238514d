//! The named statements, one file each, the same on every engine; and rows of the log as events.

use factstream_core::envelope::RecordedEvent;
use factstream_core::sql::{Params, Row, RowError, placeholders};

pub(crate) const SELECT_SNAPSHOT: &str = include_str!("sql/states/select_snapshot.sql");
pub(crate) const UPSERT_SNAPSHOT: &str = include_str!("sql/states/upsert_snapshot.sql");
pub(crate) const SELECT_STREAM: &str = include_str!("sql/states/select_stream.sql");
pub(crate) const SELECT_STREAMS: &str = include_str!("sql/states/select_streams.sql");
pub(crate) const SELECT_HORIZONS: &str = include_str!("sql/states/select_horizons.sql");
pub(crate) const SELECT_HORIZON: &str = include_str!("sql/states/select_horizon.sql");
pub(crate) const SELECT_LOG_STRETCH: &str = include_str!("sql/log/select_log_stretch.sql");
pub(crate) const SELECT_COMMAND_KEY: &str = include_str!("sql/log/select_command_key.sql");
pub(crate) const UPDATE_PROCESS_INSTANCE: &str = include_str!("sql/processes/update_instance.sql");
pub(crate) const SELECT_PROCESS_INSTANCE: &str = include_str!("sql/processes/select_instance.sql");
pub(crate) const SELECT_PROCESS_ALIASES: &str = include_str!("sql/processes/select_aliases.sql");
pub(crate) const SELECT_ALIASES_OF_INSTANCE: &str = include_str!("sql/processes/select_aliases_of.sql");
pub(crate) const SELECT_PROCESS_TAKEN: &str = include_str!("sql/processes/select_taken.sql");
pub(crate) const SELECT_PROCESS_STEPS: &str = include_str!("sql/processes/select_steps.sql");
pub(crate) const MOVE_CHECKPOINT: &str = include_str!("sql/progress/move_checkpoint.sql");
pub(crate) const SELECT_CHECKPOINTS: &str = include_str!("sql/progress/select_checkpoints.sql");
pub(crate) const SELECT_LIVE_CHECKPOINTS: &str = include_str!("sql/progress/select_live_checkpoints.sql");
pub(crate) const RESET_CHECKPOINT: &str = include_str!("sql/progress/reset_checkpoint.sql");
pub(crate) const FORGET_REACHED: &str = include_str!("sql/progress/forget_reached.sql");
pub(crate) const SELECT_WAITING_LETTERS: &str = include_str!("sql/letters/select_waiting_letters.sql");
pub(crate) const SELECT_HANDLER: &str = include_str!("sql/handlers/select_handler.sql");
pub(crate) const UPSERT_HANDLER: &str = include_str!("sql/handlers/upsert_handler.sql");
pub(crate) const SELECT_FENCE: &str = include_str!("sql/handlers/select_fence.sql");
pub(crate) const UPSERT_OFFSETS: &str = include_str!("sql/progress/upsert_offsets.sql");
pub(crate) const COUNT_SKIPPED: &str = include_str!("sql/progress/count_skipped.sql");
pub(crate) const TAKE_INBOX: &str = include_str!("sql/progress/take_inbox.sql");
pub(crate) const MOVE_LETTERS: &str = include_str!("sql/letters/move_letters.sql");
pub(crate) const MOVE_BEHIND: &str = include_str!("sql/letters/move_behind.sql");
pub(crate) const SELECT_FIRST_WAITING: &str = include_str!("sql/letters/select_first_waiting.sql");
pub(crate) const PARK_BEHIND: &str = include_str!("sql/letters/park_behind.sql");
pub(crate) const SELECT_TOPICS_OF_KEY: &str = include_str!("sql/letters/select_topics_of_key.sql");
pub(crate) const INSERT_LETTER: &str = include_str!("sql/letters/insert_letter.sql");
pub(crate) const BLOCK_KEY: &str = include_str!("sql/letters/block_key.sql");
pub(crate) const TAKE_PERMITS: &str = include_str!("sql/limits/take_permits.sql");
pub(crate) const SELECT_DUE_KEYS: &str = include_str!("sql/letters/select_due_keys.sql");
pub(crate) const SELECT_HANDLED: &str = include_str!("sql/letters/select_handled.sql");
pub(crate) const SELECT_RELEASABLE: &str = include_str!("sql/letters/select_releasable.sql");
pub(crate) const RELEASE_WAITING: &str = include_str!("sql/letters/release_waiting.sql");
pub(crate) const SELECT_NEXT_PARKED: &str = include_str!("sql/letters/select_next_parked.sql");
pub(crate) const SELECT_HISTORY: &str = include_str!("sql/letters/select_history.sql");
pub(crate) const FORGET_ATTEMPTS: &str = include_str!("sql/letters/forget_attempts.sql");
pub(crate) const ADD_HISTORY: &str = include_str!("sql/letters/add_history.sql");
pub(crate) const AMEND: &str = include_str!("sql/letters/amend.sql");
pub(crate) const TAKE_AMENDMENTS_OVER: &str = include_str!("sql/letters/take_amendments_over.sql");
pub(crate) const SELECT_LETTERS: &str = include_str!("sql/letters/select_letters.sql");
pub(crate) const SELECT_LETTER_SUMMARY: &str = include_str!("sql/letters/select_letter_summary.sql");
pub(crate) const SELECT_RELAY_REASONS: &str = include_str!("sql/letters/select_relay_reasons.sql");
pub(crate) const COUNT_LETTERS: &str = include_str!("sql/letters/count_letters.sql");
pub(crate) const SELECT_MIRROR: &str = include_str!("sql/letters/select_mirror.sql");
pub(crate) const SELECT_PARTITIONS: &str = include_str!("sql/broker/select_partitions.sql");
pub(crate) const SELECT_RECORDS: &str = include_str!("sql/broker/select_records.sql");
pub(crate) const SET_OFFSET: &str = include_str!("sql/broker/set_offset.sql");
pub(crate) const COMMIT_OFFSET: &str = include_str!("sql/broker/commit_offset.sql");
pub(crate) const SELECT_GROUP_LAG: &str = include_str!("sql/broker/select_group_lag.sql");
pub(crate) const SELECT_TRIMMABLE: &str = include_str!("sql/broker/select_trimmable.sql");
pub(crate) const SELECT_FIRST_NEWER: &str = include_str!("sql/broker/select_first_newer.sql");
pub(crate) const SELECT_UNREAD_OF_GROUP: &str = include_str!("sql/broker/select_unread_of_group.sql");
pub(crate) const BEGIN_GROUP: &str = include_str!("sql/broker/begin_group.sql");
pub(crate) const SELECT_SCHEDULES: &str = include_str!("sql/schedules/select_schedules.sql");
pub(crate) const COUNT_SCHEDULED: &str = include_str!("sql/schedules/count_scheduled.sql");
pub(crate) const UPSERT_SCHEDULE: &str = include_str!("sql/schedules/upsert_schedule.sql");
pub(crate) const MOVE_SCHEDULE: &str = include_str!("sql/schedules/move_schedule.sql");
pub(crate) const PAUSE_SCHEDULE: &str = include_str!("sql/schedules/pause_schedule.sql");
pub(crate) const SELECT_DUE: &str = include_str!("sql/timers/select_due.sql");
pub(crate) const SELECT_NEXT_DUE: &str = include_str!("sql/timers/select_next_due.sql");
pub(crate) const SELECT_TIMERS: &str = include_str!("sql/timers/select_timers.sql");
pub(crate) const SELECT_TIMERS_OF: &str = include_str!("sql/timers/select_timers_of.sql");
pub(crate) const TAKE_TIMER: &str = include_str!("sql/timers/take.sql");
pub(crate) const HOLD_TIMER: &str = include_str!("sql/timers/hold.sql");
pub(crate) const MOVE_TIMER: &str = include_str!("sql/timers/move.sql");
pub(crate) const MOVE_BEAT: &str = include_str!("sql/leases/move_beat.sql");
pub(crate) const SELECT_OTHER_OWNERS: &str = include_str!("sql/leases/select_other_owners.sql");
pub(crate) const DELETE_OWNER: &str = include_str!("sql/leases/delete_owner.sql");
pub(crate) const INSERT_SEAL: &str = include_str!("sql/seals/insert_seal.sql");
pub(crate) const INSERT_SALTS: &str = include_str!("sql/seals/insert_salts.sql");
pub(crate) const SELECT_SEALS: &str = include_str!("sql/seals/select_seals.sql");
pub(crate) const SELECT_NEWEST_SEAL: &str = include_str!("sql/seals/select_newest_seal.sql");
pub(crate) const SELECT_SALTS: &str = include_str!("sql/seals/select_salts.sql");
pub(crate) const SELECT_LEASE: &str = include_str!("sql/leases/select_lease.sql");
pub(crate) const CLAIM_LEASE: &str = include_str!("sql/leases/claim_lease.sql");

/// A row of `events` as an event.
pub(crate) fn recorded_event(row: &Row) -> Result<RecordedEvent, RowError> {
    Ok(RecordedEvent {
        position: row.get("position")?,
        aggregate_type: row.get("aggregate_type")?,
        aggregate_id: row.get("aggregate_id")?,
        version: row.get("version")?,
        event_id: row.get("event_id")?,
        event_type: row.get("event_type")?,
        schema_version: row.get("schema_version")?,
        data: row.get("event_data")?,
        metadata: row.get("metadata")?,
        timestamp: row.get("timestamp")?,
    })
}

/// A statement with a list of ids, or a row of each, padded to a power of two, so that there are few statements to prepare.
pub(crate) fn with_ids(statement: &str, mut params: Params, ids: &[&str]) -> (String, Params) {
    let (first, count) = (params.len() + 1, ids.len().next_power_of_two());
    let rows: Vec<String> = (first..first + count).map(|at| format!("(CAST(${at} AS TEXT))")).collect();
    let sql = statement.replace("{ids}", &placeholders(first, count)).replace("{rows}", &rows.join(", "));
    let last = ids.last().copied().unwrap_or_default();
    params.extend(ids.iter().copied().chain(std::iter::repeat(last)).take(count).map(Into::into));
    (sql, params)
}
