//! The `shop` program as a shell sees it.

#[path = "../../tests/support/mod.rs"]
mod support;

use callboard::error::BoxError;
use std::{
    io::{self, BufRead, BufReader},
    process::{Command, Output, Stdio},
};
use support::folder::Folder;

fn shop(arguments: &str) -> Command {
    let mut shop = Command::new(env!("CARGO_BIN_EXE_shop"));
    shop.args(arguments.split_whitespace());
    for name in [
        "NATS",
        "GROUPS",
        "GROUP_VERSIONS",
        "NAMESPACE",
        "NODE",
        "LOG_FORMAT",
        "PAYMENT_LIMIT",
        "SLOW_PAYMENTS",
        "DATA",
        "REPLICAS",
    ] {
        shop.env_remove(format!("CALLBOARD_{name}"));
    }
    shop.env_remove("RUST_LOG");
    shop
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_demo_shows_the_end_of_every_order() -> io::Result<()> {
    let output = shop("demo --memory").output()?;
    let (shown, complaint) = said(&output);
    assert!(output.status.success(), "{complaint}");
    assert_eq!(complaint, "");
    assert!(shown.contains("nothing survives the process"), "{shown}");
    assert_ends(&shown);
    Ok(())
}

#[test]
fn the_demo_can_be_played_again_on_what_it_left_behind() -> io::Result<()> {
    let folder = Folder::fresh();
    for _ in 0..2 {
        let mut demo = shop("demo");
        let output = demo.env("CALLBOARD_DATA", folder.path()).output()?;
        let (shown, complaint) = said(&output);
        assert!(output.status.success(), "{complaint}");
        assert_eq!(complaint, "");
        assert!(
            shown.contains("survives the process and a power failure"),
            "{shown}"
        );
        assert_ends(&shown);
    }
    Ok(())
}

/// Checks how the five orders of the demo ended.
#[track_caller]
fn assert_ends(shown: &str) {
    let end = shown.split("\norders\n").nth(1).unwrap_or_default();
    assert_eq!(end.matches("  confirmed").count(), 3, "{shown}");
    assert_eq!(
        end.matches("  cancelled  out of stock: 6 of `teapot`")
            .count(),
        1,
        "{shown}"
    );
    assert_eq!(
        end.matches("  cancelled  payment declined").count(),
        1,
        "{shown}"
    );
}

#[test]
fn a_rush_is_summed_up_in_one_line() -> io::Result<()> {
    let output = shop("demo --memory --orders 40").output()?;
    let (shown, complaint) = said(&output);
    assert!(output.status.success(), "{complaint}");
    assert_eq!(complaint, "");
    assert_eq!(shown.lines().count(), 3, "{shown}");
    let sums = shown.lines().last().unwrap_or_default();
    assert!(sums.starts_with("40 orders ended in "), "{shown}");
    assert!(
        sums.ends_with("34 confirmed, 4 declined, 2 out of stock"),
        "{shown}"
    );
    Ok(())
}

#[test]
fn an_order_whose_payment_is_answered_late_ends_as_any_other() -> io::Result<()> {
    let output = shop("demo --memory --slow-payments 2").output()?;
    let (shown, complaint) = said(&output);
    assert!(output.status.success(), "{complaint}");
    assert_ends(&shown);
    assert_eq!(shown.matches(" s  payments.taken ").count(), 3, "{shown}");
    Ok(())
}

#[test]
fn a_directory_serves_one_process_at_a_time() -> io::Result<()> {
    let folder = Folder::fresh();
    let data = folder.path().display().to_string();
    let mut node = shop("--log-format json --data")
        .arg(folder.path())
        .stderr(Stdio::piped())
        .spawn()?;
    let log = node.stderr.take().map(BufReader::new);
    let mut log = log
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(Result::ok);
    assert!(log.any(|line| line.contains("the node is ready")));
    let output = shop("demo --data").arg(folder.path()).output()?;
    node.kill()?;
    let holder = node.id();
    node.wait()?;
    let (_, complaint) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    let cause = format!("shop: the store at {data}/bus is in use by process {holder}");
    assert!(complaint.starts_with(&cause), "{complaint}");
    assert!(complaint.contains("--data DIR"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    Ok(())
}

#[test]
fn the_environment_sets_what_the_command_line_does_not() -> io::Result<()> {
    let output = shop("demo --memory")
        .env("CALLBOARD_PAYMENT_LIMIT", "20000")
        .output()?;
    let (shown, _) = said(&output);
    let end = shown.split("\norders\n").nth(1).unwrap_or_default();
    assert_eq!(end.matches("  confirmed").count(), 4, "{shown}");
    Ok(())
}

#[test]
fn with_a_directory_messages_and_sales_survive_the_process() -> Result<(), BoxError> {
    let folder = Folder::fresh();
    let demo = || shop("demo").env("CALLBOARD_DATA", folder.path()).output();
    let (shown, complaint) = said(&demo()?);
    assert!(shown.contains("embedded, stored in"), "{shown}{complaint}");
    let (shown, complaint) = said(&demo()?);
    assert_eq!(complaint, "", "{shown}");
    let database = rusqlite::Connection::open(folder.path().join("sales.sqlite"))?;
    let sold: i64 = database.query_row("SELECT sum(orders) FROM sales_1", [], |row| row.get(0))?;
    assert!(
        (3..=6).contains(&sold),
        "the first three are there when it starts again: {sold}"
    );
    Ok(())
}

#[test]
fn what_is_not_understood_ends_with_2_and_says_what_would_be() -> io::Result<()> {
    for (arguments, cure) in [
        ("--groups users,cheese", "the shop has users, products"),
        ("--payment-limit ten", "write one such as 1000"),
        ("--slow-payments 0", "would be zero"),
        ("demo --remote", "name it with --nats URL"),
        ("demo --orders 0", "0 is not in 1..=1000000"),
        ("--replicas 6", "6 is not in 1..=5"),
        ("--cheese", "--help"),
    ] {
        let output = shop(arguments).output()?;
        let (shown, complaint) = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {complaint}");
        assert!(complaint.contains(cure), "{arguments}: {complaint}");
        assert_eq!(shown, "");
    }
    Ok(())
}

#[test]
fn what_fails_ends_with_1_and_one_line() -> io::Result<()> {
    for (arguments, cause) in [
        (
            "--nats 127.0.0.1:1",
            "no NATS server can be reached at 127.0.0.1:1",
        ),
        ("--memory --node a.b", "`a.b` cannot name a node"),
        ("--memory --namespace a.b", "`a.b` cannot be a namespace"),
    ] {
        let output = shop(arguments).output()?;
        let (_, complaint) = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {complaint}");
        assert!(
            complaint.starts_with(&format!("shop: {cause}")),
            "{complaint}"
        );
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_node_that_is_asked_to_end_stops_in_good_order() -> io::Result<()> {
    let mut node = shop("--memory --log-format json")
        .stderr(Stdio::piped())
        .spawn()?;
    let log = node.stderr.take().map(BufReader::new);
    let mut log = log
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(Result::ok);
    assert!(log.any(|line| line.starts_with('{') && line.contains("the node is ready")));
    let kill = Command::new("kill")
        .args(["-TERM", &node.id().to_string()])
        .status()?;
    assert!(kill.success());
    assert!(log.any(|line| line.contains("the node has stopped")));
    assert!(node.wait()?.success());
    Ok(())
}
