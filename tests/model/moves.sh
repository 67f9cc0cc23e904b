#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Checks the model of a move (moves.pml) with spin: in shared memory, and between two hosts whose link may be
# lost; then breaks one rule after the other, and each time the model must fail.
set -u
here=$(cd "$(dirname "$0")" && pwd)
number=0

for program in spin gcc; do
    command -v $program >/dev/null || { echo "1..0 # SKIP no $program here (./dev setup)"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# searched KIND DEFINE... : searches all runs of the model (KIND SAFETY: bytes and deadlock; NP: runs without
# end). 0: nothing found; 1: something; 2: the search did not work.
searched() {
    local kind=$1 options=(-m1000000 -w22)
    shift
    rm -f pan ./*.trail
    { spin -a "$@" "$here/moves.pml" && gcc -O1 -w "-D$kind" -DCOLLAPSE -o pan pan.c; } >log 2>&1 || return 2
    [ "$kind" = SAFETY ] || options+=(-l)
    timeout 120 ./pan "${options[@]}" >log 2>&1 || return 2
    grep -q 'error: max search depth' log && return 2
    grep -q 'errors: 0$' log && return 0
    grep -q 'errors: 1$' log && return 1
    return 2
}

# must STATUS NAME KIND DEFINE...
must() {
    local wished=$1 name=$2 status=0
    shift 2
    searched "$@" || status=$?
    number=$((number + 1))
    if [ $status -eq "$wished" ]; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        echo "# ended with $status, not $wished: $(grep -m 1 'pan:\|rror' log)"
        failed=1
    fi
}

failed=0
across=(-DMIRROR -DBYTES=2 -DMOVES=2)
must 0 "shared memory: every byte once, no deadlock" SAFETY
must 0 "shared memory: every run ends" NP
must 0 "two hosts: every byte once, no deadlock, wherever the link is lost" SAFETY -DMIRROR -DBYTES=3 -DMOVES=3
must 0 "two hosts: every run ends" NP "${across[@]}"
while read -r mutant name; do
    must 1 "fails: $name" SAFETY -DMUTANT="$mutant"
done <<'MUTANTS'
1 the epoch is published before its mark
2 the producer moves before the last move is acknowledged
3 the producer goes to the ring unasked
4 what is sent again is read from the ring, too
5 what was not consumed is not sent again
6 the consumer follows without having read all
7 the consumer reads on while it asks for the rest
9 the consumer holds for what is never sent again
MUTANTS
must 1 "fails: two hosts: lines tell of bytes that have not been sent" SAFETY "${across[@]}" -DMUTANT=8
must 1 "fails: two hosts: a return does not wait for what is on its way" SAFETY "${across[@]}" -DMUTANT=10
echo "1..$number"
exit $failed
