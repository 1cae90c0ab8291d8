//! Options of every command that calls a running gateway: its URL and the API key.

use std::path::PathBuf;

use clap::Args;
use url::{Host, Url};

use super::{Failure, input};
use crate::client::{Client, URL_VARIABLE};
use crate::keys::{ADMIN_KEY_FILE, API_KEY_VARIABLE};

const URL_DEFAULT: &str = "http://127.0.0.1:8080";

/// The variable of the setting `server.data_dir`.
pub(super) const DATA_DIR_VARIABLE: &str = "CHARGEHOOK_SERVER_DATA_DIR";

const DATA_DIR_DEFAULT: &str = "./data";

/// The URL of a running gateway, and the key to it.
#[derive(Args)]
pub(super) struct Remote {
    /// Where the gateway's REST API is
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = URL_VARIABLE,
        default_value = URL_DEFAULT,
        help_heading = "Connection"
    )]
    url: String,
    /// An API key of the gateway
    #[arg(
        long,
        global = true,
        value_name = "KEY",
        env = API_KEY_VARIABLE,
        hide_env_values = true,
        help_heading = "Connection"
    )]
    api_key: Option<String>,
    /// Without a key: the data directory of a gateway on this machine, for its admin-key file
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = DATA_DIR_VARIABLE,
        default_value = DATA_DIR_DEFAULT,
        help_heading = "Connection"
    )]
    data_dir: PathBuf,
    /// Certificates (PEM) of authorities to trust beside the system's, for https://
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    ca: Option<String>,
}

impl Remote {
    /// What was given, and else what the environment says, as clap reads the same options.
    pub(super) fn new(
        url: Option<String>,
        api_key: Option<String>,
        data_dir: Option<String>,
        ca: Option<String>,
    ) -> Self {
        let or_variable = |given: Option<String>, name| given.or_else(|| std::env::var(name).ok());
        Self {
            url: or_variable(url, URL_VARIABLE).unwrap_or_else(|| URL_DEFAULT.to_owned()),
            api_key: or_variable(api_key, API_KEY_VARIABLE),
            data_dir: or_variable(data_dir, DATA_DIR_VARIABLE)
                .unwrap_or_else(|| DATA_DIR_DEFAULT.to_owned())
                .into(),
            ca,
        }
    }

    /// A client for the gateway.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let authorities = self.ca.as_deref().map(input::content).transpose()?;
        Ok(Client::trusting(&self.url, &self.key()?, authorities.as_deref())?)
    }

    fn key(&self) -> Result<String, Failure> {
        // An empty variable means none.
        if let Some(key) = self.api_key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
            return Ok(key.to_owned());
        }
        let file = self.data_dir.join(ADMIN_KEY_FILE);
        // The key of this machine's gateway must not be sent to another machine unasked.
        match std::fs::read_to_string(&file) {
            Ok(text) if leads_here(&self.url) => Ok(text.trim().to_owned()),
            _ => Err(Failure::NoKey(file)),
        }
    }
}

/// Whether a URL leads to this machine's own loopback.
fn leads_here(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_key_of_this_machine_stays_here() {
        for here in ["http://127.0.0.1:8080", "https://127.1/", "http://[::1]:8080", "http://localhost:1"] {
            assert!(leads_here(here), "{here}");
        }
        for elsewhere in
            ["http://10.0.0.1:8080", "https://gateway.example.com", "http://localhost.example.com"]
        {
            assert!(!leads_here(elsewhere), "{elsewhere}");
        }
    }
}
