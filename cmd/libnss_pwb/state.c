/* The agent's state file: whether a miss in the index is the last word. */
#include "pwb.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STATE_BYTES = 64, REACHABLE = 1, FILES_CURRENT = 2 };

#define SECOND INT64_C(1000000000)

/* A heartbeat comes every 5 s; three may be missed. An open long poll counts as
 * an answer at each heartbeat, so that an answer is 5 s old at most, and a little
 * more while the next heartbeat is being written. */
#define HEARTBEAT_FRESH (15 * SECOND)
#define ANSWER_FRESH (10 * SECOND)

static bool younger(uint64_t then, uint64_t now, int64_t limit)
{
	return then <= now && now - then < (uint64_t)limit;
}

/* What the agent says of itself, its index's generation and its process.
 * Whatever is stale or odd is PWB_UNKNOWN: then somebody is asked. */
enum pwb_state pwb_state_read(const char *path, uint64_t *generation, uint64_t *pid)
{
	int fd = pwb_open(path, O_NOFOLLOW);
	if (fd < 0)
		return PWB_UNKNOWN;
	struct stat st;
	struct timespec t;
	unsigned char s[STATE_BYTES];
	bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == STATE_BYTES && !(st.st_mode & S_IWOTH) &&
		  (st.st_uid == 0 || st.st_uid == geteuid()) && pwb_read_at(fd, s, sizeof s, 0);
	pwb_close(fd);
	if (!ok || memcmp(s, "PWBSTATE", 8) != 0 || pwb_u32(s + 8) != 1 || pwb_u64(s + 16) != pwb_sum(PWB_SUM_START, s + 24, STATE_BYTES - 24))
		return PWB_UNKNOWN;
	if (clock_gettime(CLOCK_BOOTTIME, &t) != 0)
		return PWB_UNKNOWN;
	uint64_t now = (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
	if (!younger(pwb_u64(s + 24), now, HEARTBEAT_FRESH))
		return PWB_UNKNOWN;
	*generation = pwb_u64(s + 40);
	*pid = pwb_u64(s + 48);
	uint32_t flags = pwb_u32(s + 12);
	if (!(flags & REACHABLE))
		return PWB_UNREACHABLE;
	if (flags & FILES_CURRENT && younger(pwb_u64(s + 32), now, ANSWER_FRESH))
		return PWB_CURRENT;
	return PWB_UNKNOWN;
}
