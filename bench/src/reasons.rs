//! Why others are ahead where they are.

use crate::losses::Loss;

/// Every reason, in the order in which `BENCHMARKS.md` numbers them from one.
pub const REASONS: [(Reason, &str); 12] = [
    (
        Reason::Static,
        "Each variable of OpenTelemetry or tokio is a type or a static of its own, found without a search; there is no context to copy, or no token to reset by.",
    ),
    (
        Reason::Rules,
        "A bare map makes no token, checks nothing, is no object that others can hold, and cannot be read by another thread while it is written; a copy of it is one count, and makes no object. These costs are the rules'.",
    ),
    (Reason::Remembered, "More variables are looked at in turn than a thread state remembers, so that each is searched in the map."),
    (
        Reason::Table,
        "A hash table of few entries, or one that is cloned as a whole, finds an entry in one step, or sees from one group of bits that there is none; a tree takes a step for each level, and compares tags and a serial in the leaf.",
    ),
    (Reason::OneEntry, "One entry is one comparison of keys in a B-tree; ours is a comparison of tags, then one of serials."),
    (
        Reason::Exact,
        "A leaf keeps its entries in order, and fits them so closely that an entry takes 24 bytes at most: a new entry moves others, and mostly copies the leaf. The others have room to grow, or no order, or no versions to keep.",
    ),
    (
        Reason::Kept,
        "Ours copies a patch, whose values are counted once more each, and with every ninth change nine leaves and the ways to them. A B-tree copies one way each time, which costs less where the nearer caches do not hold them.",
    ),
    (
        Reason::Count,
        "The work is the same, one count up and one down; CPython has no kind of node to tell apart, and what is left is where a count lies in memory.",
    ),
    (Reason::Walk, "A table is walked from one end to the other; ours sets up a cursor that could go down a tree, for one entry too."),
    (
        Reason::Separate,
        "Maps that were built apart are compared leaf by leaf; a table that is not sorted is compared entry by entry, from one end to the other.",
    ),
    (Reason::Patch, "The change is a patch, which is looked at on its own, and costs more than one or two entries do."),
    (
        Reason::Memory,
        "More entries than the nearer caches hold: what counts is the order in which the entries were allocated, which differs between contenders.",
    ),
];

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Variables that need no search.
    Static,
    /// What the rules ask for and a map alone does not do.
    Rules,
    /// More variables than are remembered.
    Remembered,
    /// One table instead of a tree.
    Table,
    /// A single comparison.
    OneEntry,
    /// Leaves without spare room.
    Exact,
    /// Versions that are all kept.
    Kept,
    /// A count and nothing else.
    Count,
    /// Nothing to set up.
    Walk,
    /// Tables against leaves.
    Separate,
    /// A patch over little.
    Patch,
    /// Caches.
    Memory,
}

/// The number of the reason for a loss, from one; none where nobody has looked into it.
pub fn number(section: &str, loss: &Loss) -> Option<usize> {
    let reason = of(section, loss)?;
    REASONS.iter().position(|(other, _)| *other == reason).map(|at| at + 1)
}

fn of(section: &str, loss: &Loss) -> Option<Reason> {
    if section == "context" {
        return Some(match &*loss.peer {
            "opentelemetry" | "tokio task_local" => Reason::Static,
            _ if loss.operation == "get, all in turn" && loss.size > 128 => Reason::Remembered,
            _ => Reason::Rules,
        });
    }
    let is_large = loss.size > 4096;
    match &*loss.operation {
        _ if is_large && loss.operation.starts_with("get") => Some(Reason::Memory),
        "get hit, sequential" | "get hit, random" if loss.peer.contains("btreemap") => Some(Reason::OneEntry),
        "get hit, sequential" | "get hit, random" | "get miss" | "overwrite, unique" => Some(Reason::Table),
        "insert + remove, unique" | "build, an entry" => Some(Reason::Exact),
        "overwrite, versions kept" | "remove, shared" | "insert, shared" | "overwrite, shared" => Some(Reason::Kept),
        "clone + drop" => Some(Reason::Count),
        "iterate, an entry" => Some(Reason::Walk),
        "equality, one apart" if loss.size <= 4 => Some(Reason::Patch),
        "equality, separate" | "equality, one apart" => Some(Reason::Separate),
        _ => None,
    }
}
