#!/usr/bin/env python3
"""Walks the history of a real program, and asks of every commit whether patchc makes the right patch of it.

  history.py BUILD_DIR REPO --commits N --build COMMANDS --program PATH [--setup COMMANDS] [--last REVISION] ...

For each of the last N commits of the first-parent line that change what is compiled: the program is built of the
parent by its own build system (CC=mend-cc, CXX=mend-c++, incrementally), and `patchc build` is given the commit's diff.
What it has to find is found without it: each unit that reads differently is compiled by plain clang, of the parent and
of the commit as its build left it, with the unit's own flags and __LINE__ as 0; the functions and data of both are
compared by machine_code.py. Of what comes out:

  missed     functions that differ and are not in the patch. Each is compiled by mend-cc, too: one that is the same there
             differs only by what plain clang has concluded of a callee's body, which no patchable code does; those are
             counted as "facts". The others are holes in patchc, until somebody has looked: exit code 1
  data       the same for variables and constants, and for functions that read a changed constant
  too much   functions that are in the patch and do not differ. They are counted by the reason that patchc gave
  avoidable  a refusal where nothing differs

--log has a line of JSON for each commit. --control FUNCTION takes that one out of what patchc says: it must be missed.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from machine_code import ObjectFile, differing, name_without_numbers

SOURCE = re.compile(r"\.(c|cc|cpp|cxx|c\+\+|C|h|hh|hpp|hxx|inc|inl|def|ipp|tcc|y|l|yy|ll)$")
LINES = ["-Wno-builtin-macro-redefined", "-D__LINE__=0", '-D__DATE__=""', '-D__TIME__=""']
DROPPED = re.compile(r"-(c|M|MD|MMD|MP|g.*|flto.*|fPI[CE]|fpi[ce]|Werror.*|fmend-.*|save-temps.*)$")
DROPPED_WITH_VALUE = {"-o", "-MF", "-MT", "-MQ"}
OF_TEXT_ALONE = {"-include", "-imacros", "-I", "-D", "-U", "-isystem", "-iquote"}
STARTUP = re.compile(r"^(_GLOBAL__sub_I_|__cxx_global_var_init|_GLOBAL__I_)")


def run(command, folder, **more):
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **more)


class Unit:
    """One translation unit as it was compiled last."""
    numbers = itertools.count()

    def __init__(self, described, folder, mend_cc, macros):
        self.key = "%s|%s|%s" % (described["source"], described["output"], described["directory"])
        self.source, self.directory = described["source"], described["directory"]
        self.is_cpp = described["language"] != "c"
        self.mend_cc, self.macros = mend_cc, macros
        self.arguments = self._without(described["arguments"], DROPPED_WITH_VALUE)
        self.stem = os.path.join(folder, "%d" % next(Unit.numbers))
        self.text = None
        self.objects = {}

    def _without(self, arguments, with_value):
        kept, skip = [], False
        for argument in arguments:
            if skip or argument == self.source or DROPPED.match(argument):
                skip = False
            elif argument in with_value:
                skip = True
            elif not (len(argument) > 2 and argument[:2] in with_value):
                kept.append(argument)
        return kept

    def preprocess(self):
        """Its text, and what it was read from."""
        language = "c++" if self.is_cpp else "c"
        done = run([self._clang(), "-E", "-P", "-MD", "-MF", self.stem + ".d", "-w", *self.arguments, *self.macros,
                    "-x", language, self.source, "-o", self.stem + ".i"], self.directory)
        if done.returncode != 0:
            raise ValueError("clang does not preprocess %s: %s" % (self.source, done.stdout[-500:]))
        with open(self.stem + ".i", encoding="utf-8", errors="surrogateescape") as file:
            self.text = file.read()
        os.remove(self.stem + ".i")
        with open(self.stem + ".d", encoding="utf-8") as file:
            names = file.read().split(":", 1)[1].replace("\\\n", " ").split()
        self.sources = {os.path.normpath(os.path.join(self.directory, name)) for name in names}

    def compiled(self, compiler):
        if compiler not in self.objects:
            language = self._text_language()
            with open(self.stem + ".i", "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(self.text)
            command = [self._clang(), "-fno-pic", "-ffunction-sections", "-fdata-sections"] if compiler == "clang" else [
                self.mend_cc + ("c++" if self.is_cpp else "cc")]
            done = run([*command, "-w", "-c", *self._own_flags(), "-x", language, self.stem + ".i", "-o", self.stem + ".o"],
                       self.directory)
            if done.returncode != 0:
                raise ValueError("%s does not compile %s: %s" % (compiler, self.source, done.stdout[-500:]))
            self.objects[compiler] = ObjectFile(self.stem + ".o")
            os.remove(self.stem + ".o")
        return self.objects[compiler]

    def _clang(self):
        return "clang++-22" if self.is_cpp else "clang-22"

    def _text_language(self):
        return "c++-cpp-output" if self.is_cpp else "cpp-output"

    def _own_flags(self):
        return self._without(self.arguments, OF_TEXT_ALONE)


class Walk:
    def __init__(self, options):
        self.options = options
        self.folder = options.work or tempfile.mkdtemp(prefix="mend-history-")
        self.folder = os.path.realpath(self.folder)
        self.tree = os.path.join(self.folder, "tree")
        self.base = os.path.join(self.folder, "base")
        self.patchc = os.path.join(options.build_dir, "bin", "patchc")
        self.environment = {**os.environ, "CC": "mend-cc", "CXX": "mend-c++",
                            "PATH": os.path.join(options.build_dir, "bin") + ":" + os.environ["PATH"]}
        self.units = {}
        self.hashes = {}
        self.revision = None
        os.makedirs(os.path.join(self.folder, "units"), exist_ok=True)
        self._must(run(["git", "clone", "--quiet", "--no-checkout", "--shared", options.repo, self.tree], self.folder))

    def git(self, *arguments):
        return run(["git", *arguments], self.tree)

    def commits(self):
        """The oldest first; that before the first one begins."""
        listed = self.git("log", "--first-parent", "--format=%H", "-n", str(20 * self.options.commits + 200),
                          self.options.last).stdout.split()
        wanted, found = [], 0
        for revision in listed[:-1]:
            if found == self.options.commits:
                break
            if self._changes_sources(revision):
                wanted.append(revision)
                found += 1
        first = self.git("rev-parse", wanted[-1] + "^").stdout.strip()
        return [first, *reversed(wanted)]

    def _changes_sources(self, revision):
        names = self.git("diff", "--name-only", revision + "^", revision).stdout.split("\n")
        only = self.options.only
        return any(SOURCE.search(name) and (not only or re.search(only, name)) for name in names)

    def go_to(self, revision):
        """The tree, the program and its units are those of `revision` then. Returns the units that changed."""
        self._must(self.git("checkout", "-f", "-q", revision))
        if self.revision is None and self.options.setup:
            self._must(run(["bash", "-ec", self.options.setup], self.tree, env=self.environment))
        self.revision = revision
        self._must(run(["bash", "-ec", self.options.build], self.tree, env=self.environment))
        return self._read_units()

    @staticmethod
    def _must(done):
        if done.returncode != 0:
            raise ValueError("it does not build: " + done.stdout[-300:])

    def program(self):
        return os.path.join(self.tree, self.options.program)

    def _read_units(self):
        inspected = json.loads(run([self.patchc, "inspect", "--json", self.program()], self.tree).stdout)
        folder = os.path.join(self.folder, "units")
        mend_cc = os.path.join(self.options.build_dir, "bin", "mend-")
        units = [Unit(described, folder, mend_cc, [] if self.options.keep_lines else LINES)
                 for described in inspected["objects"] if described["described"]]
        self.hashes = {}
        changed = []
        for unit in units:
            known = self.units.get(unit.key)
            if known and known.arguments == unit.arguments and all(
                    self._hash(name) == value for name, value in known.read.items()):
                continue
            changed.append((known, unit))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda pair: pair[1].preprocess(), changed))
        for _, unit in changed:
            unit.read = {name: self._hash(name) for name in unit.sources}
        self.units = {unit.key: self.units.get(unit.key) for unit in units}
        self.units.update({unit.key: unit for _, unit in changed})
        return [(old, new) for old, new in changed if old and (old.text != new.text or old.arguments != new.arguments)]

    def _hash(self, name):
        if name not in self.hashes:
            try:
                with open(name, "rb") as file:
                    self.hashes[name] = hashlib.sha1(file.read()).digest()
            except OSError:
                self.hashes[name] = None
        return self.hashes[name]

    def try_commit(self, revision):
        result = {"commit": revision, "subject": self.git("log", "-1", "--format=%s", revision).stdout.strip()}
        parent = self.revision
        names = self.git("diff", "--name-only", parent, revision).stdout.split("\n")
        changed = {os.path.join(os.path.realpath(self.tree), name) for name in names}
        reached = sum(1 for unit in self.units.values() if changed & unit.sources)
        if self.options.units and reached > self.options.units:
            self.go_to(revision)
            return {**result, "outcome": "left out: many units"}
        diff = os.path.join(self.folder, "commit.patch")
        with open(diff, "wb") as file:
            subprocess.run(["git", "diff", "--no-ext-diff", parent, revision], cwd=self.tree, stdout=file, check=True)
        shutil.copy2(self.program(), self.base)
        report = self._patch(diff)
        result["outcome"] = self._outcome(report)
        result["notes"] = report.get("notes", []) + report.get("warnings", [])
        result["refusals"] = report.get("refusals", [])
        pairs = self.go_to(revision)
        if any(old.arguments != new.arguments for old, new in pairs):
            return {**result, "outcome": "left out: other flags", "patchc": result["outcome"]}
        result.update(self._compare(report, pairs, result["outcome"]))
        return result

    def _patch(self, diff):
        done = subprocess.run([self.patchc, "build", "-j2", "-k", "--json", "--base", self.base, "--diff", diff, "--source", self.tree,
                               "--name", "commit", "-o", os.path.join(self.folder, "commit.mendpatch")], cwd=self.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {"exit_code": done.returncode, "message": (done.stdout + done.stderr)[-500:]}

    @staticmethod
    def _outcome(report):
        if "message" in report:
            return "failed: " + report["message"]
        codes = sorted({refusal["code"] for refusal in report.get("refusals", [])})
        return " ".join(codes) or ("no change" if report.get("no_change") else "patch")

    def _compare(self, report, pairs, outcome):
        claimed = collections.defaultdict(set)  # the unit -> what is in the patch
        reasons, new_data = {}, set()
        for unit in report.get("units", []):
            for function in unit["functions"]:
                name = name_without_numbers(function["name"])
                if name != self.options.control:
                    claimed[unit["unit"]].add(name)
                    reasons[(unit["unit"], name)] = function["reason"]
            claimed[unit["unit"]].update(name_without_numbers(name) for name in unit["new_functions"])
            new_data.update(name_without_numbers(name) for name in unit["new_data"])
        anywhere = set().union(*claimed.values())
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda unit: unit.compiled("clang"), [unit for pair in pairs for unit in pair]))
        found = {name: [] for name in ("functions", "missed", "facts", "startup", "data", "too_much")}
        is_patch = outcome in ("patch", "no change")
        differ_in = {}
        for old, new in pairs:
            before, after = old.compiled("clang"), new.compiled("clang")
            differ = differing(before.functions, after.functions)
            differ_in[new.key] = differ | set(after.functions) - set(before.functions)
            found["functions"] += [self._place(new, name) for name in sorted(differ)]
            for name in sorted(differ - claimed[new.key] if is_patch else ()):
                if STARTUP.match(name):
                    found["startup"].append(self._place(new, name))
                elif name not in anywhere or not name.startswith("_Z"):
                    found[self._class_of(old, new, name)].append(self._place(new, name))
            changed_data = differing(before.data, after.data)
            for name in sorted(changed_data - new_data if is_patch else ()):
                found["data"].append(self._place(new, name))
            for name in sorted(after.functions if is_patch else ()):
                if name not in claimed[new.key] and changed_data & after.referred[name] & new_data:
                    found["data"].append(self._place(new, name) + " reads what changed")
        for (unit, name), reason in sorted(reasons.items()):
            if name not in differ_in.get(unit, ()):
                found["too_much"].append("%s %s (%s)" % (unit.split("|")[0], name, reason))
        found["counts"] = {"units": len(pairs), "claimed": len(reasons)}
        return found

    @staticmethod
    def _place(unit, name):
        return os.path.basename(unit.source) + " " + name

    @staticmethod
    def _class_of(old, new, name):
        before, after = old.compiled("mend"), new.compiled("mend")
        is_same = before.functions.get(name) == after.functions.get(name)
        reads_other = differing(before.data, after.data) & after.referred.get(name, set())
        return "facts" if is_same and not reads_other else "missed"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build_dir")
    parser.add_argument("repo", help="the git directory")
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--last", default="HEAD")
    parser.add_argument("--setup", help="once, before the first build")
    parser.add_argument("--build", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", help="regular expression: commits that change such files")
    parser.add_argument("--keep-lines", action="store_true", help="__LINE__ is what it is: for sources that make names of it")
    parser.add_argument("--units", type=int, help="leave out commits that reach more")
    parser.add_argument("--work", help="folder to work in; kept")
    parser.add_argument("--log")
    parser.add_argument("--control")
    options = parser.parse_args()
    options.build_dir, options.repo = os.path.abspath(options.build_dir), os.path.abspath(options.repo)
    walk = Walk(options)
    try:
        return report_on(walk, options)
    finally:
        if not options.work:
            shutil.rmtree(walk.folder)


def report_on(walk, options):
    outcomes, totals = collections.Counter(), collections.Counter()
    first, *others = walk.commits()
    is_ready = False
    log = open(options.log, "a", encoding="utf-8") if options.log else None
    for revision in [first, *others]:
        try:
            if is_ready:
                result = walk.try_commit(revision)
            else:
                walk.go_to(revision)
                is_ready, result = True, None
        except ValueError as error:
            result, is_ready = {"commit": revision, "outcome": "not tried", "error": str(error)}, False
        if result:
            outcomes[result["outcome"][:40]] += 1
            for name in ("functions", "missed", "facts", "startup", "data", "too_much"):
                totals[name] += len(result.get(name, ()))
            print(result["commit"][:10], result["outcome"][:80], result.get("error", "")[-200:],
                  *("%s: %s" % (name, ", ".join(result[name])) for name in ("missed", "data") if result.get(name)), flush=True)
            if log:
                log.write(json.dumps(result) + "\n")
                log.flush()
    print(", ".join("%s %d" % item for item in [*outcomes.most_common(), *totals.items()]))
    return 1 if totals["missed"] or totals["data"] else 0


if __name__ == "__main__":
    sys.exit(main())
