// SPDX-License-Identifier: BSD-2-Clause
#ifndef FAKE_CM_H
#define FAKE_CM_H

#include <stdint.h>

// Makes the channel that the next connection will get; before the fork of the two sides.
void fake_cm_channel(uint32_t ring_bytes);

// Which side this process is.
void fake_cm_side(int n);

#endif
