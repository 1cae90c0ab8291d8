//! The program as a shell sees it: arguments, streams, exit codes.

use std::process::{Command, Output};

fn chargehook(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chargehook"));
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

#[test]
fn a_first_key_that_is_too_short_exits_2() {
    let directory = tempfile::tempdir().expect("a directory");
    let data_dir = directory.path().to_str().expect("UTF-8");
    let arguments =
        ["serve", "--data-dir", data_dir, "--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"];
    let output = chargehook(&arguments, &[("CHARGEHOOK_API_KEY", "short")]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()));
    assert!(stderr(&output).contains("at least 16 characters"), "{}", stderr(&output));
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

    let wrong = keys(&["create", "--name", "x", "--scopes", "read,fly"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("\"fly\" is no scope"), "{}", stderr(&wrong));
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
