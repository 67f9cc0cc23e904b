// SPDX-License-Identifier: BSD-2-Clause
#ifndef SHUNT_TESTS_PACKET_CONSTANTS_H
#define SHUNT_TESTS_PACKET_CONSTANTS_H

#include <stdbool.h>
#include <stdint.h>

// The value of a constant of the system by its name; several may be joined by |. False: not known.
bool constant_value(const char *words, int64_t *value);

#endif
