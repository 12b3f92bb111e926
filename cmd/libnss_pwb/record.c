/* Records of the index, of which a sum guards every byte: an answer is handed
 * over only after the whole record was read and its sum found right. */
#include "pwb.h"

#include <string.h>

enum { PASSWD_HEAD = 40, GROUP_HEAD = 32, SHADOW_HEAD = 80 };
enum { KIND_PASSWD = 1, KIND_GROUP = 2, KIND_SHADOW = 3 };
enum { CHUNK = 512 };

struct record {
	struct pwb_index *x;
	uint64_t at;
	uint32_t length;
	unsigned char chunk[CHUNK]; /* at first the record's beginning */
	size_t have;
};

static size_t head_of(enum pwb_database db)
{
	return db == PWB_GROUP ? GROUP_HEAD : db == PWB_SHADOW ? SHADOW_HEAD : PASSWD_HEAD;
}

static uint16_t kind_of(enum pwb_database db)
{
	return db == PWB_GROUP ? KIND_GROUP : db == PWB_SHADOW ? KIND_SHADOW : KIND_PASSWD;
}

/* Reads the record's beginning, and proves that it lies where records do. */
static bool open_record(struct record *r, struct pwb_index *x, uint64_t at, enum pwb_database db)
{
	int section = db == PWB_GROUP;
	uint64_t begin = x->begin[section], end = x->end[section];
	size_t head = head_of(db);
	if (at % 8 != 0 || at < begin || at >= end || end - at < head)
		return false;
	r->x = x;
	r->at = at;
	r->have = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
	if (!pwb_read_at(x->fd, r->chunk, r->have, at))
		return false;
	r->length = pwb_u32(r->chunk + 8);
	if (r->length < head || r->length % 8 != 0 || r->length > end - at || pwb_u16(r->chunk + 12) != kind_of(db))
		return false;
	if (r->have > r->length)
		r->have = r->length;
	return true;
}

/* Where the record's bytes go while they are summed. */
struct sink {
	uint64_t from, to; /* bytes of the record that are copied, and to where */
	char *out;
	uint64_t gids_end;     /* the gids from PASSWD_HEAD to here are added … */
	struct pwb_gids *gids; /* … to this list */
};

static enum pwb_result add_gids(const struct sink *s, const unsigned char *p, uint64_t at, size_t n)
{
	uint64_t i = at < PASSWD_HEAD ? PASSWD_HEAD : at;
	for (; i + 4 <= at + n && i + 4 <= s->gids_end; i += 4) {
		gid_t gid = pwb_u32(p + (i - at));
		if (!pwb_gid_possible(gid))
			return PWB_BAD;
		enum pwb_result r = pwb_gids_add(s->gids, gid);
		if (r != PWB_FOUND)
			return r;
	}
	return PWB_FOUND;
}

/* Reads the whole record once, as far as possible straight into the sink. */
static enum pwb_result pour(struct record *r, const struct sink *s)
{
	uint64_t want = pwb_u64(r->chunk), sum = PWB_SUM_START;
	size_t n = r->have;
	for (uint64_t at = 0; at < r->length; at += n) {
		const unsigned char *p = r->chunk;
		if (at > 0) {
			n = r->length - at;
			if (s->out && at >= s->from && s->to == r->length)
				p = (unsigned char *)s->out + (at - s->from);
			else if (n > CHUNK)
				n = CHUNK;
			if (!pwb_read_at(r->x->fd, (void *)(uintptr_t)p, n, r->at + at))
				return PWB_BAD;
		}
		sum = at == 0 ? pwb_sum(sum, p + 8, n - 8) : pwb_sum(sum, p, n);
		if (p == r->chunk && s->out && at < s->to && at + n > s->from) {
			uint64_t from = at > s->from ? at : s->from, to = at + n < s->to ? at + n : s->to;
			memcpy(s->out + (from - s->from), p + (from - at), to - from);
		}
		if (s->gids) {
			enum pwb_result a = add_gids(s, p, at, n);
			if (a != PWB_FOUND)
				return a;
		}
	}
	return sum == want ? PWB_FOUND : PWB_BAD;
}

/* Not the entry that is looked for; its sum still tells a wrong answer from damage. */
static enum pwb_result pass_over(struct record *r)
{
	enum pwb_result p = pour(r, &(struct sink){0});
	return p == PWB_FOUND ? PWB_MISS : p;
}

/* Takes a string of length n and its NUL from *p; NULL if it is something else. */
static char *take(char **p, size_t n)
{
	char *s = *p;
	if (s[n] != 0 || memchr(s, 0, n))
		return NULL;
	*p += n + 1;
	return s;
}

static bool is_name(const struct pwb_want *want, const char *name)
{
	return want->next || !want->name || strcmp(want->name, name) == 0;
}

static bool other_name_length(const struct pwb_want *want, size_t n)
{
	return !want->next && want->name && n != want->name_length;
}

static bool good_name(const char *name)
{
	size_t n;
	return name && pwb_name_possible(name, &n);
}

static enum pwb_result passwd_record(struct record *r, struct pwb_want *want)
{
	const unsigned char *h = r->chunk;
	size_t name = pwb_u16(h + 14), gecos = pwb_u16(h + 28), home = pwb_u16(h + 30), shell = pwb_u16(h + 32), password = pwb_u16(h + 34);
	uint32_t uid = pwb_u32(h + 16), gid = pwb_u32(h + 20);
	uint64_t text = PASSWD_HEAD + 4 * (uint64_t)pwb_u32(h + 24);
	uint64_t used = text + name + password + gecos + home + shell + 5;
	if (used > r->length || r->length - used >= 8 || !pwb_uid_possible(uid) || !pwb_uid_possible(gid))
		return PWB_BAD;
	if (other_name_length(want, name) || (!want->next && !want->name && uid != want->id))
		return pass_over(r);
	if (want->size < r->length - text)
		return PWB_RANGE;
	enum pwb_result p = pour(r, &(struct sink){.from = text, .to = r->length, .out = want->buffer});
	if (p != PWB_FOUND)
		return p;
	char *at = want->buffer;
	struct passwd pw = {.pw_uid = uid, .pw_gid = gid};
	if (!(pw.pw_name = take(&at, name)) || !(pw.pw_passwd = take(&at, password)) || !(pw.pw_gecos = take(&at, gecos)) ||
	    !(pw.pw_dir = take(&at, home)) || !(pw.pw_shell = take(&at, shell)) || !good_name(pw.pw_name))
		return PWB_BAD;
	if (!is_name(want, pw.pw_name))
		return PWB_MISS;
	*want->to.pw = pw;
	return PWB_FOUND;
}

static enum pwb_result initgroups_record(struct record *r, struct pwb_want *want)
{
	const unsigned char *h = r->chunk;
	size_t name = pwb_u16(h + 14);
	uint64_t text = PASSWD_HEAD + 4 * (uint64_t)pwb_u32(h + 24);
	if (text > r->length || r->length - text < name + 1)
		return PWB_BAD;
	if (name != want->name_length)
		return pass_over(r);
	char found[PWB_NAME_MAX + 1];
	enum pwb_result p =
		pour(r, &(struct sink){.from = text, .to = text + name + 1, .out = found, .gids_end = text, .gids = want->to.gids});
	if (p == PWB_FOUND && (found[name] != 0 || memcmp(found, want->name, name) != 0))
		p = PWB_MISS;
	if (p != PWB_FOUND)
		want->to.gids->end = *want->to.gids->start;
	return p;
}

static enum pwb_result group_record(struct record *r, struct pwb_want *want)
{
	const unsigned char *h = r->chunk;
	size_t name = pwb_u16(h + 14), password = pwb_u16(h + 24);
	uint32_t gid = pwb_u32(h + 16), members = pwb_u32(h + 20);
	uint64_t text = r->length - GROUP_HEAD;
	/* A member has a byte and its NUL at least. */
	if (name + password + 2 + 2 * (uint64_t)members > text || !pwb_gid_possible(gid))
		return PWB_BAD;
	if (other_name_length(want, name) || (!want->next && !want->name && gid != want->id))
		return pass_over(r);
	size_t skip = -(uintptr_t)want->buffer % _Alignof(char *);
	uint64_t pointers = ((uint64_t)members + 1) * sizeof(char *);
	if (want->size < skip || want->size - skip < pointers + text)
		return PWB_RANGE;
	char **list = (char **)(void *)(want->buffer + skip);
	char *at = want->buffer + skip + pointers, *end = at + text;
	enum pwb_result p = pour(r, &(struct sink){.from = GROUP_HEAD, .to = r->length, .out = at});
	if (p != PWB_FOUND)
		return p;
	struct group gr = {.gr_gid = gid, .gr_mem = list};
	if (!(gr.gr_name = take(&at, name)) || !(gr.gr_passwd = take(&at, password)) || !good_name(gr.gr_name))
		return PWB_BAD;
	for (uint32_t i = 0; i < members; i++) {
		char *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
		if (!nul || nul == at)
			return PWB_BAD;
		list[i] = at;
		at = nul + 1;
	}
	list[members] = NULL;
	if (end - at >= 8)
		return PWB_BAD;
	if (!is_name(want, gr.gr_name))
		return PWB_MISS;
	*want->to.gr = gr;
	return PWB_FOUND;
}

static enum pwb_result shadow_record(struct record *r, struct pwb_want *want)
{
	const unsigned char *h = r->chunk;
	size_t name = pwb_u16(h + 14), hash = pwb_u16(h + 72);
	uint64_t used = SHADOW_HEAD + name + hash + 2;
	if (used > r->length || r->length - used >= 8)
		return PWB_BAD;
	if (other_name_length(want, name))
		return pass_over(r);
	if (want->size < r->length - SHADOW_HEAD)
		return PWB_RANGE;
	struct spwd sp = {
		.sp_lstchg = (long)pwb_u64(h + 16),
		.sp_min = (long)pwb_u64(h + 24),
		.sp_max = (long)pwb_u64(h + 32),
		.sp_warn = (long)pwb_u64(h + 40),
		.sp_inact = (long)pwb_u64(h + 48),
		.sp_expire = (long)pwb_u64(h + 56),
		.sp_flag = (unsigned long)pwb_u64(h + 64),
	};
	enum pwb_result p = pour(r, &(struct sink){.from = SHADOW_HEAD, .to = r->length, .out = want->buffer});
	if (p != PWB_FOUND)
		return p;
	char *at = want->buffer;
	if (!(sp.sp_namp = take(&at, name)) || !(sp.sp_pwdp = take(&at, hash)) || !good_name(sp.sp_namp))
		return PWB_BAD;
	if (!is_name(want, sp.sp_namp))
		return PWB_MISS;
	*want->to.sp = sp;
	return PWB_FOUND;
}

/* Hands the record at byte at over, if it is what is wanted; its length goes to
 * *length where that is not NULL. */
enum pwb_result pwb_record(struct pwb_index *x, uint64_t at, struct pwb_want *want, uint32_t *length)
{
	struct record r;
	if (!open_record(&r, x, at, want->db))
		return PWB_BAD;
	if (length)
		*length = r.length;
	switch (want->db) {
	case PWB_PASSWD:
		return passwd_record(&r, want);
	case PWB_GROUP:
		return group_record(&r, want);
	case PWB_SHADOW:
		return shadow_record(&r, want);
	case PWB_INITGROUPS:
		return initgroups_record(&r, want);
	}
	return PWB_BAD;
}

/* The length of the record at byte at, 0 if there is none. */
uint32_t pwb_record_length(struct pwb_index *x, uint64_t at, enum pwb_database db)
{
	struct record r;
	return open_record(&r, x, at, db) ? r.length : 0;
}
