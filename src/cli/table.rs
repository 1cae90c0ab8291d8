//! Tables for people: columns are as wide as their widest cell. On a terminal that is too narrow the least
//! important ones are left out, and others are cut.

use super::relative_time::relative;
use super::tone::coloured;
use super::view::Look;
use vocabulary::clock::{Clock, Timestamp};

/// Marks a cut cell.
const CUT: char = '…';

/// The least width of a cut column, unless its heading is wider.
const WIDTH_MIN: usize = 8;

/// Blanks between two columns.
const GAP: usize = 2;

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cells {
    Texts,
    /// Times, in the API's own spelling; they are shown as people tell them, unless they are to be exact.
    Times,
    /// Words for states, which have colours on a terminal.
    States,
}

/// A column's heading, what is in it, and whether its cells may be cut. Cells that people copy, such as ids,
/// are never cut. The columns that matter most come first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    heading: &'static str,
    cells: Cells,
    may_be_cut: bool,
    is_minor: bool,
}

impl Column {
    const fn new(heading: &'static str, cells: Cells) -> Self {
        Self { heading, cells, may_be_cut: false, is_minor: false }
    }

    /// The same column, left out where the terminal has no room for it.
    pub(super) const fn minor(self) -> Self {
        Self { is_minor: true, ..self }
    }

    fn heading_chars(&self) -> usize {
        self.heading.chars().count()
    }

    /// The cell as it is shown, without its colour.
    fn shown(&self, cell: &str, exact_times: bool, now: Timestamp) -> String {
        let time = (self.cells == Cells::Times && !exact_times).then(|| cell.parse::<Timestamp>());
        match time {
            Some(Ok(at)) => relative(at, now),
            _ => printable(cell),
        }
    }
}

/// A column whose cells are shown whole.
pub(super) const fn whole(heading: &'static str) -> Column {
    Column::new(heading, Cells::Texts)
}

/// A column whose cells may be cut.
pub(super) const fn cut(heading: &'static str) -> Column {
    Column { may_be_cut: true, ..Column::new(heading, Cells::Texts) }
}

/// A column of times: `3 min ago`, and with `--utc` as the API spells them.
pub(super) const fn time(heading: &'static str) -> Column {
    Column::new(heading, Cells::Times)
}

/// A column of states, which have colours on a terminal.
pub(super) const fn state(heading: &'static str) -> Column {
    Column::new(heading, Cells::States)
}

/// A table that is written piece by piece; its columns can only become wider.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    widths: [usize; N],
    look: Look,
    /// Which columns there is room for; decided by the first rows.
    shown: Option<[bool; N]>,
}

impl<const N: usize> Table<N> {
    /// A table for standard output: as wide as the terminal, if it is one.
    pub(super) fn new(columns: [Column; N]) -> Self {
        Self::with_look(columns, Look::current())
    }

    fn with_look(columns: [Column; N], look: Look) -> Self {
        Self { columns, widths: columns.map(|column| column.heading_chars()), look, shown: None }
    }

    /// The same table with times as they are: its lines are read long after they were written.
    pub(super) fn exact(mut self) -> Self {
        self.look.exact_times = true;
        self
    }

    /// The lines of `rows`, with the heading before the first ones.
    pub(super) fn lines(&mut self, rows: impl IntoIterator<Item = [String; N]>) -> String {
        let now = Clock::System.now();
        let mut lines: Vec<[String; N]> = rows.into_iter().map(|row| self.shown_row(row, now)).collect();
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let begun = self.shown.is_some();
        let shown =
            *self.shown.get_or_insert_with(|| fitting_columns(&self.columns, &self.widths, self.look));
        if !begun {
            lines.insert(0, self.columns.map(|column| column.heading.to_owned()));
        }
        let widths = self.fitting(&shown);
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            let is_heading = !begun && number == 0;
            text.push_str(&self.line(line, &widths, &shown, is_heading));
            text.push('\n');
        }
        text
    }

    fn shown_row(&self, row: [String; N], now: Timestamp) -> [String; N] {
        let mut columns = self.columns.iter();
        row.map(|cell| match columns.next() {
            Some(column) => column.shown(&cell, self.look.exact_times, now),
            None => cell,
        })
    }

    fn line(&self, cells: &[String; N], widths: &[usize; N], shown: &[bool; N], is_heading: bool) -> String {
        let mut line = String::new();
        // Blanks that are written once something follows them.
        let mut gap = 0;
        for place in (0..N).filter(|place| shown[*place]) {
            let cell = shortened(&cells[place], widths[place]);
            let chars = cell.chars().count();
            if chars > 0 {
                line.push_str(&" ".repeat(gap));
                gap = 0;
                let has_colour =
                    self.look.colours && !is_heading && self.columns[place].cells == Cells::States;
                line.push_str(&if has_colour { coloured(&cell) } else { cell });
            }
            gap += widths[place] - chars + GAP;
        }
        line
    }

    /// The widths with which a line fits, as far as cells may be cut.
    fn fitting(&self, shown: &[bool; N]) -> [usize; N] {
        let mut widths = self.widths;
        let Some(width_max) = self.look.width else { return widths };
        let places = || (0..N).filter(|place| shown[*place]);
        let gaps = GAP * places().count().saturating_sub(1);
        loop {
            let excess =
                (places().map(|place| widths[place]).sum::<usize>() + gaps).saturating_sub(width_max);
            let can_give = |place: &usize| widths[*place] > least(&self.columns[*place], widths[*place]);
            let widest = places().filter(can_give).max_by_key(|place| widths[*place]);
            match widest {
                Some(place) if excess > 0 => widths[place] -= 1,
                _ => return widths,
            }
        }
    }
}

/// The width that a column needs at least.
fn least(column: &Column, width: usize) -> usize {
    if column.may_be_cut { width.min(WIDTH_MIN.max(column.heading_chars())) } else { width }
}

/// Which columns a line has room for: all that are not minor, and of the minor ones the first.
fn fitting_columns<const N: usize>(columns: &[Column; N], widths: &[usize; N], look: Look) -> [bool; N] {
    let mut shown = columns.map(|column| !column.is_minor || look.width.is_none());
    let Some(width_max) = look.width else { return shown };
    let needs = |place: usize| least(&columns[place], widths[place]) + GAP;
    let mut taken: usize = (0..N).filter(|place| shown[*place]).map(needs).sum();
    for (place, is_shown) in shown.iter_mut().enumerate() {
        if !*is_shown && taken + needs(place) <= width_max + GAP {
            *is_shown = true;
            taken += needs(place);
        }
    }
    shown
}

fn shortened(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width.saturating_sub(1)).chain([CUT]).collect()
}

/// Names and values below each other, with aligned values.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.chars().count() + 1).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| {
        let text = format!("{:width$}  {}", format!("{name}:"), printable(value));
        format!("{}\n", text.trim_end())
    };
    fields.iter().map(line).collect()
}

/// The text without control characters: chargers and receivers choose much of it.
pub(super) fn printable(text: &str) -> String {
    let harmless = |c: char| match c {
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        // Marks that change the direction of text.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// An optional value; `-` if there is none.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `yes` or `no`.
pub(super) fn yes_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// A list in one cell.
pub(super) fn listed(texts: &[String]) -> String {
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
        cells.map(str::to_owned)
    }

    fn look(width: Option<usize>) -> Look {
        Look { width, height: None, exact_times: false, colours: false }
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::with_look([whole("ID"), whole("NAME")], look(None));
        assert_eq!(table.lines([row(["1", "é"]), row(["1000", ""])]), "ID    NAME\n1     é\n1000\n");
        assert_eq!(table.lines([row(["2", "x"])]), "2     x\n", "one heading, and the widths stay");
        assert_eq!(Table::with_look([whole("ID"), whole("NAME")], look(None)).lines([]), "ID  NAME\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_of_what_may_be_cut() {
        let columns = [whole("ID"), cut("ERROR"), cut("URL")];
        let cells = row(["evt_0123456789", "connection refused", "http://127.0.0.1:4000/webhooks"]);
        let mut wide = Table::with_look(columns, look(Some(66)));
        assert_eq!(
            wide.lines([cells.clone()]).lines().last(),
            Some("evt_0123456789  connection refused  http://127.0.0.1:4000/webhooks")
        );
        let mut narrow = Table::with_look(columns, look(Some(50)));
        let lines = narrow.lines([cells.clone()]);
        assert_eq!(
            lines.lines().last(),
            Some("evt_0123456789  connection refu…  http://127.0.0.…"),
            "{lines}"
        );
        assert!(lines.lines().all(|line| line.chars().count() <= 50), "{lines}");
        let mut hopeless = Table::with_look(columns, look(Some(5)));
        assert_eq!(hopeless.lines([cells]).lines().last(), Some("evt_0123456789  connect…  http://…"));
    }

    #[test]
    fn minor_columns_are_left_out_where_there_is_no_room() {
        let columns = [whole("ID"), whole("A").minor(), cut("STATUS"), cut("B").minor(), whole("C").minor()];
        let cells = row(["1234567890", "1234567890", "ok", "a long text", "x"]);
        for (width, headings) in [
            (None, "ID A STATUS B C"),
            (Some(44), "ID A STATUS B C"),
            (Some(40), "ID A STATUS B"),
            (Some(34), "ID A STATUS C"),
            (Some(30), "ID A STATUS"),
            (Some(29), "ID STATUS B"),
            (Some(10), "ID STATUS"),
        ] {
            let lines = Table::with_look(columns, look(width)).lines([cells.clone()]);
            let shown: Vec<&str> = lines.lines().next().expect("a heading").split_whitespace().collect();
            assert_eq!(shown.join(" "), headings, "{width:?}: {lines}");
        }
    }

    #[test]
    fn times_are_told_and_states_have_colours() {
        let columns = [time("AT"), state("STATUS"), whole("N")];
        let ago = Clock::System.now().before(std::time::Duration::from_secs(200)).to_string();
        let cells = || [[ago.clone(), "failed".into(), "1".into()], row(["-", "odd", "2"])];
        let mut plain = Table::with_look(columns, look(None));
        assert_eq!(
            plain.lines(cells()),
            "AT         STATUS  N\n3 min ago  failed  1\n-          odd     2\n"
        );
        let lit = Look { colours: true, exact_times: true, ..look(None) };
        let lines = Table::with_look(columns, lit).lines(cells());
        let blank = " ".repeat(ago.len() - 1);
        let expected = format!("{ago}  \u{1b}[31mfailed\u{1b}[0m  1\n-{blank}  odd     2\n");
        assert!(lines.ends_with(&expected), "{lines:?}");
        let exact = Table::with_look(columns, look(None)).exact().lines(cells());
        assert!(exact.contains(&ago), "{exact}");
    }

    #[test]
    fn nothing_that_is_shown_reaches_the_terminal_as_a_command() {
        let mut table = Table::with_look([state("VENDOR")], look(None));
        let lines = table.lines([row(["\u{1b}[2J\u{9b}31mV\n\u{202e}x"])]);
        assert_eq!(lines, "VENDOR\n\u{fffd}[2J\u{fffd}31mV\u{fffd}\u{fffd}x\n");
        assert_eq!(fields(&[("name", "a\rb".into()), ("x", String::new())]), "name:  a\u{fffd}b\nx:\n");
    }
}
