//! The schema, step by step, as every engine has it.
//!
//! Steps are written in the words of SQLite; other engines put their own types in place of its.

/// A schema, made step by step: a database's version is how many of the steps it has.
#[derive(Clone, Copy)]
pub(crate) struct Schema(&'static [&'static str]);

/// The schema that this program works with. Never edit a step that was released: people have databases with
/// it. Foreign keys hold while a step runs: a table that is dropped takes along the rows that refer to it.
pub(crate) const SCHEMA: Schema = Schema(&[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_sessions.sql"),
    include_str!("migrations/0003_stations.sql"),
    include_str!("migrations/0004_history.sql"),
    include_str!("migrations/0005_bulk_commands.sql"),
    include_str!("migrations/0006_refusals.sql"),
    include_str!("migrations/0007_overview.sql"),
    include_str!("migrations/0008_failed_attempts.sql"),
    include_str!("migrations/0009_nodes.sql"),
    include_str!("migrations/0010_brokers.sql"),
]);

/// As a later version of this program may have it.
#[cfg(test)]
pub(crate) const LATER: Schema = {
    const STEPS: [&str; SCHEMA.0.len() + 1] = {
        let mut steps =
            ["ALTER TABLE stations ADD COLUMN later INTEGER NOT NULL DEFAULT 7"; SCHEMA.0.len() + 1];
        let (earlier, _) = steps.split_at_mut(SCHEMA.0.len());
        earlier.copy_from_slice(SCHEMA.0);
        steps
    };
    Schema(&STEPS)
};

impl Schema {
    /// The version that a database has with all steps.
    pub(crate) const fn newest(self) -> i64 {
        self.0.len() as i64
    }

    /// The steps, the first one first.
    pub(crate) const fn steps(self) -> &'static [&'static str] {
        self.0
    }

    /// The first `count` steps.
    #[cfg(test)]
    pub(crate) fn first(self, count: usize) -> Self {
        Self(&self.0[..count])
    }
}
