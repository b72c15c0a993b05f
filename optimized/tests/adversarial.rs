//! Maps of many entries whose hashes were chosen to hurt, against a standard map, every version kept.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

use contextvars_optimized::{Confined, ContextVar, Hamt, VarId};
use proptest::prelude::*;

/// A hash from a number, by a family.
type Family = fn(i64) -> i64;

/// All equal; equal in the low bits; different in the top bits only; dense; different before the fold
/// and equal after it; pairs; spread.
const FAMILIES: [Family; 7] = [
    |_| 7,
    |number| number << 20,
    |number| (number & 3) << 30 | 5,
    |number| number,
    |number| number << 32 | number,
    |number| number / 2,
    |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()),
];

/// How many writes a test does at the most; Miri takes a thousand times as long for one.
const WRITES: usize = if cfg!(miri) { 60 } else { 600 };

/// Place, and time of insertion.
type Order = (u64, u32);

fn place(key: VarId) -> u64 {
    (0..7).fold(0, |place, level| place << 5 | u64::from(key.folded_hash() >> (5 * level) & 31))
}

#[derive(Clone, Default)]
struct Model {
    order: BTreeMap<VarId, Order>,
    bindings: BTreeMap<Order, (VarId, u32)>,
    time: u32,
}

impl Model {
    fn assoc(&mut self, key: VarId, value: u32) -> Option<u32> {
        self.time += 1;
        let order = *self.order.entry(key).or_insert((place(key), self.time));
        self.bindings.insert(order, (key, value)).map(|(_, old)| old)
    }

    fn without(&mut self, key: VarId) -> Option<u32> {
        self.bindings.remove(&self.order.remove(&key)?).map(|(_, old)| old)
    }
}

fn check(map: &Hamt<u32, Confined>, model: &Model) -> Result<(), TestCaseError> {
    let expected: Vec<_> = model.bindings.values().copied().collect();
    prop_assert_eq!(map.len(), expected.len());
    prop_assert_eq!(map.bindings().map(|(key, value)| (key, **value)).collect::<Vec<_>>(), expected.clone());
    prop_assert_eq!(
        map.bindings().fold(Vec::new(), |mut all, (key, value)| {
            all.push((key, **value));
            all
        }),
        expected.clone()
    );
    prop_assert_eq!(map.iter().map(|(key, value)| (key, *value)).collect::<Vec<_>>(), expected);
    Ok(())
}

proptest! {
    #[test]
    fn every_version_agrees_with_a_standard_map(
        family in 0..FAMILIES.len(),
        steps in proptest::collection::vec((0..150usize, prop::option::weighted(0.7, any::<u32>()), prop::bool::weighted(0.1)), 1..WRITES),
    ) {
        let keys: Vec<_> = (0..150).map(|number| ContextVar::<u32>::with_hash("v", FAMILIES[family](number), None).id()).collect();
        let (mut map, mut model) = (Hamt::<u32, Confined>::default(), Model::default());
        let mut kept = vec![(map.clone(), model.clone())];
        for (at, write, keep) in steps {
            let key = keys[at];
            match write {
                Some(value) => prop_assert_eq!(map.assoc(key, Rc::new(value)).map(|old| *old), model.assoc(key, value)),
                None => prop_assert_eq!(map.without(key).map(|old| *old), model.without(key)),
            }
            prop_assert_eq!(map.find(key).map(|value| **value), model.order.get(&key).map(|order| model.bindings[order].1));
            if keep {
                kept.push((map.clone(), model.clone()));
            }
        }
        check(&map, &model)?;
        for (version, model) in &kept {
            check(version, model)?;
            for &key in &keys {
                prop_assert_eq!(version.find(key).map(|value| **value), model.order.get(&key).map(|order| model.bindings[order].1));
            }
            // The first pair that is asked for is the first that differs, in the left map's order.
            let mut asked = Vec::new();
            let equal = version.try_eq_by(&map, |left, right| { asked.push((**left, **right)); Ok::<_, Infallible>(left == right) });
            let same = version.len() == map.len() && version.bindings().all(|(key, value)| map.find(key) == Some(value));
            prop_assert_eq!(equal, Ok(same));
            if version.len() == map.len() {
                let mut expected = Vec::new();
                for (key, value) in version.bindings() {
                    let Some(other) = map.find(key) else { break };
                    if !Rc::ptr_eq(value, other) {
                        expected.push((**value, **other));
                        if value != other {
                            break;
                        }
                    }
                }
                prop_assert_eq!(asked, expected);
            }
        }
    }
}

#[test]
fn ten_thousand_variables_of_one_hash_work() {
    let many = if cfg!(miri) { 100 } else { 10_000 };
    let keys: Vec<_> = (0..many).map(|_| ContextVar::<usize>::with_hash("v", 7, None).id()).collect();
    let mut map = Hamt::<usize, Confined>::default();
    for (number, &key) in keys.iter().enumerate() {
        map.assoc(key, Rc::new(number));
    }
    let mut other = map.clone();
    for (number, &key) in keys.iter().enumerate().step_by(7) {
        assert_eq!(other.assoc(key, Rc::new(0)).as_deref(), Some(&number));
        assert_eq!(map.find(key).map(|value| **value), Some(number));
    }
    for &key in &keys {
        assert!(other.without(key).is_some());
    }
    assert!(other.is_empty() && map.len() == many);
    assert!(map.bindings().map(|(_, value)| **value).eq(0..many));
}

#[test]
fn two_maps_written_in_turn_stay_apart() {
    let keys: Vec<_> = (0..200).map(|_| ContextVar::<usize>::new("v").id()).collect();
    let mut left = Hamt::<usize, Confined>::default();
    keys.iter().for_each(|&key| drop(left.assoc(key, Rc::new(0))));
    let mut right = left.clone();
    for round in 1..if cfg!(miri) { WRITES } else { 5_000 } {
        let key = keys[round % keys.len()];
        left.assoc(key, Rc::new(round));
        right.assoc(key, Rc::new(round + 1));
        assert_eq!((left.find(key).map(|value| **value), right.find(key).map(|value| **value)), (Some(round), Some(round + 1)));
    }
    assert!(left != right && left.len() == right.len());
}
