//! The way to a database that gateways share: TLS in its three modes, passwords from wherever they come, and
//! none of them in a log.

use std::io::{BufRead, BufReader, Read};
use std::process::{Output, Stdio};

use rcgen::{CertificateParams, KeyPair, SanType};

use crate::harness::{ADMIN_KEY, Running, program, start};
use crate::own_postgres::OwnPostgres;
use crate::tls::Authority;

/// Who may come in how: `plain` without TLS only, everybody else with a password over TLS, but for the owner.
const WHO_MAY: &str = "host all postgres 127.0.0.1/32 trust\nhostnossl all plain 127.0.0.1/32 trust\n\
                       hostssl all sealed 127.0.0.1/32 scram-sha-256\n";

/// What a URL needs another form for.
const PASSWORD: &str = "Se same:ü/@%?";

/// The same in a URL.
const PASSWORD_IN_URL: &str = "Se%20same%3A%C3%BC%2F%40%25%3F";

struct Site {
    server: OwnPostgres,
    authority: String,
    stranger: String,
}

impl Site {
    /// A server named localhost, and nothing else. `None`: this machine has no PostgreSQL.
    async fn new() -> Option<Self> {
        let server = OwnPostgres::start("")?;
        let authority = Authority::new("our authority");
        let identity =
            authority.sign(&KeyPair::generate().expect("a key"), |params: &mut CertificateParams| {
                params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().expect("a name"))];
            });
        server.put("server.crt", &identity.certificate);
        server.put("server.key", &identity.key);
        server.put("pg_hba.conf", WHO_MAY);
        let roots = server.put("../authority.pem", &authority.certificate);
        let stranger = server.put("../stranger.pem", &Authority::new("no authority of ours").certificate);
        let user = format!("CREATE ROLE sealed LOGIN PASSWORD '{PASSWORD}'");
        server
            .sql(&[
                "ALTER SYSTEM SET ssl = on",
                &user,
                "CREATE ROLE plain LOGIN IN ROLE sealed",
                "GRANT CREATE ON DATABASE postgres TO sealed",
                "SELECT pg_reload_conf()",
            ])
            .await;
        let text = |path: std::path::PathBuf| path.to_str().expect("UTF-8").to_owned();
        Some(Self { server, authority: text(roots), stranger: text(stranger) })
    }

    fn url(&self, user: &str, host: &str, query: &str) -> String {
        format!("postgres://{user}@{host}:{}/postgres?{query}", self.server.port())
    }

    /// As a gateway comes in that does everything right.
    fn good(&self, password: &str) -> String {
        self.url(&format!("sealed{password}"), "localhost", &format!("sslrootcert={}", self.authority))
    }

    /// A gateway on it, which makes the tables.
    async fn gateway(&self) -> Running {
        let url = self.good(&format!(":{PASSWORD_IN_URL}"));
        start(|config| config.store.url = Some(url.parse().expect("a URL"))).await
    }
}

/// Lists the keys in this database.
async fn list_keys(url: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.args(["keys", "list", "--store", url]).envs(environment.iter().copied());
    tokio::task::spawn_blocking(move || command.output()).await.expect("runs").expect("runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_what_its_mode_says() {
    let Some(site) = Site::new().await else { return };
    let gateway = site.gateway().await;
    let sealed =
        "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                  WHERE usename = 'sealed'";
    let row = site.server.client().await.query_one(sealed, &[]).await.expect("reads");
    let (under_tls, all): (i64, i64) = (row.get(0), row.get(1));
    assert!(under_tls == all && all >= 2, "{under_tls} of {all}");

    let with_password = format!("sealed:{PASSWORD_IN_URL}");
    let (roots, stranger) = (&site.authority, &site.stranger);
    for (user, host, query, refusal) in [
        (with_password.as_str(), "localhost", format!("sslrootcert={roots}"), None),
        (&with_password, "localhost", format!("sslmode=verify-full&sslrootcert={roots}"), None),
        // Whoever answers.
        (&with_password, "127.0.0.1", "sslmode=require".to_owned(), None),
        ("plain", "127.0.0.1", "sslmode=disable".to_owned(), None),
        // The system's authorities do not know ours.
        (&with_password, "localhost", String::new(), Some("certificate")),
        (&with_password, "localhost", format!("sslrootcert={stranger}"), Some("certificate")),
        (&with_password, "127.0.0.1", format!("sslrootcert={roots}"), Some("certificate")),
        (&with_password, "localhost", "sslrootcert=/nowhere.pem".to_owned(), Some("/nowhere.pem")),
        (&with_password, "127.0.0.1", "sslmode=disable".to_owned(), Some("28000")),
        ("plain", "127.0.0.1", "sslmode=require".to_owned(), Some("28000")),
    ] {
        let listed = list_keys(&site.url(user, host, &query), &[]).await;
        let words = told(&listed);
        match refusal {
            None => assert!(listed.status.success(), "{user} {host} {query}: {words}"),
            Some(reason) => {
                assert_eq!(listed.status.code(), Some(1), "{user} {host} {query}: {words}");
                assert!(words.contains(reason), "{user} {host} {query}: {words}");
            }
        }
        assert!(!words.contains(PASSWORD) && !words.contains(PASSWORD_IN_URL), "{words}");
    }
    gateway.stop().await;

    // A server that has no TLS to offer gets no password.
    site.server.sql(&["ALTER SYSTEM SET ssl = off", "SELECT pg_reload_conf()"]).await;
    let listed = list_keys(&site.url(&with_password, "127.0.0.1", "sslmode=require"), &[]).await;
    assert!(told(&listed).contains("does not support TLS"), "{}", told(&listed));
    assert_eq!(listed.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_the_url_a_file_or_the_environment_and_is_never_shown() {
    let Some(site) = Site::new().await else { return };
    let dir = site.gateway().await.stop().await;
    let file = site.server.home().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).expect("writes");
    let file = file.to_str().expect("UTF-8");
    let (in_url, wrong) = (site.good(&format!(":{PASSWORD_IN_URL}")), site.good(":wrong"));
    for (url, environment, comes_in) in [
        (in_url.as_str(), [].as_slice(), true),
        (&site.good(""), &[("CHARGEHOOK_STORE_PASSWORD", PASSWORD)], true),
        (&site.good(""), &[("CHARGEHOOK_STORE_PASSWORD_FILE", file)], true),
        (&wrong, &[("CHARGEHOOK_STORE_PASSWORD", PASSWORD)], true),
        (&wrong, &[], false),
        (&site.good(""), &[], false),
        (&in_url, &[("CHARGEHOOK_STORE_PASSWORD", "wrong")], false),
    ] {
        let listed = list_keys(url, environment).await;
        let words = told(&listed);
        assert_eq!(listed.status.success(), comes_in, "{url} {environment:?}: {words}");
        let refused = words.contains("28P01") || words.contains("password missing");
        assert!(comes_in || refused, "{url} {environment:?}: {words}");
        assert!(!words.contains(PASSWORD), "{words}");
    }

    // Everything that there is to log, of a gateway that comes in, works and ends.
    let mut process = program()
        .args([
            "serve",
            "--ocpp-listen",
            "127.0.0.1:0",
            "--api-listen",
            "127.0.0.1:0",
            "--log-level",
            "trace",
        ])
        .arg("--data-dir")
        .arg(dir.path())
        .env("CHARGEHOOK_STORE_URL", &in_url)
        .env("CHARGEHOOK_API_KEY", ADMIN_KEY)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = process.stderr.take().expect("piped");
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).map(|_| log)
    });
    let mut ready = String::new();
    BufReader::new(process.stdout.take().expect("piped")).read_line(&mut ready).expect("a line");
    assert!(ready.starts_with("chargehook ready"), "{ready}");
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().expect("runs").success());
    assert!(process.wait().expect("ends").success());
    let log = log.join().expect("ends").expect("UTF-8");
    assert!(log.contains("localhost"), "it says where its database is");
    assert!(!log.contains(PASSWORD) && !log.contains(PASSWORD_IN_URL) && !log.contains("Se same"), "{log}");
}
