// SPDX-License-Identifier: BSD-2-Clause
#include "queue/owner.h"

#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "config.h"
#include "queue/af_packet.h"
#include "queue/af_xdp.h"
#include "queue/device.h"
#ifdef HAVE_VERBS
#include "queue/verbs_raw.h"
#endif

static const struct queue_owner_ops *const doors[] = {
#ifdef HAVE_XDP
    &queue_af_packet_owner,
    &queue_af_xdp_owner,
#endif
#ifdef HAVE_VERBS
    &queue_verbs_raw_owner,
#endif
    NULL,
};

bool queue_is_built(void)
{
    return doors[0];
}

int queue_choose(const char *device_name, const char **why)
{
    struct device device;
    int err = device_find(&device, device_name);

    if (err)
        return err;
    if (device.zero_copy) {
        *why = "af_xdp: the driver has zero copy";
        return QUEUE_AF_XDP;
    }
    *why = "af_packet: without zero copy in the driver super-frames are worth more than AF_XDP";
    return QUEUE_AF_PACKET;
}

int queue_open(struct queue_owner **owner, const struct queue_options *options, char *why,
               size_t why_size)
{
    const char *reason = "asked for";
    int door = options->door ? options->door : queue_choose(options->device, &reason);

    if (door < 0) {
        snprintf(why, why_size, "no device %s", options->device);
        return door;
    }
    for (size_t i = 0; i < ARRAY_LEN(doors) && doors[i]; i++)
        if ((int)doors[i]->door == door)
            return doors[i]->open(owner, options, why, why_size);
    snprintf(why, why_size, "this build has no such queue backend (%s)", reason);
    return -EPROTONOSUPPORT;
}
