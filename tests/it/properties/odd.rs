//! Texts that chargers might send: anything at all, any JSON, and real frames that something happened to.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// The frames of `tests/golden/`, as chargers sent them.
pub(super) static GOLDEN: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1.6");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of golden frames")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "golden"))
        .collect();
    files.sort();
    let frames: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("text"))
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("> ")).map(str::to_owned))
        .collect();
    assert!(frames.len() > 20, "the golden frames are there");
    frames
});

/// What is put into frames: every piece that means something to a JSON reader, and some that should not be
/// there.
const PIECES: &[&str] = &[
    ",",
    ":",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "{}",
    "[]",
    "null",
    "true",
    "-",
    "0",
    "00",
    ".5",
    "1e",
    " ",
    "\n",
    "\t",
    "\0",
    "\u{feff}",
    "é",
    "\u{1f50c}",
    "\\u0000",
    "\\ud800",
    "\\udc00\\ud800",
    "\\u12",
    "1e999999",
    "-1e-999999",
    "123456789012345678901234567890123456789012345678901234567890",
    "NaN",
    "\"idTag\":\"X\",",
    "\"connectorId\":1,\"connectorId\":2,",
    "\"transactionId\":",
    "[2,\"1\",\"Heartbeat\",{}]",
    "[3,\"1\",{}]",
    "\"$serde_json::private::Number\":\"x\",",
    "\"$serde_json::private::RawValue\":\"{\",",
    "\"timestamp\":\"2026-02-31T25:61:61Z\",",
    "/*",
    "'",
];

/// Something that happens to a text.
#[derive(Debug, Clone)]
enum Change {
    FlipBit(Index, u8),
    Cut(Index, usize),
    BreakOff(Index),
    Insert(Index, &'static str),
    Repeat(Index, usize),
    Nest(Index, usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index, len: usize| index.index(len + 1);
        match self {
            Self::FlipBit(index, bit) => {
                let place = at(index, bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Self::Cut(index, count) => {
                let from = at(index, bytes.len());
                bytes.drain(from..bytes.len().min(from + count));
            }
            Self::BreakOff(index) => bytes.truncate(at(index, bytes.len())),
            Self::Insert(index, piece) => {
                let from = at(index, bytes.len());
                bytes.splice(from..from, piece.bytes());
            }
            Self::Repeat(index, count) => {
                let from = at(index, bytes.len());
                let piece = bytes[from..bytes.len().min(from + count)].to_vec();
                bytes.splice(from..from, piece);
            }
            Self::Nest(index, levels) => {
                let from = at(index, bytes.len());
                let nested = format!("{}{}", "[".repeat(*levels), "]".repeat(*levels));
                bytes.splice(from..from, nested.bytes());
            }
        }
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        3 => (index(), any::<u8>()).prop_map(|(at, bit)| Change::FlipBit(at, bit)),
        2 => (index(), 1usize..12).prop_map(|(at, count)| Change::Cut(at, count)),
        1 => index().prop_map(Change::BreakOff),
        4 => (index(), select(PIECES)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        1 => (index(), 1usize..60).prop_map(|(at, count)| Change::Repeat(at, count)),
        1 => (index(), prop_oneof![1usize..200, Just(20_000)]).prop_map(|(at, levels)| Change::Nest(at, levels)),
    ]
}

/// A golden frame that up to four things happened to; possibly not UTF-8 any more.
pub(super) fn any_mutant() -> impl Strategy<Value = Vec<u8>> {
    (select(GOLDEN.as_slice()), prop::collection::vec(any_change(), 0..4)).prop_map(|(frame, changes)| {
        let mut bytes = frame.into_bytes();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        bytes
    })
}

/// Any JSON, its names and texts arbitrary.
pub(super) fn any_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,40})([.][0-9]{1,40})?([eE][+-]?[0-9]{1,6})?",
        ".{0,20}".prop_map(|text| Value::from(text).to_string()),
        Just(r#""\ud83d""#.to_owned()),
    ];
    scalar.prop_recursive(6, 40, 6, |inner| {
        let member =
            (".{0,8}", inner.clone()).prop_map(|(name, value)| format!("{}:{value}", Value::from(name)));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

/// An array that looks like a frame, each of its elements any JSON or the right one.
fn any_array() -> impl Strategy<Value = String> {
    let kind = prop_oneof![4 => select(&["2", "3", "4", "2.0", "\"2\"", "5"][..]).prop_map(str::to_owned), 1 => any_json()];
    let id = prop_oneof![4 => "[0-9]{1,3}".prop_map(|id| format!("\"{id}\"")), 1 => any_json()];
    let action = prop_oneof![
        4 => select(&["\"Heartbeat\"", "\"StartTransaction\"", "\"StopTransaction\"", "\"MeterValues\"", "\"Nonsense\""][..])
            .prop_map(str::to_owned),
        1 => any_json(),
    ];
    (kind, id, action, prop::collection::vec(any_json(), 0..3)).prop_map(|(kind, id, action, rest)| {
        let elements: Vec<String> = [kind, id, action].into_iter().chain(rest).collect();
        format!("[{}]", elements.join(","))
    })
}

/// What may come in one message of a socket.
pub(super) fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => any_mutant(),
        3 => any_array().prop_map(String::into_bytes),
        1 => any_json().prop_map(String::into_bytes),
        1 => ".{0,80}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..80),
    ]
}

/// The id of a CALL that nobody can misunderstand: well-formed JSON, by a reader that has nothing to do
/// with the gateway's own.
pub(super) fn id_of_readable_call(text: &str) -> Option<Value> {
    let elements: Vec<Value> = serde_json::from_str(text).ok()?;
    let id = elements.get(1).filter(|id| id.is_string() || id.is_number())?;
    (elements.first() == Some(&Value::from(2))).then(|| id.clone())
}
