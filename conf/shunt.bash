# SPDX-License-Identifier: BSD-2-Clause
# Completion of shunt(1) for bash. tests/cli/test_completion.sh holds it against shunt --help.

# What is needed of the commands that shunt runs: their own completion, where bash-completion is loaded.
_shunt_run() {
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -p | -c) i=$((i + 1)) ;;
        -*) ;;
        *) break ;;
        esac
    done
    if ((i < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
        _command_offset "$i"
    elif ((i < COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -f -- "$1")
    elif [[ $1 == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '-p -c -v -- --help' -- "$1")
    else
        mapfile -t COMPREPLY < <(compgen -c -- "$1")
    fi
}

_shunt() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'run stat check explain --help --version' -- "$word")
        return
    fi
    case $command:$before in
    run:-p) words='latency balanced quiet' ;;
    run:-c | explain:-c | check:*) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
    explain:--program) mapfile -t COMPREPLY < <(compgen -c -f -- "$word") && return ;;
    explain:--user) mapfile -t COMPREPLY < <(compgen -u -- "$word") && return ;;
    explain:--interface) mapfile -t COMPREPLY < <(cd /sys/class/net && compgen -f -- "$word") && return ;;
    explain:--local | explain:--remote) return ;;
    explain:explain) words='connect accept --help' ;;
    explain:*) words='--program --remote --local --user --interface -c' ;;
    stat:*) words='--json --watch --help' ;;
    run:*) _shunt_run "$word" && return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _shunt -o filenames shunt
