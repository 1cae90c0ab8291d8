//! Meter values: in a session's own rhythm, by the clock, and when they are asked for.

use super::charger::Charger;
use super::connector::Phase;
use super::messages::{ReadingContext, requests};
use super::outbox::{About, Message};
use vocabulary::clock::Timestamp;

impl Charger {
    /// The regular sample of a running transaction.
    pub(super) fn sample(&mut self, now: Timestamp, index: usize) {
        let interval = self.options.real(self.sample_interval);
        let Phase::Charging(transaction) = &mut self.connectors[index].phase else { return };
        // Counted from the last one, so that samples do not drift; what was slept through is not made up.
        transaction.next_sample = (!interval.is_zero()).then(|| {
            let regular = transaction.next_sample.unwrap_or(now).after(interval);
            if regular > now { regular } else { now.after(interval) }
        });
        let measurands = self.configuration.text("MeterValuesSampledData").to_owned();
        if let Some(message) = self.measure(now, index, &measurands, &ReadingContext::SamplePeriodic) {
            self.outbox.push(message);
        }
        self.redraw(now, index);
    }

    /// What was asked for by a trigger: one connector's values, or those of all.
    pub(super) fn report_meters(&mut self, now: Timestamp, connector_id: Option<u32>) {
        let measurands = self.configuration.text("MeterValuesSampledData").to_owned();
        for index in 0..self.connectors.len() {
            if connector_id.is_some_and(|id| id != self.connectors[index].id) {
                continue;
            }
            if let Some(mut message) = self.measure(now, index, &measurands, &ReadingContext::Trigger) {
                message.triggered = true;
                self.outbox.push(message);
            }
        }
    }

    /// `ClockAlignedDataInterval`: all meters at the same round times, whether or not cars charge.
    pub(super) fn advance_aligned(&mut self, now: Timestamp) {
        if self.aligned_due.is_none_or(|at| at > now) {
            return;
        }
        self.schedule_aligned(now);
        let measurands = self.configuration.text("MeterValuesAlignedData").to_owned();
        for index in 0..self.connectors.len() {
            if let Some(message) = self.measure(now, index, &measurands, &ReadingContext::SampleClock) {
                self.outbox.push(message);
            }
        }
    }

    pub(super) fn schedule_aligned(&mut self, now: Timestamp) {
        let interval_ms = self.configuration.seconds("ClockAlignedDataInterval").as_millis() as i64;
        let own_ms = self.own_time(now).unix_ms();
        let next =
            |interval_ms: i64| Timestamp::from_unix_ms((own_ms.div_euclid(interval_ms) + 1) * interval_ms);
        self.aligned_due = (interval_ms > 0).then(|| self.real_moment(now, next(interval_ms)));
    }

    fn measure(
        &mut self,
        now: Timestamp,
        index: usize,
        measurands: &str,
        context: &ReadingContext,
    ) -> Option<Message> {
        let own_time = self.own_time(now);
        let connector = &mut self.connectors[index];
        connector.meter.pass_until(own_time);
        let value = connector.meter.meter_value(measurands, context, own_time)?;
        let request = requests::meter_values(connector.id, value);
        let about = match connector.transaction() {
            Some(transaction) => About::Sample(transaction.local),
            None => About::Plain,
        };
        Some(Message::new(&request, about))
    }
}
