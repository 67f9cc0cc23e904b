// SPDX-License-Identifier: BSD-2-Clause
// Which door is which, and what all doors do alike.
#include "queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/sys.h"
#include "base/util.h"
#include "config.h"
#include "queue/af_packet.h"
#include "queue/af_xdp.h"
#include "queue/capture.h"
#include "queue/fault.h"
#include "queue/loop.h"
#ifdef HAVE_VERBS
#include "queue/verbs_raw.h"
#endif

static const struct queue_ops *const doors[QUEUE_DOORS] = {
    [QUEUE_LOOP] = &queue_loop,           [QUEUE_AF_PACKET] = &queue_af_packet,
    [QUEUE_AF_XDP] = &queue_af_xdp,       [QUEUE_FAULT] = &queue_fault,
    [QUEUE_CAPTURE] = &queue_capture,
#ifdef HAVE_VERBS
    [QUEUE_VERBS_RAW] = &queue_verbs_raw,
#endif
};

int queue_attach(struct queue **q, const struct queue_grant *grant)
{
    const struct queue_desc *desc = &grant->desc;

    if (desc->magic != QUEUE_MAGIC || desc->door >= QUEUE_DOORS || !doors[desc->door] ||
        desc->fd_count > QUEUE_FDS_MAX)
        return -EPROTO;
    return doors[desc->door]->attach(q, grant);
}

int queue_grant_dup(struct queue_grant *to, const struct queue_grant *from)
{
    to->desc = from->desc;
    for (to->desc.fd_count = 0; to->desc.fd_count < from->desc.fd_count; to->desc.fd_count++) {
        int fd = sys_fcntl(from->fd[to->desc.fd_count], F_DUPFD_CLOEXEC, 0);

        if (fd < 0) {
            queue_grant_close(to);
            return fd;
        }
        to->fd[to->desc.fd_count] = fd;
    }
    return 0;
}

void queue_grant_close(struct queue_grant *grant)
{
    while (grant->desc.fd_count)
        sys_close(grant->fd[--grant->desc.fd_count]);
}

uint32_t queue_frame_copy(const struct queue *q, const struct queue_frame *frame, uint32_t from,
                          void *dst, uint32_t n)
{
    uint32_t done = 0;

    for (unsigned i = 0; i < frame->pieces && done < n; i++) {
        struct queue_piece piece = queue_piece(q, frame, i);

        if (from < piece.len_bytes) {
            uint32_t take = MIN(piece.len_bytes - from, n - done);

            memcpy((uint8_t *)dst + done, piece.data + from, take);
            done += take;
            from = 0;
        } else {
            from -= piece.len_bytes;
        }
    }
    return done;
}
