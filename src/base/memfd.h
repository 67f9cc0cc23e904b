// SPDX-License-Identifier: BSD-2-Clause
// Memory in a file without a name.
#ifndef SHUNT_BASE_MEMFD_H
#define SHUNT_BASE_MEMFD_H

#include <stdint.h>

// Gives the memfd its size: ftruncate(2), but beyond RLIMIT_FSIZE, which holds for memfds, too, it
// says -EFBIG without the SIGXFSZ that would kill the program. 0 or -errno.
int memfd_resize(int fd, uint64_t bytes);

#endif
