// SPDX-License-Identifier: BSD-2-Clause
#include "base/iov.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

int iov_begin(struct iov_pos *p, const struct iovec *iov, int cnt)
{
    *p = (struct iov_pos){.iov = iov, .cnt = cnt};
    if (cnt < 0 || cnt > IOV_MAX)
        return -EINVAL;
    if (cnt && reach(iov, (size_t)cnt * sizeof *iov, REACH_READ) < (size_t)cnt * sizeof *iov)
        return -EFAULT;
    for (int i = 0; i < cnt; i++) {
        if (iov[i].iov_len > SSIZE_MAX - p->left)
            return -EINVAL;
        p->left += iov[i].iov_len;
    }
    return 0;
}

// The run of bytes at p, at most n; moves on past it.
static void *next_run(struct iov_pos *p, size_t *n)
{
    char *at;

    while (p->off == p->iov->iov_len) {
        p->iov++;
        p->cnt--;
        p->off = 0;
    }
    at = (char *)p->iov->iov_base + p->off;
    *n = MIN(*n, p->iov->iov_len - p->off);
    p->off += *n;
    p->left -= *n;
    return at;
}

size_t iov_reach(const struct iov_pos *p, size_t n, enum reach_how how)
{
    struct iov_pos q = *p;
    size_t sum = 0;

    while (sum < n) {
        size_t run = n - sum, found;
        const void *at = next_run(&q, &run);

        found = reach(at, run, how);
        sum += found;
        if (unlikely(found < run))
            break;
    }
    return sum;
}

void iov_gather(struct iov_pos *p, void *to, size_t n)
{
    while (n > 0) {
        size_t run = n;
        void *at = next_run(p, &run);

        memcpy(to, at, run);
        to = (char *)to + run;
        n -= run;
    }
}

void iov_scatter(struct iov_pos *p, const void *from, size_t n)
{
    while (n > 0) {
        size_t run = n;
        void *at = next_run(p, &run);

        memcpy(at, from, run);
        from = (const char *)from + run;
        n -= run;
    }
}

void iov_skip(struct iov_pos *p, size_t n)
{
    while (n > 0) {
        size_t run = n;

        next_run(p, &run);
        n -= run;
    }
}

int iov_rest(const struct iov_pos *p, struct iovec *out, int max)
{
    int n = 0;

    for (int i = 0; i < p->cnt && n < max; i++, n++) {
        size_t off = i == 0 ? p->off : 0;

        out[n].iov_base = (char *)p->iov[i].iov_base + off;
        out[n].iov_len = p->iov[i].iov_len - off;
    }
    return n;
}
