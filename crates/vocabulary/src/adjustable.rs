//! A value that may be replaced while others go by it, such as a limit.

use std::fmt;
use std::sync::{PoisonError, RwLock};

/// A value that is read anew each time it matters.
#[derive(Default)]
pub struct Adjustable<T>(RwLock<T>);

impl<T: Copy> Adjustable<T> {
    /// Begins with this value.
    pub fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    /// As it is now.
    pub fn get(&self) -> T {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is from now on.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for Adjustable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
