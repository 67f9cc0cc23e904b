// SPDX-License-Identifier: BSD-2-Clause
// The suite that every door passes. frames_tests ask for two ends of the door only; steer_tests and
// life_tests for a kernel, and so not for loop; socket_tests for a door that is a socket of the
// kernel: one that other processes can drive, and that knows of links that go down.
#ifndef TESTS_QUEUE_SUITE_H
#define TESTS_QUEUE_SUITE_H

#include "rig.h"

extern const struct CMUnitTest frames_tests[], steer_tests[], life_tests[], socket_tests[],
    packet_tests[], xdp_tests[];
extern const size_t frames_tests_count, steer_tests_count, life_tests_count, socket_tests_count,
    packet_tests_count, xdp_tests_count;

int setup_pair(void **state); // rig_pair()
void test_jumbo_frames(void **state);
void test_two_processes_in_turn(void **state);
void test_fork(void **state);
void test_every_size_both_ways(void **state);
void test_kernel_peer(void **state);

int setup_links(void **state); // rig_new()
int teardown_rig(void **state);

#endif
