//! A list of oddities that cannot grow without bound, whatever a charger sends.

use super::Violation;

/// What was odd about one message, up to [`Violations::MAX`] entries.
#[derive(Debug, Default)]
pub struct Violations {
    list: Vec<Violation>,
}

impl Violations {
    /// The most entries kept of one message; the last one then says `more_violations`.
    pub const MAX: usize = 32;
    /// The longest path kept, in characters: a field's name may be as long as the message.
    pub const FIELD_CHARS_MAX: usize = 200;

    /// Adds one, unless there are enough.
    pub fn push(&mut self, mut violation: Violation) {
        match self.list.len() {
            count if count < Self::MAX - 1 => {
                if let Some(field) = &mut violation.field
                    && let Some((end, _)) = field.char_indices().nth(Self::FIELD_CHARS_MAX)
                {
                    field.truncate(end);
                }
                self.list.push(violation);
            }
            count if count == Self::MAX - 1 => self.list.push(Violation::message("more_violations")),
            _ => {}
        }
    }

    /// Whether another entry would be dropped.
    pub fn is_full(&self) -> bool {
        self.list.len() >= Self::MAX
    }

    /// Whether something was already said about this field.
    pub fn mentions(&self, field: &str) -> bool {
        self.list.iter().any(|violation| violation.field.as_deref() == Some(field))
    }

    /// The entries, in the order they were added.
    pub fn into_vec(self) -> Vec<Violation> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_ends_by_saying_that_there_was_more() {
        let mut violations = Violations::default();
        for index in 0..100 {
            violations.push(Violation::field(format!("field{index}"), "unknown_field"));
        }
        let list = violations.into_vec();
        assert_eq!(list.len(), Violations::MAX);
        assert_eq!(list.last(), Some(&Violation::message("more_violations")));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let mut violations = Violations::default();
        violations.push(Violation::field("é".repeat(10_000), "unknown_field"));
        let kept = violations.into_vec().remove(0).field.expect("a field");
        assert_eq!(kept.chars().count(), Violations::FIELD_CHARS_MAX);
    }
}
