//! The figures of a run.

use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Which part of the bench: `context`, `map`, `memory`, `threads`.
    pub section: String,
    /// What was done.
    pub operation: String,
    /// How many variables were bound.
    pub size: usize,
    /// Who did it.
    pub contender: String,
    /// How much: nanoseconds an operation, bytes, or operations a second for threads.
    pub value: f64,
}

/// Whose figures the ratios compare with.
pub const OURS: &str = "optimized";
/// The form of ours that one thread keeps to itself.
pub const OURS_CONFINED: &str = "optimized confined";

/// Contenders that only bound what a map could reach: they have no versions.
pub const BOUNDS: [&str; 1] = ["hashbrown"];

/// The versions of what took part.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The kind of processor.
    pub processor: String,
    /// How many of them.
    pub processors: usize,
    /// How long an atomic addition takes that no other thread is in the way of, in nanoseconds.
    pub atomic_addition: f64,
    /// Name and version of everybody.
    pub versions: Vec<(String, String)>,
    /// How the bench was built.
    pub flags: String,
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Where it ran.
    pub environment: Environment,
    /// The figures, in the order in which they were taken.
    pub figures: Vec<Figure>,
}

impl Results {
    /// The different values of a property, in order of their first appearance.
    pub fn distinct<T: PartialEq>(&self, section: &str, property: impl Fn(&Figure) -> T) -> Vec<T> {
        let mut seen = Vec::new();
        for figure in self.figures.iter().filter(|figure| figure.section == section) {
            let value = property(figure);
            if !seen.contains(&value) {
                seen.push(value);
            }
        }
        seen
    }

    /// A figure, if it was taken.
    pub fn find(&self, section: &str, operation: &str, size: usize, contender: &str) -> Option<f64> {
        let found = self.figures.iter().find(|figure| {
            figure.section == section && figure.operation == operation && figure.size == size && figure.contender == contender
        });
        found.map(|figure| figure.value)
    }

    /// How many times as long as one contender another one takes, if both were timed.
    pub fn ratio(&self, section: &str, operation: &str, size: usize, [theirs, ours]: [&str; 2]) -> Option<f64> {
        Some(self.find(section, operation, size, theirs)? / self.find(section, operation, size, ours)?)
    }
}

/// The geometric mean of some ratios; none have none.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    (!ratios.is_empty()).then(|| (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp())
}
