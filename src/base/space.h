// SPDX-License-Identifier: BSD-2-Clause
// Large mappings of Shunt's own in a program's address space, which must not be taken from what the
// program may have (RLIMIT_AS, setrlimit(2)). Where there is a limit it is lifted by what is
// mapped, and the program is told the limit without that.
//
// The limit that counts is the process's, so there is one account. Nothing here blocks or
// allocates.
#ifndef SHUNT_BASE_SPACE_H
#define SHUNT_BASE_SPACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

// mmap(2) at an address that the kernel chooses; NULL: no memory, or no space that would not be
// missed: the limit cannot be lifted, and it is more than a small part of it.
void *space_map(size_t bytes, int prot, int flags, int fd, off_t off);

// The same of a shared file of which little is ever used: it is not locked in memory, which would
// make all of it, whatever the program has said or says (mlockall(2)).
void *space_map_sparse(size_t bytes, int fd);

// mlockall(2) of everything but that. 0 or -errno.
int space_lock_all(int flags);

// munmap(2) of all that one space_map() gave, in one piece or several.
void space_unmap(void *at, size_t bytes);

// What is mapped there is not written into core dumps: it belongs to others as well, and an arena
// is gigabytes of nothing. space_map() has done so; whoever maps over it does it again.
void space_hide(void *at, size_t bytes);

// getrlimit and setrlimit(2) of RLIMIT_AS as the program is to see them. 0 or -errno.
int space_get_limit(struct rlimit *limit);
int space_set_limit(const struct rlimit *limit);

#endif
