//! Where others are ahead, and why.

use crate::results::{BOUNDS, OURS, OURS_CONFINED, Results};

/// A cell in which a peer is more than five per cent faster than ours.
pub struct Loss {
    /// What was done.
    pub operation: String,
    /// At which size.
    pub size: usize,
    /// The form of ours.
    pub ours: String,
    /// Who is ahead.
    pub peer: String,
    /// Our time, divided by theirs.
    pub ratio: f64,
}

/// More than this many times the best peer's time is a loss.
const TOLERANCE: f64 = 1.05;

/// Whether a contender's counts are not atomic, so that it is measured against our confined form.
pub fn is_confined(contender: &str) -> bool {
    contender == OURS_CONFINED || contender.ends_with(" rc") || contender.starts_with("CPython") || contender == "reference"
}

/// Every loss in a section.
pub fn find(results: &Results, section: &str) -> Vec<Loss> {
    let mut losses = Vec::new();
    for operation in results.distinct(section, |figure| figure.operation.clone()) {
        for size in results.distinct(section, |figure| figure.size) {
            for ours in [OURS, OURS_CONFINED] {
                let Some(mine) = results.find(section, &operation, size, ours) else { continue };
                let rivals = results.figures.iter().filter(|figure| {
                    figure.section == section && figure.operation == operation && figure.size == size && ![OURS, OURS_CONFINED].contains(&&*figure.contender)
                        && !BOUNDS.contains(&&*figure.contender)
                        // One thread's maps have no atomic counts to pay for.
                        && (ours == OURS_CONFINED || !is_confined(&figure.contender))
                });
                let best = rivals.min_by(|left, right| left.value.total_cmp(&right.value));
                if let Some(best) = best.filter(|best| mine > best.value * TOLERANCE) {
                    losses.push(Loss {
                        operation: operation.clone(),
                        size,
                        ours: ours.to_owned(),
                        peer: best.contender.clone(),
                        ratio: mine / best.value,
                    });
                }
            }
        }
    }
    losses
}
