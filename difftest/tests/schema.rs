//! `traces/schema.json` is what the types say.

#[test]
fn the_schema_is_current() {
    let current = serde_json::to_string_pretty(&schemars::schema_for!(contextvars_spec::Trace)).expect("a schema is JSON") + "\n";
    assert_eq!(current, include_str!("../../traces/schema.json"), "write it again with: cargo difftest schema > traces/schema.json");
}
