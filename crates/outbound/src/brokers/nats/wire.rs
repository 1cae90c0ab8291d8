//! What a server of NATS says, read from bytes as they come.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line; `INFO` of a large cluster has some thousand characters.
const LINE_MAX_BYTES: usize = 256 * 1024;
/// The largest message: answers to what was published are short.
const MESSAGE_MAX_BYTES: usize = 1024 * 1024;

/// One operation of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// What it is and wants, in JSON.
    Info(String),
    /// A message to a subject that was subscribed to.
    Message {
        subject: String,
        /// What the server itself says in place of an answer: 503 if nobody listens.
        status: Option<u16>,
        body: Bytes,
    },
    /// Are you there?
    Ping,
    /// `PONG` or `+OK`.
    Fine,
    /// What it finds wrong, in words.
    Error(String),
}

/// Takes the next operation, if it has come whole.
///
/// # Errors
/// What came is none, in words.
pub(super) fn next(read: &mut BytesMut) -> Result<Option<Operation>, String> {
    let Some(end) = read.windows(2).position(|bytes| bytes == b"\r\n") else {
        return if read.len() > LINE_MAX_BYTES { Err("a line without end".to_owned()) } else { Ok(None) };
    };
    let line = String::from_utf8_lossy(&read[..end]).into_owned();
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((&line, ""));
    let operation = match word.to_ascii_uppercase().as_str() {
        "MSG" => return message(read, end, rest, false),
        "HMSG" => return message(read, end, rest, true),
        "INFO" => Operation::Info(rest.trim().to_owned()),
        "PING" => Operation::Ping,
        "PONG" | "+OK" => Operation::Fine,
        "-ERR" => Operation::Error(rest.trim().trim_matches('\'').to_owned()),
        _ => {
            return Err(format!("{:?} is nothing that NATS says", line.chars().take(64).collect::<String>()));
        }
    };
    read.advance(end + 2);
    Ok(Some(operation))
}

/// `MSG subject id [reply] bytes`; with headers `HMSG subject id [reply] bytes-of-headers bytes`.
fn message(
    read: &mut BytesMut,
    end: usize,
    rest: &str,
    has_headers: bool,
) -> Result<Option<Operation>, String> {
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number =
        |from_end: usize| -> Option<usize> { words.get(words.len().checked_sub(from_end)?)?.parse().ok() };
    let (size, head_size) = (number(1), if has_headers { number(2) } else { Some(0) });
    let (Some(subject), Some(size), Some(head_size)) = (words.first(), size, head_size) else {
        return Err("a message without its size".to_owned());
    };
    if size > MESSAGE_MAX_BYTES || head_size > size {
        return Err(format!("an answer of {size} bytes"));
    }
    let begin = end + 2;
    if read.len() < begin + size + 2 {
        return Ok(None);
    }
    let subject = (*subject).to_owned();
    read.advance(begin);
    let mut body = read.split_to(size).freeze();
    read.advance(2);
    let head = body.split_to(head_size);
    // `NATS/1.0 503`, and then headers that answers do not need.
    let status = String::from_utf8_lossy(&head)
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("NATS/1.0")?.split_ascii_whitespace().next()?.parse().ok());
    Ok(Some(Operation::Message { subject, status, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, status: Option<u16>, body: &'static str) -> Operation {
        Operation::Message { subject: subject.to_owned(), status, body: Bytes::from(body) }
    }

    #[test]
    fn operations_are_read_however_they_are_cut() {
        let said = "INFO {\"a\":1}\r\nPING\r\n+OK\r\nMSG _INBOX.x.1 1 5\r\nhe\r\no\r\npong\r\nHMSG _INBOX.x.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n\
                    HMSG _INBOX.x.3 1 reply 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nok\r\n-ERR 'Unknown Protocol Operation'\r\n";
        let expected = [
            Operation::Info("{\"a\":1}".to_owned()),
            Operation::Ping,
            Operation::Fine,
            message("_INBOX.x.1", None, "he\r\no"),
            Operation::Fine,
            message("_INBOX.x.2", Some(503), ""),
            message("_INBOX.x.3", None, "ok"),
            Operation::Error("Unknown Protocol Operation".to_owned()),
        ];
        for step in [1, 2, 7, said.len()] {
            let (mut read, mut found) = (BytesMut::new(), Vec::new());
            for piece in said.as_bytes().chunks(step) {
                read.extend_from_slice(piece);
                while let Some(operation) = next(&mut read).expect("readable") {
                    found.push(operation);
                }
            }
            assert_eq!(found, expected, "in pieces of {step}");
            assert!(read.is_empty());
        }
    }

    #[test]
    fn nonsense_is_told() {
        for said in [
            "HTTP/1.1 400 Bad Request\r\n",
            "MSG a\r\n",
            "MSG a 1 many\r\n",
            "MSG a 1 99999999\r\n",
            "HMSG a 1 9 3\r\n",
            "\r\n",
        ] {
            assert!(next(&mut BytesMut::from(said)).is_err(), "{said:?}");
        }
        assert!(next(&mut BytesMut::from(&vec![b'x'; LINE_MAX_BYTES + 1][..])).is_err());
    }
}
