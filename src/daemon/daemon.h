// SPDX-License-Identifier: BSD-2-Clause
// shuntd as a function, so that `shunt run` can start a private one from its own executable.
#ifndef SHUNT_DAEMON_DAEMON_H
#define SHUNT_DAEMON_DAEMON_H

// The whole life of a shuntd, with the arguments of shuntd(8); returns its exit status.
int daemon_main(int argc, char **argv);

#endif
