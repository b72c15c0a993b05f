"""The search for one fault: a copy of the sources in which it stands, and the runs of the tester there."""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

from mutation import refuse
from mutation.faults import ROOT, SCRATCH, counterexample, tracked

# The tester looks for the formal model beside its sources, and those of a copy have none.
os.environ.setdefault("CONTEXTVARS_ORACLE", str(ROOT / "spec" / "coq" / "_build" / "oracle"))
# Only the binary: tests and their dependencies would be built for nothing.
BUILD = ["cargo", "build", "--quiet", "--locked", "--profile", "mutants", "--package", "contextvars-difftest", "--bin", "difftest", "--no-default-features"]
SEED = 1
# The optimized implementation, in both of its ways to count.
LIBRARY = "optimized,confined"
# How many seconds it takes at the most to find a fault and to shrink what shows it.
LIMIT = 10
# Seconds of search: of the optimized implementation, and of one in a new process for every trace; of the model.
LONG, FIRST = 6, 2
QUICK = 2.5
# How many traces of a hundred have programs: as by default, and where it is they that show the most.
PROGRAMS, MANY_PROGRAMS, MOST_PROGRAMS = 4, 15, 60
# From so many seconds on a run does not end: shrinking takes some after the search.
ENDLESS = 3 * LIMIT
# How many KiB of memory a process may map: ten times what a run does, and an interpreter with its threads.
MEMORY = 512 << 10
# What is not yet written or no longer owned is filled, so that what a fault reads there does not depend on chance;
# and threads share what they map.
ALLOCATOR = {"MALLOC_PERTURB_": "165", "MALLOC_ARENA_MAX": "2"}
# And memory begins at the same address in every process, where the system lets it.
SAME_ADDRESSES = ["setarch", "--addr-no-randomize"]
if not shutil.which(SAME_ADDRESSES[0]) or subprocess.run([*SAME_ADDRESSES, "true"], stderr=subprocess.DEVNULL).returncode != 0:
    print("addresses are chosen by chance here, and with them what a fault does that writes beyond its memory", file=sys.stderr)
    SAME_ADDRESSES = []
# The exit status of a tester that cannot show what it met.
UNSHOWN = 2

# A situation that a run without a fault meets so often does not fail to appear by chance.
OFTEN = 30


class Copy:
    """A copy of the sources with a target directory of its own, in which one fault at a time stands. It
    stays warm: a fault costs the build of the crate that it is in, and of the tester."""

    def __init__(self, number, also):
        self.folder = SCRATCH / f"copy-{number}"
        self.also = also
        self.difftest = self.folder / "target" / "mutants" / "difftest"
        self.faultless = self.difftest.with_name("difftest-without-a-fault")
        paths = tracked()
        self.remove_others({self.folder / path for path in paths})
        for path in paths:
            to = self.folder / path
            text = (ROOT / path).read_bytes()
            # What has not changed keeps its time, so that it is not built again.
            if not to.is_file() or to.read_bytes() != text:
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(text)
                shutil.copymode(ROOT / path, to)

    def remove_others(self, wanted):
        """Removes what earlier sources had and these do not."""
        for folder, folders, files in os.walk(self.folder):
            if folder == str(self.folder):
                folders[:] = [name for name in folders if name not in ("target", "found")]
            for path in (pathlib.Path(folder) / name for name in files):
                if path not in wanted:
                    path.unlink()

    def build_without_a_fault(self):
        built = self.build()
        if built.returncode != 0:
            refuse(f"the sources do not build without a fault:\n{built.stderr}")
        # Not another name of the same file, which the next build may write over.
        self.faultless.unlink(missing_ok=True)
        shutil.copy(self.difftest, self.faultless)

    def build(self):
        environment = dict(os.environ, CARGO_TARGET_DIR=str(self.folder / "target"))
        return subprocess.run(BUILD, cwd=self.folder, env=environment, capture_output=True, text=True)

    def apply(self, mutant, *options):
        # Outside of any repository, so that git takes the paths as they stand.
        environment = dict(os.environ, GIT_CEILING_DIRECTORIES=str(self.folder.parent))
        subprocess.run(["git", "apply", *options], cwd=self.folder, env=environment, input=mutant.patch, text=True, check=True)

    def hunt(self, tester, engines, seconds, programs, seed=SEED):
        """What the run ended with, its summary, and how long it took; no status where it does not end."""
        out = self.folder / "found"
        shutil.rmtree(out, ignore_errors=True)
        command = [str(tester), "run", "--engines", engines, "--patience", patience(engines), "--jobs", "1", "--seed", str(seed)]
        command += ["--programs", str(programs), "--time", f"{seconds * 1000:.0f}ms", "--until-found", "--json", "--out", str(out)]
        began = time.monotonic()
        status, output = self.run(command)
        return status, json.loads(output) if output else None, time.monotonic() - began

    def run(self, command):
        """The exit status and the output; no status where it does not end. Who asks for more memory than
        any run needs gets none."""
        command = [*SAME_ADDRESSES, "sh", "-c", 'ulimit -v "$0" && exec "$@"', str(MEMORY), *command]
        with subprocess.Popen(command, cwd=self.folder, env=os.environ | ALLOCATOR, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                output, _ = process.communicate(timeout=ENDLESS)
                return process.returncode, output
            except subprocess.TimeoutExpired:
                # An engine that hangs does not notice that its tester has gone.
                for pid in [*descendants(process.pid), process.pid]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return None, ""

    def replays(self, mutant):
        """Whether the saved traces alone show the fault."""
        engines = "reference" if mutant.file.startswith("reference/") else f"reference,{LIBRARY}"
        status, _ = self.run([str(self.difftest), "replay", "traces", "--engines", engines])
        return status != 0

    def searches(self, mutant):
        """The runs that look for a fault: engines, seconds, and how many traces of a hundred have programs. What
        the first traces of a process alone show is looked for in many processes."""
        if not mutant.file.startswith("reference/"):
            return [(f"reference,{LIBRARY}", LONG, PROGRAMS), (f"reference,{self.served('fresh', 'optimized')}", FIRST, PROGRAMS)]
        # The formal model runs no programs. What the model answers by itself, it answers in a process of its own.
        pythons = [engine for engine in self.also.split(",") if "python" in engine]
        others = [engine for engine in self.also.split(",") if engine and engine not in pythons] + [self.served("child", "reference")]
        # Interpreters alone show what the reference says of finalizers. What they show takes them the longest to shrink.
        finalizers = [(",".join(["reference", *pythons]), QUICK, MOST_PROGRAMS) for _ in pythons[:1]]
        return [(f"reference,{LIBRARY}", QUICK, MANY_PROGRAMS), *finalizers, (",".join(["reference", *others]), QUICK, PROGRAMS)]

    def number_less(self, engines):
        """The engines, named alike in every copy."""
        return engines.replace(str(self.folder), "")

    def served(self, kind, engines):
        return ",".join(f"{kind}={self.difftest} serve --engine {engine}" for engine in engines.split(","))

    def apart(self, mutant):
        """The runs that look for a fault which takes its process with it: the tester, and the engines. The
        model grows the traces, so that a tester in order holds one that hangs to the others."""
        if mutant.file.startswith("reference/"):
            others = (["coq"] if "coq" in self.also.split(",") else []) + ["optimized"]
            return [(self.faultless, f"{other},{self.served('child', 'reference')}") for other in others]
        return [(self.difftest, f"reference,{self.served(kind, LIBRARY)}") for kind in ("child", "fresh")]

    def examine(self, mutant, usual):
        """What becomes of one fault. `usual` is what each search covers where there is none."""
        row = {"what": mutant.what, "file": mutant.file, "how": ""}
        self.apply(mutant)
        try:
            built = self.build()
            if built.returncode != 0:
                return row | {"result": "unviable", "detail": built.stderr[:500]}
            row["replayed"] = self.replays(mutant)
            spent = {"seconds": 0, "cases": 0}

            def look(tester, engines, seconds, programs, seed=SEED):
                """What the run came to: the counterexample that is kept, how else it ended, and its summary."""
                status, summary, seconds = self.hunt(tester, engines, seconds, programs, seed)
                spent["seconds"] += seconds
                spent["cases"] += summary["cases"] if summary else 0
                if summary and summary["failure"]:
                    return {}, "failure", summary
                if status not in (0, 1):
                    # A hang of the model leaves no trace, and the tester says so.
                    return None, "crash" if status not in (None, UNSHOWN) else "hang", None
                for divergence in summary["divergences"]:
                    kept = self.keep(mutant, tester, divergence, engines)
                    if kept:
                        return kept, "", summary
                # Nothing that is saved shows again: it depends on earlier traces.
                return None, "memory" if summary["divergences"] else "", summary

            for engines, seconds, programs in self.searches(mutant):
                kept, how, summary = look(self.difftest, engines, seconds, programs)
                if how == "memory":
                    kept, how, summary = look(self.difftest, engines, seconds, programs, SEED + 1)
                    how = how or "memory"
                if kept is not None:
                    return row | spent | {"result": "caught", "how": how} | kept
                if how:
                    # It takes the process with it, or breaks the memory that later traces use.
                    row["how"] = how
                    for tester, engines in self.apart(mutant):
                        kept, *_ = look(tester, engines, LIMIT, PROGRAMS)
                        if kept is not None:
                            return row | spent | {"result": "caught"} | kept
                    break
                uncovered = covers(summary, usual[self.number_less(engines), programs])
                if mutant.file.startswith("reference/") and uncovered:
                    return row | spent | {"result": "caught", "how": f"coverage: {uncovered}"}
            return row | spent | {"result": "missed"}
        finally:
            self.apply(mutant, "--reverse")

    def keep(self, mutant, tester, divergence, engines):
        """Keeps a counterexample, if it shows the fault by itself; shrinking it again says so, and whether it
        can still lose a step."""
        found = pathlib.Path(divergence["file"])
        kept = counterexample(mutant)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, kept)
        before = len(json.loads(kept.read_text())["steps"])
        again = found.with_name("again.json")
        shutil.copy(found, again)
        # What hangs in the tester's process was found again in processes of their own.
        replayed_by = shlex.split(divergence["replay"])[-1]
        if self.run([str(tester), "shrink", str(again), "--engines", replayed_by, "--patience", patience(engines)])[0] != 1:
            return None
        return {"steps": before, "shrinks": len(json.loads(again.read_text())["steps"]) < before}


def descendants(pid):
    """The processes that a process has started, and those that they have."""
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield from descendants(child)
            yield child


def patience(engines):
    """How long one may take to answer a trace: the library takes some milliseconds, or for ever; to and from
    another process the largest traces take longer."""
    return "5s" if "python" in engines else "1s" if "serve --engine" in engines else "500ms"


def covers(summary, usual):
    """What a run says that it does not cover, and usually covers in a third of the time: a situation often. Or
    what it says that it does not compare, and usually does."""
    uncovered = [rule for rule in summary["rules_missed"] if rule not in usual["rules_missed"]]
    uncovered += [situation for situation in summary["situations_missed"] if usual["situations"][situation] >= OFTEN]
    uncovered += [f"compared with {engine}" for engine in summary["left_out"] if is_more(summary, usual, lambda of: of["left_out"].get(engine, 0))]
    uncovered += ["without a known fault"] if is_more(summary, usual, lambda of: of["faulty"]) else []
    uncovered += ["compared to the end"] if is_more(summary, usual, lambda of: of["left_open"]) else []
    return ", ".join(uncovered[:3]) + (f" and {len(uncovered) - 3} more" if len(uncovered) > 3 else "")


def is_more(summary, usual, count):
    """Whether so many more traces of a run are counted than usually that chance does not explain it."""
    return count(summary) > OFTEN and count(summary) / summary["cases"] > 2 * (count(usual) + 3) / usual["cases"]
