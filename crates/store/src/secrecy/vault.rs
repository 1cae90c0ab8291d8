//! Seals what is secret before it is written, and opens it again.
//!
//! AES-256-GCM under a key of each cell's own (HMAC-SHA256 of the cell's name under the installation's key),
//! with a random nonce. The cell's name is authenticated too, so what is sealed opens nowhere but where it
//! was written: nobody who can change the database can put one webhook's secret in another's place.

use std::fmt::{self, Display};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;

use crate::error::{Result, StoreError};
use crate::secrecy::key_source::SecretsKey;

/// What everything sealed begins with; the number is the way it was sealed.
const PREFIX: &str = "sealed:1:";

/// The key, in use; cheap to clone.
#[derive(Clone)]
pub struct Vault(Option<Arc<hmac::Key>>);

/// A cell of the database: what is sealed belongs to one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// `table.column`
    pub(crate) column: &'static str,
}

/// The cells that hold secrets.
pub(crate) mod cell {
    use super::Cell;

    pub(crate) const SIGNING_SECRET: Cell = Cell { column: "webhooks.signing_secret" };
    pub(crate) const SECRET_VALUE: Cell = Cell { column: "webhooks.secret_value" };
    pub(crate) const WEBHOOK_HEADERS: Cell = Cell { column: "webhooks.custom_headers" };
    pub(crate) const CREDENTIALS: Cell = Cell { column: "webhooks.credentials" };
    pub(crate) const PREVIOUS_SECRET: Cell = Cell { column: "webhook_previous_secrets.signing_secret" };
    pub(crate) const EVENT_HEADERS: Cell = Cell { column: "events.custom_headers" };
    pub(crate) const DELIVERY_SECRET: Cell = Cell { column: "deliveries.secret" };
    pub(crate) const COMMAND_PAYLOAD: Cell = Cell { column: "commands.sealed_payload" };
    pub(crate) const BULK_PAYLOAD: Cell = Cell { column: "bulk_commands.sealed_payload" };
    pub(crate) const REQUEST_HASH: Cell = Cell { column: "idempotent_requests.request_hash" };
    pub(crate) const REQUEST_ANSWER: Cell = Cell { column: "idempotent_requests.body" };
    pub(crate) const CHECK: Cell = Cell { column: "meta.value" };
}

impl Vault {
    /// One that opens what was sealed with `key`.
    pub(crate) fn new(key: &SecretsKey) -> Self {
        Self(Some(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.bytes()))))
    }

    /// One without a key, for errands that have nothing to do with secrets.
    pub(crate) fn locked() -> Self {
        Self(None)
    }

    /// The key of one cell, and the cell's name.
    fn key(&self, cell: Cell, row: impl Display) -> Result<(LessSafeKey, String)> {
        let name = format!("{}/{row}", cell.column);
        let master = self.0.as_ref().ok_or_else(|| broken(&name, "the store was opened without its key"))?;
        let of_cell = hmac::sign(master, name.as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, of_cell.as_ref()).map_err(|_| broken(&name, "no key"))?;
        Ok((LessSafeKey::new(key), name))
    }

    /// A key for something beside the cells, by what it is for. It stays the same as long as the
    /// installation's own, which is not in the database; `None` without that.
    pub fn derived(&self, purpose: &str) -> Option<[u8; 32]> {
        let master = self.0.as_ref()?;
        hmac::sign(master, format!("derived key: {purpose}").as_bytes()).as_ref().try_into().ok()
    }

    /// Seals bytes that are kept outside of the database, such as a cookie, for one purpose.
    ///
    /// # Errors
    /// Without a key; [`StoreError::NoRandomness`].
    pub fn seal_for(&self, purpose: &'static str, plain: &[u8]) -> Result<Vec<u8>> {
        self.seal_bytes(Cell { column: purpose }, "", plain)
    }

    /// What was sealed for this purpose.
    ///
    /// # Errors
    /// If it was sealed under another key or for another purpose, or was changed.
    pub fn open_for(&self, purpose: &'static str, sealed: &[u8]) -> Result<Vec<u8>> {
        self.open_bytes(Cell { column: purpose }, "", sealed)
    }

    /// Seals bytes for the cell of this row.
    ///
    /// # Errors
    /// Without a key; [`StoreError::NoRandomness`].
    pub(crate) fn seal_bytes(&self, cell: Cell, row: impl Display, plain: &[u8]) -> Result<Vec<u8>> {
        let (key, name) = self.key(cell, row)?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(StoreError::NoRandomness)?;
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(name.as_bytes()),
            &mut sealed,
        )
        .map_err(|_| broken(&name, "it is too long to be sealed"))?;
        sealed.splice(0..0, nonce);
        Ok(sealed)
    }

    /// What was sealed for the cell of this row.
    ///
    /// # Errors
    /// If it was sealed under another key or for another cell, or was changed.
    pub(crate) fn open_bytes(&self, cell: Cell, row: impl Display, sealed: &[u8]) -> Result<Vec<u8>> {
        let (key, name) = self.key(cell, row)?;
        let (nonce, sealed) =
            sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(|| broken(&name, "it is too short"))?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut opened)
            .map(|plain| plain.len())
            .map_err(|_| broken(&name, "it was sealed under another key or for another cell"))?;
        opened.truncate(length);
        Ok(opened)
    }

    /// Seals a text for the cell of this row, as a text.
    ///
    /// # Errors
    /// As [`Vault::seal_bytes`].
    pub(crate) fn seal(&self, cell: Cell, row: impl Display, plain: &str) -> Result<String> {
        let sealed = self.seal_bytes(cell, row, plain.as_bytes())?;
        Ok(format!("{PREFIX}{}", STANDARD_NO_PAD.encode(sealed)))
    }

    /// The text that was sealed for the cell of this row.
    ///
    /// # Errors
    /// As [`Vault::open_bytes`]; also of a text that is not sealed.
    pub(crate) fn open(&self, cell: Cell, row: impl Display, sealed: &str) -> Result<String> {
        let name = || format!("{}/{row}", cell.column);
        let encoded = sealed.strip_prefix(PREFIX).ok_or_else(|| broken(&name(), "it is not sealed"))?;
        let sealed = STANDARD_NO_PAD.decode(encoded).map_err(|_| broken(&name(), "it is no base64"))?;
        let plain = self.open_bytes(cell, &row, &sealed)?;
        String::from_utf8(plain).map_err(|_| broken(&name(), "it is no text"))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Vault" } else { "Vault(locked)" })
    }
}

/// Never shows what is in the cell.
fn broken(cell: &str, why: &str) -> StoreError {
    StoreError::Corrupt(format!("the secret {cell} cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(key: &str) -> Vault {
        Vault::new(&key.repeat(32).parse().expect("a key"))
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_and_in_its_cell_alone() {
        let vault_a = vault("a1");
        let sealed = vault_a.seal(cell::SIGNING_SECRET, 7, "whsec_x").expect("seals");
        assert!(!sealed.contains("whsec_"));
        assert_eq!(vault_a.open(cell::SIGNING_SECRET, 7, &sealed).expect("opens"), "whsec_x");
        let again = vault_a.seal(cell::SIGNING_SECRET, 7, "whsec_x").expect("seals");
        assert_ne!(sealed, again, "a nonce of its own");
        let changed = sealed.replace(&sealed[20..22], "zz");
        for (what, refused) in [
            ("another row", vault_a.open(cell::SIGNING_SECRET, 8, &sealed)),
            ("another column", vault_a.open(cell::SECRET_VALUE, 7, &sealed)),
            ("another key", vault("b2").open(cell::SIGNING_SECRET, 7, &sealed)),
            ("changed", vault_a.open(cell::SIGNING_SECRET, 7, &changed)),
            ("cut off", vault_a.open(cell::SIGNING_SECRET, 7, &sealed[..20])),
            ("in the clear", vault_a.open(cell::SIGNING_SECRET, 7, "whsec_x")),
            ("without a key", Vault::locked().open(cell::SIGNING_SECRET, 7, &sealed)),
        ] {
            let error = refused.expect_err(what).to_string();
            assert!(!error.contains("whsec_"), "{what}: {error}");
        }
    }
}
