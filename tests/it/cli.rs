//! The program as a shell sees it: arguments, streams, exit codes.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use crate::crash::Place;
use crate::harness::program;

fn chargehook(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.env_clear().args(arguments).envs(env.iter().copied());
    command.output().expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn the_default_file_passes_the_check() {
    let printed = chargehook(&["config", "default"], &[]);
    assert_eq!(printed.status.code(), Some(0));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("chargehook.toml");
    std::fs::write(&path, &printed.stdout).expect("written");
    let path = path.to_str().expect("UTF-8");
    for arguments in [["config", "check", path].as_slice(), &["config", "check", "--config", path]] {
        let checked = chargehook(arguments, &[]);
        assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
        assert_eq!(stdout(&checked), format!("{path}: no faults\n"));
    }
}

#[test]
fn a_wrong_configuration_exits_2_and_names_every_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("wrong.toml");
    std::fs::write(&path, "[ocpp]\nheartbeat_interval = 300\n[api]\nlissten = \"x\"\n").expect("written");
    let path = path.to_str().expect("UTF-8");
    let checked =
        chargehook(&["config", "check", path, "--log-format", "xml"], &[("CHARGEHOOK_OCPP_PATHS", "ocpp")]);
    assert_eq!(checked.status.code(), Some(2));
    assert_eq!(stdout(&checked), "");
    let errors = stderr(&checked);
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 4, "{errors}");
    assert!(lines[0].starts_with(&format!("error: {path}:2: ocpp.heartbeat_interval: ")), "{errors}");
    assert!(lines[1].starts_with(&format!("error: {path}:4: api.lissten: unknown key")), "{errors}");
    assert!(lines[2].starts_with("error: option --log-format: log.format: \"xml\" is unknown"), "{errors}");
    assert!(
        lines[3].starts_with("error: environment variable CHARGEHOOK_OCPP_PATHS: ocpp.paths: "),
        "{errors}"
    );
}

#[test]
fn keys_are_not_looked_for_where_no_database_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let slip = directory.path().join("dtaa");
    let output = chargehook(&["keys", "list", "--data-dir", slip.to_str().expect("UTF-8")], &[]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    assert!(stderr(&output).contains("no chargehook database in"), "{}", stderr(&output));
    assert!(!slip.exists(), "looking makes nothing");
}

/// `serve` in this directory, on free ports.
fn serving(data_dir: &Path) -> Vec<String> {
    let text = data_dir.to_str().expect("UTF-8");
    ["serve", "--data-dir", text, "--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]
        .map(str::to_owned)
        .into()
}

#[test]
fn a_first_key_that_cannot_be_exits_2_before_anything_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let data_dir = directory.path().join("data");
    let arguments = serving(&data_dir);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for (key, words) in [("short", "at least 16 characters"), ("sixteen letters\nand more", "one line")] {
        let output = chargehook(&arguments, &[("CHARGEHOOK_API_KEY", key)]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert!(!data_dir.exists(), "nothing was touched");
    }
}

#[test]
fn an_empty_key_in_the_environment_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = Place::new(directory.path());
    place.start(place.command().env("CHARGEHOOK_API_KEY", "")).kill();
    let key = std::fs::read_to_string(directory.path().join("admin-key")).expect("one was generated");
    assert!(key.starts_with("chk_"), "{key}");
}

#[test]
fn an_address_in_use_is_named_with_its_setting_and_exits_1() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("signs");
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let chain = file("tls.pem", certificate.cert.pem());
    let key = file("tls.key", certificate.signing_key.serialize_pem());
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let arguments = serving(&directory.path().join("data"));
    for (setting, variable) in [
        ("ocpp.listen", "CHARGEHOOK_OCPP_LISTEN"),
        ("ocpp.tls_listen", "CHARGEHOOK_OCPP_TLS_LISTEN"),
        ("api.listen", "CHARGEHOOK_API_LISTEN"),
        ("api.metrics_listen", "CHARGEHOOK_API_METRICS_LISTEN"),
    ] {
        let option = match setting {
            "ocpp.listen" => Some("--ocpp-listen"),
            "api.listen" => Some("--api-listen"),
            _ => None,
        };
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut env =
            vec![("CHARGEHOOK_OCPP_TLS_CERTIFICATE", chain.as_str()), ("CHARGEHOOK_OCPP_TLS_KEY", &key)];
        match option.and_then(|option| arguments.iter().position(|argument| *argument == option)) {
            Some(place) => arguments[place + 1] = &address,
            None => env.push((variable, &address)),
        }
        let output = chargehook(&arguments, &env);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{setting}");
        let line = format!("error: {setting}: cannot listen on {address}: ");
        let told = stderr(&output);
        assert!(told.lines().any(|told| told.starts_with(&line) && told.contains("in use")), "{told}");
    }
}

#[test]
fn wrong_usage_exits_2_and_help_exits_0() {
    for arguments in [[].as_slice(), &["fly"], &["config"], &["config", "check", "--fast"]] {
        let output = chargehook(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    let help = chargehook(&["config", "check", "--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    for option in
        ["--config", "--data-dir", "--ocpp-listen", "--api-listen", "--allow-network", "--log-format"]
    {
        assert!(stdout(&help).contains(option), "{option}");
    }
}

#[test]
fn every_option_sets_its_own_key() {
    for (option, wrong, key) in [
        ("--data-dir", "", "server.data_dir"),
        ("--ocpp-listen", "here", "ocpp.listen"),
        ("--api-listen", "here", "api.listen"),
        ("--allow-network", "here", "delivery.allowed_networks"),
        ("--log-format", "xml", "log.format"),
        ("--log-level", "a=b=c", "log.level"),
    ] {
        let output = chargehook(&["config", "check", option, wrong], &[]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        let error = stderr(&output);
        assert!(error.starts_with(&format!("error: option {option}: {key}: ")), "{error}");
    }
}

#[test]
fn a_slip_in_the_log_level_is_named_wherever_it_is_made_and_silences_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data_dir, file) = (directory.path().join("data"), directory.path().join("slip.toml"));
    std::fs::write(&file, "[server]\n\n[log]\nlevel = \"chargehook=debgu\"\n").expect("written");
    let file = file.to_str().expect("UTF-8");
    let serve = serving(&data_dir);
    let serve: Vec<&str> = serve.iter().map(String::as_str).collect();
    for (arguments, env, words) in [
        (["--config", file], None, [&format!("{file}:4: log.level: \"debgu\""), "did you mean debug?"]),
        (["--log-level", "inof"], None, ["option --log-level: log.level: \"inof\"", "did you mean info?"]),
        (["--log-level", "debug,foo"], None, ["option --log-level: log.level: \"foo\"", "is no level"]),
        (
            ["--log-format", "text"],
            Some(""),
            ["environment variable CHARGEHOOK_LOG_LEVEL: log.level: ", "a level is missing"],
        ),
    ] {
        let env: Vec<_> = env.map(|level| ("CHARGEHOOK_LOG_LEVEL", level)).into_iter().collect();
        for command in [serve.as_slice(), &["config", "check"]] {
            let refused = chargehook(&[command, arguments.as_slice()].concat(), &env);
            assert_eq!((refused.status.code(), stdout(&refused)), (Some(2), String::new()), "{arguments:?}");
            let error = stderr(&refused);
            assert!(words.iter().all(|words| error.contains(words)), "{error}");
        }
    }
    assert!(!data_dir.exists(), "nothing was touched");
    for level in ["Debug", "info,chargehook::delivery=TRACE", "off"] {
        let checked = chargehook(&["config", "check", "--log-level", level], &[]);
        assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    }
}

#[test]
fn keys_are_made_listed_and_revoked_on_the_data_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = |arguments: &[&str]| {
        let place = directory.path().to_str().expect("UTF-8");
        chargehook(&[&["keys"], arguments, &["--data-dir", place]].concat(), &[])
    };
    let made = keys(&["create", "--name", "billing", "--scopes", "read,write", "--owner", "acme"]);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let key = stdout(&made);
    assert!(key.starts_with("chk_") && key.lines().count() == 1, "the key alone: {key:?}");

    let listed = stdout(&keys(&["list"]));
    let row: Vec<_> = listed.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(row[1..4], ["billing", "read,write", "acme"]);
    assert!(!listed.contains(key.trim()), "a key is shown once");

    assert_eq!(keys(&["revoke", row[0]]).status.code(), Some(0));
    let again = keys(&["revoke", row[0]]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains(row[0]), "{}", stderr(&again));
    assert_eq!(stdout(&keys(&["list"])).lines().count(), 1, "the heading alone");

    for (name, scopes, words) in [
        ("x", "read,fly", "\"fly\" is no scope"),
        ("x", "command:Nope", "fits no command"),
        ("x", "command:remotestop", "did you mean RemoteStopTransaction?"),
        ("", "read", "the name must not be empty"),
    ] {
        let wrong = keys(&["create", "--name", name, "--scopes", scopes]);
        assert_eq!((wrong.status.code(), stdout(&wrong)), (Some(2), String::new()), "{}", stderr(&wrong));
        assert!(stderr(&wrong).contains(words), "{}", stderr(&wrong));
    }
    assert_eq!(stdout(&keys(&["list"])).lines().count(), 1, "none was made");
    assert_eq!(keys(&["create", "--name", "x", "--scopes", "command:Remote*"]).status.code(), Some(0));
}

#[test]
fn the_openapi_document_is_json() {
    let printed = chargehook(&["openapi"], &[]);
    assert_eq!(printed.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    assert!(document["openapi"].as_str().expect("a version").starts_with("3.1"), "{}", document["openapi"]);
    assert!(document["paths"]["/api/v1/webhooks"]["post"].is_object());
}

#[test]
fn serve_refuses_to_let_strangers_in_unasked() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("data");
    let place_text = place.to_str().expect("UTF-8");
    let refused = chargehook(&["serve", "--ocpp-listen", "0.0.0.0:0", "--data-dir", place_text], &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(stdout(&refused), "");
    let errors = stderr(&refused);
    assert!(
        errors.contains("stations.unknown") && errors.contains("authorization.unknown_id_tag"),
        "{errors}"
    );
    assert!(!place.exists(), "nothing was touched");
}

#[test]
fn a_csv_is_offered_where_there_is_one() {
    for (command, offers) in [("status", true), ("why", true), ("audit", true), ("serve", false)] {
        let help = stdout(&chargehook(&[command, "--help"], &[]));
        assert_eq!(help.contains("--json"), offers, "{command}: {help}");
        assert_eq!(help.contains("--csv"), offers, "{command}: {help}");
    }
}
