# samples/embedding: a native server hosts its handlers; patched from inside and from outside.
. "$(dirname "$0")/lib.sh"

# One that has loaded nothing so far: its handlers come from a pipe to which nobody writes.
mkfifo "$work/waiting.cc"
start "$build/bin/embedding_server" "$work/waiting.cc"
await_target
expect_code 3 "$patchc" check --base "$hosted_pid" --diff "$samples/embedding/patches/not-found.patch"
expect_match "nothing to patch" "MEND-E0004: embedding \\($hosted_pid\\) embeds a runtime that has loaded no objects" "$output"
kill -KILL "$hosted_pid"

cp "$samples/embedding/handlers.cc" "$work/handlers.cc"
start "$build/bin/embedding_server" "$work/handlers.cc"
hear
expect "first line" serving "$answer"
ask "GET /index" "200 request 1: you asked for /index"
ask "POST /" "200 request 2: only GET is known"
expect_code 0 "$patchc" apply --diff "$samples/embedding/patches/not-found.patch" --to embedding
ask "POST /" "405 request 3: only GET is known"
ask "disable not-found" "OK"
ask "POST /" "200 request 4: only GET is known"
expect_code 0 "$patchc" build -o "$work/inside.mendpatch" --base "$hosted_pid" --name inside \
  --diff "$samples/embedding/patches/not-found.patch"
say "apply $work/inside.mendpatch"
hear
expect_match "applied from inside" "^applied inside in .*handle_request" "$answer"
ask "POST /" "405 request 5: only GET is known"
ask "disable inside" "OK"
say "try $work/inside.mendpatch"
hear
expect_match "tried by one thread" "^trying inside in .*handle_request" "$answer"
ask "POST /" "405 request 6: only GET is known"
expect "its transition" 1 "$("$mend" get "$hosted_pid" livepatch/inside/transition)"
ask "promote inside" "OK"
expect "its transition" 0 "$("$mend" get "$hosted_pid" livepatch/inside/transition)"
ask "POST /" "405 request 7: only GET is known"
say "apply $work/no-such-file"
hear
expect_match "a missing module" "^refused: " "$answer"
finish
