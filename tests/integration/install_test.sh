# The installed package: a service outside the tree embeds mend, found by find_package and by
# pkg-config, built by clang-22 and by g++; it is built, run and patched. Then the installation is
# moved as a whole, and still works.
. "$(dirname "$0")/lib.sh"
[ ! -e "$build/lib/libmend-asan.so" ] ||
  { echo "skipped: a program that links an instrumented libmend needs the sanitizer's runtime itself"; exit 77; }

cmake --install "$build" --prefix "$work/first" >"$work/install.log"
mv "$work/first" "$work/prefix"
prefix=$work/prefix
patchc=$prefix/bin/patchc
mend=$prefix/bin/mend

mkdir "$work/service"
cp "$samples/embedding/server.cc" "$samples/embedding/handlers.cc" "$work/service/"
cat >"$work/service/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(service LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
find_package(mend 0.1 REQUIRED)
add_executable(service server.cc)
target_link_libraries(service PRIVATE mend::mend)
add_library(library SHARED server.cc)
target_link_libraries(library PRIVATE mend::mend)
CMAKE

# try_service PROGRAM: it answers, takes a patch and gives it back.
try_service() {
  start "$1" "$work/service/handlers.cc"
  hear
  expect "first line" serving "$answer"
  ask "POST /" "200 request 1: only GET is known"
  expect_code 0 "$patchc" apply --diff "$samples/embedding/patches/not-found.patch" --to embedding
  ask "POST /" "405 request 2: only GET is known"
  expect_code 0 "$mend" disable embedding not-found
  ask "POST /" "200 request 3: only GET is known"
  finish
}

for compiler in clang++-22 g++; do
  command -v "$compiler" >/dev/null || { echo "skipped: no $compiler"; continue; }
  cmake -S "$work/service" -B "$work/build-$compiler" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$prefix" >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; fail "find_package"; }
  cmake --build "$work/build-$compiler" >"$work/build.log" 2>&1 || { cat "$work/build.log"; fail "$compiler"; }
  try_service "$work/build-$compiler/service"
  # Executables bring the block for hosted thread-locals. With it a library could not be opened by dlopen.
  expect_match "what the executable brings" ' D __mend_static_pool$' "$(nm -D "$work/build-$compiler/service")"
  grep -q __mend_static_pool <<<"$(nm "$work/build-$compiler/liblibrary.so")" && fail "the library brings it, too"
done

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
expect "version by pkg-config" 0.1.0 "$(pkg-config --modversion mend)"
# Word splitting is wanted.
# shellcheck disable=SC2046
clang++-22 -std=c++20 $(pkg-config --cflags mend) "$work/service/server.cc" \
  -o "$work/service/by-pkg-config" $(pkg-config --libs mend)
try_service "$work/service/by-pkg-config"
expect_match "what the executable brings" ' D __mend_static_pool$' "$(nm -D "$work/service/by-pkg-config")"
grep -q static_pool <<<"$(pkg-config --libs mend-library)" && fail "pkg-config gives it to libraries, too"

# The installed compiler makes programs that run, under its one-word name too.
"$prefix/bin/mend-cc" -O2 "$samples/basic/greet.c" -o "$work/greet"
expect "a hosted program" "Hello Ada, you are number 1" "$(echo Ada | "$work/greet" | head -n 1)"
