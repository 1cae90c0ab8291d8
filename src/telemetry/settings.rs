//! The settings of the log.

use super::LogLevel;
use vocabulary::setting::{Rules, TextSetting, setting_words, table};

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

setting_words!(LogFormat: "text" => LogFormat::Text, "json" => LogFormat::Json);

impl TextSetting for LogLevel {
    const FORM: &'static str = "a level such as \"info\"";
}

table! {
    /// `[log]`: what is written to stderr.
    pub struct Log {
        /// How a line looks.
        format: LogFormat = LogFormat::Text,
        /// What is logged: a level, or directives such as `info,chargehook::delivery=debug`.
        level: LogLevel = LogLevel::from_level(tracing::Level::INFO),
    }
}

impl Rules for Log {}
