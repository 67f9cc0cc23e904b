#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# In a guest of ./dev vm. Without arguments a part of the cases, those that ask most of the lane.
here=$(dirname "$0")
[ $# -gt 0 ] || set -- io/one_byte_at_a_time threads/several_writers threads/several_readers \
    poll/ping_pong_by_poll halfclose/shut_rd_reads_eof halfclose/all_data_comes_before_eof \
    reset/reset_wakes_writer connect/fast_open fork/fork_a_connection fork/forked_before_the_switch
exec "$here/run.sh" rdma "$@"
