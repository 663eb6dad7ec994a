#!/bin/sh
# The layer rule of docs/architecture.md, checked on #include lines: check_layers.sh ROOT.
#
#   runtime/          includes neither jit/, patchc/, mend/, nor anything of LLVM or Clang
#   jit/              never includes patchc/, nor Clang
#   patchc/           never includes jit/
#   mend/             no Clang; its public headers (mend/*.h that users include) no LLVM either
#   public headers    name no LLVM or Clang type
#   rooms             of jit/ and patchc/ include only rooms below them (`may_include`)
#
# Prints each violation as file:line:text and exits 1 when there is one.
set -u
root=$1
found=0

# forbid FOLDER PATTERN WHY: no C or C++ file under FOLDER has an include that matches PATTERN.
forbid() {
  [ -d "$root/$1" ] || return 0
  hits=$(grep -rnE --include='*.h' --include='*.cc' --include='*.c' --include='*.S' \
    --include='*.def' --include='*.inc' "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($2)" \
    "$root/$1")
  [ -z "$hits" ] && return 0
  printf '%s\n' "$hits" | sed "s|^$root/||; s|\$|    <- $3|"
  found=1
}

llvm_headers='llvm/|llvm-c/|clang/|clang-c/|lld/'
forbid runtime '(jit|patchc)/' 'runtime/ knows neither jit/ nor patchc/'
forbid runtime 'mend/' 'runtime/ knows nothing of mend/'
forbid runtime "$llvm_headers" 'runtime/ names no LLVM'
forbid jit 'patchc/' 'jit/ and patchc/ meet only in the object format'
forbid jit 'clang/|clang-c/' 'no Clang outside patchc/'
forbid patchc 'jit/' 'jit/ and patchc/ meet only in the object format'
forbid mend 'clang/|clang-c/' 'no Clang outside patchc/'

# may_include LIBRARY ROOM ROOMS: of its own library the room includes nothing but these rooms.
may_include() {
  [ -d "$root/$1/$2" ] || return 0
  hits=$(grep -rnE --include='*.h' --include='*.cc' --include='*.c' --include='*.S' \
    "^[[:space:]]*#[[:space:]]*include[[:space:]]*\"$1/" "$root/$1/$2" | grep -vE "\"$1/($2|$3)/")
  [ -z "$hits" ] && return 0
  printf '%s\n' "$hits" | sed "s#^$root/##; s#\$#    <- $1/$2/ may include $3#"
  found=1
}

may_include jit link none
may_include jit unwind 'link'
may_include jit debug 'link'
may_include jit program 'link|unwind|debug'
may_include jit patch 'link|unwind|debug|program'
may_include jit guest_libc 'link|program'
may_include patchc support none
may_include patchc object 'support'
may_include patchc codegen 'support|object'
may_include patchc compile 'support|object|codegen'
may_include patchc link 'support|object'
may_include patchc sources 'support|object'
may_include patchc compare 'support|object|codegen|compile|sources'

for header in runtime function livepatch; do
  file="$root/mend/$header.h"
  [ -f "$file" ] || continue
  hits=$(grep -nE "#[[:space:]]*include[[:space:]]*[<\"]($llvm_headers|jit/|patchc/|runtime/)|(^|[^A-Za-z_])(llvm|clang)::" "$file")
  [ -z "$hits" ] && continue
  printf '%s\n' "$hits" | sed "s|^|mend/$header.h:|; s|\$|    <- a public header|"
  found=1
done
# With a copy of it in our code LLVM's own calls come to that, which looks through all symbols of a
# graph: half of a large program's start (AddNamedSymbol in jit/link/graph_editor.h).
if [ -d "$root/jit" ]; then
  hits=$(grep -rnE --include='*.h' --include='*.cc' '[.>]addDefinedSymbol\(' "$root/jit")
  if [ -n "$hits" ]; then
    printf '%s\n' "$hits" | sed "s|^$root/||; s|\$|    <- AddNamedSymbol does the same|"
    found=1
  fi
fi
exit $found
