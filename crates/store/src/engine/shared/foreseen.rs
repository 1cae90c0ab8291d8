//! What the jobs of a batch will read first, gathered by statements, so that each is run once for all of
//! them.
//!
//! **Invariant**: what is offered to a job is what it would read by itself. Whoever writes holds the head, so
//! between its taking and the job only earlier jobs of the batch have written, and those that can be
//! repeated write about their own station or delivery. Behind one of the same station nothing is offered;
//! one of a webhook that changes more than its own delivery says so (`Tx::outdate_foreseen`).

use std::collections::{HashMap, HashSet};

use crate::engine::Scope;
use crate::engine::postgres::driver::Offered;
use crate::engine::queue::Queued;
use crate::engine::sql::Param;

/// What the jobs of a batch have foreseen.
#[derive(Default)]
pub(crate) struct ForeseenOfAll {
    /// The statements, each with its rows of values.
    pub(crate) statements: Vec<(&'static str, Vec<Vec<Param<'static>>>)>,
    /// The job of each row of values.
    jobs: Vec<Vec<usize>>,
    jobs_count: usize,
}

impl ForeseenOfAll {
    /// That of these jobs, which are run in this order.
    pub(crate) fn of(batch: &[Queued]) -> Self {
        let mut all = Self { jobs_count: batch.len(), ..Self::default() };
        let mut places = HashMap::<(&'static str, usize), usize>::new();
        let mut stations = HashSet::new();
        for (nth, queued) in batch.iter().enumerate() {
            let (scope, reads) = queued.job.foreseen();
            match scope {
                Scope::Station(station) if !stations.insert(station) => continue,
                Scope::Installation => break,
                _ => {}
            }
            for one in &reads.foreseen {
                let place = *places.entry((one.sql, one.values.len())).or_insert_with(|| {
                    all.statements.push((one.sql, Vec::new()));
                    all.jobs.push(Vec::new());
                    all.statements.len() - 1
                });
                all.statements[place].1.push(one.values.clone());
                all.jobs[place].push(nth);
            }
        }
        all
    }

    /// What was read, job by job.
    pub(crate) fn by_job(&self, read: Vec<Vec<Offered>>) -> Vec<Vec<Offered>> {
        let mut by_job: Vec<Vec<Offered>> = (0..self.jobs_count).map(|_| Vec::new()).collect();
        for (of, offered) in self.jobs.iter().zip(read) {
            for (job, one) in of.iter().zip(offered) {
                by_job[*job].push(one);
            }
        }
        by_job
    }
}
