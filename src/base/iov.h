// SPDX-License-Identifier: BSD-2-Clause
// A position in an array of iovecs, for copying piece by piece.
#ifndef SHUNT_BASE_IOV_H
#define SHUNT_BASE_IOV_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct iov_pos {
    const struct iovec *iov; // the current one
    int cnt;                 // iovecs from the current one on
    size_t off;              // bytes of the current one that are done
    size_t left;             // bytes from here to the end
};

// Returns 0, or -EINVAL for a bad count or a sum over SSIZE_MAX (readv(2)), -EFAULT where NULL is
// said to point to iovecs.
int iov_begin(struct iov_pos *p, const struct iovec *iov, int cnt);

// True where an iovec from p on is what NULL points to. Other bad addresses are met when bytes are
// copied.
bool iov_is_bad(const struct iov_pos *p);

// Copies n bytes (at most p->left) between the iovecs and a flat buffer, and moves on.
void iov_gather(struct iov_pos *p, void *to, size_t n);
void iov_scatter(struct iov_pos *p, const void *from, size_t n);

// Moves on by n bytes (at most p->left).
void iov_skip(struct iov_pos *p, size_t n);

// Writes what is left as at most max iovecs to out; returns how many. May cover less than p->left.
int iov_rest(const struct iov_pos *p, struct iovec *out, int max);

#endif
