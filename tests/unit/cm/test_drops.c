// SPDX-License-Identifier: BSD-2-Clause
// What a program says when it closes connections faster than shuntd reads.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "cm/cm.h"
#include "cm/packet.h"

#define DROPS    3000 // several times what the queue of a socket has room for
#define A_ROUND  32   // packets, between which the slow shuntd does something else
#define PAUSE_US 200
#define QUIET_MS 10000 // nothing came for so long: nothing will
#define SOON_NS  (10 * NS_PER_S)

static struct {
    char dir[32];
    struct sockaddr_un at;
    int listener, sock;
    unsigned heard[2 * DROPS]; // how often the drop of cookie i + 1
    unsigned n_heard;
    struct cm *cm;
} t;

static void matched(void *arg, const struct cm_channel *ch)
{
}

static void refused(void *arg, uint64_t cookie, const char *reason, bool again)
{
}

static const struct cm_events events = {.matched = matched, .refused = refused};

static void hear(const struct packet *p)
{
    if (p->msg->body_case != CTL__ENVELOPE__BODY_DROP)
        return;
    t.heard[(p->msg->drop->cookie - 1) % (2 * DROPS)]++;
    t.n_heard++;
}

// A shuntd that is slower than the program: reads some, and then has other things to do. It ends
// when it has heard *until drops, or nothing for long.
static void *slow_shuntd(void *until)
{
    static struct packet packet;
    struct pollfd pfd = {t.sock, POLLIN, 0};

    while (t.n_heard < *(unsigned *)until && poll(&pfd, 1, QUIET_MS) > 0) {
        for (int i = 0; i < A_ROUND && !packet_recv(t.sock, &packet); i++) {
            hear(&packet);
            packet_close_fds(&packet);
        }
        usleep(PAUSE_US);
    }
    return NULL;
}

static int setup(void **state)
{
    int memfd = memfd_create("chunk", MFD_CLOEXEC);

    strcpy(t.dir, "/tmp/shunt-drops.XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    t.at.sun_family = AF_UNIX;
    snprintf(t.at.sun_path, sizeof t.at.sun_path, "%s/sock", t.dir);
    t.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(t.listener, (void *)&t.at, sizeof t.at), 0);
    assert_int_equal(listen(t.listener, 1), 0);
    setenv("SHUNT_SOCKET", t.at.sun_path, 1);
    t.cm = cm_init(NULL, &events);
    assert_int_equal(ftruncate(memfd, 4096), 0);
    cm_chunk(t.cm, memfd); // connects
    t.sock = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC);
    return t.sock < 0;
}

static int teardown(void **state)
{
    close(t.sock);
    close(t.listener);
    unlink(t.at.sun_path);
    return rmdir(t.dir);
}

static void drop_all(uint64_t first)
{
    for (uint64_t cookie = first; cookie < first + DROPS; cookie++)
        cm_drop(t.cm, cookie);
}

static void assert_heard(unsigned first)
{
    for (unsigned i = 0; i < DROPS; i++)
        assert_int_equal(t.heard[first - 1 + i], 1);
}

static void test_a_stopped_shuntd_hears_it_later(void **state)
{
    unsigned until = DROPS;
    uint64_t began = clock_now_ns();
    pthread_t thread;

    drop_all(1);
    assert_true(clock_now_ns() - began < SOON_NS); // the program does not wait for each
    assert_int_equal(pthread_create(&thread, NULL, slow_shuntd, &until), 0);
    while (pthread_tryjoin_np(thread, NULL))
        cm_poll(t.cm);
    assert_heard(1);
}

// The program makes no call after its last drop: nothing may be left to be told then.
static void test_a_slow_shuntd_hears_a_burst(void **state)
{
    unsigned until = 2 * DROPS;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, slow_shuntd, &until), 0);
    drop_all(DROPS + 1);
    pthread_join(thread, NULL);
    assert_heard(DROPS + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stopped_shuntd_hears_it_later),
        cmocka_unit_test(test_a_slow_shuntd_hears_a_burst),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
