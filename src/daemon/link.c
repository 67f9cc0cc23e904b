// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/link.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES      4
#define OUT_CAPACITY    (LINK_OUT_BYTES + HEAD_BYTES + LINK_RECORD_BYTES)
#define RECORDS_A_ROUND 64
#define ARENA_BYTES     (4 * LINK_RECORD_BYTES)

// ---- unpacking, without malloc and within bounds ----

static _Alignas(16) uint8_t arena[ARENA_BYTES];
static size_t arena_used;

static void *arena_alloc(void *data, size_t size)
{
    size_t at = (arena_used + 15) & ~(size_t)15;

    if (size > sizeof arena || at > sizeof arena - size)
        return NULL;
    arena_used = at + size;
    return arena + at;
}

// Everything goes at once, with the next record.
static void arena_free(void *data, void *at)
{
}

static ProtobufCAllocator allocator = {arena_alloc, arena_free, NULL};

// ---- ends ----

static void watch_out(struct link *link, bool out)
{
    loop_change(link->loop, &link->watch, out ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

// With something unread, a close would take back what was sent last.
static void drain(int sock)
{
    uint8_t bytes[1024];

    for (int i = 0; i < 16 && recv(sock, bytes, sizeof bytes, MSG_DONTWAIT) > 0; i++)
        ;
}

void link_end(struct link *link, enum link_end end, const char *why)
{
    if (link->state == LINK_DEAD)
        return;
    link->state = LINK_DEAD;
    loop_remove(link->loop, &link->watch);
    if (end == LINK_UNWANTED)
        drain(link->watch.fd);
    close(link->watch.fd);
    link->watch.fd = -1;
    link->events->ended(link, end, why);
}

void link_free(struct link *link)
{
    list_del(&link->of);
    seal_free(link->seal);
    free(link->body);
    free(link->out);
    free(link);
}

static void enter(struct link *link, enum link_state state, uint64_t ns)
{
    link->state = state;
    link->deadline_ns = clock_now_ns() + ns;
}

void link_set_up(struct link *link)
{
    enter(link, LINK_UP, LINK_SILENCE_NS);
    link->was_up = true;
    link->said_ns = clock_now_ns();
}

void link_check(struct link *link, uint64_t now_ns)
{
    if (link->state == LINK_DEAD || now_ns < link->deadline_ns)
        return;
    link_end(link, link->state == LINK_UP ? LINK_LOST : LINK_SILENT,
             link->state == LINK_CONNECTING ? "it does not answer" : "it has fallen silent");
}

// ---- out ----

bool link_has_room(const struct link *link)
{
    return link->state != LINK_DEAD && link->out_end - link->out_at <= LINK_OUT_BYTES;
}

static void flush(struct link *link)
{
    while (link->out_at < link->out_end) {
        ssize_t n = send(link->watch.fd, link->out + link->out_at, link->out_end - link->out_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
            break;
        if (n < 0) {
            link_end(link, LINK_LOST, err_text(-errno));
            return;
        }
        link->out_at += (size_t)n;
    }
    if (link->out_at == link->out_end) { // links are many, and mostly idle
        free(link->out);
        link->out = NULL;
        link->out_at = link->out_end = 0;
    }
    watch_out(link, link->out_end > 0);
}

static bool make_out(struct link *link)
{
    if (!link->out)
        link->out = malloc(OUT_CAPACITY);
    if (!link->out) {
        link_end(link, LINK_LOST, "no memory");
        return false;
    }
    if (link->out_at)
        memmove(link->out, link->out + link->out_at, link->out_end - link->out_at);
    link->out_end -= link->out_at;
    link->out_at = 0;
    return true;
}

// Appends a record; sealed: through the seal, where there is one.
static void put(struct link *link, const uint8_t *bytes, size_t n, bool sealed)
{
    uint8_t *at;
    uint32_t head;

    if (link->state == LINK_DEAD || !make_out(link))
        return;
    at = link->out + link->out_end + HEAD_BYTES;
    if (link->out_end + HEAD_BYTES + n + SEAL_OVERHEAD_BYTES > OUT_CAPACITY) {
        link_end(link, LINK_LOST, "it leaves too much unread");
        return;
    }
    if (sealed && link->seal)
        n = seal_close(link->seal, bytes, n, at);
    else
        memcpy(at, bytes, n);
    head = htonl((uint32_t)n);
    memcpy(at - HEAD_BYTES, &head, HEAD_BYTES);
    link->out_end += HEAD_BYTES + n;
    link->said_ns = clock_now_ns();
    flush(link);
}

void link_send_bytes(struct link *link, const uint8_t *bytes, size_t n)
{
    put(link, bytes, n, true);
}

void link_send(struct link *link, const Agt__Frame *frame)
{
    static uint8_t bytes[LINK_RECORD_BYTES];

    if (agt__frame__get_packed_size(frame) <= sizeof bytes)
        put(link, bytes, agt__frame__pack(frame, bytes), true);
}

// ---- the greeting ----

// refused NULL: we want the link.
static void say_greeting(struct link *link, const uint8_t *fresh, const char *refused)
{
    Agt__Greeting greeting = AGT__GREETING__INIT;
    uint8_t bytes[256];

    greeting.version = LINK_VERSION;
    greeting.keyed = link->key != NULL;
    if (fresh)
        greeting.fresh = (ProtobufCBinaryData){SEAL_FRESH_BYTES, (uint8_t *)(uintptr_t)fresh};
    if (refused)
        greeting.refused = (char *)(uintptr_t)refused;
    if (agt__greeting__get_packed_size(&greeting) <= sizeof bytes)
        put(link, bytes, agt__greeting__pack(&greeting, bytes), false);
}

static void greet(struct link *link)
{
    uint8_t fresh[SEAL_FRESH_BYTES];
    bool ready = true;

    if (link->key)
        ready = (link->seal = seal_new(link->key, link->opener, fresh)) != NULL;
    else
        ready = getrandom(fresh, sizeof fresh, 0) == sizeof fresh;
    if (ready)
        say_greeting(link, fresh, NULL);
    else
        link_end(link, LINK_LOST, "no memory");
}

void link_refuse(struct link *link, const char *why)
{
    Agt__Refused refused = AGT__REFUSED__INIT;
    Agt__Frame frame;

    if (link->state == LINK_GREETING) {
        say_greeting(link, NULL, why);
    } else {
        refused.reason = (char *)(uintptr_t)why;
        LINK_FRAME(&frame, REFUSED, refused, &refused);
        link_send(link, &frame);
    }
    link_end(link, LINK_UNWANTED, why);
}

// NULL, or why there can be no link.
static const char *judge(const struct link *link, const Agt__Greeting *g)
{
    if (g->version != LINK_VERSION)
        return "the two shuntds are of versions that do not understand each other";
    if (g->keyed != (link->key != NULL))
        return "only one of the two shuntds has a key";
    return g->fresh.len == SEAL_FRESH_BYTES ? NULL : "the greeting makes no sense";
}

// The other side's words, made fit to be shown.
static void refused_by(struct link *link, const char *reason)
{
    char why[128];

    snprintf(why, sizeof why, "refused: %.100s", reason);
    for (char *c = why; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
            *c = '?';
    link_end(link, LINK_REFUSED, why);
}

static void on_greeting(struct link *link, const Agt__Greeting *g)
{
    const char *wrong;

    if (g->refused[0]) {
        refused_by(link, g->refused);
        return;
    }
    wrong = judge(link, g);
    if (wrong && link->opener) {
        link_end(link, LINK_REFUSED, wrong);
        return;
    }
    if (wrong) {
        link_refuse(link, wrong);
        return;
    }
    if (!link->opener)
        greet(link);
    if (link->state == LINK_DEAD)
        return;
    if (link->seal && seal_meet(link->seal, g->fresh.data)) {
        link_end(link, LINK_BAD, "the greeting makes no sense");
        return;
    }
    enter(link, LINK_HELLO, LINK_STEP_NS);
    link->events->greeted(link);
}

// ---- in ----

static void on_frame(struct link *link, size_t n)
{
    static uint8_t opened[LINK_RECORD_BYTES];
    const uint8_t *bytes = link->body;
    const Agt__Frame *frame;
    int len = (int)n;

    if (link->seal) {
        len = seal_open(link->seal, link->body, n, opened);
        bytes = opened;
    }
    if (len < 0) {
        link_end(link, LINK_BAD,
                 link->state == LINK_HELLO ? "it has another key" : "a record was tampered with");
        return;
    }
    arena_used = 0;
    frame = agt__frame__unpack(&allocator, (size_t)len, bytes);
    if (!frame) {
        link_end(link, LINK_BAD, "what it says makes no sense");
        return;
    }
    if (link->state == LINK_UP)
        link->deadline_ns = clock_now_ns() + LINK_SILENCE_NS;
    if (frame->body_case == AGT__FRAME__BODY_REFUSED)
        refused_by(link, frame->refused->reason);
    else
        link->events->frame(link, frame);
}

static void on_record(struct link *link)
{
    const Agt__Greeting *g;

    if (link->state != LINK_GREETING) {
        on_frame(link, link->body_bytes);
        return;
    }
    arena_used = 0;
    g = agt__greeting__unpack(&allocator, link->body_bytes, link->body);
    if (g)
        on_greeting(link, g);
    else
        link_end(link, LINK_BAD, "what it says makes no sense");
}

// The head is there: makes room for the body. False: it cannot be.
static bool make_body(struct link *link)
{
    uint32_t n, most = link->state == LINK_UP ? LINK_RECORD_BYTES : LINK_BEFORE_BYTES;

    memcpy(&n, link->head, sizeof n);
    n = ntohl(n);
    if (n > most || (n == 0 && link->seal)) {
        link_end(link, LINK_BAD, "a record has an impossible length");
        return false;
    }
    link->body_bytes = n;
    link->body = malloc(MAX(n, 1u));
    if (!link->body)
        link_end(link, LINK_LOST, "no memory");
    return link->body;
}

// Reads what belongs to the record that is coming in. 1: it is whole; 0: not yet, or dead.
static int read_some(struct link *link)
{
    bool head = link->got < HEAD_BYTES;
    uint8_t *to = head ? link->head + link->got : link->body + (link->got - HEAD_BYTES);
    size_t want = (head ? HEAD_BYTES : HEAD_BYTES + link->body_bytes) - link->got;
    ssize_t n = want ? recv(link->watch.fd, to, want, MSG_DONTWAIT) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n < 0 || (n == 0 && want)) {
        link_end(link, LINK_LOST, n ? err_text(-errno) : "it has hung up");
        return 0;
    }
    link->got += (size_t)n;
    if (link->got == HEAD_BYTES && !link->body && !make_body(link))
        return 0;
    if (link->got < HEAD_BYTES)
        return 0;
    return link->got == HEAD_BYTES + link->body_bytes ? 1 : head ? read_some(link) : 0;
}

static void receive(struct link *link)
{
    for (int i = 0; i < RECORDS_A_ROUND && link->state != LINK_DEAD; i++) {
        if (!read_some(link))
            return;
        on_record(link);
        free(link->body);
        link->body = NULL;
        link->got = link->body_bytes = 0;
    }
}

static void connected(struct link *link)
{
    int err = 0;
    socklen_t len = sizeof err;

    getsockopt(link->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        link_end(link, LINK_LOST, err_text(-err));
        return;
    }
    enter(link, LINK_GREETING, LINK_STEP_NS);
    greet(link);
}

static void ready(struct watch *watch, uint32_t events)
{
    struct link *link = list_entry(watch, struct link, watch);

    if (link->state == LINK_DEAD)
        return;
    if (link->state == LINK_CONNECTING) {
        connected(link);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(link);
    if (link->state == LINK_DEAD || !(events & EPOLLOUT))
        return;
    flush(link);
    if (link->state == LINK_UP && link_has_room(link))
        link->events->room(link);
}

// ---- beginnings ----

static struct link *make(struct loop *loop, int sock, bool opener)
{
    struct link *link = calloc(1, sizeof *link);
    const int one = 1;

    if (!link) {
        close(sock);
        return NULL;
    }
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    list_init(&link->of);
    link->loop = loop;
    link->watch = (struct watch){sock, ready};
    link->opener = opener;
    return link;
}

static int start_connect(int sock, const struct flow_end *local, const struct flow_end *remote,
                         uint16_t port)
{
    union cm_addr from, to;
    const int one = 1;

    proof_address(local, &from);
    proof_address(remote, &to);
    from.in.sin_port = 0; // where sin6_port is, too
    to.in.sin_port = htons(port);
    setsockopt(sock, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(sock, &from.sa, sizeof from))
        return -errno;
    return connect(sock, &to.sa, sizeof to) && errno != EINPROGRESS ? -errno : 0;
}

struct link *link_open(struct loop *loop, const struct flow_end *local,
                       const struct flow_end *remote, uint16_t port, int *err)
{
    union cm_addr to;
    struct link *link;
    int sock;

    proof_address(remote, &to);
    sock = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock < 0) {
        *err = -errno;
        return NULL;
    }
    *err = start_connect(sock, local, remote, port);
    if (*err) {
        close(sock);
        return NULL;
    }
    link = make(loop, sock, true);
    if (!link) {
        *err = -ENOMEM;
        return NULL;
    }
    link->local = *local;
    link->remote = *remote;
    enter(link, LINK_CONNECTING, LINK_STEP_NS);
    return link;
}

struct link *link_accepted(struct loop *loop, int sock)
{
    struct link *link = make(loop, sock, false);
    union cm_addr local, remote;
    socklen_t len = sizeof local, rlen = sizeof remote;
    struct proof proof = {0};

    if (!link)
        return NULL;
    if (getsockname(sock, &local.sa, &len) || getpeername(sock, &remote.sa, &rlen) ||
        proof_add_flow(&proof, &local, &remote)) {
        close(sock);
        free(link);
        return NULL;
    }
    link->local = proof.flow.end[proof.side];
    link->remote = proof.flow.end[!proof.side];
    enter(link, LINK_GREETING, LINK_STEP_NS);
    return link;
}

int link_begin(struct link *link)
{
    return loop_add(link->loop, &link->watch, link->state == LINK_CONNECTING ? EPOLLOUT : EPOLLIN);
}
