// SPDX-License-Identifier: BSD-2-Clause
// The programs that run in the kernel: loading them, and the maps that all of them have
// (steer.bpf.h). Owner's side only.
#ifndef SHUNT_QUEUE_STEER_H
#define SHUNT_QUEUE_STEER_H

#include <bpf/libbpf.h>

#include "queue/owner.h"

// A compiled object, in this program's own data.
struct steer_image {
    const void *bytes;
    size_t size_bytes;
};

struct steer_image steer_packet(void);
struct steer_image steer_xdp(void);

struct steer {
    struct bpf_object *object;
    int flows_fd, verdicts_fd; // the object's
    struct steer_image image;
    uint32_t flows_max;
};

// Parses an image, with flows_max entries of room (0: as compiled); loads nothing yet, so that the
// door can still say how. 0, -ENOMEM, -EINVAL.
int steer_init(struct steer *s, struct steer_image image, uint32_t flows_max);

// Begins anew, after a load that failed half-way. As steer_init().
int steer_again(struct steer *s);

// Finds the maps of an object that is loaded. 0, -ENOENT.
int steer_ready(struct steer *s);

// Unloads all. Legal after a failed or no steer_init() on a zeroed struct.
void steer_fini(struct steer *s);

// The fd of a loaded program by its name; -ENOENT. Stays the object's.
int steer_program(const struct steer *s, const char *name);

// As queue_owner_ops.flow_add, flow_del, verdicts.
int steer_flow_add(const struct steer *s, const struct queue_flow *flow);
int steer_flow_del(const struct steer *s, const struct queue_flow *flow);
void steer_verdicts(const struct steer *s, struct queue_verdicts *v);

#endif
