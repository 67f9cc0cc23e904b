#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Completion in bash: what it offers, and that it knows every command and option that --help names.
. "${top_srcdir:-.}/tests/cli/tap.sh"
# shellcheck source=/dev/null
. "${top_srcdir:-.}/conf/shunt.bash"
shunt=${top_builddir:-build}/shunt

# offers WORD... : completes the last word, into $offered, one a line
offers() {
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    COMPREPLY=()
    _shunt
    offered=$(printf '%s\n' "${COMPREPLY[@]}" | sort -u)
}

# has WORD... : each of them is offered
has() {
    local word
    for word in "$@"; do
        grep -qxF -- "$word" <<<"$offered" || return 1
    done
}

offers shunt ''
# shellcheck disable=SC2046
has $("$shunt" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); ok "every command"
offers shunt ex; [ "$offered" = explain ]; ok "a command's beginning"
missing=
for command in run stat explain; do
    for option in $("$shunt" "$command" --help | grep -oE -- '(^|[ [])--?[a-z]+' | tr -d ' [' | sort -u); do
        case $command in
        explain) offers shunt explain connect - ;;
        *) offers shunt $command - ;;
        esac
        has "$option" || missing="$missing $command:$option"
    done
done
[ -z "$missing" ]; ok "every option that --help names$missing"
offers shunt run -p ''; [ "$offered" = "balanced
latency
quiet" ]; ok "profiles"
offers shunt explain ''; has connect accept; ok "connect and accept"
offers shunt explain connect --user roo; has root; ok "users"
offers shunt explain connect --interface ''; has lo; ok "interfaces"
touch "$work/a.conf"
offers shunt check "$work/a"; [ "$offered" = "$work/a.conf" ]; ok "files"
offers shunt run -c "$work/a"; [ "$offered" = "$work/a.conf" ]; ok "files after -c"
offers shunt run -v bas; has bash; ok "commands to run"
offers shunt run -v -- cat "$work/a"; [ "$offered" = "$work/a.conf" ]; ok "and their words"
offers shunt explain connect --remote 1; [ -z "$offered" ]; ok "nothing where nothing is known"

finish
