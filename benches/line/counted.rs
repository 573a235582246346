//! What scripts/count-instructions counts. A bench with stages to count names them on `--counts`, and on `--count STAGE/INPUT` performs one of them once.

use std::fmt;
use std::hint::black_box;

/// One stage and its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub stage: &'static str,
    pub input: &'static str,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.input)
    }
}

impl Count {
    pub fn named(name: &str, counts: impl IntoIterator<Item = Self>) -> Result<Self, String> {
        let mut counts = counts.into_iter();
        counts.find(|count| count.to_string() == name).ok_or(format!("nothing to count is called {name}: see --counts"))
    }

    /// Says what was counted: so many lines or the like, of so many bytes.
    pub fn report(self, units: usize, unit: &str, bytes: usize) {
        println!("{self} {units} {unit} {bytes}");
    }
}

/// The function whose instructions are counted, by this name; those of what it calls are in it. Of this thread alone: Valgrind switches counting on and
/// off for each thread by itself.
#[inline(never)]
pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    // Used afterwards, so that the call is no jump to another function.
    black_box(work())
}
