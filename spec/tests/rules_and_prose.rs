//! SPEC.md and the rule identifiers are one list.

use contextvars_spec::Rule;

#[test]
fn every_rule_is_a_heading_of_the_specification_and_no_other_is() {
    let headings: Vec<_> = include_str!("../SPEC.md").lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let rules: Vec<_> = Rule::ALL.iter().map(|rule| format!("{rule}: {}", rule.title())).collect();
    assert_eq!(headings, rules);
}
