"""What became of the faults, and the table of it: difftest/MUTANTS.md."""

import hashlib
import json
import statistics

from mutation.faults import ROOT, SCRATCH, reasons, tracked
from mutation.search import LIMIT, SEED

TABLE = ROOT / "difftest" / "MUTANTS.md"
CRATES = ("spec/", "reference/", "optimized/", "difftest/")


class Results:
    """What became of the faults of one kind, kept on disk as it comes."""

    def __init__(self, kind, mutants):
        self.path = SCRATCH / f"{kind}.json"
        self.mutants = mutants
        names = {mutant.name for mutant in mutants}
        kept = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.rows = {name: row for name, row in kept.items() if name in names}
        digests = [hashlib.sha256((ROOT / path).read_bytes()).digest() for path in sorted(tracked()) if path.startswith(CRATES) and path.endswith(".rs") and "/src/" in path]
        self.sources = b"".join(digests)

    def is_of_these_sources(self, mutant):
        return self.rows.get(mutant.name, {}).get("digest") == mutant.digest(self.sources)

    def todo(self, chosen, resume, missed):
        if resume:
            chosen = [mutant for mutant in chosen if not self.is_of_these_sources(mutant)]
        if missed:
            chosen = [mutant for mutant in chosen if not is_settled(mutant, self.rows.get(mutant.name, {}), reasons())]
        return chosen

    def put(self, mutant, row):
        self.rows[mutant.name] = row | {"digest": mutant.digest(self.sources)}
        # All or nothing: an interruption leaves what was there.
        half = self.path.with_suffix(".half")
        half.write_text(json.dumps(self.rows, indent=1))
        half.replace(self.path)


def is_settled(mutant, row, known):
    # A patch of the bank that does not build is to be made anew.
    return row.get("result") == "caught" or row.get("result") == "unviable" and not mutant.what or mutant.name in known


def summarize(results):
    known = reasons()
    found = [results.rows[mutant.name] for mutant in results.mutants if mutant.name in results.rows]
    counts = {result: sum(row["result"] == result for row in found) for result in ("caught", "unviable")}
    left = [mutant.name for mutant in results.mutants if mutant.name in results.rows and results.rows[mutant.name]["result"] == "missed"]
    equivalent = sum(name in known for name in left)
    lines = [f"{len(results.mutants)} mutants: {counts['caught']} caught, {len(left) - equivalent} missed, {equivalent} equivalent for the rules, {counts['unviable']} that do not build."]
    timed = [row for row in found if "steps" in row]
    if timed:
        median = {key: statistics.median(row[key] for row in timed) for key in ("seconds", "cases", "steps")}
        lines.append(f"Median of the caught: {median['seconds']:.2f} s, {median['cases']:g} cases, {median['steps']:g} operations in the counterexample.")
        slow = sum(row["seconds"] > LIMIT for row in timed)
        lines.append(f"At most: {max(row['seconds'] for row in timed):.1f} s, {max(row['steps'] for row in timed)} operations; {slow} took more than {LIMIT} s.")
        lines.append(f"{sum(row['shrinks'] for row in timed)} counterexamples can lose an operation.")
    told = sum("steps" not in row for row in found if row["result"] == "caught")
    if told:
        lines.append(f"{told} of the caught change no answer that is compared: the run itself says that it no longer covers a rule or a situation.")
    if len(found) < len(results.mutants):
        lines.append(f"Not looked for yet: {len(results.mutants) - len(found)}.")
    asked = [row["replayed"] for row in found if row["result"] == "caught" and "replayed" in row]
    if asked:
        lines.append(f"`difftest replay traces` alone, which takes a second, shows {sum(asked)} of {len(asked)} that are caught.")
    others = sum(mutant.name in results.rows and not results.is_of_these_sources(mutant) for mutant in results.mutants)
    if others:
        lines.append(f"{others} of the results are of an earlier state of the sources.")
    return "\n\n".join(lines)


def bank_table(results):
    lines = [f"## The bank\n\n`tools/mutants bank`: one core, seed {SEED}, {LIMIT} s. The time is that of finding and shrinking.\n", summarize(results)]
    lines.append("\n| fault | what is wrong | result | seconds | cases | operations | saved traces |\n|---|---|---|---:|---:|---:|---|")
    for mutant in results.mutants:
        if mutant.name in results.rows:
            row = results.rows[mutant.name]
            lines.append(f"| `{mutant.name}` | {mutant.what} | {figures(row)} | {'caught' if row.get('replayed') else ''} |")
    return "\n".join(lines)


def figures(row):
    how = f" ({row['how']})" if row["how"] else ""
    numbers = f"{row['seconds']:.2f} | {row['cases']} | {row['steps']}" if "steps" in row else "| |"
    return f"{row['result']}{how} | {numbers}"


def cargo_table(results):
    known = reasons()
    lines = [f"## cargo-mutants\n\n`tools/mutants cargo`: one core, seed {SEED}, {LIMIT} s.\n", summarize(results)]
    lines.append("\n| file | mutants | caught | missed | equivalent | do not build |\n|---|---:|---:|---:|---:|---:|")
    for file in sorted({mutant.file for mutant in results.mutants}):
        rows = [(mutant.name in known, results.rows.get(mutant.name, {"result": ""})["result"]) for mutant in results.mutants if mutant.file == file]
        left = [equivalent for equivalent, result in rows if result == "missed"]
        of = [result for _, result in rows]
        lines.append(f"| `{file}` | {len(of)} | {of.count('caught')} | {left.count(False)} | {left.count(True)} | {of.count('unviable')} |")
    lines.append("\nWhat is not caught:\n\n| mutant | why |\n|---|---|")
    for mutant in results.mutants:
        row = results.rows.get(mutant.name, {})
        if row.get("result") == "missed":
            how = f" ({row['how']})" if row["how"] else ""
            name = mutant.name.replace("|", "\\|")
            lines.append(f"| `{name}`{how} | {known.get(mutant.name, 'missed')} |")
    unneeded = [name for name in known if results.rows.get(name, {}).get("result") == "caught"]
    if unneeded:
        lines.append(f"\nCaught, though a reason says that nobody can: {', '.join(f'`{name}`' for name in unneeded)}.")
    return "\n".join(lines)


def write_section(name, text):
    """Replaces a part of the table, and leaves the other."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    whole = TABLE.read_text()
    before, rest = whole.split(begin, 1)
    after = rest.split(end, 1)[1]
    TABLE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
