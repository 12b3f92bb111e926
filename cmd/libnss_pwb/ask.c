/* One question to the agent's socket, and the words in which it and nss-live
 * answer: "found LEN\n" and LEN bytes, "notfound\n", "unavail\n" or "denied\n". */
#include "pwb.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Writes the request's line and returns its length. The name is one that
 * pwb_name_possible let pass, so that nothing in it needs care. */
size_t pwb_request(const struct pwb_want *want, char line[static 128])
{
	static const char databases[][11] = {"passwd", "group", "shadow", "initgroups"};
	char *p = line;
	p = stpcpy(p, "pwb1 ");
	p = stpcpy(p, databases[want->db]);
	if (want->name) {
		p = stpcpy(p, " name ");
		p = stpcpy(p, want->name);
	} else {
		char digits[10];
		int n = 0;
		uint32_t id = want->id;
		do
			digits[n++] = (char)('0' + id % 10);
		while ((id /= 10));
		p = stpcpy(p, " id ");
		while (n > 0)
			*p++ = digits[--n];
	}
	*p++ = '\n';
	return (size_t)(p - line);
}

/* Waits until fd can be read, and reads: > 0, 0 at the end, -1 with errno,
 * ETIMEDOUT when the deadline has passed. */
static ssize_t read_some(int fd, int64_t deadline, char *to, size_t n)
{
	for (;;) {
		int left = pwb_remaining(deadline);
		if (left == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = poll(&p, 1, left);
		if (ready < 0 && errno != EINTR && errno != EAGAIN)
			return -1;
		if (ready <= 0)
			continue;
		ssize_t got = read(fd, to, n);
		if (got >= 0 || (errno != EINTR && errno != EAGAIN))
			return got;
	}
}

static enum pwb_result failed_read(ssize_t got)
{
	return got < 0 && errno == ETIMEDOUT ? PWB_LATE : PWB_BAD;
}

/* Reads "found LEN": the number of bytes that follow, or -1. */
static int64_t found_length(const char *head, size_t n)
{
	int64_t length = 0;
	if (n < 7 || n > 14 || memcmp(head, "found ", 6) != 0)
		return -1;
	for (size_t i = 6; i < n; i++) {
		if (head[i] < '0' || head[i] > '9')
			return -1;
		length = length * 10 + (head[i] - '0');
	}
	return length <= PWB_REPLY_MAX ? length : -1;
}

static bool is_word(const char *head, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(head, word, n) == 0;
}

/* Reads an answer from fd, its line with a NUL to to: PWB_FOUND, PWB_MISS,
 * PWB_AWAY, PWB_DENIED, PWB_RANGE if it does not fit, PWB_LATE, or PWB_BAD. */
enum pwb_result pwb_reply(int fd, int64_t deadline, char *to, size_t size, size_t *length)
{
	char head[32], *newline = NULL;
	size_t have = 0;
	while (!newline) {
		if (have == sizeof head)
			return PWB_BAD;
		ssize_t got = read_some(fd, deadline, head + have, sizeof head - have);
		if (got <= 0)
			return failed_read(got);
		newline = memchr(head + have, '\n', (size_t)got);
		have += (size_t)got;
	}
	size_t n = (size_t)(newline - head), rest = have - n - 1;
	if (rest == 0 && is_word(head, n, "notfound"))
		return PWB_MISS;
	if (rest == 0 && is_word(head, n, "unavail"))
		return PWB_AWAY;
	if (rest == 0 && is_word(head, n, "denied"))
		return PWB_DENIED;
	int64_t all = found_length(head, n);
	if (all < 0 || rest > (size_t)all)
		return PWB_BAD;
	if ((size_t)all >= size)
		return PWB_RANGE;
	memcpy(to, newline + 1, rest);
	while (rest < (size_t)all) {
		ssize_t got = read_some(fd, deadline, to + rest, (size_t)all - rest);
		if (got <= 0)
			return failed_read(got);
		rest += (size_t)got;
	}
	to[all] = 0;
	*length = (size_t)all;
	return PWB_FOUND;
}

/* Sends all of line; the socket's buffer holds it unless the peer is odd. */
static enum pwb_result send_request(int fd, int64_t deadline, const char *line, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, line, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent >= 0) {
			line += sent;
			n -= (size_t)sent;
			continue;
		}
		if (errno != EINTR && errno != EAGAIN)
			return PWB_BAD;
		int left = pwb_remaining(deadline);
		if (left == 0)
			return PWB_LATE;
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		poll(&p, 1, left);
	}
	return PWB_FOUND;
}

/* A peer is the agent if it is root's (or the caller's own, as in tests), and
 * neither this process nor its parent: the agent and what it starts would wait
 * for themselves. */
static enum pwb_result check_peer(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0 || n != sizeof peer)
		return PWB_BAD;
	if (peer.pid == getpid() || peer.pid == getppid())
		return PWB_AWAY;
	return peer.uid == 0 || peer.uid == geteuid() ? PWB_FOUND : PWB_BAD;
}

static enum pwb_result connect_agent(int fd, const char *path, int64_t deadline)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof to.sun_path)
		return PWB_NONE;
	strcpy(to.sun_path, path);
	/* While the agent's queue is full, connect(2) waits as long as a send may. */
	for (;;) {
		int left = pwb_remaining(deadline);
		if (left == 0)
			return PWB_LATE;
		struct timeval t = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
			return PWB_FOUND;
		switch (errno) {
		case EINTR:
			continue;
		case EAGAIN:
			return PWB_LATE;
		default:
			return PWB_NONE;
		}
	}
}

/* Asks the agent: as pwb_reply, or PWB_NONE where no agent listens. */
enum pwb_result pwb_ask(const char *path, const struct pwb_want *want, int64_t deadline, char *to, size_t size, size_t *length)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? PWB_AWAY : PWB_NONE;
	if ((fd = pwb_above_stdio(fd)) < 0)
		return PWB_AWAY;
	char line[128];
	enum pwb_result r = connect_agent(fd, path, deadline);
	if (r == PWB_FOUND)
		r = check_peer(fd);
	if (r == PWB_FOUND)
		r = send_request(fd, deadline, line, pwb_request(want, line));
	if (r == PWB_FOUND)
		r = pwb_reply(fd, deadline, to, size, length);
	pwb_close(fd);
	return r;
}
