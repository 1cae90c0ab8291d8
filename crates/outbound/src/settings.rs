//! Settings of outbound requests.

use std::path::PathBuf;

use ipnet::IpNet;

use super::destination::{Guard, PrivateUrl};
use super::signature::SigningSecret;
use vocabulary::setting::{Given, Rules, Setting, TextSetting, table};

table! {
    /// The part of `[delivery]` that says where requests of the gateway may go.
    pub struct Outbound {
        /// Networks that deliveries may reach although they are not public.
        allowed_networks: Vec<IpNet> = Vec::new(),
        /// Refuses `http://` URLs.
        https_only: bool = false,
        /// A PEM file of certificate authorities that are trusted beside the public ones.
        extra_ca: Option<PathBuf> = None,
    }
}

impl Rules for Outbound {}

impl Outbound {
    /// Where requests may go.
    pub fn guard(&self) -> Guard {
        Guard { allowed: self.allowed_networks.clone(), https_only: self.https_only }
    }
}

impl TextSetting for SigningSecret {
    const FORM: &'static str = "a signing secret such as \"whsec_…\"";
}

impl Setting for PrivateUrl {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("a URL such as \"https://example.com/authorize\"")?;
        text.parse().map_err(|error| {
            format!("not a valid URL ({error}): write an absolute one such as https://example.com/authorize")
        })
    }
}
