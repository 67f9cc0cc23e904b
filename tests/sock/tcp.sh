#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Without arguments a part of the cases, which takes half a minute; '*' runs all of them.
here=$(dirname "$0")
SOCK_HERE=10.28.0.1 SOCK_PEER=10.28.0.2 SOCK_PEER_NS=/run/netns/peer
export SOCK_HERE SOCK_PEER SOCK_PEER_NS
[ $# -gt 0 ] || set -- io recv_flags accept reset halfclose select poll epoll_level fds stdio oob \
    options 'exec/exec_of_*' 'exec/*set_lives_on' epoll_sets/both_wait_in_one_set \
    epoll_sets/child_adds_for_the_parent epoll_sets/workers_with_own_sets \
    others/limit_of_address_space others/core_dumps 'others/*lock*' seal \
    threads/close_under_a_blocked_reader threads/threads_open_and_close
exec python3 "$here/../wire/rig.py" bash "$here/run.sh" tcp "$@"
