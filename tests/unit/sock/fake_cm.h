// SPDX-License-Identifier: BSD-2-Clause
#ifndef FAKE_CM_H
#define FAKE_CM_H

#include <stdint.h>

#define FAKE_CM_CHANNELS 100

// Makes the channels that the next connection will get, one after the other; before the fork of the
// two sides. The first has rings of ring_bytes, others once, twice or four times that.
void fake_cm_channels(int n, uint32_t ring_bytes);

// Which side this process is.
void fake_cm_side(int n);

#endif
