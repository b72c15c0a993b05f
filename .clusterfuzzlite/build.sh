#!/bin/bash -eu
# Builds every fuzz target with its seeds and its dictionary, as OSS-Fuzz and ClusterFuzzLite ask.

cd "$SRC/contextvars-conformance"
cargo fuzz build -O --debug-assertions

# The seeds are made for the machine itself, without the fuzzer's flags.
env -u RUSTFLAGS -u CFLAGS -u CXXFLAGS CARGO_TARGET_DIR=/tmp/seed fuzz/seed

for target in $(cargo fuzz list); do
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    (cd "fuzz/corpus/$target" && zip -q -r "$OUT/${target}_seed_corpus.zip" .)
done
cp fuzz/corpus/loader.dict "$OUT/"
