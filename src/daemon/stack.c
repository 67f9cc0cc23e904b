// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/stack.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define IDLE_NS   (10 * NS_PER_S)  // a stack without sockets ends after that
#define WATCH_NS  (50 * NS_PER_MS) // between two looks for members that died
#define PORTS_NS  NS_PER_S         // between two looks for ports that nobody needs any more
#define RELIEF_NS (4 * NS_PER_MS)  // between two looks whether programs still drive

// ---- waking ----

static bool wake(void *self, uint32_t sock)
{
    struct stack *s = self;
    struct stack_user *user = sock < s->socks ? s->by_sock[sock] : NULL;

    if (user)
        user->woken(user);
    return user;
}

// Those that drivers in other processes could not wake.
static void ring_on(struct stack *s)
{
    uint32_t sock = net_wake_next(s->net, 0);

    for (; sock != NET_NONE; sock = net_wake_next(s->net, sock + 1))
        wake(s, sock);
}

// ---- driving ----

// Do programs drive the stack? Those that sleep on the queue do, and so does one that has done so
// lately. shuntd's own turns do not count.
static bool is_relieved(struct stack *s, uint64_t now)
{
    uint64_t turns = net_counters(s->net)->turns - s->own_turns;

    if (turns != s->turns) {
        s->turns = turns;
        s->turns_ns = now;
    }
    return net_lookers(s->net) || now - s->turns_ns < RELIEF_NS;
}

// While programs look at the queue themselves, shuntd need not.
static void watch_queue(struct stack *s, bool watch)
{
    if (s->queue_watched != watch)
        loop_change(s->stacks->loop, &s->queue_watch, watch ? EPOLLIN : 0);
    s->queue_watched = watch;
}

static void kill_users(struct stack *s)
{
    while (!list_empty(&s->users)) {
        struct stack_user *user = list_entry(s->users.next, struct stack_user, link);

        stack_remove(s, user);
        user->dead(user);
    }
}

static void stack_dies(struct stack *s, enum net_death why)
{
    log_error("the stack of %s ends: %s", s->name, net_death_text(why));
    kill_users(s);
    s->idle_ns = 0; // stacks_bury()
}

static bool is_alive(const struct stack *s)
{
    return net_dead(s->net) == NET_ALIVE;
}

void stack_turn(struct stack *s)
{
    uint64_t now = clock_now_ns(), due;
    bool relieved;

    if (!is_alive(s) && !list_empty(&s->users))
        stack_dies(s, net_dead(s->net));
    if (!is_alive(s))
        return;
    s->own_turns += net_drive(s->net, now);
    ring_on(s);
    net_mirror_run(s->mirror, now);
    relieved = is_relieved(s, now);
    watch_queue(s, !relieved);
    due = MIN(net_deadline(s->net), net_mirror_deadline(s->mirror));
    if (relieved)
        due = MAX(due, now + RELIEF_NS / 4); // they mind the deadlines as well
    if (relieved && !net_lookers(s->net))
        due = MIN(due, now + RELIEF_NS);
    timer_set(&s->tick, MIN(due, now + WATCH_NS));
}

static void on_bell(struct watch *watch, uint32_t events)
{
    struct stack *s = list_entry(watch, struct stack, bell_watch);
    uint64_t count;

    if (read(s->bell, &count, sizeof count) == sizeof count)
        stack_turn(s);
}

static void on_queue(struct watch *watch, uint32_t events)
{
    stack_turn(list_entry(watch, struct stack, queue_watch));
}

static void on_mirror(struct watch *watch, uint32_t events)
{
    stack_turn(list_entry(watch, struct stack, mirror_watch));
}

static void on_tick(struct timer *timer, uint64_t now_ns)
{
    struct stack *s = list_entry(timer, struct stack, tick);

    net_watch(s->net, now_ns);
    if (now_ns - s->ports_run_ns >= PORTS_NS) {
        s->ports_run_ns = now_ns;
        net_ports_run(s->ports);
    }
    stack_turn(s);
}

// ---- life ----

static int open_net(struct stack *s)
{
    struct net_attach how = {.owner_bell = s->bell, .wake = wake, .self = s};
    struct queue_grant grant;
    struct net_config cfg;
    int err;

    net_config_init(&cfg);
    s->socks = cfg.socks;
    s->by_sock = calloc(s->socks, sizeof *s->by_sock);
    s->arena = s->by_sock ? net_arena_create(&cfg, clock_now_ns()) : -ENOMEM;
    if (s->arena < 0)
        return s->arena;
    err = queue_grant_dup(&grant, &s->queue->grant);
    if (err)
        return err;
    how.arena = s->arena;
    how.queue = &grant;
    err = net_attach(&s->net, &how);
    if (err)
        queue_grant_close(&grant);
    return err;
}

static int open_parts(struct stack *s, char *why, size_t size)
{
    const struct queue_options options = {.device = s->name, .door = QUEUE_AUTO};
    int err = queue_open(&s->queue, &options, why, size);

    if (err)
        return err;
    snprintf(why, size, "the stack cannot be made");
    s->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->bell < 0)
        return -errno;
    err = open_net(s);
    if (!err)
        err = net_mirror_open(&s->mirror, s->net, s->ifindex);
    return err ? err : net_ports_new(&s->ports, s->net, s->queue);
}

static int watch_parts(struct stack *s)
{
    struct loop *loop = s->stacks->loop;
    int err;

    s->bell_watch = (struct watch){s->bell, on_bell};
    s->queue_watch = (struct watch){net_wait_fd(s->net), on_queue};
    s->mirror_watch = (struct watch){net_mirror_fd(s->mirror), on_mirror};
    s->queue_watched = true;
    err = loop_add(loop, &s->bell_watch, EPOLLIN);
    if (!err)
        err = loop_add(loop, &s->queue_watch, EPOLLIN);
    return err ? err : loop_add(loop, &s->mirror_watch, EPOLLIN);
}

static void unwatch(struct stack *s)
{
    struct watch *all[] = {&s->bell_watch, &s->queue_watch, &s->mirror_watch};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i]->ready)
            loop_remove(s->stacks->loop, all[i]);
        all[i]->fd = -1;
    }
}

// Legal on one whose making failed half way.
static void stack_free(struct stack *s)
{
    kill_users(s);
    unwatch(s);
    list_del(&s->tick.link);
    list_del(&s->link);
    if (s->ports)
        net_ports_free(s->ports);
    if (s->mirror)
        net_mirror_close(s->mirror);
    if (s->net) {
        net_kill(s->net, clock_now_ns(), NET_DEAD_OWNER);
        net_detach(s->net);
    }
    if (s->queue)
        queue_close(s->queue);
    if (s->arena >= 0)
        close(s->arena);
    if (s->bell >= 0)
        close(s->bell);
    free(s->by_sock);
    free(s);
}

static struct stack *stack_new(struct stacks *stacks, struct user *user, const char *interface)
{
    struct stack *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    *s = (struct stack){.stacks = stacks, .user = user, .arena = -1, .bell = -1};
    s->id = stacks->boot | ++stacks->last_id;
    s->ifindex = if_nametoindex(interface);
    snprintf(s->name, sizeof s->name, "%s", interface);
    list_init(&s->users);
    list_init(&s->link);
    s->tick = (struct timer){.fired = on_tick};
    loop_add_timer(stacks->loop, &s->tick);
    return s;
}

static struct stack *stack_find(struct stacks *stacks, const struct user *user, uint32_t ifindex)
{
    list_for_each (it, &stacks->all) {
        struct stack *s = list_entry(it, struct stack, link);

        if (s->user == user && s->ifindex == ifindex && is_alive(s))
            return s;
    }
    return NULL;
}

int stack_get(struct stacks *stacks, struct user *user, const char *interface, struct stack **stack,
              char *why, size_t size)
{
    struct stack *s = stack_find(stacks, user, if_nametoindex(interface));
    int err;

    *stack = s;
    if (s)
        return 0;
    s = stack_new(stacks, user, interface);
    if (!s)
        return -ENOMEM;
    err = open_parts(s, why, size);
    if (!err)
        err = watch_parts(s);
    if (err) {
        log_warn("no stack on %s: %s (%s)", interface, why, err_text(err));
        stack_free(s);
        return err;
    }
    log_info("a stack on %s by %s", s->name, net_queue_caps(s->net)->why);
    s->idle_ns = clock_now_ns();
    list_add_tail(&stacks->all, &s->link);
    stack_turn(s);
    *stack = s;
    return 0;
}

void stack_add(struct stack *s, struct stack_user *user, uint32_t sock)
{
    user->sock = sock;
    s->by_sock[sock] = user;
    s->idle_ns = CLOCK_NEVER;
    list_add_tail(&s->users, &user->link);
}

void stack_remove(struct stack *s, struct stack_user *user)
{
    if (s->by_sock[user->sock] == user)
        s->by_sock[user->sock] = NULL;
    list_del(&user->link);
    if (list_empty(&s->users))
        s->idle_ns = clock_now_ns();
}

void stack_bury(struct stack *s, struct stack_user *user)
{
    list_del(&user->link);
    list_add_tail(&s->stacks->grave, &user->link);
}

// ---- all ----

void stacks_init(struct stacks *stacks, struct loop *loop)
{
    *stacks = (struct stacks){.loop = loop};
    list_init(&stacks->all);
    list_init(&stacks->grave);
    if (getrandom(&stacks->boot, sizeof stacks->boot, GRND_NONBLOCK) != sizeof stacks->boot)
        stacks->boot = clock_now_ns();
    stacks->boot <<= 32;
}

static void empty_grave(struct stacks *stacks)
{
    list_for_each_safe (it, &stacks->grave)
        free(list_entry(it, struct stack_user, link));
    list_init(&stacks->grave);
}

void stacks_bury(struct stacks *stacks)
{
    uint64_t now = list_empty(&stacks->all) ? 0 : clock_now_ns();

    list_for_each_safe (it, &stacks->all) {
        struct stack *s = list_entry(it, struct stack, link);

        if (!list_empty(&s->users))
            continue;
        if (!is_alive(s) || (now - s->idle_ns >= IDLE_NS && !net_ports_count(s->ports)))
            stack_free(s);
    }
    empty_grave(stacks);
}

void stacks_fini(struct stacks *stacks)
{
    list_for_each_safe (it, &stacks->all)
        stack_free(list_entry(it, struct stack, link));
    empty_grave(stacks);
}
