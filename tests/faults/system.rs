//! The same from the system itself, where that is possible: limits, filters, file systems.

use super::calls::Shared;

type Test = fn(&'static Shared) -> Result<(), String>;

pub const TESTS: &[(&str, Test)] = &[];
