#!/usr/bin/env python3
"""Differential test of live patches: after an edit was applied to a hosted program, that answers as the edited
program does that clang built natively; taken back, as the original does. Or the edit is refused, with a code, and
the program goes on as before.

  differential.py BUILD_DIR --cases [NAME]       the edits of cases.py, written by hand, each with its outcome:
                                                 and those of areas.py: every other one at -O0 and -O2; with --all-levels
                                                 all at -O0 to -O3 and -Os
                                                 and those of chains.py, of patches one after the other
  differential.py BUILD_DIR --seeds N            generated programs (generate.py), from --first on
  differential.py BUILD_DIR --minutes M          as many as that takes
  differential.py BUILD_DIR --in-modules ...     with what is edited in a module that the program opens
  differential.py BUILD_DIR --flags=FLAGS ...    compiled with these flags, too
  differential.py BUILD_DIR --control            a wrong expectation, and a patch of less than the edit: must be found

Programs answer a line of input with the lines of a round (live.py). Each round is compared: the first before the
edit, the second with it, the third after it was taken back. The states of the program go on through all of it, so the
second round is that of the edited program run natively from the first on. A patch that has functions of a generated
program's features that the edit does not touch has too much, which is a failure as well. Refusals are counted by code.

Exit code 1: at least one failure; what it takes to see it again is printed. 77: clang is missing.
"""
import argparse
import collections
import concurrent.futures
import os
import re
import shutil
import sys
import tempfile
import time

import live
from areas import AREAS
from cases import CASES
from chains import CHAINS
from generate import Generated

CLANG = {"c": "clang-22", "cc": "clang++-22"}
DRIVER = {"c": "cc", "cc": "c++"}
MANGLED_NUMBER = re.compile(r"[A-Za-z_](1\d\d)(?!\d)")


# How what is edited is compiled, besides level and language.
Form = collections.namedtuple("Form", "in_module flags", defaults=(False, ()))


class Failure(Exception):
    pass


class Trial:
    """One program and one edit of it, or of a module that it opens. `outcome` is "applied", "no change" or the refusal's
    codes."""

    def __init__(self, build, files, edited, level, language, form=Form()):
        self.build = build
        self.level = level
        self.language = language
        self.form = form
        main = "main." + language
        self.files = {**files, main: live.MAIN}
        self.edited = {**edited, main: live.MAIN}
        self.outcome = None
        self.report = ""
        self.folder = tempfile.mkdtemp(prefix="mend-differential-")

    def close(self):
        shutil.rmtree(self.folder)

    def run(self, wanted=None, applied_instead=None):
        """`wanted`: the second round, if not that of the edited program; `applied_instead`: another edited tree that
        is applied in place of the one that answers are compared with."""
        before = self._native("base", self.files)
        after = self._native("edited", self.edited)
        hosted = self._hosted()
        live.write_files(self.folder, {"edit.patch": live.diff_of(self.files, applied_instead or self.edited)})
        environment = {**os.environ, "XDG_RUNTIME_DIR": self.folder, "NO_COLOR": "1",
                       "MEND_OPTIONS": "--log " + os.path.join(self.folder, "log")}
        program = live.Program(hosted, environment)
        try:
            self._compare("before the edit", before[0], program.round(1))
            self._live(program, environment, before, after[1] if wanted is None else wanted)
        finally:
            code = program.end()
        if code != 0:
            raise Failure("the program ended with %s" % code)

    def _tool(self, name):
        return os.path.join(self.build, "bin", name)

    def _flags(self):
        return ["-w", self.level, *(["-std=c++20"] if self.language == "cc" else []), *self.form.flags]

    def _native(self, name, files):
        folder = os.path.join(self.folder, name)
        live.write_files(folder, files)
        error = live.compile_program([CLANG[self.language]], folder, files, self._flags(), "native")
        if error:
            raise Failure("clang does not compile the %s program: %s" % (name, error))
        program = live.Program([os.path.join(folder, "native")])
        rounds = [program.round(number) for number in (1, 2, 3)]
        program.end()
        return rounds

    def _hosted(self):
        """The command of the program, compiled by patchc."""
        folder, program = os.path.join(self.folder, "base"), os.path.join(self.folder, "hosted")
        compiler = [self._tool("patchc"), DRIVER[self.language]]
        live.write_files(folder, self.files)
        if self.form.in_module:
            module = os.path.join(self.folder, "part.so")
            files = {name: text for name, text in self.files.items() if name != "main." + self.language}
            error = live.compile_module(compiler, folder, files, self._flags(), module, program)
        else:
            error = live.compile_program(compiler, folder, self.files, self._flags(), program)
        if error:
            raise Failure("patchc does not compile it: " + error)
        return [program, module] if self.form.in_module else [program]

    def run_versions(self, chain):
        hosted = self._hosted()
        environment = {**os.environ, "XDG_RUNTIME_DIR": self.folder, "NO_COLOR": "1"}
        program = live.Program(hosted, {**environment, "MEND_OPTIONS": "--log " + os.path.join(self.folder, "log")})
        target = str(program.process.pid)
        try:
            for number, (version, answer) in enumerate(zip(chain.versions, chain.answers), 1):
                is_refused = bool(chain.refusal) and number == len(chain.versions)
                if number > 1:
                    live.write_files(self.folder, {"edit%d.patch" % number: live.diff_of(chain.versions[0], version)})
                    applied = live.run([self._tool("patchc"), "apply", "--diff", "edit%d.patch" % number, "--to", target],
                                       cwd=self.folder, env=environment)
                    self.report += applied.stdout
                    refusal = " ".join(live.codes_in(applied.stdout)) if applied.returncode else ""
                    if refusal != (chain.refusal if is_refused else "") or (applied.returncode != 0) != is_refused:
                        raise Failure("version %d: exit code %d" % (number, applied.returncode))
                self._compare("version %d" % number, answer, program.round(number))
            active = len(chain.versions) - (1 if chain.refusal else 0)
            disabled = live.run([self._tool("mend"), "disable", target, "edit%d" % active], cwd=self.folder,
                                env=environment)
            if disabled.returncode != 0:
                raise Failure("cannot be taken back: " + disabled.stdout)
            self._compare("taken back", "2\n", program.round(1))
        finally:
            code = program.end()
        if code != 0:
            raise Failure("the program ended with %s" % code)

    def _live(self, program, environment, before, second):
        target = str(program.process.pid)
        environment = {**environment}
        del environment["MEND_OPTIONS"]
        applied = live.run([self._tool("patchc"), "apply", "--diff", "edit.patch", "--to", target], cwd=self.folder,
                           env=environment)
        self.report = applied.stdout
        if applied.returncode != 0:
            codes = live.codes_in(applied.stdout)
            self.outcome = " ".join(codes)
            if not codes:
                raise Failure("refused without a code")
            self._compare("after the refusal", before[1], program.round(2))
            return
        is_patch = "nothing to apply" not in applied.stdout
        self.outcome = "applied" if is_patch else "no change"
        self._compare("with the edit", second, program.round(2))
        if is_patch:
            disabled = live.run([self._tool("mend"), "disable", target, "edit"], cwd=self.folder, env=environment)
            if disabled.returncode != 0:
                raise Failure("cannot be taken back: " + disabled.stdout)
        self._compare("taken back", before[2], program.round(3))

    @staticmethod
    def _compare(when, wanted, answered):
        if wanted == answered:
            return
        lines = [line for line in live.difflib.ndiff(wanted.splitlines(), answered.splitlines()) if line[0] in "+-"]
        raise Failure("%s: - wanted, + answered\n%s" % (when, "\n".join(lines)))

    def patched_names(self):
        return re.findall(r"^  (?:replaced|added) +(.*)$", self.report, re.MULTILINE)


def run_case(build, case, level, form):
    trial = Trial(build, case.files, case.edited, level, case.language, form)
    try:
        trial.run(case.second)
        if case.outcomes[level] != trial.outcome:
            raise Failure("wanted: %s, was: %s" % (case.outcomes[level], trial.outcome))
        return trial.outcome
    except Failure as failure:
        raise Failure("case '%s' %s: %s\n%s" % (case.name, level, failure, trial.report)) from None
    finally:
        trial.close()


def run_chain(build, chain, level, form):
    trial = Trial(build, chain.versions[0], chain.versions[-1], level, chain.language, form)
    try:
        trial.run_versions(chain)
        return "refused: " + chain.refusal if chain.refusal else "applied, one after the other"
    except Failure as failure:
        raise Failure("chain '%s' %s: %s\n%s" % (chain.name, level, failure, trial.report)) from None
    finally:
        trial.close()


def run_seed(build, seed, form):
    generated = Generated(seed)
    trial = Trial(build, generated.files, generated.edited, generated.level, generated.language, form)
    try:
        trial.run()
        untouched = {str(number) for number, edits in generated.edits.items() if not edits}
        excess = [name for name in trial.patched_names() if set(MANGLED_NUMBER.findall(name)) & untouched]
        if excess:
            raise Failure("too much in the patch: " + ", ".join(excess))
        return trial.outcome
    except Failure as failure:
        diff = live.diff_of(generated.files, generated.edited)
        raise Failure("--first %d --seeds 1 %s edits %s: %s\n%s\n%s" %
                      (seed, generated.level, {n: e for n, e in generated.edits.items() if e}, failure, trial.report,
                       diff)) from None
    finally:
        trial.close()


def run_controls(build):
    """What must be found: an answer that is not the edited program's, and a patch that lacks a part of the edit, or a
    function that inlined what changed."""
    files = {"a.c": "#include <stdio.h>\nint f(int);\nvoid show(int r) { printf(\"%d\\n\", f(r)); }\n",
             "b.c": "static int g(int x) { return x + 1; }\nint f(int x) { return g(x) * 2; }\n"}
    edited = {**files, "b.c": files["b.c"].replace("x + 1", "x + 5")}
    half = {**files, "b.c": files["b.c"].replace("x + 1", "x + 4")}
    inlined = {"h.h": "static inline int g(int x) { return x + 1; }\n",
               "a.c": "#include <stdio.h>\n#include \"h.h\"\nint f(int);\n"
                      "void show(int r) { printf(\"%d %d\\n\", g(r), f(r)); }\n",
               "b.c": "#include \"h.h\"\nint f(int x) { return g(x) * 2; }\n"}
    everywhere = {**inlined, "h.h": inlined["h.h"].replace("x + 1", "x + 5")}
    # As if the closure lost one of the functions that inlined what changed.
    not_in_b = {**inlined, "a.c": inlined["a.c"].replace("#include \"h.h\"\n", everywhere["h.h"])}
    for base, after, wanted, instead in ((files, edited, "wrong\n", None), (files, edited, None, half),
                                         (inlined, everywhere, None, not_in_b)):
        trial = Trial(build, base, after, "-O2", "c")
        try:
            trial.run(wanted, instead)
        except Failure as failure:
            if "with the edit" not in str(failure):
                raise
        else:
            raise Failure("a wrong answer was not found")
        finally:
            trial.close()


class Tally:
    def __init__(self):
        self.outcomes = collections.Counter()
        self.failures = 0

    def take(self, future):
        try:
            self.outcomes[future.result()] += 1
        except Failure as failure:
            self.failures += 1
            print("FAILED: %s" % failure, flush=True)


def seeds_of(options):
    deadline = time.monotonic() + options.minutes * 60 if options.minutes else None
    seed = options.first
    while time.monotonic() < deadline if deadline else seed < options.first + options.seeds:
        yield seed
        seed += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--cases", nargs="?", const="", help="the cases whose names contain this")
    parser.add_argument("--all-levels", action="store_true")
    parser.add_argument("--in-modules", action="store_true")
    parser.add_argument("--flags", default="")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if not all(shutil.which(clang) for clang in CLANG.values()):
        print("skipped: no " + ", ".join(CLANG.values()))
        return 77
    build = os.path.abspath(options.build)
    form = Form(options.in_modules, options.flags.split())
    tally = Tally()
    if options.control:
        run_controls(build)
        print("controls: wrong answers are found")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        def submit(run, *what):
            return pool.submit(run, build, *what, form)

        pending = set()
        if options.cases is not None:
            chosen = [case for case in CASES + AREAS
                      if options.cases in case.name and (options.all_levels or not case.long)]
            pending = {submit(run_case, case, level) for number, case in enumerate(chosen)
                       for at, level in enumerate(case.outcomes) if options.all_levels or at == number % 2}
            chains = [chain for chain in CHAINS if options.cases in chain.name]
            pending |= {submit(run_chain, chain, level) for number, chain in enumerate(chains)
                        for at, level in enumerate(("-O0", "-O2")) if options.all_levels or at == number % 2}
        for seed in seeds_of(options):
            while len(pending) > 2 * options.jobs:
                done, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    tally.take(future)
            pending.add(submit(run_seed, seed))
        for future in concurrent.futures.as_completed(pending):
            tally.take(future)
    for outcome, count in sorted(tally.outcomes.items()):
        print("%6d %s" % (count, outcome))
    print("%d edits, %d failures" % (sum(tally.outcomes.values()) + tally.failures, tally.failures))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
