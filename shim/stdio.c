// SPDX-License-Identifier: BSD-2-Clause
// stdio and asynchronous I/O on a socket: libc calls the kernel from inside, so that the connection
// has to be the kernel's.
#include "shim/shim.h"

// ---- streams ----

SHUNT_EXPORT FILE *fdopen(int fd, const char *mode)
{
    shim_hand_over(fd, "used by stdio");
    return LIBC(fdopen)(fd, mode);
}
SHIM_ALIAS(_IO_fdopen, fdopen);

// The number below f, if its closing means something to us; -1.
static int number_below(FILE *f)
{
    int fd = fdtab_limit() > 0 && f ? fileno_unlocked(f) : -1;

    return fd >= 0 && fdtab_word(fd) && !shim_vforked() ? fd : -1;
}

SHUNT_EXPORT int fclose(FILE *f)
{
    int fd = number_below(f);

    if (unlikely(fd >= 0)) {
        fflush(f);
        conn_closing(fd);
    }
    return LIBC(fclose)(f);
}
SHIM_ALIAS(_IO_fclose, fclose);

SHUNT_EXPORT FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict f)
{
    int fd = number_below(f);

    if (unlikely(fd >= 0)) {
        fflush(f);
        conn_closing(fd);
    }
    return LIBC(freopen)(path, mode, f);
}
SHIM_ALIAS(freopen64, freopen);

// ---- asynchronous I/O ----

static const char by_aio[] = "used by asynchronous I/O";

SHUNT_EXPORT int aio_read(struct aiocb *cb)
{
    shim_hand_over(cb->aio_fildes, by_aio);
    return LIBC(aio_read)(cb);
}

SHUNT_EXPORT int aio_read64(struct aiocb64 *cb)
{
    shim_hand_over(cb->aio_fildes, by_aio);
    return LIBC(aio_read64)(cb);
}

SHUNT_EXPORT int aio_write(struct aiocb *cb)
{
    shim_hand_over(cb->aio_fildes, by_aio);
    return LIBC(aio_write)(cb);
}

SHUNT_EXPORT int aio_write64(struct aiocb64 *cb)
{
    shim_hand_over(cb->aio_fildes, by_aio);
    return LIBC(aio_write64)(cb);
}

SHUNT_EXPORT int lio_listio(int mode, struct aiocb *const list[restrict], int n,
                            struct sigevent *restrict sig)
{
    for (int i = 0; i < n; i++)
        if (list[i])
            shim_hand_over(list[i]->aio_fildes, by_aio);
    return LIBC(lio_listio)(mode, list, n, sig);
}

SHUNT_EXPORT int lio_listio64(int mode, struct aiocb64 *const list[restrict], int n,
                              struct sigevent *restrict sig)
{
    for (int i = 0; i < n; i++)
        if (list[i])
            shim_hand_over(list[i]->aio_fildes, by_aio);
    return LIBC(lio_listio64)(mode, list, n, sig);
}
