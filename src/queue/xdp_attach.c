// SPDX-License-Identifier: BSD-2-Clause
#include "queue/xdp_attach.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define PROGRAM "shunt_xdp"

static int to_log(enum libxdp_print_level level, const char *fmt, va_list args)
{
    char line[400];

    if (log_level() >= LOG_DEBUG && level != LIBXDP_DEBUG) {
        vsnprintf(line, sizeof(line), fmt, args);
        line[strcspn(line, "\n")] = 0;
        log_debug("%s", line);
    }
    return 0;
}

// We hold the device's lock, so a program of ours that is in the dispatcher is a dead owner's.
static void remove_stale(uint32_t ifindex)
{
    struct xdp_multiprog *all = xdp_multiprog__get_from_ifindex((int)ifindex);
    enum xdp_attach_mode mode;
    struct xdp_program *p = NULL;

    if (libxdp_get_error(all))
        return;
    mode = xdp_multiprog__attach_mode(all);
    while ((p = xdp_multiprog__next_prog(p, all)))
        if (!strcmp(xdp_program__name(p), PROGRAM)) {
            xdp_program__detach(p, (int)ifindex, mode, 0);
            break;
        }
    xdp_multiprog__close(all);
}

// Where it has to, libxdp attaches the program alone, without saying so.
static bool is_dispatched(uint32_t ifindex)
{
    struct xdp_multiprog *all = xdp_multiprog__get_from_ifindex((int)ifindex);
    bool dispatched = !libxdp_get_error(all) && !xdp_multiprog__is_legacy(all);

    if (!libxdp_get_error(all))
        xdp_multiprog__close(all);
    return dispatched;
}

// Not by libxdp, which would ask for CAP_SYS_ADMIN to find the program that it has attached.
static void detach_alone(uint32_t ifindex, int program_fd, bool native)
{
    DECLARE_LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = program_fd);

    bpf_xdp_detach((int)ifindex, native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE, &opts);
}

// Takes the steer's object into use, and leaves it in any state on failure; it stays steer's.
static int attach_dispatched(struct xdp_attachment *a, struct steer *steer, bool native)
{
    DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = steer->object, .prog_name = PROGRAM);
    enum xdp_attach_mode mode = native ? XDP_MODE_NATIVE : XDP_MODE_SKB;
    struct xdp_program *program = xdp_program__create(&opts);
    int err = (int)libxdp_get_error(program);

    if (err)
        return err;
    xdp_program__set_xdp_frags_support(program, true);
    err = xdp_program__attach(program, (int)a->ifindex, mode, 0);
    if (!err && !is_dispatched(a->ifindex)) {
        detach_alone(a->ifindex, xdp_program__fd(program), native);
        err = -EOPNOTSUPP;
    }
    if (err)
        xdp_program__close(program);
    else
        a->program = program;
    return err;
}

static int attach_link(struct xdp_attachment *a, struct steer *steer, bool native)
{
    DECLARE_LIBBPF_OPTS(bpf_link_create_opts, opts,
                        .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
    int fd = bpf_link_create(steer_program(steer, PROGRAM), (int)a->ifindex, BPF_XDP, &opts);

    if (fd < 0)
        return fd;
    a->link_fd = fd;
    return 0;
}

static int attach_in_mode(struct xdp_attachment *a, struct steer *steer, bool native)
{
    a->generic = !native;
    return attach_link(a, steer, native);
}

int xdp_attach(struct xdp_attachment *a, struct steer *steer, uint32_t ifindex, bool native,
               bool direct)
{
    int err;

    libxdp_set_print(to_log);
    a->ifindex = ifindex;
    a->generic = !native;
    a->lock_fd = device_lock("xdp", ifindex);
    if (a->lock_fd < 0)
        return a->lock_fd;
    remove_stale(ifindex);
    a->how = "dispatcher";
    if (!direct && !attach_dispatched(a, steer, native))
        return 0;
    a->how = direct ? "alone, as asked" : "alone: this kernel takes no dispatcher";
    err = steer_again(steer);
    if (!err)
        err = bpf_object__load(steer->object);
    if (!err)
        err = attach_in_mode(a, steer, native);
    if (err && err != -EBUSY && native)
        err = attach_in_mode(a, steer, false);
    return err;
}

void xdp_detach(struct xdp_attachment *a)
{
    if (a->program) {
        xdp_program__detach(a->program, (int)a->ifindex,
                            a->generic ? XDP_MODE_SKB : XDP_MODE_NATIVE, 0);
        xdp_program__close(a->program);
    }
    if (a->link_fd >= 0)
        close(a->link_fd);
    if (a->lock_fd >= 0)
        close(a->lock_fd);
}
