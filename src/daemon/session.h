// SPDX-License-Identifier: BSD-2-Clause
// What two agents say to each other, in order, nothing lost and nothing twice, over one link after
// the other. A session belongs to its opener, who alone makes links for it; it ends when it has had
// none for too long, or when one of the two processes is another one than before.
#ifndef SHUNT_DAEMON_SESSION_H
#define SHUNT_DAEMON_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "daemon/link.h"

#define SESSION_INSTANCE_BYTES 16
#define SESSION_OUT_BYTES      (2 << 20) // not acknowledged: a relay more is refused
#define SESSION_MOST_BYTES     (3 << 20) // the session ends

struct peer;

struct session {
    struct list of;                // in agent.sessions
    struct peer *peer;             // of one that was opened here; NULL: opened by the other side
    struct flow_end local, remote; // without ports
    uint8_t instance[SESSION_INSTANCE_BYTES]; // of the other side; of no meaning before it is known
    uint64_t id;
    bool known;        // it has had a link that came up
    bool broken;       // something could not be said: it must end
    struct link *link; // NULL: none now; may not be up yet
    char why[80];      // the last link ended
    uint64_t lost_ns;  // since when there is none; of a known session
    uint64_t sent;     // the last number given
    uint64_t received; // the last number that came
    uint64_t told;     // of these, what the other side has been told of
    struct list out;   // of struct out_frame, not acknowledged yet, oldest first
    struct list *next; // of out: the first that this link has not carried; &out: none
    uint64_t out_bytes;
    uint64_t *all_bytes;  // of all sessions together
    struct list channels; // of struct far
    struct list parked;   // of struct parked
    uint32_t n_parked;
    uint64_t idle_ns; // since when nothing has needed it; CLOCK_NEVER: something does
};

struct session *session_new(const struct flow_end *local, const struct flow_end *remote,
                            uint64_t id, uint64_t *all_bytes);

// Frees a session that nothing hangs on any more. Its link is the caller's to end.
void session_free(struct session *s);

static inline bool session_is_up(const struct session *s)
{
    return s->link && s->link->state == LINK_UP;
}

// The link is up. The other side has received all up to that number.
void session_resume(struct session *s, uint64_t received);

// The numbers begin anew; what was not acknowledged is forgotten.
void session_reset(struct session *s);

// Says a numbered frame, whose seq is filled in; it is kept until it is acknowledged. 0, or
// -ENOBUFS: the other side does not keep up, or there is no memory, and the frame is not said.
int session_say(struct session *s, Agt__Frame *frame, uint64_t most_bytes);

// Puts what waits on the link, as far as there is room.
void session_pump(struct session *s);

// A numbered frame came. False: it came before, and is to be ignored.
bool session_heard(struct session *s, uint64_t seq, bool *gap);

// All up to seq has been received. 0, or -EPROTO: we have not said so much.
int session_acked(struct session *s, uint64_t seq);

// Tells the other side what was received; also keeps the link alive.
void session_ping(struct session *s);

#endif
