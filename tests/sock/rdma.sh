#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# In a guest of ./dev vm. Without arguments a part of the cases, those that ask most of the lane.
here=$(dirname "$0")
[ $# -gt 0 ] || set -- threads/several_writers threads/several_readers poll/ping_pong_by_poll \
    halfclose/shut_rd_reads_eof halfclose/all_data_comes_before_eof connect/fast_open fork/fork_a_connection
exec "$here/run.sh" rdma "$@"
