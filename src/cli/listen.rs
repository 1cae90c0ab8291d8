//! `chargehook listen`: its arguments.

use clap::Args;
use serde::Serialize;
use url::Url;

use super::remote::Remote;
use super::{Failure, input, print};
use crate::listen::{self, Options};
use outbound::destination::parse_url;
use outbound::signature::SigningSecret;
use vocabulary::delivery::BodyFormat;
use vocabulary::words::listed;

/// The arguments of `listen`.
#[derive(Args)]
pub(super) struct ListenArgs {
    /// The endpoint that gets each event, signed like a webhook; any address, this machine's own included
    #[arg(long, value_name = "URL", value_parser = read_url)]
    to: Url,
    #[command(flatten)]
    filter: Filter,
    /// The signing secret: whsec_ and base64 of 24 to 64 bytes [default: a new one, which is printed]
    #[arg(long, value_name = "SECRET")]
    secret: Option<SigningSecret>,
    #[arg(long, default_value_t, help = format!("The body's shape: {}", listed(BodyFormat::WORDS)))]
    format: BodyFormat,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Args, Serialize)]
struct Filter {
    /// Event type or pattern, such as 'Start*' or 'ocpp.*' (repeatable); a webhook's default is everything
    /// but webhook.*
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    event: Vec<String>,
    /// Only events about this station
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only events of this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
}

fn read_url(text: &str) -> Result<Url, String> {
    let url = parse_url(text).map_err(|refusal| refusal.to_string())?;
    listen::anywhere().check_url(&url, false).map_err(|refusal| refusal.to_string())?;
    Ok(url)
}

/// Forwards until it is interrupted.
pub(super) async fn run(listening: ListenArgs) -> Result<(), Failure> {
    let ListenArgs { remote, to, filter, secret, format } = listening;
    let client = remote.client()?;
    let secret = match secret {
        Some(secret) => secret,
        None => {
            let secret =
                SigningSecret::generate().map_err(|error| std::io::Error::other(error.to_string()))?;
            print(&format!("signing secret {}\n", secret.expose()))?;
            secret
        }
    };
    let filters = input::parameters(&filter);
    Ok(listen::run(Options { client, to, filters, secret, format }, std::io::stdout()).await?)
}
