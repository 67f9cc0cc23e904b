// SPDX-License-Identifier: BSD-2-Clause
// Two stacks over a bad link: at 0.1, 1 and 5 percent of every fault, byte for byte.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pair.h"

static struct pair pair;

static void transfer_with(struct fault_rates rates, bool no_super, uint64_t bytes)
{
    const struct loop_options link = {.no_super = no_super};
    struct fault_options faults = {.way = {[FAULT_RX] = rates}, .seed = 2027};
    uint32_t listener = NET_NONE, sock[2];

    pair_faults = &faults;
    pair_start(&pair, 64, &link);
    pair_connect(&pair, false, 27000, &listener, sock);
    pair_transfer(&pair, sock, 0, bytes);
    pair_transfer(&pair, sock, 1, bytes);
    pair_stop(&pair);
    pair_faults = NULL;
}

static const uint32_t ppms[] = {1000, 10000, 50000};

static void test_drop(void **state)
{
    for (int i = 0; i < 3; i++)
        transfer_with((struct fault_rates){.drop_ppm = ppms[i]}, true, 4 << 20);
}

static void test_duplicate(void **state)
{
    for (int i = 0; i < 3; i++)
        transfer_with((struct fault_rates){.duplicate_ppm = ppms[i]}, true, 4 << 20);
}

static void test_corrupt(void **state)
{
    for (int i = 0; i < 3; i++)
        transfer_with((struct fault_rates){.corrupt_ppm = ppms[i]}, true, 4 << 20);
}

static void test_reorder(void **state)
{
    for (int i = 0; i < 3; i++)
        transfer_with((struct fault_rates){.reorder_ppm = ppms[i]}, true, 4 << 20);
}

static void test_delay_and_rate(void **state)
{
    transfer_with((struct fault_rates){.delay_ns = NS_PER_MS, .rate_bytes_per_s = 20000000}, true,
                  4 << 20);
}

static void test_everything_at_once(void **state)
{
    for (int i = 0; i < 3; i++)
        transfer_with((struct fault_rates){.drop_ppm = ppms[i],
                                           .duplicate_ppm = ppms[i],
                                           .corrupt_ppm = ppms[i],
                                           .reorder_ppm = ppms[i],
                                           .delay_ns = 100 * NS_PER_US},
                      true, 4 << 20);
}

static void test_super_frames_get_lost(void **state)
{
    for (int i = 0; i < 3; i++)
        transfer_with((struct fault_rates){.drop_ppm = ppms[i]}, false, 4 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_corrupt),
        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_delay_and_rate),
        cmocka_unit_test(test_everything_at_once),
        cmocka_unit_test(test_super_frames_get_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
