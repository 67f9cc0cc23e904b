// SPDX-License-Identifier: BSD-2-Clause
// Sets, watches, and the tags by which the kernel names a watch.
#include "sock/epoll_set.h"

#include "base/pool.h"
#include "base/sys.h"
#include "sock/self.h"
#include "sock/sock.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

// A tag is 40 random bits, known to nobody else, and 24 bits: a watch and which of its
// registrations. A program's own data looks like one with a chance of 2^-40, and only sets that
// have tags are asked at all.
#define INDEX_BITS 21
#define KIND_BITS  3
#define CHUNK_BITS 9
#define CHUNK      (1u << CHUNK_BITS)
#define CHUNKS     (1u << (INDEX_BITS - CHUNK_BITS))
#define KICK_INDEX 0u // no watch has it
#define KEY_SHIFT  (INDEX_BITS + KIND_BITS)

enum { KIND_TWIN, KIND_BELL, KIND_SHOT }; // and as many more as TAG_SHOTS says

struct sock_lock epoll_lock;
struct list epoll_sets = {&epoll_sets, &epoll_sets};

static struct pool sets = {sizeof(struct epoll_set), NULL};
static struct epoll_watch *chunks[CHUNKS];
static uint32_t n_watches = 1; // that were ever given out, and index 0
static struct list free_watches = {&free_watches, &free_watches};
static uint64_t key;

_Static_assert(sizeof(struct epoll_set) % 64 == 0,
               "the pool aligns by size, fdtab keeps a kind below");

// ---- watches ----

static struct epoll_watch *watch_at(uint32_t index)
{
    struct epoll_watch *chunk = chunks[index >> CHUNK_BITS];

    return chunk ? &chunk[index & (CHUNK - 1)] : NULL;
}

static struct epoll_watch *watch_more(void)
{
    struct epoll_watch **chunk = &chunks[n_watches >> CHUNK_BITS];
    struct epoll_watch *w;

    if (n_watches >> INDEX_BITS)
        return NULL;
    if (!*chunk) {
        void *at = mmap(NULL, CHUNK * sizeof *w, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (at == MAP_FAILED)
            return NULL;
        *chunk = at;
    }
    w = watch_at(n_watches);
    w->index = n_watches++;
    return w;
}

static struct epoll_watch *watch_take(void)
{
    struct epoll_watch *w;
    uint32_t index;

    if (list_empty(&free_watches))
        return watch_more();
    w = list_entry(free_watches.next, struct epoll_watch, node);
    list_del(&w->node);
    index = w->index;
    memset(w, 0, sizeof *w);
    w->index = index;
    return w;
}

struct epoll_watch *watch_new(struct epoll_set *s, struct conn *c, int fd)
{
    struct epoll_watch *w = watch_take();

    if (!w)
        return NULL;
    list_for_each (it, &c->watches)
        if (list_entry(it, struct epoll_watch, in_conn)->set == s)
            s->doubled = true;
    w->conn = c;
    w->fd = fd;
    list_add_tail(&c->watches, &w->in_conn);
    epoll_take(&s->lock);
    w->set = s;
    list_add_tail(&s->watches, &w->in_set);
    list_init(&w->node);
    list_add_tail(&s->waiting, &w->node);
    said_new(w);
    epoll_drop(&s->lock);
    return w;
}

struct epoll_watch *watch_find(struct epoll_set *s, struct conn *c, int fd)
{
    list_for_each (it, &c->watches) {
        struct epoll_watch *w = list_entry(it, struct epoll_watch, in_conn);

        if (w->set == s && w->fd == fd)
            return w;
    }
    return NULL;
}

void watch_free(struct epoll_watch *w)
{
    struct epoll_set *s = w->set;

    epoll_take(&s->lock);
    s->raised -= w->raised;
    w->raised = false;
    said_free(w);
    w->set = NULL;
    list_del(&w->in_set);
    list_del(&w->node);
    epoll_drop(&s->lock);
    list_del(&w->in_conn);
    w->conn->told_ticks = NULL;
    w->conn = NULL;
    list_add_tail(&free_watches, &w->node);
}

// ---- tags ----

uint64_t tag_of(const struct epoll_watch *w, enum tag_kind kind)
{
    uint64_t index = w ? w->index : KICK_INDEX;
    uint64_t which = kind == TAG_BELL   ? KIND_BELL
                     : kind == TAG_SHOT ? KIND_SHOT + w->shot - 1u
                                        : KIND_TWIN;

    return key << KEY_SHIFT | which << INDEX_BITS | index;
}

// A registration whose watch has gone, or is another now, says nothing but "awake".
enum tag_kind tag_read(const struct epoll_set *s, uint64_t data, struct epoll_watch **w)
{
    uint32_t index = data & ((1u << INDEX_BITS) - 1);
    uint32_t which = data >> INDEX_BITS & ((1u << KIND_BITS) - 1);

    if (data >> KEY_SHIFT != key)
        return TAG_NONE;
    *w = index == KICK_INDEX ? NULL : watch_at(index);
    if (!*w || (*w)->set != s || (*w)->raised != (which < KIND_SHOT))
        return TAG_KICK;
    if (which >= KIND_SHOT)
        return (*w)->shot == which - KIND_SHOT + 1 ? TAG_SHOT : TAG_KICK;
    return which == KIND_BELL ? TAG_BELL : TAG_TWIN;
}

static void make_key(void)
{
    if (!key && sys_call(SYS_getrandom, &key, sizeof key, GRND_NONBLOCK) != sizeof key)
        key = clock_ticks() * UINT64_C(0x9e3779b97f4a7c15);
    key = key << KEY_SHIFT >> KEY_SHIFT | 1;
}

// ---- sets ----

struct epoll_set *epoll_set_of(int epfd)
{
    uintptr_t word = fdtab_word(epfd);

    return (word & 15) == FD_EPOLL ? fdtab_object(word) : NULL;
}

static struct epoll_set *set_new(int epfd)
{
    static uint32_t generation;
    struct epoll_set *s = pool_take(&sets);

    if (!s)
        return NULL;
    if (!key)
        make_key();
    s->epfd = epfd;
    s->fds = 1;
    s->generation = ++generation;
    s->kick = -1;
    list_init(&s->hot);
    list_init(&s->waiting);
    list_init(&s->watches);
    list_add_tail(&epoll_sets, &s->in_sets);
    set_join_family(s);
    return s;
}

void sock_epoll_made(int epfd)
{
    struct epoll_set *s;

    sock_enter();
    epoll_take(&epoll_lock);
    s = set_new(epfd);
    epoll_drop(&epoll_lock);
    if (s)
        fdtab_set(epfd, FD_EPOLL, s);
    sock_leave();
}

// The kernel's epoll goes with its last file; whoever holds it elsewhere never knew our tags'
// meaning, so they go first there.
static void set_free(struct epoll_set *s)
{
    while (!list_empty(&s->watches)) {
        struct epoll_watch *w = list_entry(s->watches.next, struct epoll_watch, in_set);

        if (s->forked && !s->inherited && !w->dormant) {
            epoll_take(&s->lock);
            if (w->raised)
                watch_lower(w, true);
            else
                watch_restore(w, true);
            w->said = NULL; // a child may want to know it still
            epoll_drop(&s->lock);
        }
        watch_free(w);
    }
    if (s->kick >= 0) {
        fdtab_set(s->kick, FD_NONE, NULL);
        sys_close(s->kick);
    }
    list_del(&s->in_sets);
    set_leave_family(s);
    s->generation = 0;
    pool_give(&sets, s);
}

static int other_number(const struct epoll_set *s, int except)
{
    for (int fd = 0; fd < fdtab_limit(); fd++)
        if (fd != except && epoll_set_of(fd) == s)
            return fd;
    return -1;
}

void epoll_closing(int fd)
{
    struct epoll_set *s = epoll_set_of(fd);

    if (!s)
        return;
    sock_enter();
    epoll_take(&epoll_lock);
    fdtab_set(fd, FD_NONE, NULL);
    if (--s->fds == 0)
        set_free(s);
    else if (s->epfd == fd)
        s->epfd = other_number(s, fd);
    epoll_drop(&epoll_lock);
    sock_leave();
}

void epoll_duped(int oldfd, int newfd)
{
    struct epoll_set *s = epoll_set_of(oldfd);

    if (!s || oldfd == newfd)
        return;
    sock_enter();
    epoll_take(&epoll_lock);
    s->fds++;
    fdtab_set(newfd, FD_EPOLL, s);
    epoll_drop(&epoll_lock);
    sock_leave();
}
