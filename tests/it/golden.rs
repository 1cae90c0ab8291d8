//! Golden frames: what a charger sends, what is read of it, what is odd about it, what it is answered.
//!
//! Every `.golden` file under `tests/golden/1.6/` is one case: `#` lines say what it is about, the `>` line
//! is the charger's frame, the rest is what comes of it. A new case needs the first two only: with
//! `UPDATE_GOLDEN=1` the test writes the rest, to be read before it is committed. What takes several frames
//! is in the `.talk` files beside them (`talks`), which are also where these frames meet a real socket.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagInfo};
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::decision::Decision;
use vocabulary::ocpp::fact::MeterValue;
use vocabulary::ocpp::frame::{self, Frame};
use vocabulary::ocpp::reading::Reading;
use vocabulary::ocpp::v16::answer::answer;
use vocabulary::ocpp::v16::read::{Read, read, recognise};
use vocabulary::ocpp::v16::request::Request;
use vocabulary::ocpp::{Validation, Violation};

/// When every frame arrives: 2026-04-14T12:34:56.789Z.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

/// The files of this kind, in the order of their names.
pub(crate) fn files(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1.6");
    let entries = std::fs::read_dir(folder).expect("the folder of golden frames");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn cases() -> Vec<PathBuf> {
    files("golden")
}

pub(crate) fn name(case: &Path) -> &str {
    case.file_stem().and_then(|stem| stem.to_str()).expect("a name")
}

/// The comment lines and the charger's frame.
pub(crate) fn given(text: &str) -> (Vec<&str>, &str) {
    let comments = text.lines().take_while(|line| line.starts_with('#')).collect();
    let frame =
        text.lines().find_map(|line| line.strip_prefix("> ")).expect("a line with the charger's frame");
    (comments, frame)
}

fn write_violations(out: &mut String, violations: &[Violation]) {
    for Violation { field, problem } in violations {
        let _ = writeln!(out, "violation {}: {problem}", field.as_deref().unwrap_or("(message)"));
    }
}

/// What every version says has a name of ours; the files show the one that OCPP 1.6 gives it.
const NAMES: [(&str, &str); 5] = [
    ("(Booted {", "(BootNotification {"),
    ("(ConnectorStatus {", "(StatusNotification {"),
    ("(MeterReadings {", "(MeterValues {"),
    ("(SessionEnded {", "(StopTransaction {"),
    ("(SessionStarted {", "(StartTransaction {"),
];

fn write_request(out: &mut String, request: &Request) {
    let mut request = request.clone();
    let meter_values = match &mut request {
        Request::MeterValues(read) => std::mem::take(&mut read.meter_value),
        Request::StopTransaction(read) => std::mem::take(&mut read.transaction_data),
        _ => Vec::new(),
    };
    let read = NAMES.iter().fold(format!("{request:?}"), |read, (ours, theirs)| read.replace(ours, theirs));
    let _ = writeln!(out, "read {read}");
    for MeterValue { timestamp, sampled_value } in meter_values {
        let _ =
            writeln!(out, "metered {}", timestamp.map_or("at no known time".to_owned(), |at| at.to_string()));
        for value in sampled_value {
            let _ = writeln!(
                out,
                "    {:?} = {} | {}{} | {} | {} | {} | {} | {}",
                value.value,
                value.value_base.as_deref().unwrap_or("?"),
                value.unit.as_deref().unwrap_or("-"),
                if value.derived { " (derived)" } else { "" },
                value.measurand,
                value.phase.as_deref().unwrap_or("-"),
                value.context,
                value.location,
                value.format,
            );
        }
    }
}

/// The frame that a line stands for: in quotes it is a JSON string, for bytes that no editor shows.
pub(crate) fn unquoted(line: &str) -> String {
    serde_json::from_str(line).unwrap_or_else(|_| line.to_owned())
}

fn serve(frame: &str) -> String {
    let mut out = String::new();
    let parsed = frame::parse(&unquoted(frame));
    write_violations(&mut out, &parsed.violations);
    let Frame::Call(call) = parsed.frame else {
        let _ = writeln!(out, "not a call: {:?}", parsed.frame);
        return out;
    };
    let Some((action, mapped)) = recognise(&call.action) else {
        out.push_str("< NotImplemented\n");
        return out;
    };
    write_violations(&mut out, mapped.as_slice());
    let reading = |validation| Reading { validation, received_at: NOW, zone: None };
    let Read { request, occurred_at, violations, .. } =
        read(action, &call.payload, &reading(Validation::Lenient)).expect("lenient reading refuses nothing");
    write_violations(&mut out, &violations);
    if let Err(refusal) = read(action, &call.payload, &reading(Validation::Strict)) {
        let _ = writeln!(out, "strict {:?}: {}", refusal.code, refusal.description);
    }
    if let Some(occurred_at) = occurred_at {
        let _ = writeln!(out, "occurred {occurred_at}");
    }
    write_request(&mut out, &request);
    let decision = Decision {
        boot_status: BootStatus::Accepted,
        heartbeat_interval_s: 300,
        id_tag_info: Some(IdTagInfo::bare(AuthorizationStatus::Accepted)),
        transaction_id: Some(123_456_789),
        data_transfer_vendors: &["com.example".to_owned()],
        certificate_authority: false,
    };
    let answered = frame::encode_result(&call.id, &answer(&request, &decision, NOW)).expect("JSON");
    let _ = writeln!(out, "< {answered}");
    out
}

#[test]
fn every_frame_is_served_as_written_down() {
    let mut differing = Vec::new();
    for case in cases() {
        let text = std::fs::read_to_string(&case).expect("a readable file");
        let (comments, frame) = given(&text);
        let served = format!("{}\n> {frame}\n{}", comments.join("\n"), serve(frame));
        if served == text {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&case, served).expect("a writable file");
        } else {
            differing.push(format!("{}:\n{served}", name(&case)));
        }
    }
    assert!(differing.is_empty(), "not as written down:\n{}", differing.join("\n"));
}

#[test]
fn legal_frames_have_no_violations_and_pass_the_strict_mode() {
    let mut actions = Vec::new();
    for case in cases().iter().filter(|case| name(case).starts_with("legal-")) {
        let text = std::fs::read_to_string(case).expect("a readable file");
        let parsed = frame::parse(given(&text).1);
        assert_eq!(parsed.violations, [], "{}", name(case));
        let Frame::Call(call) = parsed.frame else { panic!("{} is a call", name(case)) };
        let (action, mapped) = recognise(&call.action).expect("a known action");
        assert_eq!(mapped, None);
        for validation in [Validation::Lenient, Validation::Strict, Validation::Off] {
            let reading = Reading { validation, received_at: NOW, zone: None };
            let violations = match read(action, &call.payload, &reading) {
                Ok(read) => read.violations,
                Err(refusal) => refusal.violations,
            };
            assert_eq!(violations, [], "{} {validation:?}", name(case));
        }
        actions.push(action);
    }
    actions.sort();
    actions.dedup();
    assert_eq!(actions.len(), 14, "a legal frame of each action that chargers send");
}
