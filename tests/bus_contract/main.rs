//! What the bus promises, on every carrier: one suite, the same verdicts.

mod acks;
mod append;
mod carriers;
mod consumers;
mod dropping;
mod handles;
mod latest;
mod leaving;
mod plain;
mod presence;
mod pubsub;
mod queues;
mod reads;
mod requests;
mod schedules;
mod scope;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use carriers::Carrier;
use scope::{Scope, Verdict};
use std::{error::Error, time::Duration};
use tokio::{runtime::Builder, time::timeout};

/// Runs one case on one carrier, on a runtime of its own.
fn run<F: AsyncFnOnce(Scope) -> Verdict>(carrier: Carrier, case: F) -> Verdict {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let whole = async { case(Scope::open(carrier).await).await };
        let late = |_| Box::<dyn Error>::from("not done within a minute");
        timeout(Duration::from_mins(1), whole).await.map_err(late)?
    })
}

/// Makes each case a test of its own on one carrier, and lists them.
macro_rules! carrier {
    ($name:ident, $carrier:ident, $($room:ident { $($case:ident,)+ })+) => {
        mod $name {
            use super::{Carrier, Verdict, run};
            $($(
                #[test]
                fn $case() -> Verdict {
                    run(Carrier::$carrier, crate::$room::$case)
                }
            )+)+
            pub(super) const CASES: &[&str] = &[$($(stringify!($case)),+),+];
        }
    };
}

/// Names all cases, for each carrier the same.
macro_rules! suite {
    ($($name:ident: $carrier:ident),+) => {
        $(carrier! { $name, $carrier,
            pubsub {
                a_subscriber_gets_what_is_sent,
                headers_arrive_as_they_were_sent,
                an_empty_payload_arrives,
                a_large_payload_arrives_whole,
                a_message_beyond_the_limit_is_refused,
                headers_count_towards_the_limit,
                a_message_nobody_hears_is_sent,
                messages_of_one_sender_arrive_in_order,
                a_star_stands_for_one_token,
                an_arrow_stands_for_the_rest,
                every_subscription_gets_its_copy,
                a_dropped_subscription_is_gone,
                a_malformed_subject_is_not_sent,
                a_malformed_filter_is_not_subscribed,
                a_malformed_queue_is_not_subscribed,
                a_given_up_wait_loses_no_message,
                a_clone_and_a_reopened_bus_are_the_same_bus,
                a_subscription_is_known_when_it_is_returned,
                a_reply_subject_arrives_with_the_message,
                a_bus_says_what_survives,
            }
            queues {
                one_member_gets_each_message,
                each_queue_and_each_loner_gets_a_copy,
                a_queue_spans_filters,
                a_queue_goes_on_when_a_member_leaves,
                a_queue_spans_connections,
                a_request_reaches_one_member,
            }
            leaving {
                a_member_that_drains_loses_nothing_of_much,
                a_member_that_drains_loses_nothing_of_little,
            }
            requests {
                a_request_gets_its_reply,
                a_wildcard_subscription_answers_too,
                nobody_there_is_known_at_once,
                a_silent_service_is_a_timeout,
                a_late_reply_is_discarded,
                the_first_reply_counts,
                each_request_has_a_reply_subject_of_its_own,
                a_requests_own_reply_subject_is_ignored,
                headers_travel_both_ways,
                many_requests_get_each_their_own_reply,
                an_empty_reply_is_a_reply,
                a_given_up_request_harms_no_other,
                what_cannot_be_sent_is_not_asked,
            }
            streams {
                a_stream_is_opened_again_as_it_was_made,
                other_limits_differ_and_are_named,
                other_subjects_differ,
                another_count_of_partitions_differs,
                another_duplicate_window_differs,
                another_immutability_differs,
                a_stream_that_is_immutable_without_need_is_accepted,
                overlapping_streams_are_refused,
                a_malformed_stream_name_is_refused,
                malformed_subjects_are_refused,
                partitions_need_one_subject_that_ends_in_a_star,
                a_new_stream_is_empty,
                a_stream_says_what_it_holds,
                all_streams_are_listed,
                each_stream_counts_for_itself,
                many_may_make_the_same_stream_at_once,
            }
            presence {
                what_is_declared_is_compared_and_not_made,
                a_consumer_of_another_part_differs,
            }
            latest {
                a_newer_message_replaces_the_one_on_its_subject,
                a_replaced_message_still_counts_for_expectations,
                what_is_replaced_is_read_and_not_consumed,
            }
            dropping {
                streams_are_listed_with_whether_messages_can_be_dropped,
                a_dropped_message_is_gone_and_those_beside_it_stay,
                a_dropped_message_counts_for_no_expectation_and_its_id_stays_known,
                a_dropped_message_is_kept_as_a_dead_letter_with_who_and_why,
                a_dropped_message_is_not_delivered,
                a_dropped_message_that_was_delivered_does_not_come_again,
                a_dropped_timer_does_not_fire,
                the_dropped_last_message_of_a_subject_leaves_nothing_there,
                a_message_of_an_immutable_stream_is_not_dropped,
            }
            append {
                sequences_count_from_one,
                a_message_without_id_is_refused,
                an_empty_id_is_none,
                a_foreign_subject_is_refused,
                headers_beyond_what_a_stream_stores_are_refused,
                a_malformed_subject_is_not_appended,
                too_large_a_message_is_not_appended,
                an_id_is_stored_once,
                a_stored_id_is_a_success_whatever_is_expected,
                a_stored_id_is_a_success_behind_later_ones,
                an_id_is_forgotten_after_the_window,
                zero_expects_a_fresh_subject,
                an_expectation_is_about_its_subject,
                a_conflict_stores_nothing_and_keeps_the_id,
                of_six_writers_one_wins,
                of_six_writers_to_a_partition_one_wins,
                writers_of_different_subjects_do_not_conflict,
                a_full_stream_refuses_and_drops_nothing,
                an_append_reaches_subscribers,
                what_was_appended_is_kept_as_it_was,
                the_time_of_storage_is_kept,
            }
            plain {
                a_plain_message_is_stored_and_heard,
                a_plain_message_of_a_known_id_is_not_stored_again,
                plain_messages_without_id_are_all_stored,
                a_request_to_a_stream_is_answered_by_it,
                a_plain_message_reaches_a_consumer,
                an_expectation_in_a_header_holds_for_plain_messages,
            }
            reads {
                the_last_message_of_a_subject_is_found,
                the_last_message_is_found_in_a_partition,
                there_is_no_last_message_of_many_subjects,
                a_stream_is_read_whole_and_in_order,
                one_subject_is_read_from_a_sequence,
                one_key_of_a_partitioned_stream_is_read,
                beyond_the_end_there_is_nothing,
                an_empty_stream_is_read_at_once,
                a_read_ends_where_the_stream_ended,
                a_filter_selects_among_deeper_subjects,
                a_malformed_or_foreign_filter_is_not_read,
                a_long_read_is_complete,
            }
            consumers {
                a_consumer_gets_what_was_published_before_it,
                a_waiting_consumer_gets_what_is_published_then,
                a_consumer_may_start_at_a_sequence,
                a_consumer_may_start_at_what_is_new,
                a_consumer_keeps_its_place_however_it_is_declared_to_begin,
                a_consumer_may_read_one_subject,
                a_consumer_may_read_by_wildcard,
                a_filter_names_subjects_of_a_partitioned_stream_as_published,
                consumers_of_different_names_get_all,
                a_consumer_goes_on_where_its_name_left_off,
                pending_counts_what_waits_behind,
                another_filter_under_the_same_name_differs,
                another_partition_under_the_same_name_differs,
                a_consumer_that_cannot_be_is_refused,
                an_unpartitioned_stream_has_no_partition,
                partitions_are_those_of_the_function,
                a_key_keeps_its_order_in_its_partition,
                many_may_make_the_same_consumer_at_once,
            }
            acks {
                an_acknowledged_message_does_not_come_again,
                a_confirmed_message_does_not_come_again,
                an_unacknowledged_message_comes_again,
                others_flow_while_one_is_unacknowledged,
                a_refused_message_comes_again_after_its_delay,
                a_refused_message_may_come_again_at_once,
                progress_keeps_a_message,
                a_terminated_message_never_comes_again,
                after_the_last_delivery_a_message_is_given_up,
                a_refused_last_delivery_is_the_last,
                too_many_unacknowledged_block_and_an_ack_resumes,
                one_at_a_time_keeps_the_order_over_redeliveries,
                a_late_acknowledgement_counts,
                a_second_acknowledgement_does_no_harm,
                a_cancelled_wait_loses_no_delivery,
            }
            handles {
                two_handles_share_all_messages,
                handles_over_two_connections_share,
                what_a_dropped_handle_held_comes_to_another,
                a_waiting_handle_gets_what_another_let_go,
                an_acknowledgement_outlives_its_handle,
                a_pinned_consumer_serves_one_handle,
                a_pinned_consumer_goes_to_the_next_handle,
                a_waiting_handle_takes_a_pinned_consumer_over,
                pinned_partitions_are_each_in_order,
            }
            schedules {
                a_scheduled_message_is_passed_on_when_it_is_due,
                an_overdue_message_is_passed_on_at_once,
                a_message_for_the_far_future_is_not_passed_on_now,
                a_cancelled_message_is_not_passed_on,
                a_later_schedule_replaces_an_earlier_one,
                what_is_passed_on_or_cancelled_is_seen_no_more,
                zero_expects_that_nothing_is_scheduled,
                a_known_id_is_not_scheduled_again,
                what_is_passed_on_is_filed_by_partition,
                many_schedules_are_each_passed_on_once,
                a_schedule_wakes_who_waits_already,
                a_stream_without_schedules_refuses_them,
                a_schedule_that_cannot_be_kept_is_refused,
                a_plain_schedule_is_kept_or_refused_alike,
                schedules_need_a_stream_that_lets_go,
                a_stream_that_keeps_none_differs,
            }
        })+
        const CARRIERS: &[(&str, &[&str])] = &[$((stringify!($name), $name::CASES)),+];
    };
}

// A carrier is put under contract by one more name here and one more opening
// in `carriers.rs`.
#[cfg(not(feature = "nats"))]
suite!(embedded: Embedded, stored: Stored);
#[cfg(feature = "nats")]
suite!(embedded: Embedded, stored: Stored, nats: Nats);

#[test]
fn every_carrier_is_held_to_the_same_cases() {
    for (carrier, cases) in CARRIERS {
        eprintln!("{carrier}: {} cases", cases.len());
        assert!(cases.len() >= 145, "{carrier} has only {}", cases.len());
        assert_eq!(*cases, CARRIERS[0].1, "{carrier}");
    }
}
