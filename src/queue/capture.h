// SPDX-License-Identifier: BSD-2-Clause
// A queue whose frames are written to a pcapng file as they are sent and received
// (draft-ietf-opsawg-pcapng). Any driver writes, a block in one write(), so the file must be opened
// with O_APPEND. A checksum that is left to the device is in the file as it is: unfinished.
#ifndef SHUNT_QUEUE_CAPTURE_H
#define SHUNT_QUEUE_CAPTURE_H

#include "queue/queue.h"

extern const struct queue_ops queue_capture;

// A grant for the queue of `inner` (which stays the caller's) whose frames go to fd (which does,
// too); writes the file's head. name: of the interface, as the file tells it. 0, -EINVAL, -ENOMEM,
// -EMFILE, or what write(2) says.
int capture_grant(struct queue_grant *outer, const struct queue_grant *inner, int fd,
                  const char *name);

#endif
