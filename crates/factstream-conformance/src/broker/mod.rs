//! What every `Broker` must prove, one file per idea.

pub mod g5_order;
pub mod groups;
pub mod hostile;
pub mod lag;
pub mod stored;
mod support;
pub mod waiting;

/// Makes one test of each check of a broker: `broker_suite!(Engine::new)`, where `Engine::new()` gives a
/// [`BrokerUnderTest`](crate::BrokerUnderTest) with no data yet.
#[macro_export]
macro_rules! broker_suite {
    ($new:expr) => {
        $crate::suite! { $new, broker,
            g5_order {
                every_key_keeps_its_order_in_its_murmur2_partition,
                publishers_of_different_keys_keep_the_order_of_each,
                offsets_are_contiguous_from_zero,
                a_large_batch_arrives_whole,
                acknowledged_messages_are_there_after_reopening,
                a_batch_for_several_topics_arrives_in_each,
            }
            groups {
                a_new_group_starts_at_the_oldest_record,
                several_groups_each_see_everything,
                a_group_goes_on_where_it_committed,
                commits_are_there_after_reopening,
                what_was_polled_but_not_committed_comes_again,
                each_partition_has_a_commit_of_its_own,
                an_older_commit_loses_nothing,
                a_group_reads_several_topics,
                members_of_a_group_see_everything_between_them,
                when_a_member_leaves_another_goes_on,
            }
            stored {
                without_a_commit_a_group_goes_on_at_the_stored_offset,
                a_committed_offset_takes_precedence_over_a_stored_one,
                a_group_stored_at_the_end_reads_what_comes_next,
                a_stored_offset_beyond_the_end_is_told,
            }
            lag {
                lag_counts_what_is_not_committed,
                lag_tells_when_the_oldest_was_published,
                lag_is_of_one_group_and_the_topics_asked_for,
            }
            waiting {
                an_empty_poll_ends_with_its_time,
                records_that_are_there_are_given_at_once,
                a_publish_wakes_an_empty_poll,
                a_publish_by_another_handle_wakes_an_empty_poll,
                a_poll_that_is_given_up_loses_nothing,
                an_answer_that_nobody_reads_loses_nothing,
                what_is_given_back_comes_next_and_once,
            }
            hostile {
                bytes_arrive_as_they_were_sent,
                odd_keys_and_groups_are_data,
                a_large_value_arrives,
                an_unknown_topic_is_told,
                a_batch_with_an_unknown_topic_tells_what_is_durable,
                a_topic_that_exists_keeps_its_partitions,
                topics_can_be_declared_by_many_at_once,
                a_poll_gives_no_more_than_was_asked_for,
                of_large_records_few_are_given_at_once,
                an_empty_batch_and_an_empty_commit_do_nothing,
            }
        }
    };
}
