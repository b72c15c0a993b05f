//! The trie that coverage builds again has the reference's bindings, in the reference's order.

use contextvars_difftest::campaign::PROGRAMS;
use contextvars_difftest::coverage::{Follower, Met, Trie};
use contextvars_difftest::generate::{Hashes, genomes, grow};
use contextvars_reference::Reference;
use contextvars_spec::{Observe, Value, ValueId, VariableId, Version};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_map_of_a_generated_trace_is_as_the_reference_has_it(genome in genomes(160, Version::V3_14, PROGRAMS)) {
        let steps = grow(&genome, Observe::Every(usize::MAX)).steps;
        let (mut reference, mut follower, mut met) = (Reference::with_journal(), Follower::default(), Met::default());
        for step in &steps {
            reference.step(step);
        }
        follower.follow(&reference.take_changes(), &mut met);
        for context in reference.observe().contexts {
            let number = reference.context_number(context.context).expect("an observed context has a number");
            prop_assert_eq!(&follower.of(number).bindings(), &context.bindings);
        }
    }

    #[test]
    fn a_map_iterates_by_chunks_of_five_bits_and_then_by_insertion(
        family in Hashes::any(),
        writes in proptest::collection::vec((0u32..48, any::<u64>(), any::<bool>()), 1..300),
    ) {
        let (mut trie, mut met, mut plain) = (Trie::default(), Met::default(), Vec::<(VariableId, u32, Value)>::new());
        for (number, gene, bind) in writes {
            let variable = VariableId(number);
            // The hash depends on the number alone, as a variable's does.
            let hash = family.folded(number);
            let at = plain.iter().position(|(other, ..)| *other == variable);
            if bind {
                let value = Value::Made(ValueId(gene as u32 % 4));
                trie.assoc(variable, hash, value, &mut met);
                match at {
                    Some(at) => plain[at].2 = value,
                    None => plain.push((variable, hash, value)),
                }
            } else {
                trie.without(variable, hash, &mut met);
                at.map(|at| plain.remove(at));
            }
            let mut sorted = plain.clone();
            sorted.sort_by_key(|(_, hash, _)| (0..7).map(|level| hash >> (5 * level) & 31).collect::<Vec<_>>());
            let expected: Vec<_> = sorted.into_iter().map(|(variable, _, value)| (variable, value)).collect();
            prop_assert_eq!(trie.bindings(), expected);
        }
    }
}
