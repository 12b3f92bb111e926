/* The last configuration that was read, so that a lookup need not read it: at most
 * once a second one asks stat(2) whether the file is still the same. Nobody waits here: what is being
 * written at the moment is passed over, by readers and writers alike, and the file
 * is read as if nothing were kept. So a thread that ends in the middle of a write,
 * or a fork(2) there, whose child never sees the end of it, cost microseconds. */
#include "pwb.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Seconds for which a file has to be unchanged before it is kept: two changes
 * within one tick of the file system's clock have one time. */
#ifndef PWB_SETTLED
#define PWB_SETTLED 2
#endif

/* Milliseconds for which nobody asks again whether the file is the same: stat(2) is
 * a fifth of a lookup. */
#ifndef PWB_UNASKED
#define PWB_UNASKED 1000
#endif

/* Which file it was, and in which state. A rename over it changes the inode, an
 * edit the times, chmod(2) the mode, a chroot(2) or a mount any of them. */
enum { STAMP_WORDS = 9 };
struct stamp {
	uint64_t words[STAMP_WORDS];
};

enum { CONF_WORDS = sizeof(struct pwb_conf) / sizeof(uint64_t) };
_Static_assert(sizeof(struct pwb_conf) % sizeof(uint64_t) == 0, "the configuration is copied by words");

/* Even: the words belong together; odd: somebody is writing them, or was; 0:
 * nothing was kept yet. Words that change under a reader are no data race, since
 * each is atomic, and no mixture, since the sequence has changed by then. */
static _Atomic uint64_t sequence;
static _Atomic uint64_t kept_stamp[STAMP_WORDS], kept_conf[CONF_WORDS];

/* When the kept file was last seen to be the same, in ms of pwb_now; it says so of
 * the words under the same sequence alone. */
static _Atomic int64_t seen_at;
static _Atomic uint64_t seen_sequence;

static struct stamp stamp_of(const struct stat *st)
{
	return (struct stamp){{
		st->st_dev,
		st->st_ino,
		(uint64_t)st->st_size,
		(uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec,
		(uint64_t)st->st_ctim.tv_sec,
		(uint64_t)st->st_ctim.tv_nsec,
		st->st_mode,
		st->st_uid,
	}};
}

/* Takes the configuration of the file with this stamp, or with any if it is NULL;
 * false if another, or none that is whole, is kept. *at is its sequence number. */
static bool take(const struct stamp *stamp, struct pwb_conf *conf, uint64_t *at)
{
	uint64_t before = atomic_load_explicit(&sequence, memory_order_acquire);
	*at = before;
	if (before == 0 || before % 2 != 0)
		return false;
	for (int i = 0; stamp && i < STAMP_WORDS; i++)
		if (atomic_load_explicit(&kept_stamp[i], memory_order_relaxed) != stamp->words[i])
			return false;
	for (size_t i = 0; i < CONF_WORDS; i++) {
		uint64_t word = atomic_load_explicit(&kept_conf[i], memory_order_relaxed);
		memcpy((char *)conf + i * sizeof word, &word, sizeof word);
	}
	/* Whoever wrote a word that was read above had made the sequence odd before. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&sequence, memory_order_relaxed) == before;
}

/* Claims the words; false while they are somebody's. */
static bool claim(uint64_t *before)
{
	*before = atomic_load_explicit(&sequence, memory_order_relaxed);
	if (*before % 2 != 0 ||
	    !atomic_compare_exchange_strong_explicit(&sequence, before, *before + 1, memory_order_acquire, memory_order_relaxed))
		return false;
	atomic_thread_fence(memory_order_release);
	return true;
}

static void put(const struct stamp *stamp, const struct pwb_conf *conf)
{
	uint64_t before;
	if (!claim(&before))
		return;
	for (int i = 0; i < STAMP_WORDS; i++)
		atomic_store_explicit(&kept_stamp[i], stamp->words[i], memory_order_relaxed);
	for (size_t i = 0; i < CONF_WORDS; i++) {
		uint64_t word;
		memcpy(&word, (const char *)conf + i * sizeof word, sizeof word);
		atomic_store_explicit(&kept_conf[i], word, memory_order_relaxed);
	}
	atomic_store_explicit(&sequence, before + 2, memory_order_release);
}

static bool settled(const struct stat *st, const struct timespec *now)
{
	return now->tv_sec - st->st_ctim.tv_sec > PWB_SETTLED;
}

/* Takes what was read last, if the file at path was still what it was then when it
 * was last looked at, within PWB_UNASKED. */
bool pwb_kept(const char *path, struct pwb_conf *conf)
{
	uint64_t at;
	if (atomic_load_explicit(&sequence, memory_order_relaxed) == 0)
		return false;
	/* The number first: whoever stores it has stored its time before. */
	uint64_t seen = atomic_load_explicit(&seen_sequence, memory_order_acquire);
	int64_t now = pwb_now(), since = now - atomic_load_explicit(&seen_at, memory_order_relaxed);
	if (since >= 0 && since < PWB_UNASKED && take(NULL, conf, &at) && at == seen)
		return true;
	struct stat st;
	if (stat(path, &st) != 0)
		return false;
	struct stamp stamp = stamp_of(&st);
	if (!take(&stamp, conf, &at))
		return false;
	atomic_store_explicit(&seen_at, now, memory_order_relaxed);
	atomic_store_explicit(&seen_sequence, at, memory_order_release);
	return true;
}

/* Keeps what was read from a file that was as st says at the time now, when
 * nothing of it had been read. A file that not everybody may read is read each
 * time: the host may give up the right to. */
void pwb_keep(const struct stat *st, const struct timespec *now, const struct pwb_conf *conf)
{
	if (!settled(st, now) || !(st->st_mode & S_IROTH))
		return;
	struct stamp stamp = stamp_of(st);
	put(&stamp, conf);
}
