// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/lent.h"

#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define SWEEP_FIRST_NS (10 * NS_PER_MS)
#define SWEEP_LAST_NS  NS_PER_S
#define SWEEP_BATCH    256 // looked at in one go

static uint64_t hash(const struct lents *lents, uint64_t cookie)
{
    return siphash13(&lents->key, &cookie, sizeof cookie);
}

static struct lent *find(const struct lents *lents, uint64_t cookie)
{
    list_for_each (it, table_chain(&lents->by_cookie, hash(lents, cookie))) {
        struct lent *l = list_entry(it, struct lent, by_cookie.link);

        if (l->proof.cookie == cookie)
            return l;
    }
    return NULL;
}

static void lent_free(struct lents *lents, struct lent *l)
{
    diag_forget(lents->diag, l->proof.flow.netns);
    table_del(&lents->by_cookie, &l->by_cookie);
    list_del(&l->link);
    chunk_put(l->chunk);
    free(l);
    --*lents->count;
}

// Looks at some in turn, ever more seldom while none is added.
static void sweep(struct timer *timer, uint64_t now_ns)
{
    struct lents *lents = list_entry(timer, struct lents, sweep);

    for (size_t n = MIN(lents->by_cookie.used, (size_t)SWEEP_BATCH); n > 0; n--) {
        struct lent *l = list_entry(lents->all.next, struct lent, link);

        if (diag_ask(lents->diag, &l->proof) == DIAG_GONE) {
            lent_free(lents, l);
        } else {
            list_del(&l->link);
            list_add_tail(&lents->all, &l->link);
        }
    }
    lents->sweep_ns = MIN(2 * lents->sweep_ns, SWEEP_LAST_NS);
    if (!list_empty(&lents->all))
        timer_set(&lents->sweep, now_ns + lents->sweep_ns);
}

int lents_put(struct lents *lents, const struct proof *proof, const struct user *user,
              struct chunk *chunk, uint32_t chunk_slot)
{
    struct lent *old = find(lents, proof->cookie), *l = malloc(sizeof *l);

    if (old)
        lent_free(lents, old);
    if (!l) {
        diag_forget(lents->diag, proof->flow.netns);
        return -ENOMEM;
    }
    *l = (struct lent){
        .proof = *proof, .user = user, .chunk = chunk_ref(chunk), .chunk_slot = chunk_slot};
    table_add(&lents->by_cookie, &l->by_cookie, hash(lents, proof->cookie));
    list_add_tail(&lents->all, &l->link);
    ++*lents->count;
    lents->sweep_ns = SWEEP_FIRST_NS;
    timer_set(&lents->sweep, clock_now_ns() + lents->sweep_ns);
    return 0;
}

const struct lent *lents_find(const struct lents *lents, uint64_t cookie)
{
    return find(lents, cookie);
}

int lents_init(struct lents *lents, struct diag *diag, uint64_t *count)
{
    *lents = (struct lents){.diag = diag, .count = count, .sweep.fired = sweep};
    list_init(&lents->all);
    if (getrandom(&lents->key, sizeof lents->key, 0) != sizeof lents->key)
        return -EIO;
    return table_init(&lents->by_cookie);
}

void lents_fini(struct lents *lents)
{
    if (!lents->diag)
        return;
    list_for_each_safe (it, &lents->all)
        lent_free(lents, list_entry(it, struct lent, link));
    table_fini(&lents->by_cookie);
}
