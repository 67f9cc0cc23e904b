// SPDX-License-Identifier: BSD-2-Clause
// What the kernel says of a network device, asked once when a queue is opened.
#ifndef SHUNT_QUEUE_DEVICE_H
#define SHUNT_QUEUE_DEVICE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct device {
    char name[IFNAMSIZ];
    char driver[32]; // "veth", "mlx5_core"; "?" where the kernel does not say
    uint32_t ifindex;
    uint32_t mtu_bytes;
    uint16_t rx_queues; // >= 1
    bool zero_copy;     // AF_XDP can work in place (Linux 6.3 tells; before: false)
};

// Asks about a device in the calling thread's network namespace. 0, -ENODEV, -EMFILE.
int device_find(struct device *device, const char *name);

// Makes the caller the one that has the device for `purpose`: an abstract socket, whose name is
// free again when its holder is gone. Returns the fd to close, -EBUSY, -EMFILE.
int device_lock(const char *purpose, uint32_t ifindex);

#endif
