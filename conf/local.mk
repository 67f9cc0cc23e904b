# SPDX-License-Identifier: BSD-2-Clause
# What is configured on a host: the rules, and the daemon's unit.
EXTRA_DIST += conf/shunt.conf conf/shuntd.service.in conf/shunt.bash
CLEANFILES += conf/shuntd.service

conf/shuntd.service: $(srcdir)/conf/shuntd.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) conf && sed -e 's|[@]sbindir@|$(sbindir)|g' $< >$@

if HAVE_SYSTEMD
systemdsystemunit_DATA = conf/shuntd.service
endif

# bash-completion(7) finds it by the command's name
bashcompletiondir = $(datadir)/bash-completion/completions
install-data-hook:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) $(srcdir)/conf/shunt.bash '$(DESTDIR)$(bashcompletiondir)/shunt'

# a host's own rules are never overwritten, nor removed
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(sysconfdir)'
	test -e '$(DESTDIR)$(sysconfdir)/shunt.conf' || \
		$(INSTALL_DATA) $(srcdir)/conf/shunt.conf '$(DESTDIR)$(sysconfdir)/shunt.conf'

uninstall-local:
	rm -f '$(DESTDIR)$(bashcompletiondir)/shunt'
	! cmp -s $(srcdir)/conf/shunt.conf '$(DESTDIR)$(sysconfdir)/shunt.conf' || \
		rm -f '$(DESTDIR)$(sysconfdir)/shunt.conf'
