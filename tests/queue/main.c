// SPDX-License-Identifier: BSD-2-Clause
// One program a door; DOOR, NAME and WRAPPED are given by make.
#include "suite.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/util.h"
#ifdef DOOR_IS_DOUBLE
#include "verbs_double.h"
#endif

int setup_pair(void **state)
{
    *state = rig_pair();
    return 0;
}

int setup_links(void **state)
{
    *state = rig_new();
    return 0;
}

int teardown_rig(void **state)
{
    rig_free(*state);
    return 0;
}

static size_t append(struct CMUnitTest *all, size_t n, const struct CMUnitTest *tests, size_t count)
{
    memcpy(all + n, tests, count * sizeof(*tests));
    return n + count;
}

int main(void)
{
    struct CMUnitTest all[64];
    const char *obstacle;
    size_t n;

    rig_options.door = DOOR;
    rig_wrapped = WRAPPED;
#ifdef DOOR_IS_DOUBLE
    verbs_raw_calls = &verbs_double;
#endif
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    obstacle = rig_obstacle();
    if (obstacle) {
        printf("1..0 # SKIP %s\n", obstacle);
        return 0;
    }
    n = append(all, 0, frames_tests, frames_tests_count);
    if (DOOR != QUEUE_LOOP) {
        n = append(all, n, steer_tests, steer_tests_count);
        n = append(all, n, life_tests, life_tests_count);
    }
    if (DOOR == QUEUE_AF_PACKET || DOOR == QUEUE_AF_XDP)
        n = append(all, n, socket_tests, socket_tests_count);
    if (DOOR == QUEUE_AF_PACKET)
        n = append(all, n, packet_tests, packet_tests_count);
    if (DOOR == QUEUE_AF_XDP)
        n = append(all, n, xdp_tests, xdp_tests_count);
    return _cmocka_run_group_tests(NAME, all, n, NULL, NULL);
}
