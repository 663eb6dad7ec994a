#!/usr/bin/env python3
"""Walks the history of a real program, and asks of every commit whether patchc makes the right patch of it.

  history.py BUILD_DIR REPO --commits N --build COMMANDS --program PATH [--setup COMMANDS] [--last REVISION] ...

For each of the last N commits of the first-parent line that change what is compiled: the program is built of the
parent by its own build system (CC=mend-cc, CXX=mend-c++, incrementally), and `patchc build` is given the commit's diff.
What it has to find is found without it: each unit that reads differently is compiled by plain clang, of the parent and
of the commit as its build left it, with the unit's own flags and __LINE__ as 0; the functions and data of both are
compared by machine_code.py. Of what comes out:

  missed     functions that differ and are not in the patch. Each is compiled by mend-cc, too: one that is the same
             there differs only by what plain clang has inlined or concluded of a callee's body, which patchable code
             does not have; those are counted as "facts". Or the new one has a function inlined that the old one
             calls, which gets to the new version of that as it is: "calls". The others are holes in patchc, until
             somebody has looked: exit code 1
  data       the same for variables and constants, and for functions that read a changed constant
  too much   functions that are in the patch and differ in neither, with the reason that patchc gave
  avoidable  a refusal where nothing differs

With --onto one program is built, of that revision, and the diffs of later commits are tried on it, each alone, where
they apply: this is much quicker, and does not see what the build would have generated of a diff.

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

import live
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


KINDS = ("functions", "missed", "facts", "calls", "startup", "data", "too_much", "avoidable")


class Unit:
    """One translation unit as it was compiled last."""
    numbers = itertools.count()

    def __init__(self, described, folder, mend_cc, macros):
        self.key = self.key_of(described)
        self.source, self.directory = described["source"], described["directory"]
        self.is_cpp = described["language"] != "c"
        self.mend_cc, self.macros = mend_cc, macros
        self.arguments = self._without(described["arguments"], DROPPED_WITH_VALUE)
        self.stem = os.path.join(folder, "%d" % next(Unit.numbers))
        self.text = None
        self.objects = {}

    @staticmethod
    def key_of(described):
        return "%s|%s|%s" % (described["source"], described["output"], described["directory"])

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
        done = run([self._clang(), "-E", "-MD", "-MF", self.stem + ".d", "-w", *self.arguments, *self.macros,
                    "-x", language, self.source, "-o", self.stem + ".i"], self.directory)
        if done.returncode != 0:
            raise ValueError("clang does not preprocess %s: %s" % (self.source, done.stdout[-500:]))
        with open(self.stem + ".i", encoding="utf-8", errors="surrogateescape") as file:
            self.text = file.read()
        self.code = [line for line in self.text.split("\n") if line.strip() and not line.startswith("# ")]
        os.remove(self.stem + ".i")
        with open(self.stem + ".d", encoding="utf-8") as file:
            names = file.read().split(":", 1)[1].replace("\\\n", " ").split()
        self.sources = {os.path.normpath(os.path.join(self.directory, name)) for name in names}

    def compiled(self, compiler):
        if compiler not in self.objects:
            language = self._text_language()
            with open(self.stem + ".i", "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(self.text)
            command = [self._clang(), "-fno-pic", "-ffunction-sections", "-fdata-sections"]
            if compiler != "clang":
                command = [self.mend_cc + ("c++" if self.is_cpp else "cc")]
            if compiler == "apart":
                command.append("-fno-inline")
            done = run([*command, "-w", "-c", *self._own_flags(), "-x", language, self.stem + ".i", "-o",
                        self.stem + ".o"], self.directory)
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
        self.is_new = not os.path.exists(self.tree)
        if self.is_new:
            self._must(run(["git", "clone", "--quiet", "--no-checkout", "--shared", options.repo, self.tree],
                           self.folder))

    def git(self, *arguments):
        return run(["git", *arguments], self.tree)

    def commits(self):
        """The oldest first; that before the first one begins."""
        if self.options.onto:
            span = self.options.onto + ".." + self.options.last
            listed = self.git("log", "--first-parent", "--reverse", "--format=%H", span).stdout.split()
            return [self.options.onto, *(revision for revision in listed if self._changes_sources(revision))]
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
        if self.revision is None and self.is_new and self.options.setup:
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
        self.described = [described for described in inspected["objects"] if described["described"]]
        changed = self._changed_units()
        known = {old.key: old for old in self.units.values()}
        self.units = {unit.key: unit for _, unit in changed}
        self.units.update({key: known[key] for key in map(Unit.key_of, self.described) if key not in self.units})
        return self._different(changed)

    def _changed_units(self):
        """Those of which a source changed, or that are new, as (before or None, after)."""
        folder = os.path.join(self.folder, "units")
        mend_cc = os.path.join(self.options.build_dir, "bin", "mend-")
        self.hashes = {}
        changed = []
        for described in self.described:
            unit = Unit(described, folder, mend_cc, [] if self.options.keep_lines else LINES)
            known = self.units.get(unit.key)
            if not known or known.arguments != unit.arguments or any(
                    self._hash(name) != value for name, value in known.read.items()):
                changed.append((known, unit))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda pair: pair[1].preprocess(), changed))
        for _, unit in changed:
            unit.read = {name: self._hash(name) for name in unit.sources}
        return changed

    @staticmethod
    def _different(changed):
        return [(old, new) for old, new in changed if old and (old.code != new.code or old.arguments != new.arguments)]

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
        parent = revision + "^" if self.options.onto else self.revision
        diff = os.path.join(self.folder, "commit.patch")
        with open(diff, "wb") as file:
            subprocess.run(["git", "diff", "--no-ext-diff", parent, revision], cwd=self.tree, stdout=file, check=True)
        if self.options.onto and self.git("apply", "--check", diff).returncode != 0:
            return {**result, "outcome": "left out: does not apply"}
        if self._is_wide(parent, revision):
            if not self.options.onto:
                self.go_to(revision)
            return {**result, "outcome": "left out: many units"}
        shutil.copy2(self.program(), self.base)
        report = self._patch(diff)
        result["outcome"] = self._outcome(report)
        result["notes"] = report.get("notes", []) + report.get("warnings", [])
        result["refusals"] = report.get("refusals", []) or [report[name] for name in ("message",) if name in report]
        pairs = self._apply(diff) if self.options.onto else self.go_to(revision)
        if any(old.arguments != new.arguments for old, new in pairs):
            return {**result, "outcome": "left out: other flags", "patchc": result["outcome"]}
        result.update(self._compare(report, pairs, result["outcome"]))
        return result

    def _is_wide(self, parent, revision):
        names = self.git("diff", "--name-only", parent, revision).stdout.split("\n")
        changed = {os.path.join(self.tree, name) for name in names}
        reached = sum(1 for unit in self.units.values() if changed & unit.sources)
        return self.options.units and reached > self.options.units

    def _apply(self, diff):
        """Without a build; the tree is as before afterwards."""
        self._must(self.git("apply", diff))
        try:
            return self._different(self._changed_units())
        finally:
            self._must(self.git("apply", "-R", diff))

    def _patch(self, diff):
        done = subprocess.run([self.patchc, "build", "-j2", "-k", "--json", "--base", self.base, "--diff", diff,
                               "--source", self.tree, "--name", "commit",
                               "-o", os.path.join(self.folder, "commit.mendpatch")],
                              cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {"exit_code": done.returncode, "message": (done.stdout + done.stderr)[-500:]}

    @staticmethod
    def _outcome(report):
        codes = sorted({refusal["code"] for refusal in report.get("refusals", [])})
        message = report.get("message", "")  # where there was no comparison there is no JSON
        codes += live.codes_in(message)
        if message and not codes:
            return "failed: " + message
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
        found = {name: [] for name in KINDS}
        is_patch = outcome in ("patch", "no change")
        differ_in, any_differs = {}, False
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
            any_differs |= bool(differ or changed_data)
            differ_in[new.key].update(name for name, referred in after.referred.items() if referred & changed_data)
            for name in sorted(changed_data - new_data if is_patch else ()):
                found["data"].append(self._place(new, name))
            for name in sorted(after.functions if is_patch else ()):
                if (name not in claimed[new.key] and changed_data & after.referred[name] & new_data and
                        self._readers(old.compiled("mend"), new.compiled("mend"), name)):
                    found["data"].append(self._place(new, name) + " reads what changed")
        compared = {new.key: (old, new) for old, new in pairs}
        for (unit, name), reason in sorted(reasons.items()):
            if name not in differ_in.get(unit, ()) and not self._differs_in_mend(compared.get(unit), name):
                found["too_much"].append("%s %s (%s)" % (unit.split("|")[0], name, reason))
        if not is_patch and not any_differs and outcome != "MEND-E0007":  # which says just that
            found["avoidable"].append(outcome)
        found["counts"] = {"units": len(pairs), "claimed": len(reasons)}
        return found

    @staticmethod
    def _place(unit, name):
        return os.path.basename(unit.source) + " " + name

    def _class_of(self, old, new, name):
        before, after = old.compiled("mend"), new.compiled("mend")
        is_same = before.functions.get(name) == after.functions.get(name)
        if is_same and not self._readers(before, after, name):
            return "facts"
        return "calls" if self._calls_what_changed(old, new, name) else "missed"

    def _differs_in_mend(self, pair, name):
        """What plain clang has inlined everywhere is still a function there."""
        if not pair:
            return False
        before, after = pair[0].compiled("mend"), pair[1].compiled("mend")
        return before.functions.get(name) != after.functions.get(name) or bool(self._readers(before, after, name))

    @staticmethod
    def _readers(before, after, name):
        return differing(before.data, after.data) & after.referred.get(name, set())

    def _calls_what_changed(self, old, new, name):
        """Nothing that the old function has in itself, inlined or its own, comes out differently without inlining."""
        called = old.compiled("mend").referred.get(name, set())
        before, after = old.compiled("apart"), new.compiled("apart")
        changed = differing(before.functions, after.functions)
        seen, left = set(), [name]
        while left:
            function = left.pop()
            if function in changed or function not in before.functions or self._readers(before, after, function):
                return False
            seen.add(function)
            left += [other for other in before.referred[function] & set(before.functions) if other not in seen | called]
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build_dir")
    parser.add_argument("repo", help="the git directory")
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--last", default="HEAD")
    parser.add_argument("--onto", help="build this revision alone, and try later commits' diffs on it")
    parser.add_argument("--setup", help="once, before the first build")
    parser.add_argument("--build", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", help="regular expression: commits that change such files")
    parser.add_argument("--keep-lines", action="store_true",
                        help="__LINE__ is what it is: for sources that make names of it")
    parser.add_argument("--units", type=int, help="leave out commits that reach more")
    parser.add_argument("--work", help="folder to work in; kept, and taken up again without --setup")
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
        tried = sum(count for outcome, count in outcomes.items() if not outcome.startswith("left out"))
        if options.onto and tried >= options.commits:
            break
        try:
            if is_ready:
                result = walk.try_commit(revision)
            else:
                walk.go_to(revision)
                is_ready, result = True, None
        except ValueError as error:
            result = {"commit": revision, "outcome": "not tried", "error": str(error)}
            if options.onto and not is_ready:
                sys.exit(str(error))
            is_ready = bool(options.onto)
        if result:
            outcomes[result["outcome"][:40]] += 1
            for name in KINDS:
                totals[name] += len(result.get(name, ()))
            print(result["commit"][:10], result["outcome"][:80], result.get("error", "")[-200:],
                  *("%s: %s" % (name, ", ".join(result[name])) for name in ("missed", "data") if result.get(name)),
                  flush=True)
            if log:
                log.write(json.dumps(result) + "\n")
                log.flush()
    print(", ".join("%s %d" % item for item in [*outcomes.most_common(), *totals.items()]))
    return 1 if totals["missed"] or totals["data"] else 0


if __name__ == "__main__":
    sys.exit(main())
