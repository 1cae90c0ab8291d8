//! How answers are shown: the options that every command has which calls a gateway.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::Args;

use super::Failure;

const HEADING: &str = "Output";

/// The options about how answers are shown.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct View {
    /// Prints the API's own JSON instead of tables
    #[arg(long, global = true, display_order = 900, help_heading = HEADING)]
    pub(super) json: bool,
    /// Prints a list as a CSV, all of it unless --limit is given
    ///
    /// The columns are the fields of the API, payloads and lists are JSON in one cell. It is written as it
    /// comes from the gateway, and exits with 1 if it breaks off.
    #[arg(long, global = true, display_order = 901, conflicts_with = "json", help_heading = HEADING)]
    pub(super) csv: bool,
    /// Shows every column of a table, uncut, even if lines are longer than the terminal is wide
    #[arg(long, global = true, display_order = 902, help_heading = HEADING)]
    wide: bool,
    /// Shows times as they are, in UTC, instead of how long ago they were
    #[arg(long, global = true, display_order = 903, help_heading = HEADING)]
    utc: bool,
    /// Shows a list, or one thing, again every 2 seconds until Ctrl-C
    #[arg(long, global = true, display_order = 904, conflicts_with_all = ["json", "csv"], help_heading = HEADING)]
    pub(super) watch: bool,
}

impl View {
    /// Shows the tables of this process like this from now on.
    pub(super) fn apply(self) {
        let _ = LOOK.set(Look::of(self));
    }

    /// # Errors
    /// [`Failure::NoSuchView`] for options that this answer cannot follow.
    pub(super) fn for_one_answer(self) -> Result<(), Failure> {
        match self {
            Self { csv: true, .. } => Err(Failure::NoSuchView("--csv is for lists")),
            Self { watch: true, .. } => Err(Failure::NoSuchView(
                "--watch is for lists, and for a thing that is shown; it does not go with --follow",
            )),
            _ => Ok(()),
        }
    }
}

/// How tables look. It is the same for all tables of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// The width of a line in characters; `None`: no limit, and no column is left out.
    pub(super) width: Option<usize>,
    /// The lines of the terminal, if it is one.
    pub(super) height: Option<usize>,
    /// Times are shown as they are.
    pub(super) exact_times: bool,
    /// States have colours.
    pub(super) colours: bool,
}

static LOOK: OnceLock<Look> = OnceLock::new();

impl Look {
    /// The look of this process.
    pub(super) fn current() -> Self {
        *LOOK.get_or_init(|| Self::of(View::default()))
    }

    fn of(view: View) -> Self {
        let terminal = terminal_size::terminal_size_of(std::io::stdout());
        let variable = |name| std::env::var_os(name).unwrap_or_default();
        Self {
            width: terminal.map(|(width, _)| usize::from(width.0)).filter(|_| !view.wide),
            height: terminal.map(|(_, height)| usize::from(height.0)),
            exact_times: view.utc,
            // https://no-color.org: an empty variable means nothing.
            colours: std::io::stdout().is_terminal()
                && variable("NO_COLOR").is_empty()
                && variable("TERM") != "dumb",
        }
    }
}
