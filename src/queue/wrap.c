// SPDX-License-Identifier: BSD-2-Clause
#include "queue/wrap.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"

static struct queue_desc *inner_desc(struct queue_shared *shared)
{
    return (struct queue_desc *)(void *)queue_shared_at(shared, QUEUE_PAGE);
}

// What the queue of `inner` can do; its description's caps lie in its memory.
static int inner_caps(const struct queue_grant *inner, struct queue_caps *caps)
{
    struct queue_grant copy;
    struct queue *q;
    int err = queue_grant_dup(&copy, inner);

    if (err)
        return err;
    err = queue_attach(&q, &copy);
    if (err) {
        queue_grant_close(&copy);
        return err;
    }
    *caps = *q->caps;
    queue_detach(q);
    return 0;
}

int wrap_grant(struct queue_grant *outer, const struct queue_grant *inner, uint64_t state_bytes,
               struct queue_shared **shared)
{
    struct queue_desc desc = outer->desc;
    struct queue_caps caps;
    int fd, err;

    if (inner->desc.fd_count + 2 > QUEUE_FDS_MAX)
        return -EINVAL;
    if ((err = inner_caps(inner, &caps)) || (err = queue_grant_dup(outer, inner)))
        return err;
    err = queue_shared_create(shared, &fd, &desc, WRAP_STATE_AT + state_bytes);
    if (err) {
        queue_grant_close(outer);
        return err;
    }
    (*shared)->caps = caps;
    *inner_desc(*shared) = inner->desc;
    desc.magic = QUEUE_MAGIC;
    desc.inner = inner->desc.door;
    desc.ifindex = inner->desc.ifindex;
    desc.fd_count = outer->desc.fd_count;
    outer->desc = desc;
    outer->fd[outer->desc.fd_count++] = fd;
    return 0;
}

int wrap_attach(struct wrap *w, const struct queue_ops *ops, const struct queue_grant *grant,
                unsigned own_fds, uint64_t state_bytes)
{
    unsigned inner_fds = grant->desc.fd_count - own_fds;
    struct queue_grant inner;
    int err;

    if (grant->desc.fd_count < own_fds)
        return -EPROTO;
    w->bytes = WRAP_STATE_AT + state_bytes;
    err = queue_shared_map(&w->shared, grant->fd[inner_fds], &grant->desc, w->bytes);
    if (err)
        return err;
    inner = *grant;
    inner.desc = *inner_desc(w->shared);
    // no wrapper within a wrapper of its own kind, so that attach() ends
    err = inner.desc.fd_count != inner_fds || inner.desc.door == grant->desc.door
              ? -EPROTO
              : queue_attach(&w->inner, &inner);
    if (err) {
        queue_shared_unmap(w->shared, w->bytes);
        return err;
    }
    w->grant = *grant;
    w->grant.desc.fd_count = own_fds;
    memmove(w->grant.fd, w->grant.fd + inner_fds, own_fds * sizeof(int));
    w->q = (struct queue){ops, &w->shared->caps, &w->shared->counters};
    return 0;
}

void wrap_detach(struct wrap *w)
{
    queue_detach(w->inner);
    queue_shared_unmap(w->shared, w->bytes);
    queue_grant_close(&w->grant);
}
