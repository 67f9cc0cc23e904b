// SPDX-License-Identifier: BSD-2-Clause
#include "shim/libc.h"

#include <dlfcn.h>
#include <errno.h>

struct shim_libc shim_libc;

// Stands in for what this libc does not have.
static long missing(void)
{
    errno = ENOSYS;
    return -1;
}

static void find(void *slot, const char *symbol)
{
    void *found = dlsym(RTLD_NEXT, symbol);

    *(void **)slot = found ? found : (void *)missing;
}

void shim_libc_init(void)
{
#define ROW(symbol, text) find(&shim_libc.symbol, #symbol);
#define PASS(symbol, text)
    SHIM_TABLE(ROW, PASS)
#undef ROW
#undef PASS
}
