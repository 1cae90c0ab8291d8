//! Tables for people: columns are as wide as their widest cell, and cut if the terminal is too narrow.

/// Marks a cut cell.
const CUT: char = '…';

/// The least width of a cut column, unless its heading is wider.
const WIDTH_MIN: usize = 8;

/// A column's heading, and whether its cells may be cut. Cells that people copy, such as ids, are never cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    heading: &'static str,
    may_be_cut: bool,
}

/// A column whose cells are shown whole.
pub(super) const fn whole(heading: &'static str) -> Column {
    Column { heading, may_be_cut: false }
}

/// A column whose cells may be cut.
pub(super) const fn cut(heading: &'static str) -> Column {
    Column { heading, may_be_cut: true }
}

/// A table that is written piece by piece; its columns can only become wider.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    widths: [usize; N],
    /// The width of a line in characters; `None`: no limit.
    width_max: Option<usize>,
    begun: bool,
}

impl<const N: usize> Table<N> {
    /// A table for standard output: as wide as the terminal, if it is one.
    pub(super) fn new(columns: [Column; N]) -> Self {
        let terminal = terminal_size::terminal_size_of(std::io::stdout());
        Self::within(columns, terminal.map(|(width, _)| usize::from(width.0)))
    }

    fn within(columns: [Column; N], width_max: Option<usize>) -> Self {
        Self {
            columns,
            widths: columns.map(|column| column.heading.chars().count()),
            width_max,
            begun: false,
        }
    }

    /// The lines of `rows`, with the heading before the first ones.
    pub(super) fn lines(&mut self, rows: impl IntoIterator<Item = [String; N]>) -> String {
        let mut lines: Vec<[String; N]> =
            rows.into_iter().map(|row| row.map(|cell| printable(&cell))).collect();
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.begun {
            self.begun = true;
            lines.insert(0, self.columns.map(|column| column.heading.to_owned()));
        }
        let widths = self.fitting();
        let mut text = String::new();
        for line in &lines {
            let cells: Vec<String> = line
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{:width$}", shortened(cell, width)))
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// The widths with which a line fits, as far as cells may be cut.
    fn fitting(&self) -> [usize; N] {
        let mut widths = self.widths;
        let Some(width_max) = self.width_max else { return widths };
        let gaps = 2 * N.saturating_sub(1);
        loop {
            let excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width_max);
            let can_give = |place: &usize| {
                let column = self.columns[*place];
                column.may_be_cut && widths[*place] > WIDTH_MIN.max(column.heading.chars().count())
            };
            let widest = (0..N).filter(can_give).max_by_key(|place| widths[*place]);
            match widest {
                Some(place) if excess > 0 => widths[place] -= 1,
                _ => return widths,
            }
        }
    }
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

    #[test]
    fn columns_line_up() {
        let mut table = Table::within([whole("ID"), whole("NAME")], None);
        assert_eq!(table.lines([row(["1", "é"]), row(["1000", ""])]), "ID    NAME\n1     é\n1000\n");
        assert_eq!(table.lines([row(["2", "x"])]), "2     x\n", "one heading, and the widths stay");
        assert_eq!(Table::within([whole("ID"), whole("NAME")], None).lines([]), "ID  NAME\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_of_what_may_be_cut() {
        let columns = [whole("ID"), cut("ERROR"), cut("URL")];
        let cells = row(["evt_0123456789", "connection refused", "http://127.0.0.1:4000/webhooks"]);
        let mut wide = Table::within(columns, Some(66));
        assert_eq!(
            wide.lines([cells.clone()]).lines().last(),
            Some("evt_0123456789  connection refused  http://127.0.0.1:4000/webhooks")
        );
        let mut narrow = Table::within(columns, Some(50));
        let lines = narrow.lines([cells.clone()]);
        assert_eq!(
            lines.lines().last(),
            Some("evt_0123456789  connection refu…  http://127.0.0.…"),
            "{lines}"
        );
        assert!(lines.lines().all(|line| line.chars().count() <= 50), "{lines}");
        let mut hopeless = Table::within(columns, Some(5));
        assert_eq!(hopeless.lines([cells]).lines().last(), Some("evt_0123456789  connect…  http://…"));
    }

    #[test]
    fn nothing_that_is_shown_reaches_the_terminal_as_a_command() {
        let mut table = Table::within([whole("VENDOR")], None);
        let lines = table.lines([row(["\u{1b}[2J\u{9b}31mV\n\u{202e}x"])]);
        assert_eq!(lines, "VENDOR\n\u{fffd}[2J\u{fffd}31mV\u{fffd}\u{fffd}x\n");
        assert_eq!(fields(&[("name", "a\rb".into()), ("x", String::new())]), "name:  a\u{fffd}b\nx:\n");
    }
}
