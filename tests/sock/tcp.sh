#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Without arguments a part of the cases, which takes half a minute; '*' runs all of them.
here=$(dirname "$0")
SOCK_HERE=10.28.0.1 SOCK_PEER=10.28.0.2 SOCK_PEER_NS=/run/netns/peer
export SOCK_HERE SOCK_PEER SOCK_PEER_NS
# not backlog_is_served_in_order: a lost ACK lets a later connection be accepted before it
accept="accept/client_gone_before_accept accept/data_before_accept accept/forked_workers \
    accept/io_on_a_listener accept/listener_of_a_child accept/not_listening \
    accept/reuseport_listeners accept/shutdown_of_a_listener accept/threaded_workers"
# shellcheck disable=SC2086 # a list of words
[ $# -gt 0 ] || set -- io recv_flags $accept reset halfclose select poll epoll_level fds
exec python3 "$here/../wire/rig.py" bash "$here/run.sh" tcp "$@"
