#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The socket rules with Shunt, and a shuntd, on both of two hosts: with SHUNT_LONG=1, or by name ('*').
here=$(dirname "$0")
SOCK_HERE=10.28.0.1 SOCK_PEER=10.28.0.2 SOCK_PEER_NS=/run/netns/peer
export SOCK_HERE SOCK_PEER SOCK_PEER_NS
if [ $# -eq 0 ] && [ -z "${SHUNT_LONG:-}" ]; then
    echo "1..0 # SKIP runs long: SHUNT_LONG=1"
    exit 0
fi
[ $# -gt 0 ] || set -- '*'
exec python3 "$here/../wire/rig.py" bash "$here/run.sh" both "$@"
