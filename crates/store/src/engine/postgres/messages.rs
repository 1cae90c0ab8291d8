//! Messages that go to the database at once, and their answers.

use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::future::maybe_done;
use futures_util::{StreamExt, poll};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use crate::engine::postgres::cells::Bound;

/// One message to the database.
pub(crate) enum Message<'a> {
    /// A text without values.
    Text(String),
    /// A prepared statement and its values.
    Statement(Arc<Statement>, Vec<Bound<'a>>),
}

/// The rows that a message brings, and how many it has inserted, changed or deleted.
pub(crate) type Rows = (Vec<tokio_postgres::Row>, u64);

/// Sends these messages at once, in their order, and waits for their answers.
pub(crate) async fn answers(
    client: &Client,
    messages: Vec<Message<'_>>,
) -> Vec<std::result::Result<Rows, tokio_postgres::Error>> {
    let mut under_way: Vec<Pin<Box<_>>> =
        messages.into_iter().map(|message| Box::pin(maybe_done(answer(client, message)))).collect();
    // Each is sent when it is first looked at.
    for one in &mut under_way {
        let _ = poll!(one);
    }
    let mut answers = Vec::with_capacity(under_way.len());
    for mut one in under_way {
        one.as_mut().await;
        answers.extend(one.as_mut().take_output());
    }
    answers
}

async fn answer(client: &Client, message: Message<'_>) -> std::result::Result<Rows, tokio_postgres::Error> {
    match message {
        Message::Text(text) => client.batch_execute(&text).await.map(|()| Rows::default()),
        Message::Statement(statement, bound) => {
            let values = bound.iter().map(|value| value as &(dyn ToSql + Sync));
            let mut stream = pin!(client.query_raw(&*statement, values).await?);
            let mut rows = Vec::new();
            while let Some(row) = stream.next().await {
                rows.push(row?);
            }
            Ok((rows, stream.rows_affected().unwrap_or(0)))
        }
    }
}
