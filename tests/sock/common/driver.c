// SPDX-License-Identifier: BSD-2-Clause
// Runs cases, each in a child of its own with a time limit, and says what happened as TAP.
//
//   sock [-m plain|kernel|shm|rdma|tcp] [TOPIC[/CASE]]...    names may be patterns, as in 'epoll_*'
#include "sock.h"

#include <fnmatch.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define EXIT_SKIP       77
#define LIMIT_S_DEFAULT 10
#define SKIP_REASON_LEN 200

enum sock_mode sock_mode = SOCK_PLAIN;
const char *sock_self;

static char *skip_reason; // shared with the cases' processes

static const char *const mode_names[] = {[SOCK_PLAIN] = "plain",
                                         [SOCK_KERNEL] = "kernel",
                                         [SOCK_SHM] = "shm",
                                         [SOCK_RDMA] = "rdma",
                                         [SOCK_TCP] = "tcp"};
static const char *const variant_names[] = {[SOCK_PROC] = "proc", [SOCK_THREAD] = "thread"};

// One line to stdout by one write, so that lines of several processes never mix.
static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    char line[600];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)n + 1) < 0)
        _exit(2);
}

void sock_fail(const char *file, int line, const char *fmt, ...)
{
    char text[400];
    int err = errno;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    const char *base = strrchr(file, '/');
    say("# %s:%d: %s (%s)", base ? base + 1 : file, line, text, strerrorname_np(err));
    _exit(1);
}

void sock_skip(const char *reason)
{
    snprintf(skip_reason, SKIP_REASON_LEN, "%s", reason);
    _exit(EXIT_SKIP);
}

uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void sleep_ms(unsigned ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

uint32_t sock_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static void run_case(const struct sock_case *sc, enum sock_variant variant)
{
    struct conn c;
    if (sc->flags & SOCK_BARE) {
        sc->run(NULL);
        return;
    }
    conn_open(&c, variant);
    if (!(sc->flags & SOCK_COLD))
        conn_warm(&c);
    sc->run(&c);
    conn_end(&c);
}

// Waits for pid until the time is over. Returns its status, or -1 after having killed its group.
static int await_case(pid_t pid, unsigned limit_s)
{
    uint64_t end = now_ms() + limit_s * 1000;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() < end) {
            sleep_ms(1);
            continue;
        }
        kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        return -1;
    }
    kill(-pid, SIGKILL);
    return status;
}

// Runs one case in one variant; number is its place in the plan. Returns whether it passed.
static bool judge(const struct sock_topic *topic, const struct sock_case *sc,
                  enum sock_variant variant, int number)
{
    char name[128];
    unsigned limit_s = SOCK_PATIENCE * (sc->limit_s ? sc->limit_s : LIMIT_S_DEFAULT);
    snprintf(name, sizeof(name), "%s/%s%s%s", topic->name, sc->name,
             sc->flags & SOCK_BARE ? "" : " ", sc->flags & SOCK_BARE ? "" : variant_names[variant]);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        setpgid(0, 0);
        run_case(sc, variant);
        _exit(0);
    }
    setpgid(pid, pid);
    int status = await_case(pid, limit_s);
    if (status == -1)
        say("# hangs: killed after %u s", limit_s);
    else if (WIFSIGNALED(status))
        say("# killed by signal %d (%s)", WTERMSIG(status), sigabbrev_np(WTERMSIG(status)));
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
        say("ok %d - %s # SKIP %s", number, name, skip_reason);
        return true;
    }
    say("%s %d - %s", status == 0 ? "ok" : "not ok", number, name);
    return status == 0;
}

static bool wanted(const struct sock_topic *topic, const struct sock_case *sc, int argc,
                   char **argv)
{
    char name[128];
    snprintf(name, sizeof(name), "%s/%s", topic->name, sc->name);
    for (int i = 0; i < argc; i++) {
        if (fnmatch(argv[i], topic->name, 0) == 0 || fnmatch(argv[i], name, 0) == 0)
            return true;
    }
    return argc == 0;
}

static bool has_variant(const struct sock_case *sc, enum sock_variant variant)
{
    if (sock_both() && sc->flags & (SOCK_BARE | SOCK_NO_PROC))
        return false; // what is one process is on one host
    if (variant == SOCK_PROC)
        return !(sc->flags & SOCK_NO_PROC);
    return !(sc->flags & (SOCK_NO_THREAD | SOCK_BARE));
}

// Runs what argv names, or only counts it. Returns how many cases there are, or how many failed.
static int walk(int argc, char **argv, bool run)
{
    int count = 0, failed = 0;
    for (const struct sock_topic *const *t = sock_topics; *t != NULL; t++) {
        for (size_t i = 0; i < (*t)->count; i++) {
            const struct sock_case *sc = &(*t)->cases[i];
            if (!wanted(*t, sc, argc, argv))
                continue;
            for (enum sock_variant v = SOCK_PROC; v <= SOCK_THREAD; v++) {
                if (has_variant(sc, v) && ++count > 0 && run)
                    failed += !judge(*t, sc, v, count);
            }
        }
    }
    return run ? failed : count;
}

static enum sock_mode mode_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(mode_names); i++) {
        if (strcmp(name, mode_names[i]) == 0)
            return (enum sock_mode)i;
    }
    fprintf(stderr, "sock: no mode '%s': plain, kernel, shm, rdma or tcp\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    sock_self = argv[0];
    if (argc > 2 && strcmp(argv[1], "--helper") == 0)
        return sock_helper(argc - 2, argv + 2);
    for (int opt; (opt = getopt(argc, argv, "+m:")) != -1;) {
        if (opt != 'm')
            return 2;
        sock_mode = mode_named(optarg);
    }
    skip_reason =
        mmap(NULL, SKIP_REASON_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(skip_reason != MAP_FAILED);
    int count = walk(argc - optind, argv + optind, false);
    say("1..%d", count);
    return count == 0 || walk(argc - optind, argv + optind, true) > 0;
}
