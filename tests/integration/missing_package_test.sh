# A configuration without one of the packages stops and names it, as ./dev would install it.
. "$(dirname "$0")/lib.sh"

# configure ARGS...: fails; its output is in $output.
configure() {
  # What was found out about the compilers stays.
  rm -f "$work/build/CMakeCache.txt"
  expect_code 1 cmake -G Ninja -S "$source_root" -B "$work/build" -DCMAKE_BUILD_TYPE=None \
    -DCMAKE_C_COMPILER=clang-22 -DCMAKE_CXX_COMPILER=clang++-22 -DCMAKE_ASM_COMPILER=clang-22 "$@"
}

# missing PACKAGE ARGS...: as if the package were not installed.
missing() {
  local package=$1
  shift
  configure "$@"
  expect_match "without $package" "mend needs .*: apt-get install $package \(or let ./dev build do it\)" \
    "$(tr '\n' ' ' <<<"$output" | tr -s ' ')"
  sed -n '/^readonly packages=/,/)$/p' "$source_root/dev" | grep -qw -- "$package" ||
    fail "./dev does not install $package"
}

missing llvm-22-dev -DCMAKE_DISABLE_FIND_PACKAGE_LLVM=ON
missing libabsl-dev -DCMAKE_DISABLE_FIND_PACKAGE_absl=ON
missing nlohmann-json3-dev -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON
missing libcli11-dev -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON
missing libgtest-dev -DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON
missing libbenchmark-dev -DCMAKE_DISABLE_FIND_PACKAGE_benchmark=ON
# What is looked for by its files: a value that is there, and empty, is not looked for.
missing libzstd-dev -DMEND_ZSTD_INCLUDE=
missing libzstd-dev -DMEND_ZSTD_LIBRARY=
missing lld-22 -DMEND_LLD=
missing libcpp-httplib-dev -DMEND_HTTPLIB_INCLUDE=
missing libcpp-httplib-dev -DMEND_HTTPLIB_LIBRARY=

# Another compiler is refused, too.
rm -rf "$work/build"
expect_code 1 cmake -G Ninja -S "$source_root" -B "$work/build" -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++
expect_match "another compiler" "mend is compiled with clang-22 \(Debian package clang-22\)" \
  "$(tr '\n' ' ' <<<"$output" | tr -s ' ')"
