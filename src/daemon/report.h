// SPDX-License-Identifier: BSD-2-Clause
// The answer to `shunt stat`: every record that the asker may see, at the asker's speed.
#ifndef SHUNT_DAEMON_REPORT_H
#define SHUNT_DAEMON_REPORT_H

#include "daemon/client.h"

// Begins the answer; a second question before its end starts it anew.
void report_begin(struct client *client);

// Sends more of it, as far as the client reads. To be called when client->stat and it can be sent.
void report_go_on(struct client *client);

#endif
