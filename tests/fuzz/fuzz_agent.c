// SPDX-License-Identifier: BSD-2-Clause
// Anything that another host may say to an agent, before and after it is known, from whom it was
// asked by and whom it asks: it neither crashes, leaks, nor loses a fd, and a good link still works
// afterwards.
//
// The first byte says what goes before the input: bit 0, a right greeting; bit 1, a right hello (or
// welcome, where the agent is the opener); bit 2, a claim here, which makes the agent the opener;
// bit 3, the rest is bodies of numbered frames, two bytes of length before each, that are put into
// frames with right numbers; bit 4, with a claim: the agent's ask is answered yes, with channel 1.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/agent.h"
#include "daemon/client.h"
#include "shunt/info.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GREETING = 1, HELLO = 2, OPENER = 4, BODIES = 8, YES = 16 };

static struct loop loop;
static struct registry registry;
static struct clients clients;
static struct agent agent;
static struct timer stop;
static uint64_t count[COUNTERS];
static struct host host;
static struct policy *policy;
static int claimed[2]; // a connection between the two hosts
static int fake;       // listens where the agent looks for the other host's

static void between(struct loop *l)
{
    clients_bury(&clients);
    agent_bury(&agent);
}

static void stop_now(struct timer *timer, uint64_t now_ns)
{
    loop.stop = true;
}

// The agent's port is chosen once and opened anew for each input: others on the same loopback may
// take it in between. Whoever may have a loopback of his own takes one.
static void leave_the_others(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int sock;

    if (unshare(CLONE_NEWNET))
        return;
    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &lo))
        abort();
    close(sock);
}

// ---- a policy with this host among the peers ----

// This host, and the other one.
static struct sockaddr_in us(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f4d0001)};
}

static struct sockaddr_in them(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f4d0002)};
}

static int listen_there(uint16_t *port)
{
    struct sockaddr_in addr = them();
    socklen_t len = sizeof addr;
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (sock < 0 || bind(sock, (struct sockaddr *)&addr, sizeof addr) || listen(sock, 8) ||
        getsockname(sock, (struct sockaddr *)&addr, &len))
        abort();
    *port = ntohs(addr.sin_port);
    return sock;
}

// From one address to the other.
static int dial_from(struct sockaddr_in from, struct sockaddr_in to)
{
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (bind(sock, (struct sockaddr *)&from, sizeof from) ||
        connect(sock, (struct sockaddr *)&to, sizeof to))
        abort();
    fcntl(sock, F_SETFL, O_NONBLOCK);
    return sock;
}

static void make_connection(void)
{
    struct sockaddr_in to = them();
    uint16_t port;
    int listener = listen_there(&port);

    to.sin_port = htons(port);
    claimed[0] = dial_from(us(), to);
    claimed[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (claimed[1] < 0)
        abort();
    close(listener);
}

static void make_policy(void)
{
    char path[] = "/tmp/shunt-fuzz-XXXXXX";
    uint16_t own, other;
    int fd = mkstemp(path), free_port = listen_there(&own);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

    fake = listen_there(&other);
    if (!f)
        abort();
    fprintf(f, "agent = { peers = [ \"127.77.0.2:%u\" ]; port = %u; };\n", other, own);
    fclose(f);
    close(free_port);
    if (policy_load(path, &policy, NULL))
        abort();
    unlink(path);
}

static void begin(void)
{
    char why[SEAL_WHY_BYTES];

    stop = (struct timer){.fired = stop_now};
    if (host_open(&host) || loop_init(&loop, between) ||
        registry_init(&registry, &client_events, count))
        abort();
    users_init(&registry.users, &(struct user_limits){.ring_bytes = 1 << 20,
                                                      .channels = 16,
                                                      .pinned_bytes = 1 << 20,
                                                      .links = 4,
                                                      .fds = 100});
    clients_init(&clients, &loop, &registry, count, &host);
    loop_add_timer(&loop, &stop);
    loop_add_timer(&loop, &registry.sweep);
    if (agent_open(&agent, &loop, &registry, count, policy, why))
        abort();
}

static void end(void)
{
    clients_fini(&clients);
    agent_close(&agent);
    registry_fini(&registry);
    loop_fini(&loop);
    host_close(&host);
}

static void run(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        loop.stop = false;
        timer_set(&stop, clock_now_ns());
        if (loop_run(&loop))
            abort();
    }
}

// ---- the other host ----

static int dial(void)
{
    struct sockaddr_in to = us();

    to.sin_port = htons(policy_settings(policy)->agent.port);
    return dial_from(them(), to);
}

static void put(int sock, const uint8_t *bytes, size_t n)
{
    uint32_t head = htonl((uint32_t)n);

    if (send(sock, &head, sizeof head, MSG_NOSIGNAL) == sizeof head)
        (void)!send(sock, bytes, n, MSG_NOSIGNAL);
}

static void put_frame(int sock, const Agt__Frame *frame)
{
    uint8_t bytes[256];

    put(sock, bytes, agt__frame__pack(frame, bytes));
}

static void greet(int sock)
{
    Agt__Greeting greeting = AGT__GREETING__INIT;
    uint8_t fresh[SEAL_FRESH_BYTES] = {1}, bytes[128];

    greeting.version = LINK_VERSION;
    greeting.fresh = (ProtobufCBinaryData){sizeof fresh, fresh};
    put(sock, bytes, agt__greeting__pack(&greeting, bytes));
}

static void say_hello(int sock, bool welcome)
{
    uint8_t instance[SESSION_INSTANCE_BYTES] = {2};
    Agt__Welcome w = AGT__WELCOME__INIT;
    Agt__Hello h = AGT__HELLO__INIT;
    Agt__Frame frame;

    w.instance = h.instance = (ProtobufCBinaryData){sizeof instance, instance};
    h.session = 7;
    if (welcome)
        LINK_FRAME(&frame, WELCOME, welcome, &w);
    else
        LINK_FRAME(&frame, HELLO, hello, &h);
    put_frame(sock, &frame);
}

static void claim(void)
{
    struct claim c = {.ring_bytes = 4096, .lanes = {SHUNT_LANE_RDMA}, .n_lanes = 1};
    struct client *client = list_entry(clients.all.next, struct client, link);
    union cm_addr local, remote;
    socklen_t len = sizeof local, rlen = sizeof remote, cookie_len = sizeof(uint64_t);
    uint64_t cookie;

    if (getsockopt(claimed[0], SOL_SOCKET, SO_COOKIE, &cookie, &cookie_len) ||
        getsockname(claimed[0], &local.sa, &len) || getpeername(claimed[0], &remote.sa, &rlen) ||
        proof_of_socket(claimed[0], cookie, &c.proof) || proof_add_flow(&c.proof, &local, &remote))
        abort();
    diag_learn(&registry.diag, -1, c.proof.flow.netns);
    registry_claim(&registry, client, client->user, &client->holds, &c);
}

// The nonce of the ask among what the agent has said; 0: there is none.
static uint64_t nonce_of(const uint8_t *bytes, size_t size)
{
    uint64_t nonce = 0;
    uint32_t n;

    for (size_t at = 0; at + 4 <= size; at += 4 + ntohl(n)) {
        Agt__Frame *frame;

        memcpy(&n, bytes + at, 4);
        if (ntohl(n) > size - at - 4)
            break;
        frame = agt__frame__unpack(NULL, ntohl(n), bytes + at + 4);
        if (frame && frame->body_case == AGT__FRAME__BODY_ASK)
            nonce = frame->ask->nonce;
        if (frame)
            agt__frame__free_unpacked(frame, NULL);
    }
    return nonce;
}

static void say_yes(int sock)
{
    uint8_t said[4096];
    ssize_t n = recv(sock, said, sizeof said, MSG_DONTWAIT);
    Agt__Answer answer = AGT__ANSWER__INIT;
    Agt__Frame frame;

    answer.nonce = n > 0 ? nonce_of(said, (size_t)n) : 0;
    answer.verdict = AGT__ANSWER__VERDICT__YES;
    answer.channel_id = 1;
    answer.lane = SHUNT_LANE_RDMA;
    answer.ring_bytes = 4096;
    LINK_FRAME(&frame, ANSWER, answer, &answer);
    frame.seq = 1;
    put_frame(sock, &frame);
    run(2);
    if (answer.nonce && !count[COUNT_CHANNELS])
        abort();
}

static size_t put_body(int sock, uint64_t seq, const uint8_t *data, size_t size)
{
    size_t n = (size_t)data[0] | (size_t)data[1] << 8;
    uint8_t bytes[LINK_RECORD_BYTES + 16] = {0x08};
    size_t at = 1;

    n = n < size - 2 ? n : size - 2;
    n = n < LINK_RECORD_BYTES ? n : LINK_RECORD_BYTES;
    for (; seq > 127; seq >>= 7)
        bytes[at++] = (uint8_t)(seq | 128);
    bytes[at++] = (uint8_t)seq;
    memcpy(bytes + at, data + 2, n);
    put(sock, bytes, at + n);
    return n + 2;
}

static void drain(int sock)
{
    uint8_t bytes[65536];

    while (recv(sock, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
}

static void say_input(int sock, uint8_t how, const uint8_t *data, size_t size)
{
    uint64_t seq = how & YES ? 2 : 1;

    if (!(how & BODIES)) {
        (void)!send(sock, data, size, MSG_NOSIGNAL);
        run(4);
        return;
    }
    for (size_t at = 0; at + 2 < size;) {
        at += put_body(sock, seq++, data + at, size - at);
        if (seq % 16 == 0)
            run(1);
        drain(sock);
    }
    run(4);
}

// First the end of file, then a reset: in TIME_WAIT the ports would run out.
static void hang_up(int sock)
{
    const struct linger at_once = {1, 0};

    shutdown(sock, SHUT_WR);
    run(2);
    drain(sock);
    setsockopt(sock, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(sock);
    run(2);
}

static int take_call(void)
{
    struct pollfd pfd = {fake, POLLIN, 0};

    for (int i = 0; i < 100 && poll(&pfd, 1, 1) < 1; i++)
        run(1);
    return accept4(fake, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void talk(uint8_t how, const uint8_t *data, size_t size)
{
    int unix_pair[2], sock;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, unix_pair))
        abort();
    client_new(&clients, unix_pair[1]);
    if (how & OPENER)
        claim();
    sock = how & OPENER ? take_call() : dial();
    if (sock >= 0) {
        run(2);
        if (how & GREETING)
            greet(sock);
        if (how & HELLO)
            say_hello(sock, how & OPENER);
        run(2);
        if ((how & 31) == (GREETING | HELLO | OPENER | BODIES | YES))
            say_yes(sock);
        say_input(sock, how, data, size);
        hang_up(sock);
    }
    close(unix_pair[0]);
    run(2);
}

// What was said must not have harmed those who come after.
static void still_works(void)
{
    int sock = dial();
    uint8_t bytes[512];
    ssize_t n;

    run(2);
    greet(sock);
    say_hello(sock, false);
    run(4);
    n = recv(sock, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 40 || count[COUNT_AGENT_LINKS] != 1)
        abort();
    hang_up(sock);
    run(2);
}

static int n_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before;

    if (!policy) {
        leave_the_others();
        make_policy();
        make_connection();
    }
    if (size < 1)
        return 0;
    before = n_fds();
    memset(count, 0, sizeof count);
    begin();
    talk(data[0], data + 1, size - 1);
    still_works();
    if (count[COUNT_CLIENTS] || count[COUNT_CHANNELS] || count[COUNT_CLAIMS] ||
        count[COUNT_AGENT_LINKS])
        abort();
    end();
    if (n_fds() != before)
        abort();
    return 0;
}
