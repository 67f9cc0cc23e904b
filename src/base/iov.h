// SPDX-License-Identifier: BSD-2-Clause
// A position in an array of iovecs, for copying piece by piece.
#ifndef SHUNT_BASE_IOV_H
#define SHUNT_BASE_IOV_H

#include "base/reach.h"

#include <limits.h>
#include <stddef.h>
#include <sys/uio.h>

struct iov_pos {
    const struct iovec *iov; // the current one
    int cnt;                 // iovecs from the current one on
    size_t off;              // bytes of the current one that are done
    size_t left;             // bytes from here to the end
};

// Returns 0, or -EINVAL for a bad count or a sum over SSIZE_MAX (readv(2)), -EFAULT where the array
// itself cannot be read.
int iov_begin(struct iov_pos *p, const struct iovec *iov, int cnt);

// How many of the next n bytes (at most p->left) can be touched, up to the first that cannot.
size_t iov_reach(const struct iov_pos *p, size_t n, enum reach_how how);

// Copies n bytes (at most p->left) between the iovecs and a flat buffer, and moves on.
void iov_gather(struct iov_pos *p, void *to, size_t n);
void iov_scatter(struct iov_pos *p, const void *from, size_t n);

// Moves on by n bytes (at most p->left).
void iov_skip(struct iov_pos *p, size_t n);

// Writes what is left as at most max iovecs to out; returns how many. May cover less than p->left.
int iov_rest(const struct iov_pos *p, struct iovec *out, int max);

#endif
