//! `chargehook counts`: moves numbers on after PostgreSQL was recovered to an earlier moment.

use clap::Subcommand;

use super::backup::{AS_IT_WAS, passed_over, warnings_only};
use super::{DatabaseArgs, Failure, input, print};
use store::{self, Advanced};
use vocabulary::clock::{Clock, Timestamp};

pub(super) const HELP: &str = "\
Examples:
  chargehook counts advance --store postgres://chargehook@db.example.com/chargehook
  chargehook counts advance --config /etc/chargehook.toml --since 2026-04-14T12:00:00Z";

/// The arguments of `counts`.
#[derive(Subcommand)]
pub(super) enum Counts {
    /// Moves every count past what may have been used since the moment that the database is back at
    ///
    /// For a database of PostgreSQL that nodes share, after a recovery to an earlier moment (PITR),
    /// pg_restore, or a standby that took over without the last commits. What was done since is lost there,
    /// but chargers and integrators know its numbers: transaction ids, station_seq, webhooks' sequences, rows
    /// that cursors stand on, webhooks' ids and epochs go on as far as after a `restore`, and a
    /// GatewayRestored event tells webhooks of it. Bulk commands that were running are canceled.
    ///
    /// Do it before the first node starts: it is refused while nodes are active. A second time does no harm;
    /// it only leaves a gap in every count once more.
    Advance {
        /// The moment that was recovered to: a time, or how long ago [default: the last one it knows of]
        ///
        /// Needed only if a node has worked on the database since.
        #[arg(long, value_name = "TIME", value_parser = input::moment)]
        since: Option<Timestamp>,
        #[command(flatten)]
        place: DatabaseArgs,
    },
}

pub(super) fn run(asked: Counts) -> Result<(), Failure> {
    let Counts::Advance { since, place } = asked;
    let address = place.load()?.store.address()?.ok_or(Failure::OtherStore(
        "counts advance is for a database of PostgreSQL: name it with --store or store.url. `restore` moves the counts \
         of the embedded one by itself",
    ))?;
    warnings_only()?;
    if !store::Store::exists_at(&address)? {
        return Err(Failure::NoTables(address.to_string()));
    }
    let Advanced { back_at, steps } = store::advance_counts(&address, since, &Clock::System)?;
    print(&format!("{address}: the database of {back_at}\n{}{AS_IT_WAS}", passed_over(steps)))
}
