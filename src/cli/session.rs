//! A session with a running gateway. Answers are shown as tables for people, or as JSON or CSV for
//! programs.

use std::collections::HashSet;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::signal::unix::{SignalKind, signal};

use super::redraw::redraw;
use super::remote::Remote;
use super::table::{Column, Table};
use super::view::View;
use super::{Failure, csv, hint, input, print};
use crate::client::{Call, Client, Follower, FollowerEvent, Parameters};
use vocabulary::api::Page;

/// Options of every command that calls a gateway.
#[derive(Args)]
pub(super) struct GatewayArgs {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    view: View,
}

impl GatewayArgs {
    pub(super) fn open(&self) -> Result<Session, Failure> {
        Ok(Session::new(self.remote.client()?, self.view))
    }
}

/// The arguments of a command whose subcommands call a gateway.
#[derive(Args)]
pub(super) struct Tasks<T: Subcommand> {
    #[command(subcommand)]
    pub(super) task: T,
    #[command(flatten)]
    pub(super) gateway: GatewayArgs,
}

/// Rows that are shown before the followed ones.
const BEFORE_FOLLOWING: u32 = 10;

/// What a list shows: which rows, and which part of them.
#[derive(Args)]
pub(super) struct ListArgs<F: Args> {
    #[command(flatten)]
    pub(super) filter: F,
    #[command(flatten)]
    pub(super) paging: Paging,
}

/// Which part of a list is shown.
#[derive(Args, Serialize)]
pub(super) struct Paging {
    /// How many rows at most, 1 to 500 [default: 50]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Continues a list: the cursor that was printed behind it
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Shows all rows, page by page
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    #[serde(skip)]
    all: bool,
    /// Shows the oldest rows first, not the newest
    #[arg(long)]
    #[serde(skip)]
    oldest_first: bool,
}

impl Paging {
    /// All of a list that is short, the oldest row first.
    pub(super) fn everything() -> Self {
        Self { limit: None, cursor: None, all: true, oldest_first: true }
    }

    /// The parameters of a list of the last rows, which are shown before new ones.
    pub(super) fn before_following(&self, mut filters: Vec<(String, String)>) -> Vec<(String, String)> {
        let limit = self.limit.unwrap_or(BEFORE_FOLLOWING);
        filters.push(("limit".to_owned(), limit.to_string()));
        filters
    }

    /// The parameters of its pages; a CSV is one page by itself.
    fn parameters(&self, is_csv: bool) -> Vec<(String, String)> {
        let mut parameters = input::parameters(self);
        let mut add = |name: &str, value: &str| parameters.push((name.to_owned(), value.to_owned()));
        if self.all && !is_csv {
            add("limit", &vocabulary::api::LIMIT_MAX.to_string());
        }
        if self.oldest_first {
            add("order", "asc");
        }
        parameters
    }
}

/// A client of a gateway, and how its answers are shown.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) json: bool,
    view: View,
}

impl Session {
    /// Shows the answers to `client` like this.
    pub(super) fn new(client: Client, view: View) -> Self {
        view.apply();
        Self { client, json: view.json, view }
    }

    /// Refuses the options of lists, where several calls lead to one answer.
    ///
    /// # Errors
    /// [`Failure::NoSuchView`] for `--csv` and `--watch`.
    pub(super) fn for_one_answer(&self) -> Result<(), Failure> {
        self.view.for_one_answer()
    }

    /// Makes a call and shows its answer: as JSON, or in the words of `tell`.
    ///
    /// # Errors
    /// [`Failure::NoSuchView`] for `--csv` and `--watch`, before the call is made.
    pub(super) async fn show<T: DeserializeOwned>(
        &self,
        call: Call<T>,
        tell: impl FnOnce(&T) -> String,
    ) -> Result<T, Failure> {
        self.view.for_one_answer()?;
        self.fetch(call, tell).await
    }

    /// The same for an answer that is no list, and has a table all the same: with `--csv` these rows of it.
    pub(super) async fn show_or_rows<T: DeserializeOwned, const N: usize>(
        &self,
        call: Call<T>,
        tell: impl Fn(&T) -> String,
        names: [&str; N],
        rows: impl FnOnce(&T) -> Vec<[String; N]>,
    ) -> Result<(), Failure> {
        match self.view.csv {
            true => csv::print_rows(names, rows(&call.with_text().await?.0)),
            false => self.look(call, tell).await,
        }
    }

    /// The same for a question that may be asked again and again: with `--watch` it is.
    pub(super) async fn look<T: DeserializeOwned>(
        &self,
        call: Call<T>,
        tell: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        match call.again() {
            Some(_) if self.view.watch => self.watch(&call, tell).await,
            _ => self.show(call, tell).await.map(drop),
        }
    }

    async fn watch<T: DeserializeOwned>(
        &self,
        call: &Call<T>,
        tell: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        redraw(async || match call.again() {
            Some(call) => Ok(tell(&call.with_text().await?.0)),
            // Only a body that is read once stands in its way; a question has none.
            None => Ok(String::new()),
        })
        .await
    }

    async fn fetch<T: DeserializeOwned>(
        &self,
        call: Call<T>,
        tell: impl FnOnce(&T) -> String,
    ) -> Result<T, Failure> {
        let (answer, text) = call.with_text().await?;
        match self.json {
            // The answer to a deletion is empty.
            true if text.is_empty() => {}
            true => print(&format!("{text}\n"))?,
            false => print(&tell(&answer))?,
        }
        Ok(answer)
    }

    /// Makes a call and shows its answer as the next row of a table.
    pub(super) async fn add<T: DeserializeOwned, const N: usize>(
        &self,
        table: &mut Table<N>,
        call: Call<T>,
        row: impl FnOnce(&T) -> [String; N],
    ) -> Result<T, Failure> {
        self.show(call, |answer| table.lines([row(answer)])).await
    }

    /// Shows a list that is one page.
    pub(super) async fn page<T: DeserializeOwned, const N: usize>(
        &self,
        call: Call<Page<T>>,
        columns: [Column; N],
        row: impl Fn(&T) -> [String; N],
    ) -> Result<(), Failure> {
        self.rows(call, |page| Table::new(columns).lines(page.data.iter().map(&row))).await
    }

    /// Shows rows that come in one answer, such as those of a report.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        call: Call<T>,
        tell: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        if self.view.csv {
            return csv::print(call).await;
        }
        self.look(call, tell).await
    }

    /// Shows a list as far as `paging` says, and how to continue it.
    pub(super) async fn list<T: DeserializeOwned, const N: usize>(
        &self,
        paging: &Paging,
        filters: &impl Serialize,
        ask: impl Fn(Parameters<'_>) -> Call<Page<T>>,
        columns: [Column; N],
        row: impl Fn(&T) -> [String; N],
    ) -> Result<(), Failure> {
        let mut parameters = input::parameters(filters);
        parameters.extend(paging.parameters(self.view.csv));
        if self.view.csv {
            return csv::print(ask(&input::borrowed(&parameters))).await;
        }
        if self.view.watch {
            let tell = |page: &Page<T>| Table::new(columns).lines(page.data.iter().map(&row));
            return self.watch(&ask(&input::borrowed(&parameters)), tell).await;
        }
        if paging.all && self.json {
            return self.all_as_one(parameters, ask).await;
        }
        let mut table = Table::new(columns);
        loop {
            let call = ask(&input::borrowed(&parameters));
            let page = self.fetch(call, |page| table.lines(page.data.iter().map(&row))).await?;
            let Some(cursor) = page.next_cursor else { return Ok(()) };
            if !paging.all {
                // Not between the rows, where a program might take it for one.
                hint(&format!("there is more: --cursor {cursor}, or --all"));
                return Ok(());
            }
            go_on(&mut parameters, cursor);
        }
    }

    /// Shows a page the oldest row first, then each row as it comes, until SIGINT, SIGTERM or SIGHUP. The
    /// follower has to be open before the page is read: rows in both are shown once, by their `id`.
    pub(super) async fn follow<T: DeserializeOwned, const N: usize>(
        &self,
        mut follower: Follower<T>,
        before: Call<Page<T>>,
        columns: [Column; N],
        row: impl Fn(&T) -> [String; N],
        id: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        self.view.for_one_answer()?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Its terminal is gone.
        let mut hangup = signal(SignalKind::hangup())?;
        let mut table = Table::new(columns).exact();
        let (page, text) = before.with_text().await?;
        let shown: HashSet<String> = page.data.iter().map(&id).collect();
        match self.json {
            true => {
                let raw: Page<Box<RawValue>> = serde_json::from_str(&text).map_err(std::io::Error::from)?;
                // A payload of several lines breaks between two tokens.
                let lines = raw.data.iter().rev().map(|row| row.get().replace(['\n', '\r'], " ") + "\n");
                print(&lines.collect::<String>())?;
            }
            false => print(&table.lines(page.data.iter().rev().map(&row)))?,
        }
        loop {
            let told = tokio::select! {
                told = follower.next() => told?,
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
            };
            match told {
                FollowerEvent::Next(streamed) if shown.contains(&id(&streamed.told)) => {}
                FollowerEvent::Next(streamed) if self.json => print(&format!("{}\n", streamed.json))?,
                FollowerEvent::Next(streamed) => print(&table.lines([row(&streamed.told)]))?,
                FollowerEvent::BrokeOff(reason) => {
                    hint(&format!("the stream broke off ({reason}); connecting again"));
                }
                FollowerEvent::Again => hint("connected again"),
                FollowerEvent::Forgotten(reason) => hint(&format!("{reason}; going on with what comes now")),
            }
        }
    }

    /// Prints all pages as one JSON page.
    async fn all_as_one<T>(
        &self,
        mut parameters: Vec<(String, String)>,
        ask: impl Fn(Parameters<'_>) -> Call<Page<T>>,
    ) -> Result<(), Failure>
    where
        T: DeserializeOwned,
    {
        print(r#"{"data":["#)?;
        let mut between = "";
        loop {
            let (page, text) = ask(&input::borrowed(&parameters)).with_text().await?;
            let raw: Page<Box<RawValue>> = serde_json::from_str(&text).map_err(std::io::Error::from)?;
            for row in raw.data {
                print(&format!("{between}{row}"))?;
                between = ",";
            }
            match page.next_cursor {
                Some(cursor) => go_on(&mut parameters, cursor),
                None => return print("],\"next_cursor\":null}\n"),
            }
        }
    }
}

fn go_on(parameters: &mut Vec<(String, String)>, cursor: String) {
    parameters.retain(|(name, _)| name != "cursor");
    parameters.push(("cursor".to_owned(), cursor));
}
