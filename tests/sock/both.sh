#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The socket rules with Shunt, and a shuntd, on both of two hosts. Without arguments a small part of
# the cases; '*' runs all of them, which takes minutes.
here=$(dirname "$0")
SOCK_HERE=10.28.0.1 SOCK_PEER=10.28.0.2 SOCK_PEER_NS=/run/netns/peer
export SOCK_HERE SOCK_PEER SOCK_PEER_NS
[ $# -gt 0 ] || set -- io halfclose 'recv_flags/waitall*' reset death oob \
    exec/exec_of_a_stranger exec/a_new_program_switches 'exec/*set_lives_on'
exec python3 "$here/../wire/rig.py" bash "$here/run.sh" both "$@"
