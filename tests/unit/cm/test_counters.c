// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/counters.h"

static char page[65536];

static int read_page(void **state)
{
    const char *top = getenv("top_srcdir");
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/docs/man/shunt.1", top ? top : ".");
    f = fopen(path, "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = 0;
    fclose(f);
    return 0;
}

static void expect_described(const struct counter_text *c)
{
    char want[256];

    assert_non_null(c->name);
    snprintf(want, sizeof want, "\n.TP\n.B %s\n%c%s.\n", c->name, toupper(c->text[0]), c->text + 1);
    if (!strstr(page, want))
        fail_msg("shunt(1) lacks, or tells otherwise:%s", want);
}

static void man_page_has_every_counter_of_shuntd(void **state)
{
    for (int i = 0; i < COUNTERS; i++)
        expect_described(&counter_texts[i]);
}

static void man_page_has_every_field_of_a_connection(void **state)
{
    for (size_t i = 0; i < n_connection_texts; i++)
        expect_described(&connection_texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(man_page_has_every_counter_of_shuntd),
        cmocka_unit_test(man_page_has_every_field_of_a_connection),
    };

    return cmocka_run_group_tests_name("cm/counters", tests, read_page, NULL);
}
