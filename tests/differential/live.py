"""A program that answers each line on its standard input with the lines of one round, native or hosted."""
import difflib
import json
import os
import re
import select
import subprocess
import time

MAIN = """#include <stdio.h>
#include <stdlib.h>
#ifdef __cplusplus
extern "C"
#endif
void show(int round);
int main(void) {
  char line[32];
  while (fgets(line, sizeof line, stdin)) {
    show(atoi(line));
    puts("end");
    fflush(stdout);
  }
  return 0;
}
"""
# The same with all of it in a module, which the program opens.
OPENS_MODULE = """#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char** argv) {
  void* module = dlopen(argv[1], RTLD_NOW);
  void (*show)(int) = module != NULL ? (void (*)(int))dlsym(module, "show") : NULL;
  char line[32];
  if (show == NULL) return fprintf(stderr, "%s\\n", dlerror()), 1;
  while (fgets(line, sizeof line, stdin)) {
    show(atoi(line));
    puts("end");
    fflush(stdout);
  }
  return argc != 2;
}
"""
ANSWER_S = 60


class Program:
    """A running one."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment)
        self.pending = b""

    def round(self, number):
        try:
            self.process.stdin.write(b"%d\n" % number)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        deadline = time.monotonic() + ANSWER_S
        while not (self.pending == b"end\n" or self.pending.endswith(b"\nend\n")):
            ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                text = self.pending.decode(errors="replace")
                self.pending = b""
                self.process.kill()
                self.process.wait()
                return text + "ended: %s\n%s" % (self.process.returncode,
                                                self.process.stderr.read().decode(errors="replace")[-2000:])
            self.pending += data
        text = self.pending.decode(errors="replace")[:-4]
        self.pending = b""
        return text

    def end(self):
        self.process.stdin.close()
        try:
            code = self.process.wait(timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        return code


def write_files(folder, files):
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def units_of(files):
    return sorted(name for name in files if name.endswith((".c", ".cc")))


def diff_of(base, edited):
    """A unified diff of two trees, as git writes it."""
    text = []
    for name in sorted(set(base) | set(edited)):
        old = base.get(name, "").splitlines(keepends=True)
        new = edited.get(name, "").splitlines(keepends=True)
        if old != new:
            text.extend(difflib.unified_diff(old, new, "a/" + name if name in base else "/dev/null",
                                             "b/" + name if name in edited else "/dev/null"))
    return "".join(text)


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=600, **options)


def compile_program(compiler, folder, files, flags, output):
    result = run([*compiler, *flags, *units_of(files), "-o", output], cwd=folder)
    return None if result.returncode == 0 else result.stdout


def compile_module(compiler, folder, files, flags, module, program):
    """`files` as the module, and a program that opens it."""
    error = compile_program(compiler, folder, files, [*flags, "-fPIC", "-shared"], module)
    if error:
        return error
    opens = program + ".c"
    with open(opens, "w", encoding="utf-8") as file:
        file.write(OPENS_MODULE)
    result = run([compiler[0], "cc", opens, "-o", program], cwd=os.path.dirname(program))
    return None if result.returncode == 0 else result.stdout


def codes_in(text):
    return sorted(set(re.findall(r"MEND-E\d+", text)))
