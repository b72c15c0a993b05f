//! The map against a plain model, with hashes that hurt, and every old version kept.

use std::sync::Arc;

use contextvars_optimized::{ContextVar, Hamt, VarId, fold_hash};
use proptest::prelude::*;

/// How many writes a test does at the most; Miri takes a thousand times as long for one.
const WRITES: usize = if cfg!(miri) { 50 } else { 200 };

/// Bindings in order of insertion.
type Model = Vec<(VarId, u32)>;

fn in_order(model: &Model) -> Model {
    let mut sorted = model.clone();
    sorted.sort_by_key(|(key, _)| (0..7).fold(0u64, |place, level| place << 5 | u64::from(key.folded_hash() >> (5 * level) & 31)));
    sorted
}

fn content(map: &Hamt<u32>) -> Model {
    map.iter().map(|(key, value)| (key, *value)).collect()
}

fn hashes() -> impl Strategy<Value = Vec<i64>> {
    let one = prop_oneof![
        Just(7),
        0..40i64,
        (0..4i64).prop_map(|top| top << 30 | 5),
        (0..64i64).prop_map(|middle| middle << 25 | 1),
        any::<i64>(),
        prop_oneof![Just(0xffff_fffe), Just(0xffff_ffff)],
    ];
    proptest::collection::vec(one, 1..40)
}

proptest! {
    #[test]
    fn every_version_agrees_with_a_plain_model(
        hashes in hashes(),
        steps in proptest::collection::vec((any::<prop::sample::Index>(), any::<Option<u32>>(), prop::bool::weighted(0.3)), 1..WRITES),
    ) {
        let keys: Vec<_> = hashes.iter().map(|&hash| ContextVar::<u32>::with_hash("v", hash, None).id()).collect();
        let (mut map, mut model) = (Hamt::new(), Model::new());
        let mut kept = Vec::new();
        for (index, write, keep) in steps {
            let key = *index.get(&keys);
            let at = model.iter().position(|(other, _)| *other == key);
            let before = at.map(|at| model[at].1);
            match write {
                Some(value) => {
                    prop_assert_eq!(map.assoc(key, Arc::new(value)).map(|old| *old), before);
                    match at {
                        Some(at) => model[at].1 = value,
                        None => model.push((key, value)),
                    }
                }
                None => {
                    prop_assert_eq!(map.without(key).map(|old| *old), before);
                    if let Some(at) = at {
                        model.remove(at);
                    }
                }
            }
            prop_assert_eq!(map.len(), model.len());
            prop_assert_eq!(content(&map), in_order(&model));
            if keep {
                kept.push((map.clone(), model.clone()));
            }
        }
        for key in keys {
            let expected = model.iter().find(|(other, _)| *other == key).map(|(_, value)| *value);
            prop_assert_eq!(map.find(key).map(|value| **value), expected);
        }
        for (map, model) in kept {
            prop_assert_eq!(content(&map), in_order(&model));
        }
    }
}

#[test]
fn hashes_fold_as_in_cpython() {
    assert_eq!([fold_hash(-1), fold_hash(0xffff_ffff), fold_hash(0xffff_fffe)], [0, u32::MAX - 1, u32::MAX - 1]);
}
