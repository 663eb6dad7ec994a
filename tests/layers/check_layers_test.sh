#!/bin/sh
# The layer check itself: a clean tree passes, and each planted violation is found and named.
set -eu
check=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/runtime/patch" "$work/jit/link" "$work/jit/patch" "$work/patchc/codegen" "$work/mend/commands"
echo '#include "runtime/base/check.h"' > "$work/runtime/patch/patch.cc"
printf '#include "runtime/base/check.h"\n#include "llvm/ExecutionEngine/Orc/Core.h"\n' > "$work/jit/session.cc"
printf '#include "jit/link/elf_scan.h"\n#include "jit/patch/own_data.h"\n' > "$work/jit/patch/units_link.cc"
printf '#include "clang/Frontend/CompilerInstance.h"\n' > "$work/patchc/codegen/poll.cc"
printf '// An LLVM-free header: llvm appears in prose only.\n#include <memory>\n' > "$work/mend/runtime.h"
sh "$check" "$work" || { echo 'a tree without violations was refused'; exit 1; }

# expect FILE LINE: with LINE in FILE the check fails and names the file.
expect() {
  cp "$work/$1" "$work/saved" 2>/dev/null || : > "$work/saved"
  printf '%s\n' "$2" >> "$work/$1"
  if out=$(sh "$check" "$work"); then
    echo "not found: '$2' in $1"
    exit 1
  fi
  case $out in
    *"$1"*) ;;
    *) echo "'$2' in $1 was found but not named: $out"; exit 1 ;;
  esac
  cp "$work/saved" "$work/$1"
}

expect runtime/patch/patch.cc '#include "jit/session.h"'
expect runtime/patch/patch.cc '#include "patchc/commands/driver.h"'
expect runtime/patch/patch.cc '#include "mend/host_options.h"'
expect runtime/patch/patch.cc '#  include <llvm/ADT/StringRef.h>'
expect jit/session.cc '#include "patchc/object/fingerprint.h"'
expect jit/session.cc '#include "clang/AST/Decl.h"'
expect jit/session.cc '  graph.addDefinedSymbol(block, 0, name, 8, linkage, scope, true, true);'
expect patchc/codegen/poll.cc '#include "jit/session.h"'
: > "$work/jit/link/elf_scan.cc"
expect jit/link/elf_scan.cc '#include "jit/program/hosted_program.h"'
expect jit/patch/units_link.cc '#include "jit/session.h"'
expect patchc/codegen/poll.cc '#include "patchc/compile/records.h"'
expect mend/runtime.h '#include "llvm/ADT/StringRef.h"'
expect mend/runtime.h 'llvm::Error Bad();'
expect mend/runtime.h '#include "runtime/patch/patch.h"'
: > "$work/mend/commands/run.cc"
expect mend/commands/run.cc '#include "clang/Driver/Driver.h"'
