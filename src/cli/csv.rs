//! `--csv`: a list as the gateway writes it, chunk by chunk, or an answer that is no list as rows of its own.

use std::io::IsTerminal;

use csv::Writer;

use super::table::printable;
use super::{Failure, hint, print_bytes};
use crate::client::Call;
use vocabulary::spreadsheet::harmless;

/// Prints the list that `call` asks for.
///
/// # Errors
/// Those of the call, also if it breaks off in the middle.
pub(super) async fn print<T>(call: Call<T>) -> Result<(), Failure> {
    let mut file = call.csv().await?;
    let on_terminal = std::io::stdout().is_terminal();
    // What of the last line has come.
    let mut begun = Vec::new();
    while let Some(chunk) = file.chunk().await? {
        if !on_terminal {
            print_bytes(&chunk)?;
            continue;
        }
        begun.extend_from_slice(&chunk);
        if let Some(end) = begun.iter().rposition(|byte| *byte == b'\n') {
            print_harmless(&begun.drain(..=end).collect::<Vec<u8>>())?;
        }
    }
    print_harmless(&begun)?;
    if let Some(cursor) = file.next_cursor() {
        hint(&format!("there is more: --cursor {cursor}"));
    }
    Ok(())
}

/// Prints rows of texts below the names of their columns.
pub(super) fn print_rows<const N: usize>(names: [&str; N], rows: Vec<[String; N]>) -> Result<(), Failure> {
    let mut lines = Writer::from_writer(Vec::new());
    lines.write_record(names).map_err(std::io::Error::from)?;
    for row in rows {
        let cells = row.into_iter().map(|text| harmless(text.into()).into_owned());
        lines.write_record(cells).map_err(std::io::Error::from)?;
    }
    // Into memory, which takes everything.
    let lines = lines.into_inner().unwrap_or_default();
    match std::io::stdout().is_terminal() {
        true => print_harmless(&lines),
        false => print_bytes(&lines),
    }
}

/// Prints lines on a terminal, which must not obey what is in them.
fn print_harmless(lines: &[u8]) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(lines);
    let lines: Vec<String> = text.split('\n').map(printable).collect();
    super::print(&lines.join("\n"))
}
