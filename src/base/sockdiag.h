// SPDX-License-Identifier: BSD-2-Clause
// Asks the kernel for one TCP socket of a network namespace, by its addresses (sock_diag(7)).
#ifndef SHUNT_BASE_SOCKDIAG_H
#define SHUNT_BASE_SOCKDIAG_H

#include <linux/inet_diag.h>
#include <stdint.h>

// A cookie that matches any socket.
#define SOCKDIAG_ANY UINT64_MAX

// Opens a netlink socket that asks in the namespace of the calling thread. Returns it, for close(),
// or -errno.
int sockdiag_open(void);

// Makes a request for a socket of that cookie (SO_COOKIE), in any state; its addresses are still to
// be filled in, as the socket itself sees them. family: AF_INET or AF_INET6.
void sockdiag_request(struct inet_diag_req_v2 *req, int family, uint64_t cookie);

// 0 and *found: idiag_inode is 0 where no process holds the socket any more. -ENOENT: there is none
// (a listener that such a connection would come to is not taken for it); -ESTALE: one of another
// cookie; else -errno: the kernel does not tell. Does not block: it answers during the send.
int sockdiag_ask(int netlink, const struct inet_diag_req_v2 *req, struct inet_diag_msg *found);

#endif
