//! `chargehook why`: why a station, a session, a command, a tag or a delivery is as it is.

use clap::Args;

use super::Failure;
use super::session::GatewayArgs;
use super::table::printable;
use crate::client::ClientError;
use vocabulary::api::why::{Fact, Verdict, Why};
use vocabulary::words::listed;

pub(super) const HELP: &str = "\
Examples:
  chargehook why WALLBOX_001
  chargehook why cmd_01jrs0m6nxk3v1c8d9e0f2g4h6
  chargehook why transaction 483920175
  chargehook why tag 04A1B2C3 --owner acme
  chargehook why WALLBOX_001 --csv";

/// The arguments of `why`.
#[derive(Args)]
pub(super) struct WhyArgs {
    /// station, transaction, command, tag or delivery; without it the id tells: cmd_… is a command,
    /// dlv_… a delivery, a number a transaction, anything else a station
    #[arg(value_name = "KIND")]
    kind_or_id: String,
    /// What it is about
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The customer of the tag; without it, the tag without owner, or the only one that there is
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

const KINDS: [&str; 5] = ["station", "transaction", "command", "tag", "delivery"];

/// What kind of thing an id names, by its form.
fn kind_of(id: &str) -> &'static str {
    match id.split_once('_') {
        Some(("cmd", _)) => "command",
        Some(("dlv", _)) => "delivery",
        _ if id.parse::<u32>().is_ok() => "transaction",
        _ => "station",
    }
}

pub(super) async fn run(WhyArgs { kind_or_id, id, owner, gateway }: WhyArgs) -> Result<(), Failure> {
    let is_guessed = id.is_none();
    let (kind, id) = match id {
        Some(id) => (kind_or_id.as_str(), id),
        None => (kind_of(&kind_or_id), kind_or_id.clone()),
    };
    let bad_id = |_| Failure::NotAsked(format!("{id:?} is no id of a {kind}"));
    let session = gateway.open()?;
    let client = &session.client;
    let call = match kind {
        "station" => client.why_station(&id),
        "transaction" => client.why_transaction(id.parse().map_err(|_| bad_id(()))?),
        "command" => client.why_command(id.parse().map_err(|_| bad_id(()))?),
        "delivery" => client.why_delivery(id.parse().map_err(|_| bad_id(()))?),
        "tag" => {
            let whose: Vec<(&str, &str)> =
                owner.as_deref().map(|owner| ("owner_id", owner)).into_iter().collect();
            client.why_id_tag(&id, &whose)
        }
        other => return Err(Failure::NotAsked(format!("{other:?} must be {}", listed(&KINDS)))),
    };
    let columns = ["verdict", "part", "at", "text", "kind", "id"];
    let shown = session.show_or_rows(call, told, columns, rows).await;
    match shown {
        Err(Failure::Client(ClientError::Refused(problem))) if problem.status == 404 && is_guessed => {
            match client.why_id_tag(&id, &[]).await {
                Ok(why) if why.verdict != Verdict::TagUnknown => Err(Failure::NotAsked(format!(
                    "{problem}; there is an id tag of that name: chargehook why tag {id}"
                ))),
                _ => Err(ClientError::Refused(problem).into()),
            }
        }
        shown => shown,
    }
}

/// The answer as people read it.
fn told(why: &Why) -> String {
    let mut text = format!("{}: {}\n", why.verdict, printable(&why.summary));
    if !why.facts.is_empty() {
        text.push_str("\nwhat is known:\n");
        text.extend(why.facts.iter().map(line));
    }
    if !why.next.is_empty() {
        text.push_str("\nwhat can be done:\n");
        text.extend(why.next.iter().map(|next| format!("  - {}\n", printable(next))));
    }
    text
}

/// The answer as a table: its summary, a row for each fact with what it is taken from, and one for each thing
/// that can be done.
fn rows(why: &Why) -> Vec<[String; 6]> {
    let row = |part: &str, text: &str| {
        let none = String::new;
        [why.verdict.to_string(), part.to_owned(), none(), text.to_owned(), none(), none()]
    };
    let facts = why.facts.iter().map(|fact| {
        let [verdict, part, _, text, ..] = row("fact", &fact.text);
        [verdict, part, fact.at.to_string(), text, fact.kind.to_string(), fact.id.clone().unwrap_or_default()]
    });
    let next = why.next.iter().map(|next| row("next", next));
    std::iter::once(row("summary", &why.summary)).chain(facts).chain(next).collect()
}

fn line(fact: &Fact) -> String {
    let source = fact.id.as_deref().map(|id| format!("  ({} {id})", fact.kind)).unwrap_or_default();
    format!("  {}  {}{source}\n", fact.at, printable(&fact.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_kind() {
        for (id, kind) in [
            ("cmd_01jrs0m6nxk3v1c8d9e0f2g4h6", "command"),
            ("dlv_01jrs0m6nxk3v1c8d9e0f2g4h6", "delivery"),
            ("483920175", "transaction"),
            ("WALLBOX_001", "station"),
            ("DE*123", "station"),
        ] {
            assert_eq!(kind_of(id), kind);
        }
    }
}
