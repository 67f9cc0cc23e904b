// SPDX-License-Identifier: BSD-2-Clause
// dprintf on a socket: libc would write behind our back.
#include "shim/shim.h"

#include <limits.h>

#define SHORT_BYTES 1024

static int send_all(struct conn *c, int fd, const char *text, size_t n)
{
    size_t done = 0;

    while (done < n) {
        struct iovec iov = {(char *)text + done, n - done};
        ssize_t r = conn_send(c, fd, &iov, 1, 0);

        if (r < 0)
            return (int)shim_ret(r);
        done += (size_t)r;
    }
    return (int)n;
}

// c is held by the caller, and given back here.
static int stream_print(struct conn *c, int fd, const char *fmt, va_list ap)
{
    char few[SHORT_BYTES], *text = few;
    va_list again;
    int n, r = -1;

    va_copy(again, ap);
    n = vsnprintf(few, sizeof few, fmt, ap);
    if (n >= (int)sizeof few) {
        text = malloc((size_t)n + 1);
        if (text)
            vsnprintf(text, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n >= 0 && text)
        r = send_all(c, fd, text, (size_t)n);
    if (text != few)
        free(text);
    conn_put(c);
    return r;
}

SHUNT_EXPORT int vdprintf(int fd, const char *restrict fmt, va_list ap)
{
    struct conn *c = shim_stream(fd);

    return c ? stream_print(c, fd, fmt, ap) : LIBC(vdprintf)(fd, fmt, ap);
}

SHUNT_EXPORT int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap)
{
    struct conn *c = shim_stream(fd);

    return c ? stream_print(c, fd, fmt, ap) : LIBC(__vdprintf_chk)(fd, flag, fmt, ap);
}

SHUNT_EXPORT int dprintf(int fd, const char *restrict fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = vdprintf(fd, fmt, ap);
    va_end(ap);
    return r;
}

SHUNT_EXPORT int __dprintf_chk(int fd, int flag, const char *fmt, ...)
{
    va_list ap;
    int r;

    va_start(ap, fmt);
    r = __vdprintf_chk(fd, flag, fmt, ap);
    va_end(ap);
    return r;
}
