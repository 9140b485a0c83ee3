use super::{
    Backoff, Intensity, Member, Strategy,
    supervisor::{Policy, Supervisor},
    tree::Live,
};
use crate::actor::{Report, Restart};
use tokio::sync::mpsc;

/// The top of a tree: the supervisor of a node's groups.
pub(crate) type Root = Member;

/// Makes the root of groups that grow already, perhaps on other threads.
///
/// When it gives up it tells `parent`. Must be called in a local task set.
pub(crate) fn root(
    members: Vec<Member>,
    intensity: Intensity,
    reports: mpsc::Receiver<Report>,
    parent: mpsc::Sender<Report>,
) -> Root {
    let (control, orders) = mpsc::channel(4);
    let strategy = Strategy::OneForOne;
    let restarts = members.iter().map(|_| Restart::Permanent).collect();
    let stop_limits = Member::stop_limits(&members);
    let supervisor = Supervisor {
        path: "".into(),
        policy: Policy { strategy, intensity, backoff: Backoff::default(), restarts },
        members,
        reports,
        control: orders,
        parent,
        member: 0,
        life: 0,
        due: Vec::new(),
    };
    drop(tokio::task::spawn_local(supervisor.run()));
    Member::of_group(
        "".into(),
        Live::new(String::new(), strategy.to_string(), Vec::new()),
        control,
        stop_limits,
    )
}
