/* Files, descriptors and clocks. */
#include "pwb.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Moves fd above 2: a host that closed its standard streams must not find a
 * file of ours, or its own next one, in their place. */
int pwb_above_stdio(int fd)
{
	if (fd < 0 || fd > 2)
		return fd;
	int up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int why = errno;
	close(fd);
	errno = why;
	return up;
}

/* Opens path to read. O_NONBLOCK: a FIFO put there must not hold anybody. */
int pwb_open(const char *path, int flags)
{
	int fd;
	do
		fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	while (fd < 0 && errno == EINTR);
	return pwb_above_stdio(fd);
}

/* close(2) is not repeated after EINTR: Linux has closed it by then. */
void pwb_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Reads exactly n bytes; false when the file has less or cannot be read. */
bool pwb_read_at(int fd, void *to, size_t n, uint64_t at)
{
	char *p = to;
	while (n > 0) {
		if (at > INT64_MAX - (uint64_t)n)
			return false;
		ssize_t got = pread(fd, p, n, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
		at += (uint64_t)got;
	}
	return true;
}

/* The coarse clock is a few ms behind, and is read without a look at the hardware,
 * which on some virtual machines is a system call. */
int64_t pwb_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int pwb_remaining(int64_t deadline)
{
	int64_t left = deadline - pwb_now();
	return left > 0 ? (int)left : 0;
}

uint16_t pwb_u16(const unsigned char *at)
{
	uint16_t v;
	memcpy(&v, at, sizeof v);
	return le16toh(v);
}

uint32_t pwb_u32(const unsigned char *at)
{
	uint32_t v;
	memcpy(&v, at, sizeof v);
	return le32toh(v);
}

uint64_t pwb_u64(const unsigned char *at)
{
	uint64_t v;
	memcpy(&v, at, sizeof v);
	return le64toh(v);
}

/* The sum of headers and records, over words of 8 bytes; it finds damage, not
 * malice: who may write the index decides what is in it. */
uint64_t pwb_sum(uint64_t s, const void *words, size_t bytes)
{
	const unsigned char *p = words;
	for (; bytes >= 8; p += 8, bytes -= 8) {
		s = (s ^ pwb_u64(p)) * UINT64_C(0x9E3779B97F4A7C15);
		s ^= s >> 29;
	}
	return s;
}
