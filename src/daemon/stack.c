// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/stack.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "daemon/aide.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDLE_NS  (10 * NS_PER_S) // a stack without users ends after that
#define PORTS_NS NS_PER_S        // between two looks for ports that nobody needs any more
#define LEAVE_MS 200             // a keeper that is to end has told its peers by then
#define ROUND    32              // messages of one keeper at once

// ---- what keepers say ----

static struct ask *next_ask(struct stack *s)
{
    struct list *first = s->asks.next;

    if (list_empty(&s->asks))
        return NULL;
    list_del(first);
    return list_entry(first, struct ask, link);
}

// The kernel has the packets at once; the memory goes with stacks_bury().
static void stack_dies(struct stack *s)
{
    struct ask *ask;

    if (s->dead)
        return;
    s->dead = true;
    loop_remove(s->stacks->loop, &s->keeper_watch);
    close(s->keeper_watch.fd);
    s->keeper_watch.fd = -1;
    net_end(s->net, NET_DEAD_OWNER);
    while ((ask = next_ask(s)))
        ask->done(ask, s, NULL, NULL, 0);
}

static void on_done(struct stack *s, struct keep_done *done, const int *fds, int n_fds)
{
    struct ask *ask = next_ask(s);

    done->why[sizeof done->why - 1] = 0;
    if (ask)
        ask->done(ask, s, done, fds, n_fds);
    else
        stack_dies(s); // nobody has asked
}

static void run_mirror(struct stack *s)
{
    uint64_t now = clock_now_ns();

    net_mirror_run(s->mirror, now);
    if (net_mirror_gone(s->mirror) && !s->dead) {
        log_warn("the stack of uid %d on %s ends with its interface", (int)s->user->uid, s->name);
        net_end(s->net, NET_DEAD_QUEUE);
        stack_dies(s);
    }
    timer_set(&s->tick, MIN(s->ports_ns, net_mirror_deadline(s->mirror)));
}

static void dispatch(struct stack *s, struct keep_msg *m, const int *fds, int n_fds)
{
    switch (m->kind) {
    case KEEP_DONE:
        on_done(s, &m->done, fds, n_fds);
        break;
    case KEEP_LETGO:
        net_ports_release(s->ports, &m->ask.local, m->ask.local_port);
        break;
    case KEEP_WANTS:
        run_mirror(s);
        break;
    default:
        stack_dies(s);
        break;
    }
}

static void on_keeper(struct watch *watch, uint32_t events)
{
    struct stack *s = list_entry(watch, struct stack, keeper_watch);
    int fds[KEEP_FDS], n_fds, err = 0;
    struct keep_msg m;

    for (int i = 0; i < ROUND && !err && !s->dead; i++) {
        err = keep_recv(watch->fd, &m, fds, &n_fds);
        if (!err)
            dispatch(s, &m, fds, n_fds);
        keep_close(fds, n_fds);
    }
    if (err && err != -EAGAIN) {
        log_error("the stack of uid %d on %s ends with its keeper", (int)s->user->uid, s->name);
        stack_dies(s);
    }
}

int stack_ask(struct stack *s, struct ask *ask, const struct keep_msg *m, const int *fds, int n_fds)
{
    int err = s->dead ? -ECONNRESET : keep_send(s->keeper_watch.fd, m, fds, n_fds);

    if (!err && ask)
        list_add_tail(&s->asks, &ask->link);
    return err;
}

// proc(5), /proc/PID/stat: the state stands behind the name, which may hold anything.
bool stack_is_stopped(const struct stack *s)
{
    char path[32], stat[128];
    const char *name_end;
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)s->keeper);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, stat, sizeof stat - 1);
        close(fd);
    }
    if (n <= 0)
        return false;
    stat[n] = 0;
    name_end = strrchr(stat, ')');
    return name_end && name_end[1] && (name_end[2] == 'T' || name_end[2] == 't');
}

// ---- ticking ----

static void on_mirror(struct watch *watch, uint32_t events)
{
    run_mirror(list_entry(watch, struct stack, mirror_watch));
}

static bool is_used(const struct stack *s)
{
    return net_ports_count(s->ports) || !list_empty(&s->asks);
}

static void mind_memory(struct stack *s)
{
    const uint64_t block_bytes = 512; // stat(2)
    struct stat st;

    if (!fstat(s->arena, &st))
        net_set_full(s->net,
                     (uint64_t)st.st_blocks * block_bytes > s->stacks->options->memory_bytes);
}

static void on_tick(struct timer *timer, uint64_t now_ns)
{
    struct stack *s = list_entry(timer, struct stack, tick);

    if (now_ns >= s->ports_ns) {
        s->ports_ns = now_ns + PORTS_NS;
        net_ports_run(s->ports);
        mind_memory(s);
        s->idle_ns = is_used(s) ? CLOCK_NEVER : MIN(s->idle_ns, now_ns);
    }
    run_mirror(s);
}

// ---- the keeper ----

static int start_keeper(struct stack *s)
{
    int pair[2];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return -errno;
    child = aide_start_keeper(pair[1]);
    close(pair[1]);
    s->keeper = child;
    s->keeper_watch = (struct watch){pair[0], on_keeper};
    if (child < 0)
        return child;
    return fcntl(pair[0], F_SETFL, O_NONBLOCK) ? -errno : 0;
}

static int set_up_keeper(struct stack *s)
{
    const struct queue_grant *queue = &s->door.grant;
    struct keep_msg m = {
        .kind = KEEP_SETUP,
        .setup = {.stack = s->id, .uid = s->user->uid, .gid = s->user->gid, .queue = queue->desc}};
    int fds[KEEP_FDS] = {s->arena, s->bell};

    snprintf(m.setup.interface, sizeof m.setup.interface, "%s", s->name);
    memcpy(fds + 2, queue->fd, queue->desc.fd_count * sizeof(int));
    return keep_send(s->keeper_watch.fd, &m, fds, queue->desc.fd_count + 2);
}

// Tells it to end, and gives it the time to reset what its peers think is open.
static void leave_keeper(struct stack *s)
{
    struct pollfd p = {s->keeper_watch.fd, 0, 0};

    if (s->keeper_watch.fd < 0)
        return;
    shutdown(s->keeper_watch.fd, SHUT_WR);
    poll(&p, 1, LEAVE_MS);
}

// ---- life ----

static int open_net(struct stack *s)
{
    struct net_attach how = {.owner_bell = s->bell};
    struct net_config cfg;

    net_config_init(&cfg);
    cfg.socks = s->stacks->options->connections;
    s->arena = net_arena_create(&cfg, clock_now_ns());
    if (s->arena < 0)
        return s->arena;
    how.arena = s->arena;
    return net_attach(&s->net, &how);
}

static uint8_t door_of(const struct policy_tcp *o)
{
    static const uint8_t doors[] = {[POLICY_QUEUE_AUTO] = QUEUE_AUTO,
                                    [POLICY_QUEUE_AF_PACKET] = QUEUE_AF_PACKET,
                                    [POLICY_QUEUE_AF_XDP] = QUEUE_AF_XDP};

    return doors[o->queue];
}

static int open_door(struct stack *s, char *why, size_t size)
{
    const struct policy_tcp *o = s->stacks->options;
    const struct fault_rates faults = {.drop_ppm = o->drop_ppm,
                                       .duplicate_ppm = o->duplicate_ppm,
                                       .corrupt_ppm = o->corrupt_ppm,
                                       .reorder_ppm = o->reorder_ppm,
                                       .delay_ns = o->delay_us * NS_PER_US,
                                       .rate_bytes_per_s = o->rate_bytes_per_s};
    bool faulty = o->drop_ppm || o->duplicate_ppm || o->corrupt_ppm || o->reorder_ppm ||
                  o->delay_us || o->rate_bytes_per_s;
    struct net_door_options door = {
        .device = s->name, .door = door_of(o), .faults = faulty ? &faults : NULL};
    char path[PATH_MAX];

    if (o->capture) {
        snprintf(path, sizeof path, "%s.%s.%u.pcapng", o->capture, s->name, s->user->uid);
        door.capture = path;
    }
    return net_door_open(&s->door, &door, why, size);
}

static int open_parts(struct stack *s, char *why, size_t size)
{
    int err = open_door(s, why, size);

    if (err)
        return err;
    snprintf(why, size, "the stack cannot be made");
    s->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->bell < 0)
        return -errno;
    err = open_net(s);
    if (!err)
        err = net_mirror_open(&s->mirror, s->net, s->ifindex);
    if (!err)
        err = net_ports_new(&s->ports, s->net, s->door.owner);
    if (!err)
        err = start_keeper(s);
    return err ? err : set_up_keeper(s);
}

static int watch_parts(struct stack *s)
{
    struct loop *loop = s->stacks->loop;
    int err;

    s->mirror_watch = (struct watch){net_mirror_fd(s->mirror), on_mirror};
    err = loop_add(loop, &s->keeper_watch, EPOLLIN);
    return err ? err : loop_add(loop, &s->mirror_watch, EPOLLIN);
}

// Legal on one whose making failed half way.
static void count_opens(const struct stack *s, uint64_t *opened, uint64_t *accepted)
{
    const struct tcp_counters *c = net_tcp_counters(s->net);

    *opened += c->active_opens;
    *accepted += c->passive_opens;
}

void stacks_count(const struct stacks *stacks, uint64_t count[COUNTERS])
{
    count[COUNT_TCP_OPENED_TOTAL] = stacks->opened;
    count[COUNT_TCP_ACCEPTED_TOTAL] = stacks->accepted;
    list_for_each (it, &stacks->all)
        count_opens(list_entry(it, struct stack, link), &count[COUNT_TCP_OPENED_TOTAL],
                    &count[COUNT_TCP_ACCEPTED_TOTAL]);
}

static void stack_free(struct stack *s)
{
    if (s->net)
        count_opens(s, &s->stacks->opened, &s->stacks->accepted);
    leave_keeper(s);
    if (s->net)
        stack_dies(s);
    if (s->mirror_watch.ready)
        loop_remove(s->stacks->loop, &s->mirror_watch);
    list_del(&s->tick.link);
    list_del(&s->link);
    if (s->ports)
        net_ports_free(s->ports);
    if (s->mirror)
        net_mirror_close(s->mirror);
    if (s->net)
        net_detach(s->net);
    net_door_close(&s->door);
    if (s->arena >= 0)
        close(s->arena);
    if (s->bell >= 0)
        close(s->bell);
    free(s);
}

static struct stack *stack_new(struct stacks *stacks, struct user *user, const char *interface)
{
    struct stack *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    *s = (struct stack){
        .stacks = stacks, .user = user, .arena = -1, .bell = -1, .keeper_watch.fd = -1};
    s->id = stacks->boot | ++stacks->last_id;
    s->ifindex = if_nametoindex(interface);
    snprintf(s->name, sizeof s->name, "%s", interface);
    list_init(&s->asks);
    list_init(&s->link);
    s->tick = (struct timer){.fired = on_tick};
    loop_add_timer(stacks->loop, &s->tick);
    return s;
}

static struct stack *stack_find(struct stacks *stacks, const struct user *user, uint32_t ifindex)
{
    list_for_each (it, &stacks->all) {
        struct stack *s = list_entry(it, struct stack, link);

        if (s->user == user && s->ifindex == ifindex && !s->dead)
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
    log_info("a stack on %s by %s", s->name, s->door.why);
    s->idle_ns = clock_now_ns();
    list_add_tail(&stacks->all, &s->link);
    err = icmp_open(&stacks->icmp);
    if (err)
        log_warn("ICMP errors are not heard: %s", err_text(err));
    run_mirror(s);
    *stack = s;
    return 0;
}

// ---- all ----

static void on_icmp(struct icmp *icmp, const void *packet, uint32_t len)
{
    struct stacks *stacks = list_entry(icmp, struct stacks, icmp);
    struct keep_msg m = {.kind = KEEP_ICMP, .icmp.len = len};

    if (len > sizeof m.icmp.packet)
        return;
    memcpy(m.icmp.packet, packet, len);
    list_for_each (it, &stacks->all) {
        struct stack *s = list_entry(it, struct stack, link);

        if (net_ports_concerned(s->ports, packet, len))
            stack_ask(s, NULL, &m, NULL, 0); // a keeper that is behind can do without
    }
}

bool stack_is_built(char *text, size_t size)
{
    bool mirror = net_mirror_is_built(), queue = queue_is_built();

    if (!mirror || !queue)
        snprintf(text, size, "this Shunt was built without %s", mirror ? "queues" : "libmnl");
    return mirror && queue;
}

bool stack_queue_of(const char *interface, const struct policy_tcp *options, char *text,
                    size_t size)
{
    const char *why = net_door_why(interface, door_of(options));

    if (why)
        snprintf(text, size, "the queue on %s is %s", interface, why);
    else
        snprintf(text, size, "%s can have no queue", interface);
    return why;
}

void stacks_init(struct stacks *stacks, struct loop *loop, const struct policy_tcp *options)
{
    *stacks = (struct stacks){.loop = loop, .options = options};
    list_init(&stacks->all);
    icmp_init(&stacks->icmp, loop, on_icmp);
    if (getrandom(&stacks->boot, sizeof stacks->boot, GRND_NONBLOCK) != sizeof stacks->boot)
        stacks->boot = clock_now_ns();
    stacks->boot <<= 32;
}

void stacks_bury(struct stacks *stacks)
{
    uint64_t now = list_empty(&stacks->all) ? 0 : clock_now_ns();

    list_for_each_safe (it, &stacks->all) {
        struct stack *s = list_entry(it, struct stack, link);

        if (s->dead || (s->idle_ns <= now && now - s->idle_ns >= IDLE_NS && !is_used(s)))
            stack_free(s);
    }
}

void stacks_fini(struct stacks *stacks)
{
    list_for_each_safe (it, &stacks->all)
        stack_free(list_entry(it, struct stack, link));
    icmp_close(&stacks->icmp);
}
