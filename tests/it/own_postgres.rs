//! A server of PostgreSQL that a test has to itself, to configure and to restart.

#![expect(clippy::print_stderr, reason = "a test run says what it did not try")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

pub(crate) struct OwnPostgres {
    home: TempDir,
    programs: PathBuf,
    port: u16,
}

impl OwnPostgres {
    /// One with these settings on top of the tests' own; `None`, with a word, where its programs are missing.
    pub(crate) fn start(settings: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("left out: this machine has no initdb of PostgreSQL");
            return None;
        };
        let home = tempfile::tempdir().expect("a directory");
        if is_root() {
            let done = Command::new("chown").arg("postgres").arg(home.path()).status().expect("chown runs");
            assert!(done.success(), "PostgreSQL runs as the user postgres");
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        let server = Self { home, programs, port };
        let data = server.data();
        let directory = data.to_str().expect("UTF-8");
        let as_tests_need_it = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"];
        server.run("initdb", &[&["-D", directory][..], &as_tests_need_it].concat());
        let own = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 100\n\
             fsync = off\n{settings}\n"
        );
        std::fs::write(data.join("postgresql.auto.conf"), own).expect("writes");
        drop(free);
        server.control(&["start"]);
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The program's own directory, for files that it reads.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file that the server alone may read.
    pub(crate) fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.data().join(name);
        std::fs::write(&path, text).expect("writes");
        for arguments in [["chmod", "600"], ["chown", "postgres"]] {
            if arguments[0] == "chmod" || is_root() {
                let done = Command::new(arguments[0]).arg(arguments[1]).arg(&path).status().expect("runs");
                assert!(done.success());
            }
        }
        path
    }

    /// Its database, as its owner, without a password and without TLS.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("connects");
        tokio::spawn(connection);
        client
    }

    /// Runs statements, each for itself.
    pub(crate) async fn sql(&self, statements: &[&str]) {
        let client = self.client().await;
        for statement in statements {
            client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    }

    /// Falls over, in the middle of whatever it does, and comes back.
    pub(crate) fn crash_and_recover(&self) {
        self.control(&["restart", "-m", "immediate"]);
    }

    /// Runs its `pg_ctl`, which waits until that is done.
    fn control(&self, arguments: &[&str]) {
        let (data, log) = (self.data(), self.home.path().join("data/log"));
        let told = [arguments, &["-w", "-t", "60", "-D", data.to_str().expect("UTF-8")]].concat();
        self.run("pg_ctl", &[&told[..], &["-l", log.to_str().expect("UTF-8")]].concat());
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.programs.join(program);
        let mut command = match is_root() {
            false => Command::new(&program),
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(&program);
                command
            }
        };
        command.args(arguments).current_dir(self.home.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let done = command.stderr(Stdio::null()).status().expect("it runs");
        let log = std::fs::read_to_string(self.home.path().join("data/log")).unwrap_or_default();
        assert!(done.success(), "{} {arguments:?}: {done}\n{log}", program.display());
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        self.control(&["stop", "-m", "immediate"]);
    }
}

/// It refuses to run as root.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.trim_ascii() == b"0"
}

/// Where the programs of the newest version are: as Debian has them, or in the search path.
fn programs() -> Option<PathBuf> {
    let version = |home: &PathBuf| {
        home.parent()?.file_name()?.to_str()?.parse::<u32>().ok().filter(|_| home.join("initdb").exists())
    };
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = installed.map(|version| version.path().join("bin")).filter(|home| version(home).is_some());
    newest.max_by_key(version).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|directory| directory.join("initdb").exists())
    })
}
