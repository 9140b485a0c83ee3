//! Every metric, span and label the engine uses, by name.
//!
//! Label values come from closed sets (groups, children, subjects of types,
//! outcomes), never from keys, ids or error texts.

/// Counts messages that an actor handled, by `child`, `subject` and `outcome`.
pub const HANDLED_TOTAL: &str = "callboard_handled_total";
/// Measures the time of one handler, in seconds, by `child` and `subject`; of an
/// entity's command, the time from when it was taken until it was answered.
pub const HANDLER_SECONDS: &str = "callboard_handler_seconds";
/// Counts commands from the bus that a node turned away because it had too many in
/// hand, by `group`.
pub const SHED_TOTAL: &str = "callboard_shed_total";
/// Counts commands whose deadline passed before their turn came, by `child`.
pub const EXPIRED_TOTAL: &str = "callboard_expired_total";
/// Counts restarts of a child, by `child`.
pub const RESTARTS_TOTAL: &str = "callboard_restarts_total";
/// Counts events published, by `subject` and `outcome`.
pub const PUBLISHED_TOTAL: &str = "callboard_published_total";
/// Counts calls made, by `subject` and `outcome`.
pub const CALLS_TOTAL: &str = "callboard_calls_total";
/// Measures the time of one call as its caller sees it, in seconds, by `subject`.
pub const CALL_SECONDS: &str = "callboard_call_seconds";
/// Counts messages refused because a mailbox was full, by `child`.
pub const OVERLOADED_TOTAL: &str = "callboard_overloaded_total";
/// Counts dead letters, by `child` and `reason`.
pub const DEAD_LETTERS_TOTAL: &str = "callboard_dead_letters_total";
/// Counts keys that were parked, by `child`.
pub const PARKED_TOTAL: &str = "callboard_parked_total";
/// Counts keys that went on after they were parked, by `child`.
pub const RELEASED_TOTAL: &str = "callboard_released_total";
/// Counts events that could not be parked because too many keys are, by `child`.
pub const PARK_FULL_TOTAL: &str = "callboard_park_full_total";
/// Counts readers that took a partition over while events of the reader before
/// were not settled, by `child`.
pub const TAKEOVERS_TOTAL: &str = "callboard_takeovers_total";
/// Counts second and later attempts of reactions, by `child`.
pub const RETRIES_TOTAL: &str = "callboard_retries_total";
/// Counts events that a reaction passed over because it hears other types, by `child`.
pub const SKIPPED_TOTAL: &str = "callboard_skipped_total";
/// Tells how many messages a projection's model is behind a stream, by `child` and `domain`.
pub const PROJECTION_LAG_MESSAGES: &str = "callboard_projection_lag_messages";
/// Tells how old what a projection's model shows of a stream is, in seconds, by
/// `child` and `domain`; 0 while nothing waits.
pub const PROJECTION_LAG_SECONDS: &str = "callboard_projection_lag_seconds";
/// Counts messages that a projection left out because they cannot be read, by `child`.
pub const UNREADABLE_TOTAL: &str = "callboard_unreadable_total";
/// Counts commands sent as jobs, by `subject` and `outcome`.
pub const JOBS_SENT_TOTAL: &str = "callboard_jobs_sent_total";
/// Counts jobs that the domain said no to, by `child` and `subject`.
pub const JOBS_REJECTED_TOTAL: &str = "callboard_jobs_rejected_total";
/// Counts jobs of repetitions that no actor has any more, by `child`.
pub const JOBS_ORPHANED_TOTAL: &str = "callboard_jobs_orphaned_total";
/// Counts messages dropped for a subscriber that fell behind.
pub const DROPPED_TOTAL: &str = "callboard_dropped_total";
/// Counts appends whose outcome had to be settled by reading, by `outcome`.
pub const SETTLED_TOTAL: &str = "callboard_settled_total";
/// Counts commands to instances that turned out to be gone, which went the usual
/// way, by `subject`.
pub const ROUTED_GONE_TOTAL: &str = "callboard_routed_gone_total";
/// Counts instances that were left out because they failed, by `route`.
pub const EJECTED_TOTAL: &str = "callboard_ejected_total";
/// Counts instances that were left out and are trusted again, by `route`.
pub const RESTORED_TOTAL: &str = "callboard_restored_total";
/// Counts nodes that fell silent and were taken for gone.
pub const ROSTER_EXPIRED_TOTAL: &str = "callboard_roster_expired_total";
/// Counts tables that were told and not taken because no table could have come to their
/// version, by `table`.
pub const TABLES_REFUSED_TOTAL: &str = "callboard_tables_refused_total";
/// Counts cards of nodes that were not taken in because too many are known.
pub const ROSTER_FULL_TOTAL: &str = "callboard_roster_full_total";
/// Counts cards of nodes that were not taken in because no node says such a thing of itself:
/// too long, or out of bounds.
pub const ROSTER_REFUSED_TOTAL: &str = "callboard_roster_refused_total";
/// Counts what others said in the name of this node: that it has left, or what it is.
pub const ROSTER_FORGED_TOTAL: &str = "callboard_roster_forged_total";
/// Counts nodes whose clock was found more than 2 s from this node's.
pub const CLOCKS_OFF_TOTAL: &str = "callboard_clocks_off_total";
/// Counts messages of the server whose headers no client could read, each time one comes.
pub const UNREADABLE_HEADERS_TOTAL: &str = "callboard_unreadable_headers_total";
/// Counts connections made again to the server.
pub const RECONNECTS_TOTAL: &str = "callboard_reconnects_total";
/// Counts consumers and reads that were built again after a stall or a loss, by `reason`.
pub const REBUILT_TOTAL: &str = "callboard_rebuilt_total";
/// Measures how many events an entity was loaded through after its snapshot, by `entity`.
pub const ENTITY_EVENTS: &str = "callboard_entity_load_events";
/// Counts snapshots of entities, by `entity` and `outcome`.
pub const SNAPSHOTS_TOTAL: &str = "callboard_snapshots_total";
/// Measures one sync of the embedded store, in seconds; all appends that waited share it.
pub const STORE_SYNC_SECONDS: &str = "callboard_store_sync_seconds";
/// Counts sagas that began, by `saga`.
pub const SAGAS_STARTED_TOTAL: &str = "callboard_sagas_started_total";
/// Counts sagas that ended or were parked, by `saga` and `outcome`: `completed`,
/// `compensated` or `parked`.
pub const SAGAS_ENDED_TOTAL: &str = "callboard_sagas_ended_total";
/// Tells how many sagas this process has in hand, by `saga`; those that wait for
/// long, or for a person, are in nobody's.
pub const SAGAS_LIVE: &str = "callboard_sagas_live";
/// Counts sagas that a runner took up where another left off, by `saga`.
pub const SAGAS_RESUMED_TOTAL: &str = "callboard_sagas_resumed_total";
/// Counts live sagas that nothing would have woken and that were woken, by `saga`.
pub const SAGAS_REARMED_TOTAL: &str = "callboard_sagas_rearmed_total";
/// Counts what asked a saga to go on that had ended or never began, by `saga`.
pub const SAGA_ORPHANS_TOTAL: &str = "callboard_saga_orphans_total";
/// Counts steps whose outcome is known, by `saga`, `step` and `outcome`: `done`,
/// `refused` by the domain, or `failed` because it could not be taken. A step is
/// named as its code names it, without its occurrence; by its subject if its name
/// is made up at run time.
pub const SAGA_STEPS_TOTAL: &str = "callboard_saga_steps_total";
/// Measures the time from when a step may be taken to when its outcome is known,
/// in seconds, by `saga` and `step`; what an earlier runner spent on it does not count.
pub const SAGA_STEP_SECONDS: &str = "callboard_saga_step_seconds";
/// Counts steps that were undone, by `saga` and `undo`, the command that did it.
pub const SAGA_UNDONE_TOTAL: &str = "callboard_saga_undone_total";
/// Counts attempts at steps and at undoing them, by `saga`, `kind` and `outcome`.
pub const SAGA_ATTEMPTS_TOTAL: &str = "callboard_saga_attempts_total";
/// Counts changes of breakers, by `breaker` and `state`.
pub const BREAKER_CHANGES_TOTAL: &str = "callboard_breaker_changes_total";
/// Counts calls that a breaker did not let through, by `breaker`.
pub const BREAKER_REJECTED_TOTAL: &str = "callboard_breaker_rejected_total";
/// Counts second and later attempts of calls, by `subject`.
pub const CALL_RETRIES_TOTAL: &str = "callboard_call_retries_total";
/// Counts retries that a budget did not allow, by `subject`.
pub const RETRY_BUDGET_EMPTY_TOTAL: &str = "callboard_retry_budget_empty_total";
/// Counts replies that the callee did not give now, by `subject` and `grade`.
pub const SPARED_CALLS_TOTAL: &str = "callboard_spared_calls_total";
/// Counts commands that a node refused because its callers sent too many, by `subject`.
pub const LIMITED_TOTAL: &str = "callboard_limited_total";

/// Names the span of one runner's work on a saga: `saga`, `id`, `correlation` and
/// `trace`, the trace parent of what started it.
pub const SAGA_SPAN: &str = "saga";
/// Names the span of one attempt at a step, below the saga's: `saga`, `id`, `step`
/// and `attempt`.
pub const STEP_SPAN: &str = "saga_step";
/// Names the span of one attempt at undoing a step: the same fields.
pub const UNDO_SPAN: &str = "saga_undo";
