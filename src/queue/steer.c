// SPDX-License-Identifier: BSD-2-Clause
#include "queue/steer.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

_Static_assert(sizeof(struct queue_flow) == 36, "a map's key: no padding");

// image.S
extern const char packet_image_bytes[], packet_image_end[], xdp_image_bytes[], xdp_image_end[];

static struct steer_image image_of(const char *from, const char *end)
{
    return (struct steer_image){from, (size_t)(end - from)};
}

struct steer_image steer_packet(void)
{
    return image_of(packet_image_bytes, packet_image_end);
}

struct steer_image steer_xdp(void)
{
    return image_of(xdp_image_bytes, xdp_image_end);
}

static int to_log(enum libbpf_print_level level, const char *fmt, va_list args)
{
    char line[400];

    if (log_level() >= LOG_DEBUG && level != LIBBPF_DEBUG) {
        vsnprintf(line, sizeof(line), fmt, args);
        line[strcspn(line, "\n")] = 0;
        log_debug("%s", line);
    }
    return 0;
}

int steer_init(struct steer *s, struct steer_image image, uint32_t flows_max)
{
    struct bpf_map *flows;

    s->image = image;
    s->flows_max = flows_max;
    libbpf_set_print(to_log);
    s->object = bpf_object__open_mem(image.bytes, image.size_bytes, NULL);
    if (!s->object)
        return -errno;
    flows = bpf_object__find_map_by_name(s->object, "flows");
    if (!flows)
        return -EINVAL;
    return flows_max ? bpf_map__set_max_entries(flows, flows_max) : 0;
}

int steer_again(struct steer *s)
{
    steer_fini(s);
    return steer_init(s, s->image, s->flows_max);
}

int steer_ready(struct steer *s)
{
    s->flows_fd = bpf_object__find_map_fd_by_name(s->object, "flows");
    s->verdicts_fd = bpf_object__find_map_fd_by_name(s->object, "verdicts");
    return s->flows_fd < 0 || s->verdicts_fd < 0 ? -ENOENT : 0;
}

void steer_fini(struct steer *s)
{
    bpf_object__close(s->object);
    s->object = NULL;
}

int steer_program(const struct steer *s, const char *name)
{
    struct bpf_program *program = bpf_object__find_program_by_name(s->object, name);

    return program ? bpf_program__fd(program) : -ENOENT;
}

int steer_flow_add(const struct steer *s, const struct queue_flow *flow)
{
    uint32_t value = 1;
    int err;

    if (!flow->local_port || (!flow->remote_port && !IN6_IS_ADDR_UNSPECIFIED(&flow->remote)))
        return -EINVAL;
    err = bpf_map_update_elem(s->flows_fd, flow, &value, BPF_NOEXIST);
    return err == -E2BIG ? -ENOSPC : err;
}

int steer_flow_del(const struct steer *s, const struct queue_flow *flow)
{
    return bpf_map_delete_elem(s->flows_fd, flow);
}

void steer_verdicts(const struct steer *s, struct queue_verdicts *v)
{
    int cpus = libbpf_num_possible_cpus();
    uint64_t *per_cpu = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*per_cpu));
    uint64_t sum[3] = {0};

    for (uint32_t key = 0; per_cpu && key < 3; key++)
        if (!bpf_map_lookup_elem(s->verdicts_fd, &key, per_cpu))
            for (int i = 0; i < cpus; i++)
                sum[key] += per_cpu[i];
    free(per_cpu);
    *v = (struct queue_verdicts){.taken = sum[0], .passed = sum[1], .other = sum[2]};
}
