// SPDX-License-Identifier: BSD-2-Clause
// A double of the verbs that src/queue/verbs_raw uses: a NIC made of a packet socket on the network
// device. Rules become flows of that socket's steering; what a wire would have summed and cut is
// summed here, and must not be longer than a slot.
#ifndef TESTS_QUEUE_VERBS_DOUBLE_H
#define TESTS_QUEUE_VERBS_DOUBLE_H

#include "queue/verbs_raw.h"

extern const struct verbs_calls verbs_double;

#endif
