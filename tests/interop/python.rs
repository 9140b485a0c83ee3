//! Python with the packages of the interop examples, installed below `target/` if needed.

use crate::support::nats::{Server, target_directory};
use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
    time::Duration,
};
use tokio::{process::Command, time::timeout};

const WITHIN: Duration = Duration::from_mins(1);
const CURE: &str = "install Python 3.9 or newer as `python3`, with pip and a package index it can \
    reach, or run `python3 -m pip install -r examples/interop/requirements.txt` yourself";

/// What a script did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) well: bool,
    pub(crate) printed: String,
    pub(crate) complained: String,
}

/// Runs Python in the examples' folder, with the server and the namespace of the test.
pub(crate) async fn python(server: &Server, arguments: &[&str]) -> Result<Ran, Box<dyn Error>> {
    let mut command = Command::new("python3");
    command
        .args(arguments)
        .current_dir(scripts())
        .env("PYTHONPATH", packages()?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CALLBOARD_NATS", server.url())
        .env("CALLBOARD_NAMESPACE", super::NAMESPACE)
        .kill_on_drop(true);
    let output = timeout(WITHIN, command.output())
        .await
        .map_err(|_| format!("{arguments:?} does not end within {WITHIN:?}"))??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(Ran {
        well: output.status.success(),
        printed: text(&output.stdout),
        complained: text(&output.stderr),
    })
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/interop")
}

/// Returns the folder to look for packages in, with what is needed in it or importable anyway.
fn packages() -> Result<&'static Path, String> {
    static PACKAGES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let provided = PACKAGES.get_or_init(|| {
        let folder = target_directory().join("interop-python");
        match provide(&folder) {
            Ok(()) => Ok(folder),
            Err(reason) => Err(format!(
                "these tests need Python with `nats-py` and `msgpack`: {reason}; {CURE}"
            )),
        }
    });
    provided.as_deref().map_err(Clone::clone)
}

fn provide(folder: &Path) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(broken)?;
    let lock = File::create(folder.join("lock")).map_err(broken)?;
    lock.lock().map_err(broken)?;
    let import = ["-c", "import msgpack, nats"];
    if run(folder, &import).is_ok() {
        return Ok(());
    }
    let wanted = scripts().join("requirements.txt");
    let (target, wanted) = (folder.to_string_lossy(), wanted.to_string_lossy());
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--upgrade",
        "--target",
        &target,
        "--requirement",
        &wanted,
    ];
    run(folder, &install)?;
    run(folder, &import)
}

fn run(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = process::Command::new("python3")
        .args(arguments)
        .env("PYTHONPATH", folder)
        .output()
        .map_err(|error| format!("python3 cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "`python3 {}` failed: {}",
        arguments.join(" "),
        said.trim()
    ))
}
