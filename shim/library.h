// SPDX-License-Identifier: BSD-2-Clause
#ifndef SHUNT_SHIM_LIBRARY_H
#define SHUNT_SHIM_LIBRARY_H

#include <stdbool.h>

// Loads the libraries of others that this one calls; idempotent. False: one cannot be had (which is
// said on stderr), or another thread is at it.
bool shim_libraries(void);

#endif
