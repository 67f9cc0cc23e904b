// SPDX-License-Identifier: BSD-2-Clause
#include "net/door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "queue/capture.h"

// Puts outer in the place of d's grant.
static void wrap(struct net_door *d, const struct queue_grant *outer)
{
    queue_grant_close(&d->grant);
    d->grant = *outer;
}

static int wrap_faults(struct net_door *d, const struct fault_rates *rates)
{
    const struct fault_options o = {.way = {*rates, *rates}, .seed = 1};
    struct queue_grant outer;
    int err = fault_grant(&outer, &d->grant, &o);

    if (!err)
        wrap(d, &outer);
    return err;
}

// Its drivers are other users: the file is made here, and they may only add to it.
static int wrap_capture(struct net_door *d, const char *path, const char *device)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct queue_grant outer;
    int err;

    if (fd < 0)
        return -errno;
    err = capture_grant(&outer, &d->grant, fd, device);
    sys_close(fd);
    if (!err)
        wrap(d, &outer);
    return err;
}

int net_door_open(struct net_door *d, const struct net_door_options *o, char *why, size_t why_size)
{
    const struct queue_options queue = {.device = o->device, .door = o->door};
    int err;

    *d = (struct net_door){0};
    err = queue_open(&d->owner, &queue, why, why_size);
    if (err)
        return err;
    snprintf(d->why, sizeof d->why, "%s", d->owner->caps->why);
    err = queue_grant_dup(&d->grant, &d->owner->grant);
    if (!err && o->faults) {
        snprintf(why, why_size, "the faults cannot be put before the queue");
        err = wrap_faults(d, o->faults);
    }
    if (!err && o->capture) {
        snprintf(why, why_size, "%s cannot be written", o->capture);
        err = wrap_capture(d, o->capture, o->device);
    }
    if (err)
        net_door_close(d);
    return err;
}

void net_door_close(struct net_door *d)
{
    queue_grant_close(&d->grant);
    if (d->owner)
        queue_close(d->owner);
    d->owner = NULL;
}

const char *net_door_why(const char *device, uint8_t door)
{
    static const char *const named[QUEUE_DOORS] = {
        [QUEUE_AF_PACKET] = "af_packet: named by tcp.queue of shunt.conf",
        [QUEUE_AF_XDP] = "af_xdp: named by tcp.queue of shunt.conf",
    };
    const char *why;

    if (queue_choose(device, &why) < 0)
        return NULL;
    return door == QUEUE_AUTO ? why : named[door];
}
