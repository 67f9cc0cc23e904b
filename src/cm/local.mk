# SPDX-License-Identifier: BSD-2-Clause
noinst_LTLIBRARIES += libcm.la
libcm_la_SOURCES = \
	src/cm/choice.h src/cm/choice.c \
	src/cm/cm.h \
	src/cm/record.h
