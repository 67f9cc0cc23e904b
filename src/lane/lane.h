// SPDX-License-Identifier: BSD-2-Clause
// A lane is a way for bytes from one end of a connection to the other. Each lane is one file or
// folder with one global symbol, its struct lane; lanes never include one another.
#ifndef SHUNT_LANE_LANE_H
#define SHUNT_LANE_LANE_H

#include <stdint.h>
#include <sys/socket.h>

// In the order of enum policy_lane.
enum lane_id { LANE_SHM, LANE_RDMA, LANE_TCP, LANE_KERNEL, LANES };

// The two ends of a connection, AF_INET or AF_INET6; local NULL: not known yet.
struct lane_ends {
    const struct sockaddr *local, *remote;
};

struct lane {
    const char *name; // as in shunt.conf
    uint8_t shown_as; // enum shunt_lane of shunt/info.h

    // Why a connection with these ends cannot use the lane, as far as this host can tell without
    // the peer: a short phrase without a full stop, static. NULL: it can. Pure, never blocks, may
    // be called in a signal handler.
    const char *(*obstacle)(const struct lane_ends *ends);
};

extern const struct lane lane_shm, lane_rdma, lane_tcp, lane_kernel;

// The lane of id; NULL: not built in.
const struct lane *lane_of(enum lane_id id);

// The lane rdma's data path; see chan/mirror.h. Loads the verbs libraries at the first call, so it
// must not be called in a signal handler. NULL: they are not there.
struct mirror_lane;
const struct mirror_lane *lane_rdma_load(void);

#endif
