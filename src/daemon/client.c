// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/aide.h"
#include "daemon/client.h"

#include "base/log.h"
#include "base/util.h"
#include "cm/packet.h"
#include "daemon/channel.h"
#include "daemon/letgo.h"
#include "daemon/out.h"
#include "daemon/report.h"
#include "daemon/stay.h"
#include "daemon/wire.h"
#include "shunt/info.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKETS_A_ROUND 32 // of one client, before the next has its turn
#define MAX_SHOWN       1024
#define RELAYS_UNREAD   (512 << 10) // bytes; a channel whose receiver leaves more ends

// A chunk under the name that the client gave it.
struct shown {
    struct list link;
    uint32_t id;
    struct chunk *chunk;
};

static struct packet packet; // the one that is being handled

static void refuse(struct client *client, uint64_t cookie, enum counter why, const char *reason)
{
    Ctl__Refused refused = CTL__REFUSED__INIT;
    Ctl__Envelope msg;

    client->clients->count[why]++;
    log_info("pid %d: refused: %s", (int)client->pid, reason);
    refused.cookie = cookie;
    refused.reason = (char *)(uintptr_t)reason;
    PACKET_INIT(&msg, REFUSED, refused, &refused);
    client_send(client, &msg, NULL, 0);
}

// Refuses the client itself.
static void turn_away(struct client *client, enum counter why, const char *reason)
{
    refuse(client, 0, why, reason);
    client_die(client);
}

static void tell_matched(struct client *client, const struct side *side)
{
    const struct side *other = &side->conn->side[!side_index(side)];
    Ctl__Matched matched = CTL__MATCHED__INIT;
    Ctl__Envelope msg;
    int fds[3];

    channel_fds(side, fds);
    matched.cookie = side->proof.cookie;
    matched.side = (uint32_t)side_index(side);
    matched.lane = side->conn->lane;
    matched.channel_id = side->conn->id;
    matched.peer_endpoint = (ProtobufCBinaryData){other->endpoint_bytes, other->endpoint};
    PACKET_INIT(&msg, MATCHED, matched, &matched);
    client_send(client, &msg, fds, 3);
}

static bool tell_relayed(struct client *client, const struct side *side, const uint8_t *bytes,
                         size_t n)
{
    Ctl__Relay relay = CTL__RELAY__INIT;
    Ctl__Envelope msg;

    // what the other side says must not make us hang up on the client
    if (client->out_bytes + n > RELAYS_UNREAD || client->n_out >= OUT_MAX_WAITING / 2)
        return false;
    relay.cookie = side->proof.cookie;
    relay.payload = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)bytes};
    PACKET_INIT(&msg, RELAY, relay, &relay);
    client_send(client, &msg, NULL, 0);
    client->clients->count[COUNT_RELAYED_TOTAL]++;
    channel_ring(side);
    return true;
}

static void tell_peer_gone(struct client *client, const struct side *side, enum cm_gone why)
{
    Ctl__PeerGone gone = CTL__PEER_GONE__INIT;
    Ctl__Envelope msg;

    gone.cookie = side->proof.cookie;
    gone.reason = (Ctl__PeerGone__Reason)why;
    PACKET_INIT(&msg, PEER_GONE, peer_gone, &gone);
    client_send(client, &msg, NULL, 0);
    channel_ring(side);
}

static void tell_noted(struct client *client, uint64_t cookie, const char *text)
{
    Ctl__Noted noted = CTL__NOTED__INIT;
    Ctl__Envelope msg;

    noted.cookie = cookie;
    noted.text = (char *)(uintptr_t)text;
    PACKET_INIT(&msg, NOTED, noted, &noted);
    client_send(client, &msg, NULL, 0);
}

const struct registry_events client_events = {.matched = tell_matched,
                                              .refused = refuse,
                                              .relayed = tell_relayed,
                                              .peer_gone = tell_peer_gone,
                                              .noted = tell_noted};

// ---- what clients say ----

static void on_hello(struct client *client, const Ctl__Hello *hello)
{
    struct clients *cs = client->clients;
    Ctl__Welcome welcome = CTL__WELCOME__INIT;
    Ctl__Envelope msg;
    char reason[96];

    if (hello->version != PACKET_VERSION) {
        snprintf(reason, sizeof reason, "shuntd speaks version %u, this program %u", PACKET_VERSION,
                 hello->version);
        turn_away(client, COUNT_REFUSED_VERSION, reason);
        return;
    }
    client->own_pid = hello->pid;
    if (!client->spin_slot)
        client->spin_slot = host_take(cs->host);
    welcome.version = PACKET_VERSION;
    welcome.pass = !cs->registry->diag.works || !aide_can_look(client->pid);
    welcome.spin_slot = client->spin_slot;
    PACKET_INIT(&msg, WELCOME, welcome, &welcome);
    client_send(client, &msg, &cs->host->memfd, 1);
}

static struct shown *shown_find(const struct client *client, uint32_t id)
{
    list_for_each (it, &client->chunks)
        if (list_entry(it, struct shown, link)->id == id)
            return list_entry(it, struct shown, link);
    return NULL;
}

static void shown_free(struct shown *shown)
{
    list_del(&shown->link);
    chunk_put(shown->chunk);
    free(shown);
}

static void show(struct client *client, uint32_t id, int memfd)
{
    struct registry *r = client->clients->registry;
    struct chunk *chunk = chunk_get(&r->chunks, &r->users, client->user, memfd);
    struct shown *shown = chunk ? malloc(sizeof *shown) : NULL;

    if (!shown) {
        chunk_put(chunk);
        return;
    }
    *shown = (struct shown){.id = id, .chunk = chunk};
    list_add_tail(&client->chunks, &shown->link);
    client->n_chunks++;
}

static void on_chunk(struct client *client, const Ctl__Chunk *said, struct packet *p)
{
    struct shown *old = shown_find(client, said->id);

    if (old) {
        shown_free(old);
        client->n_chunks--;
    }
    if (!said->gone && p->n_fds && client->n_chunks < MAX_SHOWN)
        show(client, said->id, packet_take(p, 0));
}

static int take_socket(struct packet *p, const char **reason)
{
    int sock = packet_take(p, 0);

    if (sock < 0)
        *reason = p->fds_lost ? "shuntd has no file descriptors left" : "no socket was passed";
    return sock;
}

// Compares the addresses that were told with the kernel's own. half: FIN may have come or gone.
static const char *verify(struct client *client, int sock, const struct proof *proof, bool half)
{
    struct diag *diag = &client->clients->registry->diag;
    const char *reason = NULL;

    diag_learn(diag, sock, proof->flow.netns);
    switch (diag_ask(diag, proof)) {
    case DIAG_ESTABLISHED:
        break;
    case DIAG_HELD:
        reason = half ? NULL : "the connection is not established";
        break;
    case DIAG_GONE:
        reason = "the socket has other addresses, or is not connected";
        break;
    case DIAG_UNKNOWN:
        reason = proof_check(sock, proof);
        break;
    }
    if (reason)
        diag_forget(diag, proof->flow.netns);
    return reason;
}

// Does with the passed socket what has to be done, and lets go of it before anything else: as long
// as we hold it, its FIN cannot go out.
static const char *prove_passed(struct client *client, uint64_t cookie,
                                const Ctl__Address *said_local, const Ctl__Address *said_remote,
                                struct packet *p, bool half, struct proof *proof)
{
    union cm_addr local, remote;
    const char *reason;
    int sock = take_socket(p, &reason);

    if (sock < 0)
        return reason;
    packet_read_address(said_local, &local);
    packet_read_address(said_remote, &remote);
    reason = proof_of_socket(sock, cookie, proof);
    if (!reason)
        reason = proof_add_flow(proof, &local, &remote);
    if (!reason)
        reason = verify(client, sock, proof, half);
    letgo(sock);
    return reason;
}

// The same for a socket that the client names by number. Nothing is held, not even for a moment.
static const char *look_up_claim(struct client *client, const Ctl__Claim *said, struct proof *proof)
{
    struct diag *diag = &client->clients->registry->diag;
    uint32_t named = aide_inode(client->pid, said->fd), inode = 0;
    union cm_addr local, remote;
    const char *reason;
    enum diag_answer found;

    *proof = (struct proof){.cookie = said->cookie, .flow.netns = diag->own_netns};
    packet_read_address(said->local, &local);
    packet_read_address(said->remote, &remote);
    reason = proof_add_flow(proof, &local, &remote);
    if (reason)
        return reason;
    if (!named)
        return "shuntd finds no such socket in the process";
    diag_learn(diag, -1, proof->flow.netns);
    found = diag_ask_inode(diag, proof, &inode);
    if (found == DIAG_ESTABLISHED && inode == named)
        return NULL;
    diag_forget(diag, proof->flow.netns);
    return found == DIAG_HELD ? "the connection is not established"
                              : "the socket has other addresses, or is not connected";
}

static void refuse_proof(struct client *client, uint64_t cookie, const struct packet *p,
                         const char *reason)
{
    refuse(client, cookie, p->fds_lost ? COUNT_REFUSED_LIMIT : COUNT_REFUSED_PROOF, reason);
}

// Those lanes that shuntd knows.
static void read_lanes(const Ctl__Claim *said, struct claim *claim)
{
    for (size_t i = 0; i < said->n_lanes && claim->n_lanes < ARRAY_LEN(claim->lanes); i++)
        if (said->lanes[i] == SHUNT_LANE_SHM || said->lanes[i] == SHUNT_LANE_RDMA)
            claim->lanes[claim->n_lanes++] = (uint8_t)said->lanes[i];
}

static void on_claim(struct client *client, const Ctl__Claim *said, struct packet *p)
{
    struct claim claim = {.ring_bytes = said->ring_bytes,
                          .cross_user = said->cross_user,
                          .chunk_slot = said->chunk_slot,
                          .endpoint = said->endpoint.data,
                          .endpoint_bytes = said->endpoint.len};
    const struct shown *shown;
    const char *reason =
        p->n_fds || p->fds_lost
            ? prove_passed(client, said->cookie, said->local, said->remote, p, false, &claim.proof)
            : look_up_claim(client, said, &claim.proof);

    if (reason) {
        refuse_proof(client, said->cookie, p, reason);
        return;
    }
    if (said->endpoint.len > CM_ENDPOINT_MAX_BYTES) {
        refuse(client, said->cookie, COUNT_REFUSED_BAD_MESSAGE, "the endpoint is too long");
        diag_forget(&client->clients->registry->diag, claim.proof.flow.netns);
        return;
    }
    read_lanes(said, &claim);
    shown = shown_find(client, said->chunk_id);
    claim.chunk = shown ? shown->chunk : NULL;
    registry_claim(client->clients->registry, client, client->user, &client->holds, &claim);
}

static void tell_attached(struct client *client, const struct side *side)
{
    int fds[4] = {[3] = side->chunk->fd};
    Ctl__Attached attached = CTL__ATTACHED__INIT;
    Ctl__Envelope msg;

    channel_fds(side, fds);
    attached.cookie = side->proof.cookie;
    attached.side = (uint32_t)side_index(side);
    attached.channel_id = side->conn->id;
    attached.chunk_slot = side->chunk_slot;
    PACKET_INIT(&msg, ATTACHED, attached, &attached);
    client_send(client, &msg, fds, 4);
}

// Is what was passed the socket of that cookie? If not, says so.
static bool has_socket(struct client *client, uint64_t cookie, struct packet *p)
{
    struct proof proof;
    const char *reason;
    int sock = take_socket(p, &reason);

    if (sock >= 0) {
        reason = proof_of_socket(sock, cookie, &proof);
        letgo(sock);
    }
    if (reason)
        refuse_proof(client, cookie, p, reason);
    return !reason;
}

static void on_attach(struct client *client, const Ctl__Attach *said, struct packet *p)
{
    const struct side *side;

    if (!has_socket(client, said->cookie, p))
        return;
    side = registry_attach(client->clients->registry, client, client->user, &client->holds,
                           said->cookie);
    if (side)
        tell_attached(client, side);
}

// ---- sockets that go to another program ----

// chunk_fd -1: the client knows where it is.
static void tell_lent(struct client *client, uint64_t cookie, int chunk_fd, uint32_t chunk_slot)
{
    Ctl__Lent lent = CTL__LENT__INIT;
    Ctl__Envelope msg;

    lent.cookie = cookie;
    lent.chunk_slot = chunk_slot;
    PACKET_INIT(&msg, LENT, lent, &lent);
    client_send(client, &msg, &chunk_fd, chunk_fd >= 0);
}

static void on_lend(struct client *client, const Ctl__Lend *said, struct packet *p)
{
    struct lents *lents = &client->clients->registry->lents;
    const struct shown *shown = shown_find(client, said->chunk_id);
    struct proof proof;
    const char *reason =
        prove_passed(client, said->cookie, said->local, said->remote, p, true, &proof);

    if (reason) {
        refuse_proof(client, said->cookie, p, reason);
        return;
    }
    if (!shown) {
        diag_forget(lents->diag, proof.flow.netns);
        refuse(client, said->cookie, COUNT_REFUSED_UNKNOWN, "shuntd was not shown the chunk");
    } else if (lents_put(lents, &proof, client->user, shown->chunk, said->chunk_slot)) {
        refuse(client, said->cookie, COUNT_REFUSED_LIMIT, "shuntd has no memory");
    } else {
        tell_lent(client, said->cookie, -1, said->chunk_slot);
    }
}

// Who has a channel need not have lent the socket: it may have been passed behind our back.
static void on_borrow(struct client *client, const Ctl__Borrow *said, struct packet *p)
{
    const struct registry *r = client->clients->registry;
    const struct lent *l = lents_find(&r->lents, said->cookie);
    const struct side *side = l ? NULL : registry_linked(r, said->cookie);

    if (!has_socket(client, said->cookie, p))
        return;
    if (!l && !side)
        refuse(client, said->cookie, COUNT_REFUSED_UNKNOWN, "nobody has lent the connection");
    else if (client->user != (l ? l->user : side->user))
        refuse(client, said->cookie, COUNT_REFUSED_USER, "the connection belongs to another user");
    else if (l)
        tell_lent(client, said->cookie, l->chunk->fd, l->chunk_slot);
    else
        tell_lent(client, said->cookie, side->chunk->fd, side->chunk_slot);
}

// ---- who is there ----

// Process ids mean something only among those who share a pid namespace. Where a client sees the
// same pid for itself as we do, it is in ours.
static bool is_client(const struct client *asker, pid_t pid)
{
    bool ours = asker->pid == asker->own_pid;

    list_for_each (it, &asker->clients->all) {
        const struct client *c = list_entry(it, struct client, link);

        if (c->user == asker->user && c->own_pid && pid == (ours ? c->pid : c->own_pid))
            return true;
    }
    return false;
}

static void on_is_client(struct client *client, const Ctl__IsClient *said)
{
    Ctl__IsClientAnswer answer = CTL__IS_CLIENT_ANSWER__INIT;
    Ctl__Envelope msg;

    answer.pid = said->pid;
    answer.yes = is_client(client, said->pid);
    PACKET_INIT(&msg, IS_CLIENT_ANSWER, is_client_answer, &answer);
    client_send(client, &msg, NULL, 0);
}

static void on_relay(struct client *client, const Ctl__Relay *said)
{
    if (said->payload.len == 0 || said->payload.len > CM_RELAY_MAX_BYTES)
        turn_away(client, COUNT_REFUSED_BAD_MESSAGE, "a relayed message has an impossible length");
    else
        registry_relay(client->clients->registry, client, said->cookie, said->payload.data,
                       said->payload.len);
}

static void dispatch(struct client *client, struct packet *p)
{
    const Ctl__Envelope *msg = p->msg;

    if (!client->own_pid && msg->body_case != CTL__ENVELOPE__BODY_HELLO) {
        turn_away(client, COUNT_REFUSED_BAD_MESSAGE, "the first message must be a Hello");
        return;
    }
    switch (msg->body_case) {
    case CTL__ENVELOPE__BODY_HELLO:
        on_hello(client, msg->hello);
        break;
    case CTL__ENVELOPE__BODY_CHUNK:
        on_chunk(client, msg->chunk, p);
        break;
    case CTL__ENVELOPE__BODY_CLAIM:
        on_claim(client, msg->claim, p);
        break;
    case CTL__ENVELOPE__BODY_DROP:
        registry_drop(client->clients->registry, client, msg->drop->cookie);
        break;
    case CTL__ENVELOPE__BODY_ATTACH:
        on_attach(client, msg->attach, p);
        break;
    case CTL__ENVELOPE__BODY_LEND:
        on_lend(client, msg->lend, p);
        break;
    case CTL__ENVELOPE__BODY_BORROW:
        on_borrow(client, msg->borrow, p);
        break;
    case CTL__ENVELOPE__BODY_IS_CLIENT:
        on_is_client(client, msg->is_client);
        break;
    case CTL__ENVELOPE__BODY_STAT:
        report_begin(client);
        break;
    case CTL__ENVELOPE__BODY_RELAY:
        on_relay(client, msg->relay);
        break;
    case CTL__ENVELOPE__BODY_STAY:
        stay_add(client);
        break;
    default: // or of a newer program
        wire_handle(client, p);
        break;
    }
}

// ---- life ----

static void letgo_fds(struct packet *p)
{
    for (int i = 0; i < p->n_fds; i++) {
        int fd = packet_take(p, i);

        if (fd >= 0)
            letgo(fd);
    }
}

// With packets of the client unread, the kernel would tell it of a reset before what we sent last.
static void hang_up(int sock)
{
    shutdown(sock, SHUT_RD);
    for (int err = 0; !err || err == -EBADMSG;) {
        err = packet_recv(sock, &packet);
        letgo_fds(&packet);
    }
    close(sock);
}

static void receive(struct client *client)
{
    // who leaves answers unread asks no more
    for (int i = 0; i < PACKETS_A_ROUND; i++) {
        int err;

        if (client->dying || client->stat || !list_empty(&client->out))
            return;
        err = packet_recv(client->watch.fd, &packet);
        if (err == -EAGAIN)
            return;
        if (err == -EBADMSG)
            turn_away(client, COUNT_REFUSED_BAD_MESSAGE, "the message makes no sense");
        else if (err)
            client_die(client);
        else
            dispatch(client, &packet);
        letgo_fds(&packet);
    }
}

static void ready(struct watch *watch, uint32_t events)
{
    struct client *client = list_entry(watch, struct client, watch);

    if (client->dying)
        return;
    if (events & EPOLLOUT && client_flush(client) && client->stat)
        report_go_on(client);
    if (events & EPOLLIN && !client->dying)
        receive(client);
    else if (events & (EPOLLHUP | EPOLLERR))
        client_die(client);
}

void clients_init(struct clients *cs, struct loop *loop, struct registry *registry, uint64_t *count,
                  struct host *host)
{
    *cs = (struct clients){.loop = loop, .registry = registry, .count = count, .host = host};
    list_init(&cs->all);
    list_init(&cs->dying);
    list_init(&cs->stays);
}

static void client_free(struct client *client)
{
    client_discard(client);
    wire_forget(client);
    registry_leave(client->clients->registry, &client->holds);
    list_for_each_safe (it, &client->chunks)
        shown_free(list_entry(it, struct shown, link));
    host_give_back(client->clients->host, client->spin_slot);
    user_drop_fds(client->user, 1);
    client->clients->count[COUNT_CLIENTS]--;
    list_del(&client->link);
    hang_up(client->watch.fd);
    free(client);
}

// A burial ends claims, which may be the death of another client: so until none is left.
void clients_bury(struct clients *cs)
{
    while (!list_empty(&cs->dying))
        client_free(list_entry(cs->dying.next, struct client, link));
}

void clients_fini(struct clients *cs)
{
    list_for_each_safe (it, &cs->all)
        client_die(list_entry(it, struct client, link));
    clients_bury(cs);
    stays_end(cs);
}

static struct client *client_make(struct clients *cs, int sock, const struct ucred *cred)
{
    struct user *user = user_of(&cs->registry->users, cred->uid);
    struct client *client = user ? calloc(1, sizeof *client) : NULL;

    if (!client)
        return NULL;
    *client =
        (struct client){.watch = {sock, ready}, .clients = cs, .user = user, .pid = cred->pid};
    list_init(&client->link);
    list_init(&client->out);
    list_init(&client->holds);
    list_init(&client->chunks);
    list_init(&client->questions);
    user->gid = cred->gid;
    return client;
}

int client_new(struct clients *cs, int sock)
{
    struct ucred cred = {.uid = (uid_t)-1};
    socklen_t len = sizeof cred;
    struct client *client = NULL;
    int err = -ENOMEM;

    if (!getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
        client = client_make(cs, sock, &cred);
    if (client)
        err = user_add_fds(&cs->registry->users, client->user, 1);
    if (!err) {
        err = loop_add(cs->loop, &client->watch, EPOLLIN);
        if (err)
            user_drop_fds(client->user, 1);
    }
    if (err) {
        client_refuse_socket(sock, "shuntd has no room for another client");
        free(client);
        return err;
    }
    list_add_tail(&cs->all, &client->link);
    cs->count[COUNT_CLIENTS]++;
    cs->count[COUNT_CLIENTS_TOTAL]++;
    return 0;
}

void client_refuse_socket(int sock, const char *reason)
{
    Ctl__Refused refused = CTL__REFUSED__INIT;
    Ctl__Envelope msg;

    refused.reason = (char *)(uintptr_t)reason;
    PACKET_INIT(&msg, REFUSED, refused, &refused);
    packet_send(sock, &msg, NULL, 0);
    hang_up(sock);
}
