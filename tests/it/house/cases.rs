//! Every numbered case has its test. One that is dropped, or renamed past recognition, is missed.

use std::collections::BTreeSet;
use std::fs;

use super::source::{repository, source_files};

/// The numbers in the name of a test such as `case_12_to_16_a_password_must_be_right`.
fn case_numbers(name: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut to = false;
    for word in name.split('_') {
        match (word, word.parse::<u32>()) {
            ("to", _) => to = true,
            ("and", _) => {}
            (_, Ok(number)) => {
                let first = numbers.last().filter(|_| to).map_or(number, |last| last + 1);
                numbers.extend(first..=number);
                to = false;
            }
            _ => break,
        }
    }
    numbers
}

/// The numbers in the names of all tests on the real gateway that begin with `prefix`.
fn cases_told(prefix: &str) -> BTreeSet<u32> {
    let mut files = Vec::new();
    source_files(&repository().join("tests/it"), &mut files);
    let texts = files.iter().map(|path| fs::read_to_string(path).expect("text"));
    texts.flat_map(|text| text.split(prefix).skip(1).flat_map(case_numbers).collect::<Vec<_>>()).collect()
}

#[test]
fn every_delivery_case_is_a_test() {
    let mut told = cases_told("async fn delivery_case_");
    told.extend(cases_told("async fn delivery_cases_"));
    let missing: Vec<u32> = (1..=42).filter(|number| !told.contains(number)).collect();
    assert!(missing.is_empty(), "delivery cases without a test: {missing:?}");
}

#[test]
fn every_case_of_a_central_system_is_a_test() {
    let told = cases_told("async fn case_");
    let is_missing = |number: &u32| !told.contains(number);
    let missing: Vec<u32> = (1..=93).filter(is_missing).collect();
    assert!(missing.is_empty(), "cases without a test: {missing:?}");
}
