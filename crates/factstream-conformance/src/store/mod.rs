//! What every `Store` must prove, one file per guarantee.

pub mod g1_durable;
pub mod g2_one_winner;
pub mod g3_log;
pub mod g4_keys;
pub mod hostile;
pub mod statements;
pub mod transaction;
pub mod two_handles;
pub mod waiting;

/// Makes one test of each check of a store: `store_suite!(Engine::new)`, where `Engine::new()` gives a
/// [`StoreUnderTest`](crate::StoreUnderTest) with no data yet.
#[macro_export]
macro_rules! store_suite {
    ($new:expr) => {
        $crate::suite! { $new, store,
            g1_durable {
                acknowledged_appends_are_there_after_reopening,
                json_text_is_kept_to_the_letter,
                every_field_of_an_event_comes_back,
                a_duplicate_event_id_anywhere_stores_none_of_the_append,
                refused_appends_do_not_touch_their_neighbours,
                a_duplicate_event_id_in_a_transaction_rolls_all_of_it_back,
                an_append_that_is_given_up_is_whole_or_absent,
            }
            g2_one_winner {
                exactly_one_of_many_at_one_version_wins,
                appends_at_any_version_all_land,
                a_version_that_is_not_the_streams_is_a_conflict,
                an_append_without_events_tells_where_the_stream_stands,
                read_decide_append_loops_lose_no_update,
                a_conflict_in_a_commit_rolls_all_of_it_back,
                appends_of_one_commit_to_one_stream_follow_each_other,
                appends_and_transactions_at_one_version_have_one_winner,
                transactions_that_read_then_commit_lose_no_update,
                a_streams_version_outlives_its_events,
            }
            g3_log {
                a_reader_that_follows_the_log_misses_nothing,
                an_acknowledged_append_is_visible_at_once,
                the_log_is_read_in_pages,
                a_stream_is_read_in_pages,
                of_large_events_few_are_read_at_once,
                what_is_rolled_back_takes_no_position,
                a_deleted_position_is_not_used_again,
                the_events_table_says_what_the_reads_say,
            }
            g4_keys {
                a_repeat_returns_the_first_outcome,
                a_repeat_with_another_version_or_made_up_id_is_a_repeat,
                a_key_for_another_aggregate_is_refused,
                one_of_many_with_the_same_key_takes_effect,
                each_of_many_keys_takes_effect_once,
                keys_are_there_after_reopening,
                an_append_without_events_records_its_key,
                a_key_for_another_command_is_refused,
                two_commands_that_race_for_a_key_are_told_apart,
                a_refused_append_does_not_use_its_key_up,
                a_conflict_beside_others_with_its_key_does_no_harm,
            }
            transaction {
                a_transaction_sees_its_own_writes_and_nobody_else_does,
                a_dropped_transaction_leaves_nothing,
                a_transaction_whose_task_is_aborted_leaves_nothing,
                rows_and_events_of_a_commit_appear_together,
                an_open_transaction_holds_up_no_reader,
                a_transaction_without_appends_commits,
                tables_are_made_renamed_and_dropped_atomically,
                a_table_that_was_switched_answers_with_its_new_rows_and_columns,
                a_failing_statement_is_named_and_its_transaction_can_be_dropped,
                many_transactions_at_once_all_commit,
            }
            statements {
                every_value_comes_back,
                placeholders_are_numbered_not_ordered,
                a_placeholder_in_text_or_a_comment_is_not_one,
                a_wrong_number_of_parameters_is_refused,
                lists_take_many_placeholders,
                touched_rows_are_counted,
                many_sets_of_parameters_are_run_in_order,
                rows_of_a_table_are_written_as_a_whole,
                a_statement_that_returns_rows_can_write,
                an_answer_has_names_for_its_columns,
                a_query_outside_a_transaction_cannot_write,
                one_call_runs_one_statement,
            }
            waiting {
                its_clock_goes_on_and_is_that_of_its_statements,
                news_that_is_there_is_told_at_once,
                an_append_wakes_those_who_wait,
                a_commit_wakes_those_who_wait,
                an_append_by_another_handle_wakes_those_who_wait,
                without_news_the_wait_ends_with_its_time,
                who_gives_up_waiting_does_not_disturb_the_others,
            }
            hostile {
                control_characters_never_reach_the_store,
                injected_sql_comes_back_to_the_letter,
                ids_that_look_alike_are_different_streams,
                a_text_with_nul_is_kept_or_refused_but_never_cut,
                an_event_that_nobody_could_read_or_publish_is_refused,
                an_event_of_a_megabyte_is_kept,
                a_thousand_events_in_one_append_are_kept,
                numbers_out_of_range_are_answered,
                a_number_that_is_too_large_is_refused,
                many_readers_and_writers_do_not_fail_each_other,
            }
            two_handles {
                stores_that_are_opened_together_on_fresh_data_all_work,
                appends_by_two_handles_share_one_log,
                exactly_one_of_two_handles_wins_a_version,
                keys_are_shared,
                a_handle_sees_at_once_what_the_other_acknowledged,
                a_reader_in_one_handle_misses_nothing_of_the_other,
                tables_that_one_handle_switches_are_seen_by_the_other,
            }
        }
    };
}
