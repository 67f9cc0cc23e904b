// SPDX-License-Identifier: BSD-2-Clause
// Pipes are real ones; splice() between one and a socket of ours copies what fits.
#include "plug.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/util.h"

#define SPLICE_MAX 65536

int plug_pipe(void *self, int fds[2])
{
    return pipe2(fds, O_CLOEXEC);
}

// Bytes that the pipe takes without making anybody wait.
static size_t room(int pipe)
{
    int size = fcntl(pipe, F_GETPIPE_SZ), used = 0;

    ioctl(pipe, FIONREAD, &used);
    return size > used ? (size_t)(size - used) : 0;
}

static ptrdiff_t socket_to_pipe(struct plug *p, int from, int to, size_t len)
{
    static char bytes[SPLICE_MAX];
    ptrdiff_t n;

    len = MIN(len, room(to));
    n = len ? stack_recv(p->stack, plug_inner(p, from), bytes, len, 0) : -EAGAIN;
    return n > 0 ? write(to, bytes, (size_t)n) : n;
}

static ptrdiff_t pipe_to_socket(struct plug *p, int from, int to, size_t len)
{
    static char bytes[SPLICE_MAX];
    ptrdiff_t n;
    int used = 0;

    ioctl(from, FIONREAD, &used);
    n = used ? read(from, bytes, MIN(len, (size_t)used)) : -EAGAIN;
    return n > 0 ? stack_send(p->stack, plug_inner(p, to), bytes, (size_t)n, 0) : n;
}

int plug_splice(void *self, int in, loff_t *off_in, int to, loff_t *off_out, size_t len,
                unsigned int flags)
{
    struct plug *p = self;
    bool nowait = flags & SPLICE_F_NONBLOCK;

    len = MIN(len, (size_t)SPLICE_MAX);
    if (off_in || off_out)
        return (int)plug_result(-ESPIPE);
    if (plug_inner(p, in) >= 0)
        return (int)UNTIL_DONE(p, in, nowait, socket_to_pipe(p, in, to, len));
    if (plug_inner(p, to) >= 0)
        return (int)UNTIL_DONE(p, to, nowait, pipe_to_socket(p, in, to, len));
    return (int)plug_result(-EINVAL);
}
