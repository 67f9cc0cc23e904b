// SPDX-License-Identifier: BSD-2-Clause
// select and pselect, by way of ppoll. Sets may be larger than FD_SETSIZE: some programs allocate
// them.
#include "base/sys.h"
#include "sock/fdtab.h"
#include "sock/ready.h"
#include "sock/sock.h"

#include <string.h>
#include <sys/mman.h>

#define ON_STACK  64
#define WORD_BITS (8 * (int)sizeof(unsigned long))

// What select means in terms of poll (fs/select.c; select_tut(2)).
#define SET_IN  (READY_IN | POLLRDBAND | POLLHUP | POLLERR)
#define SET_OUT (READY_OUT | POLLWRBAND | POLLERR)
#define SET_EX  POLLPRI

enum { IN, OUT, EX, SETS };
static const short ask[SETS] = {READY_IN | POLLRDBAND, READY_OUT | POLLWRBAND, POLLPRI};
static const short tell[SETS] = {SET_IN, SET_OUT, SET_EX};

struct sets {
    unsigned long *bits[SETS]; // each NULL or of n bits
    int n;
};

static struct sets sets_of(int n, fd_set *r, fd_set *w, fd_set *e)
{
    return (struct sets){{(unsigned long *)r, (unsigned long *)w, (unsigned long *)e}, n};
}

static unsigned long any_word(const struct sets *s, int word)
{
    unsigned long any = 0;

    for (int i = 0; i < SETS; i++)
        any |= s->bits[i] ? s->bits[i][word] : 0;
    if (word == s->n / WORD_BITS)
        any &= (1UL << s->n % WORD_BITS) - 1;
    return any;
}

static int words(const struct sets *s)
{
    return (s->n + WORD_BITS - 1) / WORD_BITS;
}

static bool within_reach(const struct sets *s)
{
    size_t bytes = (size_t)words(s) * sizeof(unsigned long);

    for (int i = 0; i < SETS; i++)
        if (s->bits[i] && reach(s->bits[i], bytes, REACH_WRITE) < bytes)
            return false;
    return true;
}

static bool has(const struct sets *s, int set, int fd)
{
    return s->bits[set] && (s->bits[set][fd / WORD_BITS] >> fd % WORD_BITS & 1);
}

static int count_fds(const struct sets *s)
{
    int n = 0;

    for (int i = 0; i < words(s); i++)
        n += __builtin_popcountl(any_word(s, i));
    return n;
}

static void to_poll(const struct sets *s, struct pollfd *fds)
{
    for (int i = 0; i < words(s); i++) {
        for (unsigned long left = any_word(s, i); left; left &= left - 1) {
            int fd = i * WORD_BITS + __builtin_ctzl(left);

            *fds = (struct pollfd){.fd = fd};
            for (int set = 0; set < SETS; set++)
                fds->events |= has(s, set, fd) ? ask[set] : 0;
            fds++;
        }
    }
}

// The bits that fd has in the answer, a bit a set.
static unsigned answer(const struct sets *s, const struct pollfd *f)
{
    unsigned bits = 0;

    for (int set = 0; set < SETS; set++)
        bits |= has(s, set, f->fd) && (f->revents & tell[set]) ? 1u << set : 0;
    return bits;
}

// poll tells of hang-ups that select does not ask about: such an fd is left out from then on (as
// ~fd), it has nothing else to tell. The number of bits to set; 0: wait on; -EBADF.
static int judge(const struct sets *s, struct pollfd *fds, int n)
{
    int bits = 0;

    for (int i = 0; i < n; i++) {
        if (fds[i].fd < 0 || !fds[i].revents)
            continue;
        if (fds[i].revents & POLLNVAL)
            return -EBADF;
        bits += __builtin_popcount(answer(s, &fds[i]));
    }
    for (int i = 0; i < n && !bits; i++)
        if (fds[i].fd >= 0 && fds[i].revents)
            fds[i].fd = ~fds[i].fd;
    return bits;
}

static void clear_bit(struct sets *s, int set, int fd)
{
    if (s->bits[set])
        s->bits[set][fd / WORD_BITS] &= ~(1UL << fd % WORD_BITS);
}

static void from_poll(struct sets *s, const struct pollfd *fds, int n)
{
    for (int i = 0; i < n; i++) {
        bool left_out = fds[i].fd < 0;
        unsigned bits = left_out ? 0 : answer(s, &fds[i]);

        for (int set = 0; set < SETS; set++)
            if (!(bits >> set & 1))
                clear_bit(s, set, left_out ? ~fds[i].fd : fds[i].fd);
    }
}

static void clear_all(struct sets *s)
{
    for (int set = 0; set < SETS; set++)
        if (s->bits[set])
            memset(s->bits[set], 0, (size_t)words(s) * sizeof(unsigned long));
}

static int wait_for(struct sets *s, struct pollfd *fds, int n, struct ready_call *call)
{
    struct timespec ts;
    int found, bits = 0;

    do {
        found = sock_ppoll(fds, (nfds_t)n, ready_left(call, CLOCK_NEVER, &ts), call->mask);
        if (found > 0)
            bits = judge(s, fds, n);
    } while (found > 0 && !bits);
    if (found < 0 || bits < 0)
        return found < 0 ? found : bits;
    if (found)
        from_poll(s, fds, n);
    else
        clear_all(s);
    return bits;
}

bool sock_select_ours(int n, const fd_set *r, const fd_set *w, const fd_set *e)
{
    struct sets s = sets_of(n, (fd_set *)r, (fd_set *)w, (fd_set *)e);
    struct pollfd f = {0};

    if (n < 0 || !within_reach(&s))
        return false;
    for (int i = 0; i < words(&s); i++) {
        for (unsigned long left = any_word(&s, i); left; left &= left - 1) {
            f.fd = i * WORD_BITS + __builtin_ctzl(left);
            if (sock_poll_ours(&f, 1))
                return true;
        }
    }
    return false;
}

int sock_pselect(int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout,
                 const sigset_t *mask)
{
    struct sets s = sets_of(n, r, w, e);
    struct pollfd stack[ON_STACK], *fds = stack;
    struct ready_call call;
    int n_fds, found = ready_begin(&call, timeout, mask);

    if (found || n < 0)
        return found ? found : -EINVAL;
    n_fds = count_fds(&s);
    if (n_fds > ON_STACK)
        fds = mmap(NULL, (size_t)n_fds * sizeof *fds, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fds == MAP_FAILED)
        return -ENOMEM;
    to_poll(&s, fds);
    ready_start(&call);
    found = wait_for(&s, fds, n_fds, &call);
    if (fds != stack)
        sys_call(SYS_munmap, fds, (size_t)n_fds * sizeof *fds);
    return found;
}
