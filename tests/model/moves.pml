// SPDX-License-Identifier: BSD-2-Clause
// One direction of a connection that moves between the carrier (TCP) and the ring: the protocol of
// src/chan/chan.h and src/sock/move.c. BYTES numbered bytes are sent; the consumer asserts that they come
// in order, each once. Moves, wishes and losses are bounded, so every run must end, and with all bytes there:
// where nobody can go on before that is the deadlock, and a run without end would be a cycle.
//
// Without MIRROR the two sides share the channel's memory (lane shm). With MIRROR each has its own and
// lines and bytes travel in messages (src/lane/rdma/PROTOCOL.md); the link may be lost at any moment, and
// the lines then go by the control path. Where both sides are back on the carrier they may take a new
// channel, GENERATIONS of them at most.
//
// MUTANT=n breaks one rule (the numbers are at the rules): each must be found.
#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef BYTES
#define BYTES 4
#endif
#ifndef MOVES
#define MOVES 4
#endif
#ifndef GENERATIONS
#define GENERATIONS 2
#endif
#define RING 2

#define odd(epoch)  ((epoch) % 2 == 1)
#define even(epoch) ((epoch) % 2 == 0)
#define NOTHING 0
#define CARRIER 1
#define AGAIN   2

// The carrier: bytes in order, never lost.
chan tcp = [2] of { byte };
byte generation = 1;

// The producer's lines and ring, and what it knows of the consumer's lines.
byte p_tail, p_mark, p_epoch, p_granted;
byte p_ring[RING];
// The consumer's lines, and what it knows of the producer's.
byte c_head, c_ack, c_ready, c_want;

#ifdef MIRROR
byte at_p_head, at_p_ack, at_p_ready, at_p_want;
byte at_c_tail, at_c_mark, at_c_epoch, at_c_granted;
byte at_c_ring[RING];
bool p_news, c_news;         // lines that the other side has not been told
byte p_told;                 // ring bytes sent
bool broken, p_lost, c_lost; // the link is; the side has noticed
mtype = { BYTE, LINES };
chan p_link = [2] of { mtype, byte, byte, byte, byte };
chan c_link = [1] of { mtype, byte, byte, byte, byte };
chan p_control = [1] of { byte, byte, byte };
chan c_control = [1] of { byte, byte, byte, byte };
#define P_NEWS p_news = true
#define C_NEWS c_news = true
#define P_LOST p_lost
#define C_LOST c_lost
// each side alone sees its memory, under its locks
#define STEP atomic
#else
#define at_p_head    c_head
#define at_p_ack     c_ack
#define at_p_ready   c_ready
#define at_p_want    c_want
#define at_c_tail    p_tail
#define at_c_mark    p_mark
#define at_c_epoch   p_epoch
#define at_c_granted p_granted
#define at_c_ring    p_ring
#define P_NEWS skip
#define C_NEWS skip
#define P_LOST false
#define C_LOST false
#define STEP
#endif

// What a side relies on and the other cannot write.
byte tx_epoch, written, sent, moves;
byte again_from, again_to;
byte rx_epoch, taken, expected;
bool hold;

// chan_tx_move(): the mark before the epoch (mutant 1: after it)
inline move(to) {
    tx_epoch++;
    moves++;
#if MUTANT == 1
    p_epoch = tx_epoch;
    P_NEWS;
    p_mark = to;
#else
    p_mark = to;
    p_epoch = tx_epoch;
#endif
    P_NEWS
}

// mutant 2: does not wait until the last move is acknowledged
#if MUTANT == 2
#define acked true
#else
#define acked (at_p_ack == tx_epoch)
#endif

// try_to_ring(), under the producer's lock; mutant 3: looks neither at `ready` nor at the wish
#if MUTANT == 3
#define may_go_to_ring acked
#else
#define may_go_to_ring (at_p_ready && acked && at_p_want == NOTHING)
#endif

// conn_tx_return(): what a lane to another host has not delivered might have to be sent again, before what
// the carrier gets from now on (mutant 10: does not mind)
#if defined(MIRROR) && MUTANT != 10
#define may_return (acked && at_p_head == p_tail)
#else
#define may_return acked
#endif

// return_again(); mutant 4: ends the epoch at the tail, mutant 5: forgets what was not consumed
inline return_again() {
    again_from = at_p_head;
#if MUTANT == 5
    again_to = again_from;
#else
    again_to = p_tail;
#endif
#if MUTANT == 4
    move(again_to)
#else
    move(again_from)
#endif
}

inline grant() {
    if
    :: odd(tx_epoch) && acked && at_p_want == AGAIN -> return_again()
    :: odd(tx_epoch) && may_return && at_p_want == CARRIER -> move(p_tail)
    :: else
    fi;
    if
    :: even(tx_epoch) -> p_granted = 1; P_NEWS
    :: else
    fi
}

inline send_again() {
    tcp!p_ring[again_from % RING];
    written++;
    again_from++;
    if
    :: again_from == again_to ->
        p_tail = at_p_head;
        again_from = 0;
        again_to = 0;
        P_NEWS
    :: else
    fi
}

#define on_carrier (even(tx_epoch) && again_from == again_to)

active proctype producer() {
end:
    do
    :: STEP { sent < BYTES && on_carrier && nfull(tcp) -> tcp!sent; written++; sent++ }
    :: STEP { sent < BYTES && odd(tx_epoch) && p_tail - at_p_head < RING ->
        p_ring[p_tail % RING] = sent;
        p_tail++;
        sent++;
        P_NEWS }
    :: STEP { moves < MOVES && on_carrier && !P_LOST && may_go_to_ring -> move(written) }
    :: STEP { moves < MOVES && odd(tx_epoch) && !P_LOST && may_return -> move(p_tail) }
    :: STEP { at_p_want != NOTHING && !p_granted &&
        (even(tx_epoch) || (at_p_want == AGAIN -> acked : may_return)) -> grant() }
    :: STEP { again_from != again_to && nfull(tcp) -> send_again() }
    od
}

inline take(value) {
    assert(value == expected);
    expected++
}

// conn_follow(): the next epoch begins where all of the last one has been read (mutant 6: does not look). A
// producer that had moved of its own accord sends nothing again (mutant 9: the consumer goes on holding).
inline follow() {
    if
    :: odd(rx_epoch) && hold && c_head != at_c_mark -> hold = false
#if MUTANT == 6
    :: else -> rx_epoch++; c_ack = rx_epoch; hold = false; C_NEWS
#else
    :: odd(rx_epoch) && c_head == at_c_mark -> rx_epoch++; c_ack = rx_epoch; hold = false; C_NEWS
    :: even(rx_epoch) && taken == at_c_mark -> rx_epoch++; c_ack = rx_epoch; C_NEWS
    :: else
#endif
    fi
}

// Is there a move that can be followed, or that says that a hold is not needed?
#if MUTANT == 6
#define can_follow (at_c_epoch != rx_epoch)
#else
#define can_follow \
    (at_c_epoch != rx_epoch && \
     (odd(rx_epoch) -> (c_head == at_c_mark || (hold && MUTANT != 9)) : taken == at_c_mark))
#endif

// conn_go_back(): mutant 7 does not stand still while the producer looks at its head
inline ask(wish) {
    c_ready = 0;
    if
    :: wish == AGAIN && MUTANT != 7 -> hold = true
    :: else
    fi;
    c_want = wish;
    C_NEWS
}

inline empty_link(link) {
    do
    :: nempty(link) -> link?_,_,_,_,_
    :: empty(link) -> break
    od
}

active proctype consumer() {
    byte value;
end:
    do
    :: STEP { even(rx_epoch) && nempty(tcp) -> tcp?value; taken++; take(value); value = 0 }
    :: STEP { odd(rx_epoch) && !hold && c_head < at_c_tail ->
        value = at_c_ring[c_head % RING];
        take(value);
        value = 0;
        c_head++;
        C_NEWS }
    :: STEP { can_follow -> follow() }
    :: STEP { !c_ready && c_want == NOTHING && !C_LOST -> c_ready = 1; C_NEWS }
    :: STEP { c_ready && c_want == NOTHING -> ask(CARRIER) }
    :: STEP { c_ready && c_want == NOTHING -> ask(AGAIN) }
    // conn_lane_lost()
    :: STEP { C_LOST && c_want != AGAIN -> ask(AGAIN) }
    // both are back, as the consumer sees it, and as it must be: a new channel
    :: atomic {
        generation < GENERATIONS && at_c_granted && even(rx_epoch) && again_from == again_to ->
        assert(tx_epoch == rx_epoch);
        generation++;
        p_tail = 0; p_mark = 0; p_epoch = 0; p_granted = 0; tx_epoch = 0;
        c_head = 0; c_ack = 0; c_ready = 0; c_want = NOTHING; rx_epoch = 0; hold = false;
        p_ring[0] = 0; p_ring[1] = 0;
#ifdef MIRROR
        at_p_head = 0; at_p_ack = 0; at_p_ready = 0; at_p_want = NOTHING;
        at_c_tail = 0; at_c_mark = 0; at_c_epoch = 0; at_c_granted = 0;
        at_c_ring[0] = 0; at_c_ring[1] = 0;
        p_news = false; c_news = false; p_told = 0;
        broken = false; p_lost = false; c_lost = false;
        empty_link(p_link);
        empty_link(c_link);
        do :: p_control?_,_,_ :: empty(p_control) -> break od;
        do :: c_control?_,_,_,_ :: empty(c_control) -> break od
#endif
       }
    // nobody can go on, and this is checked by that: every byte has come
    :: timeout -> assert(expected == BYTES); break
    od
}

#ifdef MIRROR
// What the producer's lane does between its calls. Lines go when all published bytes have gone (mutant 8: at
// once, and with a tail that has not).
#if MUTANT == 8
#define bytes_gone true
#define told_tail  p_tail
#else
#define bytes_gone (p_told == p_tail)
#define told_tail  p_told
#endif

active proctype producer_lane() {
end:
    do
    :: atomic { !p_lost && p_told < p_tail && (nfull(p_link) || broken) ->
        if :: broken :: else -> p_link!BYTE,p_ring[p_told % RING],0,0,0 fi;
        p_told++ }
    :: atomic { !p_lost && p_told > p_tail -> p_told = p_tail } // taken back
    :: atomic { !p_lost && p_news && bytes_gone && (nfull(p_link) || broken) ->
        if :: broken :: else -> p_link!LINES,told_tail,p_mark,p_epoch,p_granted fi;
        p_news = false }
    :: atomic { p_lost && p_news && nfull(p_control) -> p_control!p_mark,p_epoch,p_granted; p_news = false }
    :: atomic { !p_lost && nempty(c_link) -> c_link?_,at_p_head,at_p_ack,at_p_ready,at_p_want }
    :: atomic { broken && !p_lost -> p_lost = true; p_news = true }
    :: atomic { nempty(c_control) -> c_control?at_p_head,at_p_ack,at_p_ready,at_p_want;
        if :: !p_lost -> p_lost = true; p_news = true :: else fi }
    od
}

active proctype consumer_lane() {
    byte a, b, c, d;
    mtype kind = LINES;
end:
    do
    :: atomic { !c_lost && nempty(p_link) -> p_link?kind,a,b,c,d;
        if
        :: kind == BYTE -> at_c_ring[at_c_tail % RING] = a; at_c_tail++
        :: else -> at_c_tail = a; at_c_mark = b; at_c_epoch = c; at_c_granted = d
        fi;
        kind = LINES; a = 0; b = 0; c = 0; d = 0 }
    :: atomic { !c_lost && c_news && (nfull(c_link) || broken) ->
        if :: broken :: else -> c_link!LINES,c_head,c_ack,c_ready,c_want fi;
        c_news = false }
    :: atomic { c_lost && c_news && nfull(c_control) -> c_control!c_head,c_ack,c_ready,c_want; c_news = false }
    :: atomic { broken && !c_lost -> c_lost = true; c_news = true }
    :: atomic { nempty(p_control) -> p_control?at_c_mark,at_c_epoch,at_c_granted;
        if :: !c_lost -> c_lost = true; c_news = true :: else fi }
    od
}

// The link is lost at any moment. What is on its way may still come, up to any point.
active proctype loss() {
end:
    do
    :: !broken -> broken = true
    :: atomic { broken && nempty(p_link) -> empty_link(p_link) }
    :: atomic { broken && nempty(c_link) -> empty_link(c_link) }
    od
}
#endif
