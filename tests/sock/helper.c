// SPDX-License-Identifier: BSD-2-Clause
// What cases exec: this same program again, as "sock --helper NAME ARGS...".
#include "common/sock.h"

#include <stdio.h>

int sock_helper(int argc, char **argv)
{
    fprintf(stderr, "sock: no helper '%s'\n", argv[0]);
    return 2;
}
