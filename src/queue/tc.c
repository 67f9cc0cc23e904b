// SPDX-License-Identifier: BSD-2-Clause
#include "queue/tc.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "queue/device.h"

// linux/bpf.h of Linux 6.6; Debian 12's is of 6.1.
#define TCX_INGRESS 46

struct link_create {
    uint32_t prog_fd, target_ifindex, attach_type, flags;
    uint32_t relative_fd, pad;
    uint64_t expected_revision;
};

// Handle and priority of our clsact filter.
#define HANDLE   1
#define PRIORITY 1

static int tcx_attach(struct tc *tc, uint32_t ifindex, int program_fd)
{
    struct link_create attr = {
        .prog_fd = (uint32_t)program_fd, .target_ifindex = ifindex, .attach_type = TCX_INGRESS};
    long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

    if (fd < 0)
        return -errno;
    tc->link_fd = (int)fd;
    return 0;
}

static int clsact_attach(struct tc *tc, uint32_t ifindex, int program_fd)
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = PRIORITY,
                        .prog_fd = program_fd, .flags = BPF_TC_F_REPLACE);
    int err;

    tc->lock_fd = device_lock("clsact", ifindex);
    if (tc->lock_fd < 0)
        return tc->lock_fd;
    err = bpf_tc_hook_create(&hook);
    if (!err || err == -EEXIST) // somebody's clsact is as good as ours
        err = bpf_tc_attach(&hook, &opts);
    if (err)
        close(tc->lock_fd);
    else
        tc->ifindex = ifindex;
    return err;
}

int tc_attach(struct tc *tc, uint32_t ifindex, const struct steer *steer, bool clsact)
{
    int err = clsact ? -EINVAL : tcx_attach(tc, ifindex, steer_program(steer, "shunt_tc"));

    // -EINVAL is what a kernel says that does not know the attach type
    if (err == -EINVAL)
        err = clsact_attach(tc, ifindex, steer_program(steer, "shunt_tc_entry"));
    return err;
}

// The qdisc stays: others may have put filters there meanwhile, and an empty one costs nothing.
void tc_detach(struct tc *tc)
{
    DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)tc->ifindex,
                        .attach_point = BPF_TC_INGRESS);
    DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = PRIORITY);

    if (tc->link_fd >= 0)
        close(tc->link_fd);
    if (tc->ifindex) {
        bpf_tc_detach(&hook, &opts);
        close(tc->lock_fd);
    }
}
