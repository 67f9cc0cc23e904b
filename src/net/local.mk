# SPDX-License-Identifier: BSD-2-Clause
EXTRA_DIST += src/net/net.h src/net/owner.h src/net/mirror.h src/net/ports.h
