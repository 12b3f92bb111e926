/* /etc/rstudio/workbench-nss.conf: lines "key = value" or "key=value"; '#'
 * begins a comment line. Keys that are not the module's (the server's address,
 * tokens) are for nss-live, which reads the same file. */
#include "pwb.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 512, FILE_BYTES = 64 << 10 };

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static void set_path(char *to, const char *value, size_t n)
{
	/* A path that is not absolute would depend on where the host stands. */
	if (n == 0 || n >= PWB_PATH_MAX || value[0] != '/')
		return;
	memcpy(to, value, n);
	to[n] = 0;
}

static bool is_key(const char *key, size_t n, const char *want)
{
	return strlen(want) == n && memcmp(key, want, n) == 0;
}

/* A value that cannot be right leaves the default in place: the module has
 * nobody to tell, and an account that cannot be looked up helps nobody. */
static void set_key(struct pwb_conf *conf, const char *key, size_t k, const char *value, size_t n)
{
	if (is_key(key, k, "state-dir"))
		set_path(conf->state_dir, value, n);
	else if (is_key(key, k, "state-path"))
		set_path(conf->state_path, value, n);
	else if (is_key(key, k, "socket-path"))
		set_path(conf->socket_path, value, n);
	else if (is_key(key, k, "live-path"))
		set_path(conf->live_path, value, n);
	else if (is_key(key, k, "enumerate"))
		conf->enumerate = n == 1 && value[0] == '1';
	else if (is_key(key, k, "timeout")) {
		int ms = 0;
		for (size_t i = 0; i < n; i++) {
			if (value[i] < '0' || value[i] > '9' || ms > 60000)
				return;
			ms = ms * 10 + (value[i] - '0');
		}
		if (ms >= 1 && ms <= 60000)
			conf->timeout = ms;
	}
}

static void parse_line(struct pwb_conf *conf, const char *line, size_t n)
{
	while (n > 0 && is_blank(line[0]))
		line++, n--;
	if (n == 0 || line[0] == '#')
		return;
	const char *equals = memchr(line, '=', n);
	if (!equals)
		return;
	size_t k = (size_t)(equals - line);
	const char *value = equals + 1;
	size_t v = n - k - 1;
	while (k > 0 && is_blank(line[k - 1]))
		k--;
	while (v > 0 && is_blank(value[0]))
		value++, v--;
	while (v > 0 && is_blank(value[v - 1]))
		v--;
	if (memchr(value, 0, v))
		return;
	set_key(conf, line, k, value, v);
}

/* Reads the configuration; false where there is none, and the module is then
 * dormant. So it is where everybody may write the file: it names a program
 * that root runs. */
bool pwb_conf_read(struct pwb_conf *conf, const char *path)
{
	if (pwb_kept(path, conf))
		return true;
	memset(conf, 0, sizeof *conf);
	conf->timeout = 2000;
	strcpy(conf->state_dir, "/var/lib/pwb");
	strcpy(conf->state_path, "/run/pwb/state");
	strcpy(conf->socket_path, "/run/pwb/agent.sock");
	strcpy(conf->live_path, "/usr/libexec/pwb/nss-live");

	/* Links are followed: a file mounted from a Kubernetes ConfigMap is one. */
	int fd = pwb_open(path, 0);
	if (fd < 0)
		return false;
	struct stat st;
	struct timespec now;
	bool ok = clock_gettime(CLOCK_REALTIME, &now) == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & S_IWOTH);

	char buffer[LINE_BYTES];
	size_t have = 0, total = 0;
	bool skip = false; /* the rest of a line that is too long */
	while (ok && total < FILE_BYTES && total < (uint64_t)st.st_size) {
		ssize_t got = read(fd, buffer + have, sizeof buffer - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			ok = false;
		if (got <= 0)
			break;
		total += (size_t)got;
		have += (size_t)got;
		char *line = buffer, *end;
		while ((end = memchr(line, '\n', have))) {
			if (!skip)
				parse_line(conf, line, (size_t)(end - line));
			skip = false;
			have -= (size_t)(end + 1 - line);
			line = end + 1;
		}
		if (have == sizeof buffer) {
			skip = true;
			have = 0;
		}
		memmove(buffer, line, have);
	}
	if (ok && have > 0 && !skip)
		parse_line(conf, buffer, have);
	pwb_close(fd);
	if (ok)
		pwb_keep(&st, &now, conf);
	return ok;
}
