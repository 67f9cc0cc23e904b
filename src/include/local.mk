# SPDX-License-Identifier: BSD-2-Clause
# The public headers, installed as <shunt/NAME.h>.
pkginclude_HEADERS += src/include/shunt/info.h
