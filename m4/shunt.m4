# SPDX-License-Identifier: BSD-2-Clause

# SHUNT_FEATURE(NAME, HELP, VARIABLE, MODULES)
# An --enable-NAME=auto|yes|no whose need is the pkg-config MODULES. Sets VARIABLE_CFLAGS and
# VARIABLE_LIBS, the conditional HAVE_VARIABLE, and enable_NAME to yes or no.
AC_DEFUN([SHUNT_FEATURE], [
  AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1=auto|yes|no], [$2 @<:@auto@:>@])],
    [], [enable_$1=auto])
  AS_CASE([$enable_$1],
    [no], [],
    [auto], [PKG_CHECK_MODULES([$3], [$4], [enable_$1=yes], [enable_$1=no])],
    [yes], [PKG_CHECK_MODULES([$3], [$4])],
    [AC_MSG_ERROR([--enable-$1 takes auto, yes or no, not '$enable_$1'])])
  AM_CONDITIONAL([HAVE_$3], [test "x$enable_$1" = xyes])
])

# SHUNT_WITH(NAME, HELP, VARIABLE, MODULES)
# A --with-NAME=auto|yes|no for a library that can be done without: sets what SHUNT_FEATURE does,
# with_NAME, and defines HAVE_VARIABLE.
AC_DEFUN([SHUNT_WITH], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=auto|yes|no], [$2 @<:@auto@:>@])],
    [], [with_$1=auto])
  AS_CASE([$with_$1],
    [no], [],
    [auto], [PKG_CHECK_MODULES([$3], [$4], [with_$1=yes], [with_$1=no])],
    [yes], [PKG_CHECK_MODULES([$3], [$4])],
    [AC_MSG_ERROR([--with-$1 takes auto, yes or no, not '$with_$1'])])
  AM_CONDITIONAL([HAVE_$3], [test "x$with_$1" = xyes])
  AS_IF([test "x$with_$1" = xyes], [AC_DEFINE([HAVE_$3], [1], [There is $4.])])
])

# SHUNT_SONAME(NAME, LIBRARY, LIBS)
# Defines NAME as what the loader finds LIBRARY by, as "libconfig.so.9".
AC_DEFUN([SHUNT_SONAME], [
  AC_CHECK_TOOL([READELF], [readelf], [readelf])
  AC_MSG_CHECKING([for the soname of $2])
  shunt_saved_libs=$LIBS
  LIBS="-Wl,--no-as-needed $3 $LIBS"
  shunt_soname=
  AC_LINK_IFELSE([AC_LANG_PROGRAM()],
    [shunt_soname=`$READELF -d conftest$ac_exeext | $SED -n 's/.*(NEEDED).*: .\($2\.so.*\).$/\1/p'`])
  LIBS=$shunt_saved_libs
  AS_IF([test -z "$shunt_soname"], [AC_MSG_ERROR([$2 is no shared library])])
  AC_MSG_RESULT([$shunt_soname])
  AC_DEFINE_UNQUOTED([$1], ["$shunt_soname"], [What the loader finds $2 by.])
])

# SHUNT_DOCS
# --enable-docs=auto|yes|no: whether man pages, README and tour are installed. They need no tool, so
# auto is yes.
AC_DEFUN([SHUNT_DOCS], [
  AC_ARG_ENABLE([docs],
    [AS_HELP_STRING([--enable-docs=auto|yes|no], [install man pages and documents @<:@auto@:>@])],
    [], [enable_docs=auto])
  AS_CASE([$enable_docs],
    [auto], [enable_docs=yes],
    [yes|no], [],
    [AC_MSG_ERROR([--enable-docs takes auto, yes or no, not '$enable_docs'])])
  AM_CONDITIONAL([ENABLE_DOCS], [test "x$enable_docs" = xyes])
])

# SHUNT_SANITIZER_FLAGS
# Sets SAN_CFLAGS from --enable-sanitizer, and fails where the compiler cannot link with it.
AC_DEFUN([SHUNT_SANITIZER_FLAGS], [
  AC_ARG_ENABLE([sanitizer],
    [AS_HELP_STRING([--enable-sanitizer=LIST], [address,undefined or thread @<:@no@:>@])],
    [], [enable_sanitizer=no])
  AS_CASE([$enable_sanitizer],
    [no], [SAN_CFLAGS=],
    [yes], [AC_MSG_ERROR([--enable-sanitizer takes a list, as address,undefined])],
    [SAN_CFLAGS="-fsanitize=$enable_sanitizer -fno-omit-frame-pointer -fno-sanitize-recover=all"
     shunt_saved_cflags=$CFLAGS
     CFLAGS="$CFLAGS $SAN_CFLAGS"
     AC_MSG_CHECKING([whether $CC links with $SAN_CFLAGS])
     AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])],
       [AC_MSG_RESULT([no])
        AC_MSG_ERROR([this compiler has no sanitizer '$enable_sanitizer'])])
     dnl Under a sanitizer gcc sees uninitialised variables where there are none, and under
     dnl ThreadSanitizer warns of every fence; what our fences order is atomic anyway.
     AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
       #ifdef __clang__
       #error clang knows neither warning
       #endif
       int gcc;
     ]])], [SAN_CFLAGS="$SAN_CFLAGS -Wno-maybe-uninitialized -Wno-tsan"])
     CFLAGS=$shunt_saved_cflags])
  AC_SUBST([SAN_CFLAGS])
])

# SHUNT_LTO
# --enable-lto=auto|yes|no: objects hold machine code and gcc's intermediate code side by side, so
# that what is installed is optimised as a whole and the many test programs link fast. Sets LTO_CFLAGS
# (to compile, and to link as a whole) and NO_LTO_LDFLAGS (to link the machine code as it is).
AC_DEFUN([SHUNT_LTO], [
  AC_ARG_ENABLE([lto],
    [AS_HELP_STRING([--enable-lto=auto|yes|no],
      [link-time optimisation; auto: where gcc has it and no sanitizer is asked for @<:@auto@:>@])],
    [], [enable_lto=auto])
  AS_CASE([$enable_lto], [auto|yes|no], [],
    [AC_MSG_ERROR([--enable-lto takes auto, yes or no, not '$enable_lto'])])
  LTO_CFLAGS=
  NO_LTO_LDFLAGS=
  AS_IF([test "x$enable_lto" = xyes || test "x$enable_lto$enable_sanitizer$enable_fuzz" = xautonono],
    [shunt_saved_cflags=$CFLAGS
     CFLAGS="$CFLAGS -Werror -flto=auto -ffat-lto-objects"
     AC_MSG_CHECKING([whether $CC has fat objects for link-time optimisation])
     AC_LINK_IFELSE([AC_LANG_PROGRAM()], [shunt_lto=yes], [shunt_lto=no])
     AC_MSG_RESULT([$shunt_lto])
     CFLAGS=$shunt_saved_cflags
     AS_IF([test "x$enable_lto$shunt_lto" = xyesno], [AC_MSG_ERROR([--enable-lto needs gcc])])
     enable_lto=$shunt_lto],
    [enable_lto=no])
  AS_IF([test "x$enable_lto" = xyes],
    [LTO_CFLAGS="-flto=auto -ffat-lto-objects"
     NO_LTO_LDFLAGS=-fno-lto])
  AC_SUBST([LTO_CFLAGS])
  AC_SUBST([NO_LTO_LDFLAGS])
])

# SHUNT_FUZZ
# --enable-fuzz=yes|no builds the targets of tests/fuzz with clang's libFuzzer.
AC_DEFUN([SHUNT_FUZZ], [
  AC_ARG_ENABLE([fuzz],
    [AS_HELP_STRING([--enable-fuzz=yes|no], [libFuzzer targets; needs clang @<:@no@:>@])],
    [], [enable_fuzz=no])
  FUZZ_CFLAGS=
  FUZZ_LDFLAGS=
  AS_IF([test "x$enable_fuzz" = xyes],
    [FUZZ_CFLAGS="-fsanitize=fuzzer-no-link"
     FUZZ_LDFLAGS="-fsanitize=fuzzer"
     shunt_saved_cflags=$CFLAGS
     CFLAGS="$CFLAGS $FUZZ_CFLAGS"
     AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [],
       [AC_MSG_ERROR([--enable-fuzz needs clang: try CC=clang-14])])
     CFLAGS=$shunt_saved_cflags])
  AM_CONDITIONAL([ENABLE_FUZZ], [test "x$enable_fuzz" = xyes])
  AC_SUBST([FUZZ_CFLAGS])
  AC_SUBST([FUZZ_LDFLAGS])
])

# SHUNT_SYSTEMD
# --with-systemdsystemunitdir=auto|no|DIR; auto is below the prefix, but for /usr where systemd's own
# answer is right.
AC_DEFUN([SHUNT_SYSTEMD], [
  AC_ARG_WITH([systemdsystemunitdir],
    [AS_HELP_STRING([--with-systemdsystemunitdir=auto|no|DIR], [where units go @<:@auto@:>@])],
    [], [with_systemdsystemunitdir=auto])
  AS_IF([test "x$with_systemdsystemunitdir" = xauto],
    [AS_CASE([$prefix],
      [/usr], [with_systemdsystemunitdir=/lib/systemd/system],
      [with_systemdsystemunitdir='${prefix}/lib/systemd/system'])])
  AM_CONDITIONAL([HAVE_SYSTEMD], [test "x$with_systemdsystemunitdir" != xno])
  AC_SUBST([systemdsystemunitdir], [$with_systemdsystemunitdir])
])

# SHUNT_XDP
# --with-xdp=auto|yes|no: the owner's side of raw queues (AF_PACKET and AF_XDP), which needs libbpf,
# libxdp and a clang that compiles for BPF. Sets XDP_CFLAGS, XDP_LIBS, BPF_CLANG, BPF_CFLAGS and the
# conditional and macro HAVE_XDP.
AC_DEFUN([SHUNT_XDP], [
  AC_ARG_WITH([xdp], [AS_HELP_STRING([--with-xdp=auto|yes|no],
      [AF_PACKET and AF_XDP queues; needs libbpf, libxdp, clang @<:@auto@:>@])],
    [], [with_xdp=auto])
  AS_CASE([$with_xdp], [auto|yes|no], [],
    [AC_MSG_ERROR([--with-xdp takes auto, yes or no, not '$with_xdp'])])
  shunt_xdp=$with_xdp
  AS_IF([test "x$shunt_xdp" != xno], [
    PKG_CHECK_MODULES([XDP], [libxdp >= 1.2 libbpf >= 1.0], [],
      [shunt_xdp_lacks="libxdp and libbpf (Debian: libxdp-dev)"])
    AC_PATH_PROGS([BPF_CLANG], [clang clang-19 clang-16 clang-15 clang-14])
    dnl the kernel's headers for this machine, which a compiler for BPF does not look for
    BPF_CFLAGS="-O2 -g -Wall -target bpf -I/usr/include/`$CC -print-multiarch 2>/dev/null`"
    AC_MSG_CHECKING([whether clang compiles for BPF])
    echo '#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>' >conftest.bpf.c
    AS_IF([test -n "$BPF_CLANG" && $BPF_CLANG $BPF_CFLAGS -c conftest.bpf.c -o conftest.bpf.o 2>&AS_MESSAGE_LOG_FD],
      [AC_MSG_RESULT([yes])],
      [AC_MSG_RESULT([no])
       shunt_xdp_lacks="clang for BPF and linux-libc-dev"])
    rm -f conftest.bpf.c conftest.bpf.o
    AS_IF([test -z "$shunt_xdp_lacks"], [shunt_xdp=yes],
      [test "x$with_xdp" = xyes], [AC_MSG_ERROR([--with-xdp=yes, but there is no $shunt_xdp_lacks])],
      [shunt_xdp=no])
  ])
  with_xdp=$shunt_xdp
  AS_IF([test "x$with_xdp" = xyes],
    [AC_DEFINE([HAVE_XDP], [1], [AF_PACKET and AF_XDP queues can be opened])])
  AM_CONDITIONAL([HAVE_XDP], [test "x$with_xdp" = xyes])
  AC_SUBST([BPF_CFLAGS])
])

# SHUNT_VERBS
# --with-verbs=auto|yes|no: raw queues by verbs, which need libibverbs. Sets VERBS_CFLAGS, VERBS_LIBS
# and the conditional and macro HAVE_VERBS.
AC_DEFUN([SHUNT_VERBS], [
  AC_ARG_WITH([verbs], [AS_HELP_STRING([--with-verbs=auto|yes|no],
      [raw packet queues by libibverbs @<:@auto@:>@])],
    [], [with_verbs=auto])
  AS_CASE([$with_verbs],
    [no], [],
    [auto], [PKG_CHECK_MODULES([VERBS], [libibverbs], [with_verbs=yes], [with_verbs=no])],
    [yes], [PKG_CHECK_MODULES([VERBS], [libibverbs])],
    [AC_MSG_ERROR([--with-verbs takes auto, yes or no, not '$with_verbs'])])
  AS_IF([test "x$with_verbs" = xyes],
    [AC_DEFINE([HAVE_VERBS], [1], [raw packet queues by verbs can be opened])])
  AM_CONDITIONAL([HAVE_VERBS], [test "x$with_verbs" = xyes])
])
