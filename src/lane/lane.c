// SPDX-License-Identifier: BSD-2-Clause
#include "config.h"
#include "lane/lane.h"

#include <stddef.h>

const struct lane *lane_of(enum lane_id id)
{
    static const struct lane *const built[LANES] = {
        [LANE_SHM] = &lane_shm,
#ifdef HAVE_RDMA
        [LANE_RDMA] = &lane_rdma,
#endif
        [LANE_TCP] = &lane_tcp,
        [LANE_KERNEL] = &lane_kernel,
    };

    return id < LANES ? built[id] : NULL;
}
