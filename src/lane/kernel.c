// SPDX-License-Identifier: BSD-2-Clause
// The kernel's TCP: where every connection starts, and what it goes back to.
#include "lane/lane.h"
#include "shunt/info.h"

#include <stddef.h>

static const char *obstacle(const struct lane_ends *ends)
{
    return NULL;
}

const struct lane lane_kernel = {"kernel", SHUNT_LANE_KERNEL, obstacle};
