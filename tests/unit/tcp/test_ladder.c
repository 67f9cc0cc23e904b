// SPDX-License-Identifier: BSD-2-Clause
// RFC 9293, 3.10.7, state by state: what each segment does.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <errno.h>
#include <cmocka.h>

#include "peer.h"

#define ALL_OPTS (SEG_OPT_TS | SEG_OPT_SACK_OK | SEG_OPT_WSCALE)

static struct peer e;

// 3.10.7.1 CLOSED
// ----------------------------------------------------------------------------------

static void test_closed_segment_without_ack_resets_its_end(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    struct segment s = peer_segment(&e, SEG_SYN, 10, 0, 5);
    s.dst_port = 1;
    peer_put(&e, &s);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.out[0].flags, SEG_RST | SEG_ACK);
    assert_int_equal(e.out[0].seq, 0);
    assert_int_equal(peer_ack(&e, &e.out[0]), 16);
    peer_end(&e);
}

static void test_closed_ack_resets_at_its_number(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    struct segment s = peer_segment(&e, SEG_ACK, 10, 77, 0);
    s.dst_port = 1;
    peer_put(&e, &s);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.out[0].flags, SEG_RST);
    assert_int_equal(peer_seq(&e, &e.out[0]), 77);
    peer_end(&e);
}

static void test_closed_rst_is_ignored(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    struct segment s = peer_segment(&e, SEG_RST | SEG_ACK, 10, 77, 0);
    s.dst_port = 1;
    peer_put(&e, &s);
    assert_int_equal(e.n, 0);
    peer_end(&e);
}

static void test_closed_group_address_is_ignored(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    struct segment s = peer_segment(&e, SEG_SYN, 10, 0, 0);
    s.dst = ip_addr_v4(0x010000e0); // 224.0.0.1
    peer_put(&e, &s);
    assert_int_equal(e.n, 0);
    peer_end(&e);
}

// 3.10.7.2 LISTEN
// ----------------------------------------------------------------------------------

static void test_listen_rst_is_ignored(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    struct segment s = peer_segment(&e, SEG_RST, 0, 0, 0);
    s.src_port = 7;
    peer_put(&e, &s);
    assert_int_equal(peer_take(&e), 0);
    peer_end(&e);
}

static void test_listen_ack_resets(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    struct segment s = peer_segment(&e, SEG_ACK, 0, 5, 0);
    s.src_port = 7;
    peer_put(&e, &s);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.out[0].flags, SEG_RST);
    assert_int_equal(e.listener->state, TCP_LISTEN);
    peer_end(&e);
}

static void test_listen_syn_is_answered_with_all_options(void **state)
{
    peer_start_passive(&e, NULL, ALL_OPTS, TCP_SYN_RECEIVED);
    assert_int_equal(e.c->state, TCP_SYN_RECEIVED);
    assert_int_equal(e.out[0].flags, SEG_SYN | SEG_ACK);
    assert_int_equal(peer_ack(&e, &e.out[0]), 0);
    assert_int_equal(e.out[0].opts, ALL_OPTS | SEG_OPT_MSS);
    assert_int_equal(e.out[0].mss, 1460);
    assert_int_equal(e.out[0].ts_ecr, e.ts);
    peer_end(&e);
}

static void test_listen_syn_without_options_gets_mss_only(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    assert_int_equal(e.out[0].opts, SEG_OPT_MSS);
    peer_end(&e);
}

static void test_listen_syn_fin_is_dropped(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    struct segment s = peer_segment(&e, SEG_SYN | SEG_FIN, 0, 0, 0);
    s.src_port = 7;
    peer_put(&e, &s);
    assert_int_equal(peer_take(&e), 0);
    peer_end(&e);
}

// 3.10.7.3 SYN-SENT
// ---------------------------------------------------------------------------------

static void test_syn_sent_syn_ack_establishes(void **state)
{
    peer_start(&e, NULL, ALL_OPTS, TCP_SYN_SENT);
    peer_send(&e, SEG_SYN | SEG_ACK, -1, 0, 0);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_ACK);
    assert_int_equal(peer_ack(&e, &e.out[0]), 0);
    assert_int_equal(peer_seq(&e, &e.out[0]), 0);
    assert_true(e.c->ts_ok && e.c->sack_ok && e.c->wscale_ok);
    assert_int_equal(e.c->snd_wnd, 65535); // the window of a SYN is not scaled
    assert_int_equal(e.c->mss, 1448);
    peer_end(&e);
}

static void test_syn_sent_bad_ack_resets_and_stays(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    peer_send(&e, SEG_SYN | SEG_ACK, -1, 1, 0);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.out[0].flags, SEG_RST);
    assert_int_equal(peer_seq(&e, &e.out[0]), 1);
    assert_int_equal(e.c->state, TCP_SYN_SENT);
    peer_end(&e);
}

static void test_syn_sent_rst_with_good_ack_refuses(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    peer_send(&e, SEG_RST | SEG_ACK, -1, 0, 0);
    assert_int_equal(e.c->state, TCP_CLOSED);
    assert_int_equal(e.c->error, -ECONNREFUSED);
    assert_true(peer_rings(&e)->events & TCP_EV_CLOSED);
    peer_end(&e);
}

static void test_syn_sent_rst_without_ack_is_dropped(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    peer_send(&e, SEG_RST, -1, 0, 0);
    assert_int_equal(e.c->state, TCP_SYN_SENT);
    peer_end(&e);
}

static void test_syn_sent_ack_alone_is_dropped(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    peer_send(&e, SEG_ACK, 0, 0, 0);
    assert_int_equal(e.c->state, TCP_SYN_SENT);
    assert_int_equal(peer_take(&e), 0);
    peer_end(&e);
}

// 3.5, figure 8
static void test_syn_sent_syn_opens_simultaneously(void **state)
{
    peer_start(&e, NULL, ALL_OPTS, TCP_SYN_SENT);
    peer_send(&e, SEG_SYN, -1, 0, 0);
    assert_int_equal(e.c->state, TCP_SYN_RECEIVED);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_SYN | SEG_ACK);
    assert_int_equal(peer_seq(&e, &e.out[0]), -1);
    peer_send(&e, SEG_SYN | SEG_ACK, -1, 0, 0);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    assert_true(peer_rings(&e)->events & TCP_EV_CONNECTED);
    peer_end(&e);
}

// 3.10.7.4 SYN-RECEIVED
// ------------------------------------------------------------------------------

static void test_syn_received_ack_establishes(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    peer_send(&e, SEG_ACK, 0, 0, 0);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    assert_ptr_equal(tcp_accept(&e.p->side[0].ctx, e.listener), e.c);
    peer_end(&e);
}

static void test_syn_received_bad_ack_resets(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    peer_send(&e, SEG_ACK, 0, 1, 0);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.out[0].flags, SEG_RST);
    assert_int_equal(peer_seq(&e, &e.out[0]), 1);
    peer_end(&e);
}

static void test_syn_received_syn_again_sends_syn_ack_again(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    peer_send(&e, SEG_SYN, -1, 0, 0);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_SYN | SEG_ACK);
    peer_end(&e);
}

static void test_syn_received_rst_frees_the_child(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    peer_send(&e, SEG_RST, 0, 0, 0);
    assert_int_equal(e.listener->listen.handshakes, 0);
    assert_int_equal(tcp_counters(&e.p->side[0].ctx)->conns, 1);
    peer_end(&e);
}

static void test_syn_received_data_with_ack_is_taken(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    peer_send(&e, SEG_ACK, 0, 0, 100);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    assert_int_equal(peer_rings(&e)->rx_head, 100);
    peer_end(&e);
}

static void test_syn_received_refused_by_host_waits_for_the_peer(void **state)
{
    peer_start_passive(&e, NULL, 0, TCP_SYN_RECEIVED);
    e.p->side[0].refuse_accept = true;
    peer_send(&e, SEG_ACK, 0, 0, 0);
    assert_int_equal(e.c->state, TCP_SYN_RECEIVED);
    e.p->side[0].refuse_accept = false;
    peer_send(&e, SEG_ACK, 0, 0, 10);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    peer_end(&e);
}

// ESTABLISHED: sequence numbers
// ------------------------------------------------------------------------

static void test_established_data_in_order_is_read_and_acked(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK | SEG_PSH, 0, 0, 1000);
    assert_int_equal(peer_rings(&e)->rx_head, 1000);
    assert_true(peer_rings(&e)->events & TCP_EV_RX);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(peer_ack(&e, &e.out[0]), 1000);
    peer_end(&e);
}

static void test_established_old_data_is_acked_and_reported(void **state)
{
    peer_start(&e, NULL, SEG_OPT_SACK_OK, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK, 0, 0, 1000);
    peer_take(&e);
    peer_send(&e, SEG_ACK, 0, 0, 1000);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(peer_ack(&e, &e.out[0]), 1000);
    assert_int_equal(e.out[0].sack_count, 1); // RFC 2883
    assert_int_equal(e.out[0].sack[0].start, PEER_IRS + 1);
    assert_int_equal(e.out[0].sack[0].end, PEER_IRS + 1001);
    assert_int_equal(peer_rings(&e)->rx_head, 1000);
    peer_end(&e);
}

static void test_established_overlap_is_cut(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK, 0, 0, 1000);
    peer_send(&e, SEG_ACK, 500, 0, 1000);
    assert_int_equal(peer_rings(&e)->rx_head, 1500);
    peer_end(&e);
}

static void test_established_beyond_window_is_cut(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    uint32_t room = e.c->rcv_adv - e.c->rcv_nxt;
    peer_send(&e, SEG_ACK, 1000, 0, 65000); // out of order, across the right edge
    peer_send(&e, SEG_ACK, 0, 0, 1000);
    assert_int_equal(peer_rings(&e)->rx_head, room < 66000 ? room : 66000);
    peer_end(&e);
}

static void test_established_out_of_order_waits_and_sacks(void **state)
{
    peer_start(&e, NULL, SEG_OPT_SACK_OK, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK, 1000, 0, 1000);
    peer_send(&e, SEG_ACK, 3000, 0, 1000);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(peer_ack(&e, &e.out[0]), 0);
    assert_int_equal(e.out[0].sack_count, 2);
    assert_int_equal(e.out[0].sack[0].start, PEER_IRS + 1 + 3000); // the latest first
    assert_int_equal(e.out[0].sack[1].start, PEER_IRS + 1 + 1000);
    assert_int_equal(peer_rings(&e)->rx_head, 0);
    peer_send(&e, SEG_ACK, 0, 0, 1000);
    assert_int_equal(peer_rings(&e)->rx_head, 2000);
    peer_send(&e, SEG_ACK, 2000, 0, 1000);
    assert_int_equal(peer_rings(&e)->rx_head, 4000);
    peer_take(&e);
    assert_int_equal(peer_ack(&e, &e.out[0]), 4000);
    assert_int_equal(e.out[0].sack_count, 0);
    peer_end(&e);
}

// Hostile holes: the list stays short, the data behind it still comes through in the end.
static void test_established_many_holes_stay_bounded(void **state)
{
    peer_start(&e, NULL, SEG_OPT_SACK_OK, TCP_ESTABLISHED);
    for (int i = 0; i < 1000; i++)
        peer_send(&e, SEG_ACK, 2 + 2 * i, 0, 1);
    assert_in_range(e.c->ooo_count, 1, 128);
    assert_true(tcp_counters(&e.p->side[0].ctx)->ooo_drops > 500);
    for (int i = 0; i < 2001; i++)
        peer_send(&e, SEG_ACK, i, 0, 1);
    assert_int_equal(peer_rings(&e)->rx_head, 2001);
    assert_int_equal(e.c->ooo_count, 0);
    peer_end(&e);
}

static void test_established_out_of_order_fin_counts_when_reached(void **state)
{
    peer_start(&e, NULL, SEG_OPT_SACK_OK, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK | SEG_FIN, 1000, 0, 500);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK, 0, 0, 1000);
    assert_int_equal(e.c->state, TCP_CLOSE_WAIT);
    assert_int_equal(peer_rings(&e)->rx_head, 1500);
    peer_take(&e);
    assert_int_equal(peer_ack(&e, &e.out[0]), 1501);
    peer_end(&e);
}

// RST and SYN: RFC 5961
// ----------------------------------------------------------------------------------

static void test_established_exact_rst_resets(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_RST, 0, 0, 0);
    assert_int_equal(e.c->state, TCP_CLOSED);
    assert_int_equal(e.c->error, -ECONNRESET);
    assert_int_equal(peer_take(&e), 0);
    peer_end(&e);
}

static void test_established_rst_in_window_is_challenged(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_RST, 5, 0, 0);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_ACK);
    peer_send(&e, SEG_RST, 6, 0, 0); // the next within half a second is not answered
    assert_int_equal(peer_take(&e), 0);
    peer_end(&e);
}

static void test_established_rst_outside_window_is_dropped(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_RST, -1, 0, 0);
    peer_send(&e, SEG_RST, 10000000, 0, 0);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    assert_int_equal(peer_take(&e), 0);
    peer_end(&e);
}

static void test_established_syn_is_challenged(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_SYN, 3, 0, 0);
    assert_int_equal(e.c->state, TCP_ESTABLISHED);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_ACK);
    assert_int_equal(peer_ack(&e, &e.out[0]), 0);
    peer_end(&e);
}

static void test_established_ack_of_unsent_data_is_challenged(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK, 0, 1, 100);
    assert_int_equal(peer_rings(&e)->rx_head, 0);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_ACK);
    peer_end(&e);
}

static void test_established_too_old_ack_is_challenged(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK, 0, -100000, 100); // RFC 5961, 5
    assert_int_equal(peer_rings(&e)->rx_head, 0);
    assert_int_equal(peer_take(&e), 1);
    peer_end(&e);
}

static void test_established_segment_without_ack_is_dropped(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, 0, 0, 0, 100);
    assert_int_equal(peer_rings(&e)->rx_head, 0);
    peer_end(&e);
}

// RFC 7323, 5: an old timestamp in the window is an old duplicate.
static void test_established_paws_rejects_old_timestamp(void **state)
{
    peer_start(&e, NULL, SEG_OPT_TS, TCP_ESTABLISHED);
    struct segment s = peer_segment(&e, SEG_ACK, 0, 0, 100);
    s.ts_val -= 50;
    peer_put(&e, &s);
    assert_int_equal(peer_rings(&e)->rx_head, 0);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(peer_ack(&e, &e.out[0]), 0);
    assert_int_equal(tcp_counters(&e.p->side[0].ctx)->paws_drops, 1);
    peer_end(&e);
}

static void test_established_paws_lets_rst_pass(void **state)
{
    peer_start(&e, NULL, SEG_OPT_TS, TCP_ESTABLISHED);
    struct segment s = peer_segment(&e, SEG_RST, 0, 0, 0);
    s.ts_val -= 50;
    peer_put(&e, &s);
    assert_int_equal(e.c->state, TCP_CLOSED);
    peer_end(&e);
}

static void test_established_urgent_pointer_is_told(void **state)
{
    uint64_t pos;

    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    assert_int_equal(tcp_urgent_pos(e.c, &pos), -ENOENT);
    struct segment s = peer_segment(&e, SEG_ACK | SEG_URG, 0, 0, 100);
    s.urgent = 40;
    peer_put(&e, &s);
    assert_true(peer_rings(&e)->events & TCP_EV_URGENT);
    assert_int_equal(tcp_urgent_pos(e.c, &pos), 0);
    assert_int_equal(pos, 40);
    peer_end(&e);
}

static void test_established_urgent_data_is_pointed_at(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    pair_write(e.p, 0, e.c, "0123456789", 10);
    tcp_send_urgent(&e.p->side[0].ctx, e.p->now_ns, e.c, 0);
    assert_int_equal(peer_take(&e), 1);
    assert_true(e.out[0].flags & SEG_URG);
    assert_int_equal(e.out[0].urgent, 10);
    peer_end(&e);
}

static void test_established_urgent_data_that_follows(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    pair_write(e.p, 0, e.c, "0123", 4);
    assert_int_equal(peer_take(&e), 1);
    assert_false(e.out[0].flags & SEG_URG);
    tcp_send_urgent(&e.p->side[0].ctx, e.p->now_ns, e.c, 6);
    pair_write(e.p, 0, e.c, "456789", 6);
    assert_int_equal(peer_take(&e), 1);
    assert_true(e.out[0].flags & SEG_URG);
    assert_int_equal(e.out[0].urgent, 6);
    peer_end(&e);
}

// Closing
// --------------------------------------------------------------------------------------------------

static void test_established_fin_leads_to_close_wait(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK | SEG_FIN, 0, 0, 10);
    assert_int_equal(e.c->state, TCP_CLOSE_WAIT);
    assert_true(peer_rings(&e)->events & TCP_EV_FIN);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(peer_ack(&e, &e.out[0]), 11);
    peer_end(&e);
}

static void test_close_wait_still_sends(void **state)
{
    peer_start(&e, NULL, 0, TCP_CLOSE_WAIT);
    peer_write(&e, 100);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.out[0].len, 100);
    peer_end(&e);
}

static void test_close_wait_close_then_ack_ends(void **state)
{
    peer_start(&e, NULL, 0, TCP_LAST_ACK);
    peer_send(&e, SEG_ACK, 1, 1, 0);
    assert_int_equal(e.c->state, TCP_CLOSED);
    assert_int_equal(e.c->error, 0);
    peer_end(&e);
}

static void test_fin_wait_1_ack_leads_to_fin_wait_2(void **state)
{
    peer_start(&e, NULL, 0, TCP_FIN_WAIT_1);
    peer_send(&e, SEG_ACK, 0, 1, 0);
    assert_int_equal(e.c->state, TCP_FIN_WAIT_2);
    peer_end(&e);
}

static void test_fin_wait_1_fin_ack_leads_to_time_wait(void **state)
{
    peer_start(&e, NULL, 0, TCP_FIN_WAIT_1);
    peer_send(&e, SEG_ACK | SEG_FIN, 0, 1, 0);
    assert_int_equal(e.c->state, TCP_TIME_WAIT);
    peer_end(&e);
}

static void test_fin_wait_1_fin_leads_to_closing(void **state)
{
    peer_start(&e, NULL, 0, TCP_FIN_WAIT_1);
    peer_send(&e, SEG_ACK | SEG_FIN, 0, 0, 0);
    assert_int_equal(e.c->state, TCP_CLOSING);
    peer_send(&e, SEG_ACK, 1, 1, 0);
    assert_int_equal(e.c->state, TCP_TIME_WAIT);
    peer_end(&e);
}

static void test_fin_wait_2_takes_data_then_fin(void **state)
{
    peer_start(&e, NULL, 0, TCP_FIN_WAIT_2);
    peer_send(&e, SEG_ACK, 0, 1, 300);
    assert_int_equal(peer_rings(&e)->rx_head, 300);
    peer_send(&e, SEG_ACK | SEG_FIN, 300, 1, 0);
    assert_int_equal(e.c->state, TCP_TIME_WAIT);
    peer_end(&e);
}

static void test_fin_wait_2_data_after_close_resets(void **state)
{
    peer_start(&e, NULL, 0, TCP_FIN_WAIT_2);
    tcp_close(&e.p->side[0].ctx, e.p->now_ns, e.c);
    peer_send(&e, SEG_ACK, 0, 1, 300);
    assert_int_equal(peer_take(&e), 1);
    assert_true(e.out[0].flags & SEG_RST);
    assert_int_equal(tcp_counters(&e.p->side[0].ctx)->conns, 0);
    peer_end(&e);
}

static void test_established_close_with_unread_data_resets(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    peer_send(&e, SEG_ACK, 0, 0, 300);
    peer_take(&e);
    tcp_close(&e.p->side[0].ctx, e.p->now_ns, e.c);
    assert_int_equal(peer_take(&e), 1);
    assert_true(e.out[0].flags & SEG_RST);
    peer_end(&e);
}

static void test_time_wait_fin_again_is_acked_and_restarts(void **state)
{
    peer_start(&e, NULL, 0, TCP_TIME_WAIT);
    peer_wait(&e, 50 * NS_PER_S);
    peer_send(&e, SEG_ACK | SEG_FIN, 0, 1, 0);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(peer_ack(&e, &e.out[0]), 1);
    peer_wait(&e, 50 * NS_PER_S);
    assert_int_equal(e.c->state, TCP_TIME_WAIT);
    peer_wait(&e, 11 * NS_PER_S);
    assert_int_equal(e.c->state, TCP_CLOSED);
    peer_end(&e);
}

static void test_time_wait_rst_is_ignored(void **state)
{
    peer_start(&e, NULL, 0, TCP_TIME_WAIT);
    peer_send(&e, SEG_RST, 1, 0, 0); // RFC 1337
    assert_int_equal(e.c->state, TCP_TIME_WAIT);
    peer_end(&e);
}

// MUST-13 and RFC 6191
static void test_time_wait_newer_syn_opens_anew(void **state)
{
    peer_start_passive(&e, NULL, SEG_OPT_TS, TCP_TIME_WAIT);
    tcp_close(&e.p->side[0].ctx, e.p->now_ns, e.c);
    peer_send(&e, SEG_SYN, 5000, 0, 0);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_SYN | SEG_ACK);
    assert_int_equal(tcp_counters(&e.p->side[0].ctx)->time_wait_reused, 1);
    peer_end(&e);
}

static void test_time_wait_older_syn_is_acked(void **state)
{
    peer_start_passive(&e, NULL, SEG_OPT_TS, TCP_TIME_WAIT);
    struct segment s = peer_segment(&e, SEG_SYN, 5000, 0, 0);
    s.ts_val -= 1000;
    peer_put(&e, &s);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].flags, SEG_ACK);
    peer_end(&e);
}

static void test_established_abort_resets(void **state)
{
    peer_start(&e, NULL, 0, TCP_ESTABLISHED);
    tcp_abort(&e.p->side[0].ctx, e.p->now_ns, e.c);
    assert_int_equal(peer_take(&e), 1);
    assert_true(e.out[0].flags & SEG_RST);
    assert_int_equal(peer_seq(&e, &e.out[0]), 0);
    assert_int_equal(tcp_counters(&e.p->side[0].ctx)->conns, 0);
    peer_end(&e);
}

static void test_syn_sent_close_deletes(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    tcp_close(&e.p->side[0].ctx, e.p->now_ns, e.c);
    assert_int_equal(peer_take(&e), 0);
    assert_int_equal(tcp_counters(&e.p->side[0].ctx)->conns, 0);
    peer_end(&e);
}

static void test_syn_sent_shutdown_sends_fin_once_established(void **state)
{
    peer_start(&e, NULL, 0, TCP_SYN_SENT);
    pair_write(e.p, 0, e.c, "abc", 3);
    assert_int_equal(tcp_shutdown_tx(&e.p->side[0].ctx, e.p->now_ns, e.c), 0);
    peer_send(&e, SEG_SYN | SEG_ACK, -1, 0, 0);
    assert_int_equal(e.c->state, TCP_FIN_WAIT_1);
    assert_int_equal(peer_take(&e), 1);
    assert_int_equal(e.out[0].len, 3);
    assert_true(e.out[0].flags & SEG_FIN);
    peer_end(&e);
}

#define T(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_closed_segment_without_ack_resets_its_end),
        T(test_closed_ack_resets_at_its_number),
        T(test_closed_rst_is_ignored),
        T(test_closed_group_address_is_ignored),
        T(test_listen_rst_is_ignored),
        T(test_listen_ack_resets),
        T(test_listen_syn_is_answered_with_all_options),
        T(test_listen_syn_without_options_gets_mss_only),
        T(test_listen_syn_fin_is_dropped),
        T(test_syn_sent_syn_ack_establishes),
        T(test_syn_sent_bad_ack_resets_and_stays),
        T(test_syn_sent_rst_with_good_ack_refuses),
        T(test_syn_sent_rst_without_ack_is_dropped),
        T(test_syn_sent_ack_alone_is_dropped),
        T(test_syn_sent_syn_opens_simultaneously),
        T(test_syn_received_ack_establishes),
        T(test_syn_received_bad_ack_resets),
        T(test_syn_received_syn_again_sends_syn_ack_again),
        T(test_syn_received_rst_frees_the_child),
        T(test_syn_received_data_with_ack_is_taken),
        T(test_syn_received_refused_by_host_waits_for_the_peer),
        T(test_established_data_in_order_is_read_and_acked),
        T(test_established_old_data_is_acked_and_reported),
        T(test_established_overlap_is_cut),
        T(test_established_beyond_window_is_cut),
        T(test_established_out_of_order_waits_and_sacks),
        T(test_established_many_holes_stay_bounded),
        T(test_established_out_of_order_fin_counts_when_reached),
        T(test_established_exact_rst_resets),
        T(test_established_rst_in_window_is_challenged),
        T(test_established_rst_outside_window_is_dropped),
        T(test_established_syn_is_challenged),
        T(test_established_ack_of_unsent_data_is_challenged),
        T(test_established_too_old_ack_is_challenged),
        T(test_established_segment_without_ack_is_dropped),
        T(test_established_paws_rejects_old_timestamp),
        T(test_established_paws_lets_rst_pass),
        T(test_established_urgent_pointer_is_told),
        T(test_established_urgent_data_is_pointed_at),
        T(test_established_urgent_data_that_follows),
        T(test_established_fin_leads_to_close_wait),
        T(test_close_wait_still_sends),
        T(test_close_wait_close_then_ack_ends),
        T(test_fin_wait_1_ack_leads_to_fin_wait_2),
        T(test_fin_wait_1_fin_ack_leads_to_time_wait),
        T(test_fin_wait_1_fin_leads_to_closing),
        T(test_fin_wait_2_takes_data_then_fin),
        T(test_fin_wait_2_data_after_close_resets),
        T(test_established_close_with_unread_data_resets),
        T(test_time_wait_fin_again_is_acked_and_restarts),
        T(test_time_wait_rst_is_ignored),
        T(test_time_wait_newer_syn_opens_anew),
        T(test_time_wait_older_syn_is_acked),
        T(test_established_abort_resets),
        T(test_syn_sent_close_deletes),
        T(test_syn_sent_shutdown_sends_fin_once_established),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
