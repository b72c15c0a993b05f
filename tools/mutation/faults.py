"""The faults that are put into the sources: those of difftest/faults, and those that cargo-mutants makes."""

import dataclasses
import hashlib
import json
import pathlib
import re
import subprocess

from mutation import refuse

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAULTS = ROOT / "difftest" / "faults"
EQUIVALENT = FAULTS / "equivalent.txt"
SCRATCH = ROOT / "target" / "mutants-work"


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    return [path for path in listed.stdout.decode().split("\0") if path and (ROOT / path).is_file()]


@dataclasses.dataclass
class Mutant:
    """A fault, and the patch that puts it in."""

    name: str
    what: str
    file: str
    patch: str

    def digest(self, sources):
        return hashlib.sha256(sources + self.patch.encode()).hexdigest()


def of_bank():
    for path in sorted(FAULTS.glob("*.patch")):
        what, patch = path.read_text().split("\n", 1)
        yield Mutant(path.stem, what, re.search(r"^\+\+\+ b/(\S+)", patch, re.MULTILINE)[1], patch)


def of_cargo():
    """What cargo-mutants makes, by names that stay the same when lines move."""
    try:
        listed = subprocess.run(["cargo", "mutants", "--list", "--json", "--diff"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        refuse("cargo is not on PATH")
    if listed.returncode != 0:
        refuse(f"`cargo mutants` does not list its mutants; install it with `cargo install cargo-mutants`:\n{listed.stderr}")
    seen = {}
    for mutant in json.loads(listed.stdout):
        name = re.sub(r":\d+:\d+: ", " ", mutant["name"])
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name += f" #{seen[name]}"
        hunks = mutant["diff"].split("\n", 2)[2]
        yield Mutant(name, "", mutant["file"], f"--- a/{mutant['file']}\n+++ b/{mutant['file']}\n{hunks}")


def counterexample(mutant):
    """Where the counterexample of a fault is kept."""
    # Names may differ in signs alone.
    signs = hashlib.sha256(mutant.name.encode()).hexdigest()[:8]
    return SCRATCH / "traces" / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', mutant.name)[:200]}-{signs}.json"


def reasons():
    """Why nobody can tell a mutant from the original."""
    lines = EQUIVALENT.read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#"))
