// SPDX-License-Identifier: BSD-2-Clause
// How a case of passthrough.c is written.
#ifndef TESTS_SHIM_PASSTHROUGH_H
#define TESTS_SHIM_PASSTHROUGH_H

#include "shim/libc.h"

// A row and what is done with it: once for each kind of fd, or once.
struct row_case {
    const char *symbol;
    long (*run)(int fd);
    bool alone;
};

#define CASE(name, is_alone, expr)                                                                 \
    static long run_##name(int fd)                                                                 \
    {                                                                                              \
        return (long)(expr);                                                                       \
    }                                                                                              \
    static const struct row_case case_##name = {#name, run_##name, is_alone};                      \
    static const struct row_case *const at_##name __attribute__((used, section("row_cases"))) =    \
        &case_##name;
#define ON_FD(name, expr) CASE(name, false, expr)
#define ALONE(name, expr) CASE(name, true, expr)

#endif
