//! Frames as chargers send them, and what is made of each.

use super::*;
use crate::ocpp::nesting;

/// A frame in a few words: what it is, its id, what else matters, how many oddities.
fn summary(text: &str) -> String {
    let Parsed { frame, violations } = parse(text);
    let told = match frame {
        Frame::Call(call) => format!("call {:?} {} {}", call.id, call.action, call.payload),
        Frame::CallResult(result) => format!("result {:?} {}", result.id, result.payload),
        Frame::CallError(error) => {
            format!("error {:?} {} {:?} {}", error.id, error.code, error.description, error.details)
        }
        Frame::BrokenAnswer { id, reason } => format!("broken {id:?} {}", reason.as_str()),
        Frame::Unserveable { reason, answer } => format!("unserveable {} {answer:?}", reason.as_str()),
    };
    format!("{told} /{}", violations.len())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(summary(text), expected, "{text:?}");
}

#[test]
fn plain_frames() {
    check(r#"[2,"1","Heartbeat",{}]"#, r#"call "1" Heartbeat {} /0"#);
    check(r#"[3,"1",{"a":1.50}]"#, r#"result "1" {"a":1.50} /0"#);
    check(r#"[4,"1","NotSupported","no",{"x":1}]"#, r#"error "1" NotSupported "no" {"x":1} /0"#);
}

#[test]
fn slightly_wrong_frames_are_served() {
    check(r#"[2,"1","Heartbeat",null]"#, r#"call "1" Heartbeat {} /1"#);
    check(r#"[2,"1","Heartbeat"]"#, r#"call "1" Heartbeat {} /1"#);
    check(r#"[2,17,"Heartbeat",{}]"#, r#"call 17 Heartbeat {} /1"#);
    check(r#"[2,"","Heartbeat",{}]"#, r#"call "" Heartbeat {} /1"#);
    check("\u{feff}[2,\"1\",\"Heartbeat\",{}]\0\r\n", r#"call "1" Heartbeat {} /1"#);
    check("  [2, \"1\", \"Heartbeat\", {} ] \n", r#"call "1" Heartbeat {} /0"#);
    check(r#"[2,"1","X",{"a":"b\ud83d"}]"#, r#"call "1" X {"a":"b\ufffd"} /1"#);
    check("[2,\"1\",\"X\",{\"a\":\"b\0c\"}]", r#"call "1" X {"a":"b\u0000c"} /1"#);
    check(r#"[4,"1","Weird"]"#, r#"error "1" Weird "" {} /2"#);
    check(r#"[4,"1","Weird","",null]"#, r#"error "1" Weird "" {} /1"#);
    check(r#"[2,"1","Heartbeat",[]]"#, r#"call "1" Heartbeat {} /1"#);
    check("[2,\"1\",\"Heartbeat\",[ \n]]", r#"call "1" Heartbeat {} /1"#);
    check(r#"[3,"9",[]]"#, r#"result "9" {} /1"#);
}

#[test]
fn a_refusal_keeps_what_it_says_in_odd_members() {
    for (text, expected) in [
        (r#"[4,"1",500,"no",{}]"#, r#"error "1" 500 "no" {} /1"#),
        (r#"[4,"1",null,"no",{}]"#, r#"error "1"  "no" {} /1"#),
        (r#"[4,"1",{"a":1},null,{}]"#, r#"error "1" {"a":1} "" {} /2"#),
        (r#"[4,"1","X",17,{}]"#, r#"error "1" X "17" {} /1"#),
        (r#"[4,"1","X",{"why":"hot"},{}]"#, r#"error "1" X "{\"why\":\"hot\"}" {} /1"#),
        (r#"[4,"1","X","no","it is hot"]"#, r#"error "1" X "no" "it is hot" /1"#),
        (r#"[4,"1","X","no",["a",1]]"#, r#"error "1" X "no" ["a",1] /1"#),
        (r#"[4,"1","X","no",[]]"#, r#"error "1" X "no" {} /1"#),
        (r#"[4,"1","X","no",{},"more"]"#, r#"error "1" X "no" {} /1"#),
        (r#"[4,"1","X","a\ud83d",{}]"#, "error \"1\" X \"a\u{fffd}\" {} /0"),
        (r#"[4,"1"]"#, r#"error "1"  "" {} /2"#),
    ] {
        check(text, expected);
    }
}

#[test]
fn what_cannot_be_served_says_why_and_what_to_answer() {
    check(r#"[2,"1","Heartbeat",{"#, r#"unserveable malformed_json Some(("1", FormationViolation)) /0"#);
    check(r#"[2,"1"#, "unserveable malformed_json None /0");
    check(r#"[3,"9",{"configurationKey":[]"#, r#"broken "9" malformed_json /0"#);
    check(r#"[3,"9",[1]]"#, r#"broken "9" payload_not_an_object /0"#);
    check(
        r#"[2,"1","Heartbeat",[{}]]"#,
        r#"unserveable payload_not_an_object Some(("1", FormationViolation)) /0"#,
    );
    check(r#"[2,"1",5,{}]"#, r#"unserveable unreadable_action Some(("1", FormationViolation)) /0"#);
    check(r#"[2,null,"Heartbeat",{}]"#, "unserveable unreadable_id None /0");
    check(r#"[5,"1",{}]"#, "unserveable unknown_message_type None /0");
    check("[]", "unserveable unknown_message_type None /0");
    let deep =
        |levels: usize| format!("{}{}", r#"{"a":"#.repeat(levels), "0".to_owned() + &"}".repeat(levels));
    let fits = deep(nesting::MAX);
    check(&format!(r#"[2,"1","X",{fits}]"#), &format!(r#"call "1" X {fits} /0"#));
    let deep = deep(nesting::MAX + 1);
    check(&format!(r#"[2,"1","X",{deep}]"#), r#"unserveable too_deep Some(("1", FormationViolation)) /0"#);
    check(&format!(r#"[3,"9",{deep}]"#), r#"broken "9" too_deep /0"#);
    check(&format!("[2,{deep},\"X\",{{}}]"), "unserveable unreadable_id None /0");
    check("{}", "unserveable not_an_array None /0");
    check("PING", "unserveable malformed_json None /0");
    check("", "unserveable malformed_json None /0");
}

#[test]
fn what_is_written_is_compact_and_echoes_the_id_as_it_came() {
    let Frame::Call(call) = parse(r#"[2,17,"Heartbeat",{}]"#).frame else { panic!("a call") };
    assert_eq!(
        encode_error(&call.id, ErrorCode::OccurenceConstraintViolation, "a \"b\""),
        r#"[4,17,"OccurenceConstraintViolation","a \"b\"",{}]"#
    );
    let answer = encode_result(&MessageId::from_text("x"), &empty_object()).expect("JSON");
    assert_eq!(answer, r#"[3,"x",{}]"#);
}
