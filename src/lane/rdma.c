// SPDX-License-Identifier: BSD-2-Clause
// RDMA between two processes of one host or two. The lane itself is a module (src/lane/rdma), so
// that a program that never uses it never loads the verbs libraries.
#include "lane/lane.h"

#include "base/log.h"
#include "base/sys.h"
#include "lane/ends.h"
#include "shunt/info.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DEVICES "/dev/infiniband/rdma_cm"
#define MODULE  "libshunt-rdma.so"

// The host's devices are looked for once.
static bool has_devices(void)
{
    static _Atomic int known; // 1: yes, 2: no

    if (!atomic_load_explicit(&known, memory_order_relaxed))
        atomic_store(&known, sys_call(SYS_faccessat, AT_FDCWD, DEVICES, 6) ? 2 : 1);
    return atomic_load_explicit(&known, memory_order_relaxed) == 1;
}

static const char *obstacle(const struct lane_ends *ends)
{
    if (!has_devices())
        return "this host has no RDMA device";
    if (lane_is_loopback(ends->remote))
        return "a loopback address leads to no RDMA device";
    return NULL;
}

const struct lane lane_rdma = {"rdma", SHUNT_LANE_RDMA, obstacle};

// The module lies beside whatever this code is in.
static bool module_path(char *path, size_t size)
{
    Dl_info here;
    const char *slash;

    if (!dladdr(&lane_rdma, &here) || !here.dli_fname)
        return false;
    slash = strrchr(here.dli_fname, '/');
    return slash && (size_t)snprintf(path, size, "%.*s/%s", (int)(slash - here.dli_fname),
                                     here.dli_fname, MODULE) < size;
}

const struct mirror_lane *lane_rdma_load(void)
{
    static const struct mirror_lane *loaded;
    static bool tried;
    char path[4096];
    void *module;

    if (tried)
        return loaded;
    tried = true;
    module = module_path(path, sizeof path) ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (module)
        loaded = dlsym(module, "shunt_rdma");
    if (!loaded)
        log_info("rdma: %s", dlerror());
    return loaded;
}
