use super::*;
use crate::Store;
use crate::engine::embedded::data_dir::DATABASE;
use crate::seed::secrets_in;

fn key(digits: &str) -> SecretsKey {
    digits.repeat(32).parse().expect("a key")
}

/// Every cell that is sealed, as a copy of the database would have it.
fn sealed(dir: &Path) -> Vec<Vec<u8>> {
    let database = DatabaseFile::look_at(&dir.join(DATABASE)).expect("opens");
    let mut cells = Vec::new();
    for (table, column) in [
        ("webhooks", "signing_secret"),
        ("webhooks", "secret_value"),
        ("webhooks", "custom_headers"),
        ("webhooks", "credentials"),
        ("webhook_previous_secrets", "signing_secret"),
        ("events", "custom_headers"),
        ("deliveries", "secret"),
        ("commands", "sealed_payload"),
        ("bulk_commands", "sealed_payload"),
        ("idempotent_requests", "request_hash"),
        ("idempotent_requests", "body"),
    ] {
        let select = format!("SELECT CAST({column} AS BLOB) FROM {table} WHERE {column} IS NOT NULL");
        let found: Vec<Vec<u8>> = database.read().all(&select, &[], |row| row.get(0)).expect("reads");
        assert!(!found.is_empty(), "{table}.{column} has something to lose");
        cells.extend(found);
    }
    cells
}

fn holds(dir: &Path, needles: &[Vec<u8>]) -> bool {
    let files = std::fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").path());
    let mut all = files.map(|file| std::fs::read(file).expect("reads"));
    all.any(|bytes| needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle)))
}

async fn tells_its_secrets(store: &Store) {
    let secrets = store.webhook_secrets(1, Clock::System.now()).await.expect("opens").expect("is there");
    assert_eq!(secrets.signing_secret, "SECRET-signing");
    assert_eq!(secrets.previous[0].signing_secret, "SECRET-previous");
    let webhook = store.webhook(1).await.expect("opens").expect("is there");
    assert_eq!(webhook.secret_value.as_deref(), Some("SECRET-value"));
    assert_eq!(webhook.webhook.custom_headers["x-token"], "SECRET-header");
    let credentials = webhook.credentials.expect("is there");
    assert_eq!(credentials.token.as_deref(), Some("SECRET-token"));
}

/// A directory with a database that has secrets of every kind, sealed under the key of its file.
fn sealed_in(dir: &Path) -> (KeySource, SecretsKey) {
    secrets_in(dir);
    DatabaseFile::open(&dir.join(DATABASE)).expect("opens").run_all(
        r#"UPDATE stations SET password_verifiers = '["$argon2id$slow#id.LIGHT-under-the-old-key","$bare"]';
           INSERT INTO key_rotations (command_id, station_id, verifier, state)
           VALUES ('cmd_00000000010000000000000000', 'CP', '$other#id.LIGHT-under-the-old-key', 'ordered');"#,
    );
    let source = KeySource::file_in(dir);
    let key = source.read().expect("reads").expect("was made");
    (source, key)
}

#[tokio::test]
async fn another_key_opens_everything_and_nothing_is_left_for_the_old_one() {
    if crate::test_store::is_shared() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (source, old) = sealed_in(dir.path());
    let mut before = sealed(dir.path());
    before.push(b"LIGHT-under-the-old-key".to_vec());
    assert!(holds(dir.path(), &before));

    let (changed, residue) = change_key(dir.path(), &source, None, &Clock::System).expect("changes");
    let KeyChanged::InPlace { file, before: Some(kept) } = changed else { panic!("{changed:?}") };
    assert!(residue == Residue::Gone && KeySource::File(file) == source);
    assert_eq!(KeySource::File(kept).read().expect("reads"), Some(old.clone()), "backups need it");
    assert!(!holds(dir.path(), &before), "neither rows, nor free pages, nor the write-ahead log");
    let refused = Store::open_with(dir.path(), &KeySource::Given(old), Clock::System).err().expect("refused");
    assert!(matches!(refused, StoreError::Key(KeyFault::Wrong(_))), "{refused}");

    let store = Store::open(dir.path(), Clock::System).expect("opens");
    tells_its_secrets(&store).await;
    assert_eq!(
        store.seed_text("SELECT password_verifiers FROM stations").await,
        r#"["$argon2id$slow","$bare"]"#,
        "what was quick under the old key is slow again"
    );
    assert_eq!(store.seed_text("SELECT verifier FROM key_rotations").await, "$other");
    let told = "SELECT count(*) FROM audit WHERE action = 'secrets_change_key' AND key_id IS NULL";
    assert_eq!(store.seed_number(told).await, 1);
    let running = change_key(dir.path(), &source, None, &Clock::System);
    assert!(matches!(running, Err(KeyChangeRefused::Store(StoreError::InUse(_)))));
    store.close();
}

#[tokio::test]
async fn a_key_that_is_given_is_used_and_written_nowhere() {
    if crate::test_store::is_shared() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (source, old) = sealed_in(dir.path());
    let change = |source: &KeySource, next| change_key(dir.path(), source, next, &Clock::System);
    assert!(matches!(change(&source, Some(old)), Err(KeyChangeRefused::SameKey)));
    let nowhere = KeySource::Given(key("a1"));
    assert!(matches!(change(&nowhere, None), Err(KeyChangeRefused::NoNextKey)));
    let wrong = change(&nowhere, Some(key("b2")));
    assert!(matches!(wrong, Err(KeyChangeRefused::Store(StoreError::Key(KeyFault::Wrong(_))))));
    assert_eq!(change(&source, Some(key("a1"))).expect("changes").0, KeyChanged::Given);
    // Said again by somebody who was killed, and may not know how far it had come.
    assert_eq!(change(&source, Some(key("a1"))).expect("is done").0, KeyChanged::Given);
    assert_eq!(change(&nowhere, Some(key("b2"))).expect("from one to the next").0, KeyChanged::Given);
    let store = Store::open_with(dir.path(), &KeySource::Given(key("b2")), Clock::System).expect("opens");
    let store = store.store;
    tells_its_secrets(&store).await;
    store.close();
    let written = holds(dir.path(), &["a1".repeat(32).into_bytes(), "b2".repeat(32).into_bytes()]);
    assert!(!written, "whoever gave it keeps it");
}

#[tokio::test]
async fn a_change_that_was_cut_off_is_found_out_by_itself() {
    if crate::test_store::is_shared() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (source, old) = sealed_in(dir.path());
    let KeySource::File(file) = &source else { panic!("a file") };
    let next = key_source::next_file(file);
    // Killed before the database was touched: the old key counts, and the next one waits for the next try.
    key_source::write(&next, &key("c3")).expect("writes");
    Store::open(dir.path(), Clock::System).expect("opens").close();
    assert_eq!(source.read().expect("reads"), Some(old.clone()));
    change_key(dir.path(), &source, None, &Clock::System).expect("changes");
    assert_eq!(source.read().expect("reads"), Some(key("c3")));

    // Killed between the database and the file: at the next start it has its name.
    let cut_off = || {
        std::fs::rename(file, &next).expect("renames");
        key_source::write(file, &old).expect("writes");
    };
    cut_off();
    let copied = dir.path().join("copied.key");
    copy_key(dir.path(), &source, &copied).expect("copies");
    assert_eq!(KeySource::File(copied).read().expect("reads"), Some(key("c3")), "the one that opens it");
    let store = Store::open(dir.path(), Clock::System).expect("opens");
    tells_its_secrets(&store).await;
    store.close();
    assert_eq!(source.read().expect("reads"), Some(key("c3")));
    assert!(!next.exists());

    // Or with the next try, which is then done.
    cut_off();
    let (changed, _) = change_key(dir.path(), &source, None, &Clock::System).expect("finishes");
    assert!(matches!(changed, KeyChanged::InPlace { before: Some(_), .. }), "{changed:?}");
    assert_eq!(source.read().expect("reads"), Some(key("c3")), "and begins no other");
    Store::open(dir.path(), Clock::System).expect("opens").close();
}
