//! What NATS's own service tools are told.

use super::{House, Outcome, python::python};

#[tokio::test]
async fn a_group_is_a_service_to_a_plain_client() -> Outcome {
    let house = House::open().await?;
    house.greets().await?;
    let godot = ["call.py", "porter.greet", r#"{"name": "Godot"}"#];
    assert!(!python(&house.server, &godot).await?.well);
    let ran = python(&house.server, &["-c", include_str!("services.py")]).await?;
    assert!(ran.well, "{ran:?}");
    assert_eq!(ran.printed, "greet interop.cmd.porter.greet 2 1");
    Ok(house.node.stop().await?)
}
