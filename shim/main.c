// SPDX-License-Identifier: BSD-2-Clause
// The library's constructor. Rows may have been called before it, by those of other libraries.
#include "shim/shim.h"

__attribute__((constructor)) static void start(void)
{
    shim_libc_init();
    shim_init();
}
