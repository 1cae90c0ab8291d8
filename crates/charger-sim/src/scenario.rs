//! A scenario: a TOML file with a charger and the steps to take it through.
//!
//! ```toml
//! [charger]
//! connectors = 1
//!
//! [scenario]
//! description = "a session"
//! steps = ["expect online", "plug 1", "tag TAG_1", "expect status 1 Charging"]
//! ```

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use toml::Spanned;

use super::options::{ChargerOptions, Sessions};
use super::step::{NotAStep, Step};
use vocabulary::units::Span;

/// A step and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// As it was written.
    pub text: String,
    /// What it means.
    pub step: Step,
}

/// A scenario that was read.
#[derive(Debug)]
pub struct Scenario {
    /// What it shows.
    pub description: Option<String>,
    /// What happens, in order.
    pub steps: Vec<Line>,
    charger: Charger,
}

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ScenarioError {
    #[error("{}: {cause}", file.display())]
    Read { file: PathBuf, cause: io::Error },
    #[error("{}: {cause}", file.display())]
    Parse { file: PathBuf, cause: Box<toml::de::Error> },
    #[error("{} line {line}: {step:?}: {reason}", file.display())]
    Step { file: PathBuf, line: usize, step: String, reason: Box<NotAStep> },
    #[error("{}: {key} is out of range", file.display())]
    Charger { file: PathBuf, key: &'static str },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    charger: Charger,
    scenario: Script,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    description: Option<String>,
    steps: Vec<Spanned<String>>,
}

/// What the file says about the charger; the command line says the rest.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Charger {
    connectors: Option<u32>,
    fixed_cables: Option<bool>,
    sample_interval: Option<Span>,
    max_power_w: Option<f64>,
    reboot: Option<Span>,
    transfer: Option<Span>,
    vendor: Option<String>,
    model: Option<String>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// Names the file, the line and what is wrong with it.
    pub fn read(file: &Path) -> Result<Self, ScenarioError> {
        let failed = |cause| ScenarioError::Read { file: file.to_owned(), cause };
        Self::parse(file, &fs::read_to_string(file).map_err(failed)?)
    }

    /// Reads the text of `file`.
    ///
    /// # Errors
    /// As [`Scenario::read`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, ScenarioError> {
        let File { charger, scenario } = toml::from_str(text)
            .map_err(|cause| ScenarioError::Parse { file: file.to_owned(), cause: Box::new(cause) })?;
        if charger.connectors.is_some_and(|count| !(1..=100).contains(&count)) {
            return Err(ScenarioError::Charger { file: file.to_owned(), key: "connectors" });
        }
        if charger.max_power_w.is_some_and(|watts| !(1.0..=1e7).contains(&watts)) {
            return Err(ScenarioError::Charger { file: file.to_owned(), key: "max_power_w" });
        }
        let mut steps = Vec::new();
        for spanned in scenario.steps {
            let begin = text.get(..spanned.span().start).unwrap_or_default();
            let number = begin.matches('\n').count() + 1;
            let written = spanned.into_inner();
            let step = written.parse().map_err(|reason: NotAStep| ScenarioError::Step {
                file: file.to_owned(),
                line: number,
                step: written.clone(),
                reason: Box::new(reason),
            })?;
            steps.push(Line { number, text: written, step });
        }
        Ok(Self { description: scenario.description, steps, charger })
    }

    /// Makes `options` those of the scenario's charger; no driver comes by itself.
    pub fn apply(&self, options: &mut ChargerOptions) {
        let Charger { connectors, fixed_cables, sample_interval, max_power_w, reboot, transfer, .. } =
            &self.charger;
        options.sessions = Sessions::ByHand;
        options.connectors = connectors.unwrap_or(options.connectors);
        options.fixed_cables = fixed_cables.unwrap_or(options.fixed_cables);
        options.sample_interval = sample_interval.map_or(options.sample_interval, |span| span.0);
        options.max_power_w = max_power_w.unwrap_or(options.max_power_w);
        options.reboot = reboot.map_or(options.reboot, |span| span.0);
        options.transfer = transfer.map_or(options.transfer, |span| span.0);
        if let Some(vendor) = &self.charger.vendor {
            options.vendor.clone_from(vendor);
        }
        if let Some(model) = &self.charger.model {
            options.model.clone_from(model);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_with_file_line_and_reason() {
        for (text, words) in [
            (
                "[scenario]\nsteps = [\n  \"plug 1\",\n  \"plug\",\n]",
                "s.toml line 4: \"plug\": write it like: plug N",
            ),
            ("[scenario]\nsteps = 5", "s.toml: TOML parse error at line 2"),
            ("[scenario]\nsteps = []\nstep = 1", "s.toml: TOML parse error at line 3"),
            ("[charger]\nconnectors = 0\n[scenario]\nsteps = []", "s.toml: connectors is out of range"),
        ] {
            let error = Scenario::parse(Path::new("s.toml"), text).expect_err(text).to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
