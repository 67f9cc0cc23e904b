#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# `shunt run`: what it becomes, what it says, and the private shuntd that it starts.
. "${top_srcdir:-.}/tests/cli/tap.sh"
unset SHUNT_CONFIG SHUNT_PROFILE SHUNT_LOG LD_PRELOAD
export SHUNT_SOCKET=$work/dir/shuntd.sock

# the shuntds that listen, or would, on our socket
daemons() { pgrep -f -- "^shuntd --private --socket $SHUNT_SOCKET" || true; }
end_daemons() { for pid in $(daemons); do kill "${1:--TERM}" "$pid"; done; }
trap 'end_daemons; rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM # by way of the above

# within SECONDS COMMAND...: it succeeds before that
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
none_left() { [ -z "$(daemons)" ]; }
count_is() { [ "$(daemons | wc -l)" -eq "$1" ]; }

try 0 run -- true; ok "runs a program"
count_is 1; ok "starts a private shuntd"
[ "$(ps -o ppid= -p "$(daemons)" | tr -d ' ')" != $$ ]; ok "which is no child of the program"
[ "$(stat -c %a "$work/dir")" = 700 ] || [ "$(id -u)" = 0 ]; ok "in a directory of its user's own"
try 7 run sh -c 'exit 7'; ok "exits as the program does"
try 127 run no-such-command && complains "no-such-command: command not found"; ok "127: no such command"
touch "$work/plain"
try 126 run "$work/plain" && complains "plain: "; ok "126: no program"
try 2 run && complains "no command"; ok "2: no command"
try 2 run -p fast true && complains "'fast' is not a profile"; ok "2: no such profile"
try 2 run -x true && complains "-x is not an option"; ok "2: no such option"
[ "$(bash -c 'echo $$; exec "$0" run sh -c "echo \$\$"' "$shunt" | uniq | wc -l)" = 1 ]; ok "in the same process"

try 0 run -p quiet -v env && says "SHUNT_PROFILE=quiet" && says "SHUNT_LOG=info" &&
    says "SHUNT_SOCKET=$SHUNT_SOCKET"; ok "tells the library by the environment"
grep -q '^LD_PRELOAD=/.*libshunt-preload.so$' "$work/out"; ok "preloads the library"
echo 'profile = "latency";' >"$work/shunt.conf"
(cd "$work" && try 0 run -c shunt.conf env && says "SHUNT_CONFIG=$work/shunt.conf"); ok "the config by its full path"
lib=$(ls /lib/*/libm.so.6 /lib/libm.so.6 2>/dev/null | head -n 1)
LD_PRELOAD=$lib try 0 run env && grep -q "^LD_PRELOAD=.*libshunt-preload.so:$lib$" "$work/out"; ok "before what is preloaded already"
LD_PRELOAD=$lib try 0 run "$shunt" run env && [ "$(grep -c 'shunt-preload.*shunt-preload' "$work/out")" = 0 ]; ok "and only once"
printf 'echo "script $1"\n' >"$work/script"; chmod +x "$work/script"
try 0 run "$work/script" arg && says "script arg"; ok "a script without an interpreter is the shell's"

echo 'prfile = "latency";' >"$work/broken.conf"
try 0 run -c "$work/broken.conf" echo hello && says hello && complains "broken.conf:1:" &&
    complains "running on kernel TCP" && [ "$(wc -l <"$work/err")" = 1 ]; ok "a broken config is told once, and the program runs"
SHUNT_LOG=quiet try 0 run -c "$work/broken.conf" echo hello && [ ! -s "$work/err" ]; ok "not told when quiet"
try 0 run -c "$work/none.conf" echo hello && complains "none.conf"; ok "an absent config too"
if [ -x /sbin/ldconfig ]; then
    try 0 run /sbin/ldconfig --version && complains "linked statically"; ok "a static program is told of"
else
    count=$((count + 1)); echo "ok $count - a static program is told of # SKIP no /sbin/ldconfig"
fi
if [ "$(id -u)" = 0 ] && [ -u /usr/bin/su ] && setpriv --reuid=65534 --clear-groups "$shunt" --version >/dev/null 2>&1; then
    mkdir "$work/nobody" && chown 65534 "$work/nobody" && chmod 711 "$work"
    SHUNT_SOCKET=$work/nobody/s setpriv --reuid=65534 --clear-groups "$shunt" run su --version >"$work/out" 2>"$work/err"
    complains "runs as another user"; ok "a setuid program is told of"
    pid=$(pgrep -f -- "^shuntd --private --socket $work/nobody/s") && kill "$pid"; ok "and anybody can have a private shuntd"
    mkdir "$work/single" && chown 64999 "$work/single" # which owns no other process
    for most in 1 2; do
        (ulimit -u $most && SHUNT_SOCKET=$work/single/s exec setpriv --reuid=64999 --clear-groups "$shunt" run echo hello) \
            >"$work/out" 2>"$work/err"
        says hello && complains "shuntd cannot be started: Resource temporarily unavailable (running on kernel TCP)"
        ok "where there may be no process but $most, the program runs"
    done
else
    count=$((count + 1)); echo "ok $count - a setuid program is told of # SKIP not root, or no setuid su"
    count=$((count + 1)); echo "ok $count - and anybody can have a private shuntd # SKIP not root, or no setuid su"
    count=$((count + 1)); echo "ok $count - where there may be no process but 1, the program runs # SKIP not root"
    count=$((count + 1)); echo "ok $count - where there may be no process but 2, the program runs # SKIP not root"
fi

end_daemons; within 5 none_left
for _ in 1 2 3 4 5 6 7 8; do "$shunt" run sleep 2 2>>"$work/race" & done
within 5 count_is 1; ok "of runs at the same time one starts shuntd"
wait
[ ! -s "$work/race" ]; ok "and all find it"

end_daemons -KILL; within 5 none_left
[ -S "$SHUNT_SOCKET" ] && try 0 run -- true && count_is 1 && [ ! -s "$work/err" ]; ok "a killed one is replaced"
mkdir "$work/open" && chmod 777 "$work/open"
SHUNT_SOCKET=$work/open/s try 0 run echo hello && says hello && complains "running on kernel TCP"; ok "none where others can meddle, and the program runs"

"$shunt" run sleep 8 & program=$!
sleep 7
count_is 1; ok "it stays for a program that has no connection yet"
wait $program
within 9 none_left; ok "and ends when nobody has needed it for 5 seconds"
[ ! -e "$SHUNT_SOCKET" ]; ok "taking its socket away"

finish
