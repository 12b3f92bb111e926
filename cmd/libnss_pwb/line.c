/* Names, numbers and lines: what may be asked, and what an answer may say. */
#include "pwb.h"

#include <stdlib.h>
#include <string.h>

/* Reports whether name can be one of ours, [a-z_][a-z0-9_.-]*$? of 32 bytes at
 * most, and its length. Anything else, such as the names with which PAM modules
 * look nobody up, is answered without a look. */
bool pwb_name_possible(const char *name, size_t *length)
{
	size_t n = 0;
	for (; name[n]; n++) {
		char c = name[n];
		if (n == PWB_NAME_MAX)
			return false;
		if ((c >= 'a' && c <= 'z') || c == '_')
			continue;
		if (n > 0 && ((c >= '0' && c <= '9') || c == '.' || c == '-'))
			continue;
		if (n > 0 && c == '$' && !name[n + 1])
			continue;
		return false;
	}
	*length = n;
	return n > 0;
}

static bool reserved(uint32_t id) { return id == 65534 || id == 65535 || id == UINT32_MAX; }

/* The number of one of our users, or of a user's own group. */
bool pwb_uid_possible(uint32_t id) { return id >= PWB_MIN_ID && !reserved(id); }

/* The number of a group: it may be one of the node's own, such as docker's, to
 * which the agent adds members; root's is nobody's but root's. */
bool pwb_gid_possible(uint32_t id) { return id > 0 && !reserved(id); }

/* Adds a gid to the list that initgroups_dyn fills, past the caller's end until
 * all is known to be well. A list that is full by the caller's limit stays so. */
enum pwb_result pwb_gids_add(struct pwb_gids *g, gid_t gid)
{
	if (gid == g->primary)
		return PWB_FOUND;
	if (g->limit > 0 && g->end >= g->limit)
		return PWB_FOUND;
	if (g->end >= *g->size) {
		long size = *g->size < 16 ? 32 : 2 * *g->size;
		if (g->limit > 0 && size > g->limit)
			size = g->limit;
		gid_t *more = realloc(*g->groups, (size_t)size * sizeof(gid_t));
		if (!more)
			return PWB_NOMEM;
		*g->groups = more;
		*g->size = size;
	}
	(*g->groups)[g->end++] = gid;
	return PWB_FOUND;
}

/* Cuts the field that begins at *p off at the next colon; NULL after the last. */
static char *field(char **p)
{
	char *s = *p;
	if (s) {
		char *colon = strchr(s, ':');
		if (colon)
			*colon++ = 0;
		*p = colon;
	}
	return s;
}

static bool fields(char *line, char **to, int n)
{
	for (int i = 0; i < n; i++)
		if (!(to[i] = field(&line)))
			return false;
	return line == NULL;
}

/* Reads a decimal number of digits alone, UINT32_MAX at most. */
static bool number(const char *s, uint32_t *to)
{
	uint64_t v = 0;
	const char *p = s;
	for (; *p >= '0' && *p <= '9'; p++)
		if ((v = v * 10 + (uint64_t)(*p - '0')) > UINT32_MAX)
			return false;
	*to = (uint32_t)v;
	return p > s && !*p;
}

static bool is_asked(const struct pwb_want *want, const char *name, uint32_t id)
{
	size_t n;
	return pwb_name_possible(name, &n) && (want->name ? strcmp(want->name, name) == 0 : want->id == id);
}

static enum pwb_result passwd_line(char *line, struct pwb_want *want)
{
	char *f[7];
	uint32_t uid, gid;
	if (!fields(line, f, 7) || !number(f[2], &uid) || !number(f[3], &gid) || !is_asked(want, f[0], uid) || !pwb_uid_possible(uid) ||
	    !pwb_uid_possible(gid))
		return PWB_BAD;
	*want->to.pw = (struct passwd){f[0], f[1], uid, gid, f[4], f[5], f[6]};
	return PWB_FOUND;
}

/* The list of members stands in the buffer behind the line. */
static enum pwb_result group_line(char *line, size_t length, struct pwb_want *want)
{
	char *f[4];
	uint32_t gid;
	if (!fields(line, f, 4) || !number(f[2], &gid) || !is_asked(want, f[0], gid) || !pwb_gid_possible(gid))
		return PWB_BAD;
	uint64_t members = *f[3] ? 1 : 0;
	for (const char *p = f[3]; *p; p++)
		members += *p == ',';
	size_t skip = length + 1;
	skip += -(uintptr_t)(want->buffer + skip) % _Alignof(char *);
	if (skip > want->size || want->size - skip < (members + 1) * sizeof(char *))
		return PWB_RANGE;
	char **list = (char **)(void *)(want->buffer + skip), *at = f[3];
	for (uint64_t i = 0; i < members; i++) {
		list[i] = at;
		char *comma = strchr(at, ',');
		if (comma)
			*comma = 0;
		if (!*at)
			return PWB_BAD;
		at = comma ? comma + 1 : NULL;
	}
	list[members] = NULL;
	*want->to.gr = (struct group){f[0], f[1], gid, list};
	return PWB_FOUND;
}

static bool days(const char *s, long *to)
{
	uint32_t v;
	if (!*s)
		*to = -1;
	else if (number(s, &v))
		*to = (long)v;
	else
		return false;
	return true;
}

static enum pwb_result shadow_line(char *line, struct pwb_want *want)
{
	char *f[9];
	struct spwd sp = {0};
	long flag;
	if (!fields(line, f, 9) || !is_asked(want, f[0], 0) || !days(f[2], &sp.sp_lstchg) || !days(f[3], &sp.sp_min) || !days(f[4], &sp.sp_max) ||
	    !days(f[5], &sp.sp_warn) || !days(f[6], &sp.sp_inact) || !days(f[7], &sp.sp_expire) || !days(f[8], &flag))
		return PWB_BAD;
	sp.sp_namp = f[0];
	sp.sp_pwdp = f[1];
	sp.sp_flag = (unsigned long)flag;
	*want->to.sp = sp;
	return PWB_FOUND;
}

static enum pwb_result gids_line(char *line, struct pwb_want *want)
{
	struct pwb_gids *gids = want->to.gids;
	while (line && *line) {
		char *blank = strchr(line, ' ');
		if (blank)
			*blank++ = 0;
		uint32_t gid;
		enum pwb_result r = number(line, &gid) && pwb_gid_possible(gid) ? pwb_gids_add(gids, gid) : PWB_BAD;
		if (r != PWB_FOUND) {
			gids->end = *gids->start;
			return r;
		}
		line = blank;
	}
	return PWB_FOUND;
}

/* Hands over what a line of length bytes and a NUL says, which stands at the
 * beginning of the caller's buffer (for initgroups, in one of ours): PWB_FOUND,
 * PWB_RANGE, PWB_NOMEM, or PWB_BAD if it is no line, or not of what was asked. */
enum pwb_result pwb_line(char *line, size_t length, struct pwb_want *want)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return PWB_BAD;
	switch (want->db) {
	case PWB_PASSWD:
		return passwd_line(line, want);
	case PWB_GROUP:
		return group_line(line, length, want);
	case PWB_SHADOW:
		return shadow_line(line, want);
	case PWB_INITGROUPS:
		return gids_line(line, want);
	}
	return PWB_BAD;
}
