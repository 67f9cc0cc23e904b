// SPDX-License-Identifier: BSD-2-Clause
// The Internet checksum (RFC 1071) of a frame to send, for doors that get no help with it.
#ifndef SHUNT_QUEUE_CSUM_H
#define SHUNT_QUEUE_CSUM_H

#include "queue/queue.h"

// Writes the finished checksum of out, whose csum_start is not 0, into its copy at frame; the first
// head_bytes of the copy must lie there.
void csum_finish(const struct queue_out *out, uint8_t *frame);

#endif
