#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# One short round of every case of ./dev bench: does it work? Says nothing about speed.
exec "${top_srcdir:?}/tests/bench/run" --quick --build "${top_builddir:?}"
