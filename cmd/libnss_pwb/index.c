/* The agent's index files. Each lookup opens, reads and closes: a map of a file
 * that somebody truncates would kill the host with SIGBUS, and a descriptor kept
 * is one that the host closes or inherits. Nothing in the file is believed: what
 * does not fit is PWB_BAD, and the next step is asked as if there were no index. */
#include "pwb.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { HEADER = 160, PROBES_MAX = 64 };

static bool range_fits(const struct pwb_index *x, uint64_t begin, uint64_t end)
{
	return begin <= end && end <= x->size && begin % 8 == 0 && end % 8 == 0 && (begin == end || begin >= HEADER);
}

static bool table_fits(const struct pwb_index *x, const struct pwb_table *t)
{
	if (t->at == 0 && t->slots == 0)
		return true; /* there is no such table */
	return t->slots > 0 && t->probes >= 1 && t->probes <= PROBES_MAX && t->at % 8 == 0 && t->at >= HEADER && t->at <= x->size &&
	       (x->size - t->at) / 8 >= (uint64_t)t->slots + t->probes;
}

static bool read_header(struct pwb_index *x, uint32_t kind)
{
	unsigned char h[HEADER];
	struct stat st;
	if (fstat(x->fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & S_IWOTH) || !pwb_read_at(x->fd, h, sizeof h, 0))
		return false;
	if (memcmp(h, "PWBINDEX", 8) != 0 || pwb_u32(h + 8) != 1 || pwb_u32(h + 12) != kind)
		return false;
	if (pwb_u64(h + 16) != pwb_sum(PWB_SUM_START, h + 24, HEADER - 24))
		return false;
	x->size = pwb_u64(h + 24);
	if (x->size != (uint64_t)st.st_size)
		return false;
	x->generation = pwb_u64(h + 32);
	x->seed = pwb_u32(h + 40);
	x->least_id = pwb_u32(h + 44);
	for (int i = 0; i < PWB_TABLES; i++) {
		const unsigned char *t = h + 48 + 16 * i;
		x->tables[i] = (struct pwb_table){pwb_u64(t), pwb_u32(t + 8), pwb_u32(t + 12)};
		if (!table_fits(x, &x->tables[i]))
			return false;
	}
	for (int i = 0; i < 2; i++) {
		x->begin[i] = pwb_u64(h + 112 + 16 * i);
		x->end[i] = pwb_u64(h + 120 + 16 * i);
		if (!range_fits(x, x->begin[i], x->end[i]))
			return false;
	}
	x->flags = pwb_u32(h + 144);
	return true;
}

/* Opens an index: PWB_FOUND, PWB_NONE where the file does not exist, PWB_BAD
 * where it cannot be opened or is not what it should be. */
enum pwb_result pwb_index_open(struct pwb_index *x, const char *dir, uint32_t kind)
{
	char path[PWB_PATH_MAX + 16];
	size_t n = strlen(dir);
	memcpy(path, dir, n);
	strcpy(path + n, kind == PWB_INDEX_SHADOW ? "/shadow.idx" : "/roster.idx");
	x->fd = pwb_open(path, O_NOFOLLOW);
	if (x->fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? PWB_NONE : PWB_BAD;
	if (read_header(x, kind))
		return PWB_FOUND;
	pwb_index_close(x);
	return PWB_BAD;
}

void pwb_index_close(struct pwb_index *x)
{
	pwb_close(x->fd);
	x->fd = -1;
}

/* The finaliser of MurmurHash3. */
static uint32_t fmix32(uint32_t h)
{
	h ^= h >> 16;
	h *= UINT32_C(0x85ebca6b);
	h ^= h >> 13;
	h *= UINT32_C(0xc2b2ae35);
	return h ^ h >> 16;
}

static uint32_t hash_name(uint32_t seed, const char *name, size_t n)
{
	uint32_t h = UINT32_C(2166136261) ^ seed; /* FNV-1a */
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)name[i]) * UINT32_C(16777619);
	return fmix32(h);
}

static const struct pwb_table *table_for(const struct pwb_index *x, const struct pwb_want *want)
{
	switch (want->db) {
	case PWB_GROUP:
		return &x->tables[want->name ? PWB_BY_GROUP_NAME : PWB_BY_GID];
	default:
		return &x->tables[want->name ? PWB_BY_PASSWD_NAME : PWB_BY_UID];
	}
}

/* Looks the entry up and hands it over: PWB_FOUND, PWB_MISS, PWB_RANGE,
 * PWB_NOMEM, or PWB_BAD. */
enum pwb_result pwb_index_find(struct pwb_index *x, struct pwb_want *want)
{
	const struct pwb_table *t = table_for(x, want);
	if (t->slots == 0)
		return PWB_MISS;
	uint32_t hash = want->name ? hash_name(x->seed, want->name, want->name_length) : fmix32(want->id ^ x->seed);
	uint64_t slot = (uint64_t)hash * t->slots >> 32;
	unsigned char slots[PROBES_MAX * 8];
	if (!pwb_read_at(x->fd, slots, t->probes * 8, t->at + slot * 8))
		return PWB_BAD;
	for (uint32_t i = 0; i < t->probes; i++) {
		uint64_t ref = pwb_u32(slots + i * 8 + 4);
		if (ref == 0)
			return PWB_MISS;
		if (pwb_u32(slots + i * 8) != hash)
			continue;
		enum pwb_result r = pwb_record(x, ref * 8, want, NULL);
		if (r != PWB_MISS) /* another name with the same hash */
			return r;
	}
	return PWB_MISS;
}
