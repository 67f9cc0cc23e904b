// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/daemon.h"

#include "config.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "cm/packet.h"
#include "daemon/agent.h"
#include "daemon/aide.h"
#include "daemon/cage.h"
#include "daemon/client.h"
#include "daemon/keeper.h"
#include "daemon/listener.h"
#include "daemon/registry.h"
#include "daemon/stack.h"
#include "policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_NS       (5 * NS_PER_S)    // a private daemon that nobody needs ends after that
#define RELISTEN_NS   (100 * NS_PER_MS) // without fds, accept again after that
#define ACCEPTS       64                // in one round
#define EXIT_USAGE    2
#define EXIT_IN_PLACE 3 // another shuntd lives there

struct options {
    const char *socket_path, *config;
    bool private, verbose;
};

struct daemon {
    struct options options;
    struct loop loop;
    struct listener listener;
    sigset_t signals;
    struct watch accept_watch, signal_watch;
    struct timer idle, relisten;
    struct host host;
    struct registry registry;
    struct clients clients;
    struct agent agent;
    struct stacks stacks;
    uint64_t count[COUNTERS];
    const struct policy *policy; // only its settings matter here
    int spare_fd;                // given up to tell a client that there are no more
};

// ---- accepting ----

// Out of fds: with the one kept for it, tells the client so and hangs up.
static void turn_one_away(struct daemon *d)
{
    int sock;

    close(d->spare_fd);
    sock = accept4(d->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (sock >= 0) {
        d->count[COUNT_REFUSED_LIMIT]++;
        client_refuse_socket(sock, "shuntd has no file descriptors left");
    }
    d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_connect(struct watch *watch, uint32_t events)
{
    struct daemon *d = list_entry(watch, struct daemon, accept_watch);

    for (int i = 0; i < ACCEPTS; i++) {
        int sock = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (sock >= 0) {
            client_new(&d->clients, sock);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE) {
            turn_one_away(d);
        } else if (errno == ENOMEM || errno == ENOBUFS) {
            loop_change(&d->loop, watch, 0);
            timer_set(&d->relisten, clock_now_ns() + RELISTEN_NS);
        }
        return;
    }
}

static void relisten(struct timer *timer, uint64_t now_ns)
{
    struct daemon *d = list_entry(timer, struct daemon, relisten);

    loop_change(&d->loop, &d->accept_watch, EPOLLIN);
}

// ---- ending ----

static void on_signal(struct watch *watch, uint32_t events)
{
    struct daemon *d = list_entry(watch, struct daemon, signal_watch);
    struct signalfd_siginfo info;

    if (read(watch->fd, &info, sizeof info) == sizeof info)
        log_info("ends: %s", strsignal((int)info.ssi_signo));
    d->loop.stop = true;
}

static void on_idle(struct timer *timer, uint64_t now_ns)
{
    struct daemon *d = list_entry(timer, struct daemon, idle);

    log_info("ends: nobody needs it");
    d->loop.stop = true;
}

static void between(struct loop *loop)
{
    struct daemon *d = list_entry(loop, struct daemon, loop);

    clients_bury(&d->clients);
    agent_bury(&d->agent);
    stacks_bury(&d->stacks);
    if (!d->options.private)
        return;
    if (d->count[COUNT_CLIENTS] || d->count[COUNT_CHANNELS] || !list_empty(&d->clients.stays))
        timer_set(&d->idle, CLOCK_NEVER);
    else if (d->idle.due_ns == CLOCK_NEVER && !loop->stop)
        timer_set(&d->idle, clock_now_ns() + IDLE_NS);
}

// ---- beginning ----

static uint64_t raise_limits(void)
{
    struct rlimit lim = {RLIM_INFINITY, RLIM_INFINITY};

    setrlimit(RLIMIT_MEMLOCK, &lim); // AF_XDP's packet memory, where we may
    if (getrlimit(RLIMIT_NOFILE, &lim))
        return 1024;
    lim.rlim_cur = lim.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &lim))
        getrlimit(RLIMIT_NOFILE, &lim);
    return lim.rlim_cur;
}

// What on_signal() reads. Held back before the socket is there: whoever sees it may end us at once,
// and finds it removed.
static sigset_t hold_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return set;
}

static int watch_signals(struct daemon *d)
{
    int fd = signalfd(-1, &d->signals, SFD_CLOEXEC | SFD_NONBLOCK);

    d->signal_watch = (struct watch){fd, on_signal};
    return fd < 0 ? -errno : loop_add(&d->loop, &d->signal_watch, EPOLLIN);
}

static int begin(struct daemon *d)
{
    int err = loop_init(&d->loop, between);

    d->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    d->idle = (struct timer){.fired = on_idle};
    d->relisten = (struct timer){.fired = relisten};
    if (!err)
        err = host_open(&d->host);
    if (!err)
        err = registry_init(&d->registry, &client_events, d->count);
    if (err)
        return err;
    clients_init(&d->clients, &d->loop, &d->registry, d->count, &d->host);
    stacks_init(&d->stacks, &d->loop, &policy_settings(d->policy)->tcp);
    d->clients.stacks = &d->stacks;
    loop_add_timer(&d->loop, &d->idle);
    loop_add_timer(&d->loop, &d->relisten);
    loop_add_timer(&d->loop, &d->registry.sweep);
    loop_add_timer(&d->loop, &d->registry.lents.sweep);
    d->accept_watch = (struct watch){d->listener.fd, on_connect};
    err = watch_signals(d);
    return err ? err : loop_add(&d->loop, &d->accept_watch, EPOLLIN);
}

static int run(struct daemon *d)
{
    const struct policy_settings *settings = policy_settings(d->policy);
    struct user_limits limits = {.ring_bytes = settings->ring_budget_bytes,
                                 .channels = settings->channel_budget,
                                 .pinned_bytes = settings->pinned_budget_bytes,
                                 .links = settings->link_budget};
    char why[SEAL_WHY_BYTES];
    int err;

    err = begin(d);
    limits.fds = (uint32_t)MIN(d->count[COUNT_FD_LIMIT] / 2, (uint64_t)INT32_MAX);
    users_init(&d->registry.users, &limits);
    if (err) {
        log_error("shuntd cannot begin: %s", err_text(err));
        return EXIT_FAILURE;
    }
    if (agent_open(&d->agent, &d->loop, &d->registry, d->count, d->policy, why)) {
        log_error("shuntd: %s", why);
        agent_close(&d->agent);
        listener_close(&d->listener);
        return EXIT_FAILURE;
    }
    err = cage_drop(cage_needs());
    if (err)
        log_warn("shuntd keeps all its capabilities: %s", err_text(err));
    log_info("shuntd listens on %s", d->listener.path);
    between(&d->loop);
    err = loop_run(&d->loop);
    listener_close(&d->listener);
    clients_fini(&d->clients);
    agent_close(&d->agent);
    stacks_fini(&d->stacks);
    registry_fini(&d->registry);
    host_close(&d->host);
    loop_fini(&d->loop);
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static const char usage[] =
    "usage: shuntd [--private] [--socket PATH] [-c FILE] [-v]\n"
    "\n"
    "Brings together the two ends of connections under Shunt; see shuntd(8).\n"
    "\n"
    "  --private      exit after 5 seconds without use\n"
    "  --socket PATH  listen on this socket (default: SHUNT_SOCKET, else daemon_socket of the\n"
    "                 file, else the usual place of this user)\n"
    "  -c FILE        read the budgets and the sections agent and tcp from this shunt.conf\n"
    "  -v             log on stderr what it does\n";

// 0, or the exit status plus 1.
static int parse(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {
        {"private", no_argument, NULL, 'p'},
        {"socket", required_argument, NULL, 's'},
        {"config", required_argument, NULL, 'c'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "c:vh", longs, NULL)) != -1) {
        switch (c) {
        case 'p':
            o->private = true;
            break;
        case 's':
            o->socket_path = optarg;
            break;
        case 'c':
            o->config = optarg;
            break;
        case 'v':
            o->verbose = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 1 + EXIT_SUCCESS;
        case 'V':
            puts("shuntd " PACKAGE_VERSION);
            return 1 + EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return 1 + EXIT_USAGE;
        }
    }
    return 0;
}

// With a file that has mistakes, the budgets are those of an empty one.
static const struct policy *load_policy(const struct options *o)
{
    const char *path = o->config ? o->config : policy_path();
    struct policy_report report = {0};
    struct policy *policy;
    int err = path ? policy_load(path, &policy, &report) : -ENOENT;

    if (err && path)
        log_error("%s: %s; shuntd uses the defaults, and talks to no other host", path,
                  report.n_errors ? "it has mistakes" : err_text(err));
    policy_report_fini(&report);
    return err ? policy_default() : policy;
}

// Before the socket is there: whoever sees it may end us at once.
static void begin_aide(struct daemon *d)
{
    int err;

    d->count[COUNT_FD_LIMIT] = raise_limits(); // which keepers inherit from it
    err = aide_begin();
    if (err)
        log_error("shuntd has no aide: %s", err_text(err));
}

static int find_place(const struct daemon *d, char path[static PLACE_MAX])
{
    const char *asked = d->options.socket_path;

    if (asked && asked[0])
        return snprintf(path, PLACE_MAX, "%s", asked) < PLACE_MAX ? 0 : -ENAMETOOLONG;
    return place_own(policy_settings(d->policy)->daemon_socket, geteuid(), path);
}

// As aide.c executes us.
static int helper_start(int (*helper_main)(int), const char *sock)
{
    const char *log = getenv("SHUNT_LOG");

    if (log)
        log_setup_env(log);
    return helper_main(atoi(sock));
}

int daemon_main(int argc, char **argv)
{
    static struct daemon d;
    char path[PLACE_MAX];
    const char *why = "its path is too long", *log = getenv("SHUNT_LOG");
    int ret, err;

    if (argc == 3 && !strcmp(argv[1], "--keep"))
        return helper_start(keeper_main, argv[2]);
    if (argc == 3 && !strcmp(argv[1], "--aide"))
        return helper_start(aide_main, argv[2]);
    ret = parse(&d.options, argc, argv);
    prctl(PR_SET_NAME, "shuntd"); // also where `shunt` is the executable
    if (ret)
        return ret - 1;
    if (log && log_setup_env(log))
        log_warn("SHUNT_LOG is not understood: %s", log);
    if (d.options.verbose)
        log_setup(LOG_INFO, STDERR_FILENO);
    d.policy = load_policy(&d.options);
    begin_aide(&d);
    d.signals = hold_signals();
    err = find_place(&d, path);
    if (!err)
        err = listener_open(&d.listener, path, &why);
    if (err) {
        log_error("shuntd cannot listen on %s: %s (%s)", path, why, err_text(err));
        ret = err == -EADDRINUSE ? EXIT_IN_PLACE : EXIT_FAILURE;
    } else {
        ret = run(&d);
    }
    aide_end();
    return ret;
}
