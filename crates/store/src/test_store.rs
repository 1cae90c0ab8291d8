//! Which database tests are run on.

/// The database of a test that is run on PostgreSQL: a schema of its own for each data directory, on the
/// server that `CHARGEHOOK_TEST_STORE` names; `None`: the test is run on SQLite.
pub fn shared_address(data_dir: &std::path::Path) -> Option<crate::Address> {
    let server = std::env::var("CHARGEHOOK_TEST_STORE").ok()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, data_dir.as_os_str().as_encoded_bytes());
    let separator = if server.contains('?') { '&' } else { '?' };
    let url = format!("{server}{separator}schema=test_{}", hex::encode(&digest.as_ref()[..12]));
    Some(crate::Address::parse(&url, None).expect("CHARGEHOOK_TEST_STORE is an address"))
}

/// Whether a test that looks into SQLite's own files has nothing to do, because the tests are run on
/// PostgreSQL.
#[cfg(test)]
pub(crate) fn is_shared() -> bool {
    std::env::var_os("CHARGEHOOK_TEST_STORE").is_some()
}
