// SPDX-License-Identifier: BSD-2-Clause
// What the module of the lane rdma exports.
#ifndef SHUNT_LANE_RDMA_MODULE_H
#define SHUNT_LANE_RDMA_MODULE_H

#include "chan/mirror.h"

extern const struct mirror_lane shunt_rdma;

#endif
