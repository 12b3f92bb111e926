/* The order of the steps, and what each end of one means to glibc. */
#include "pwb.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* After somebody who was asked did not answer, nobody is asked for a while: a
 * host that looks up a thousand names must not wait a thousand times. */
enum { REST = 5000 };
static _Atomic int64_t rest_until; /* ms, CLOCK_MONOTONIC */

/* 65536 groups, as many as a process may have, of 10 digits and a blank each. */
enum { GIDS_LINE = 1 << 20 };

struct answer {
	enum nss_status status;
	int code;
};

static const struct answer not_found = {NSS_STATUS_NOTFOUND, ENOENT};

static struct answer unavailable(int code) { return (struct answer){NSS_STATUS_UNAVAIL, code}; }

/* Numbers and names that are answered without a look. Groups below PWB_MIN_ID
 * may be in the index: the node's own, to which the policy adds members. */
static bool possible(struct pwb_want *want)
{
	if (want->name && !pwb_name_possible(want->name, &want->name_length))
		return false;
	/* Users of the system are nobody of ours. "getent initgroups" does not know
	 * the primary group, and says -1. */
	if (want->db == PWB_INITGROUPS)
		return pwb_uid_possible(want->to.gids->primary) || want->to.gids->primary == (gid_t)-1;
	if (!want->name)
		return want->db == PWB_GROUP ? pwb_gid_possible(want->id) : pwb_uid_possible(want->id);
	return true;
}

/* Reports whether this process may wait for somebody's answer. systemd and
 * dbus-daemon set the first variable where a query would wait for themselves;
 * the second names the unit for whose start this process works. A program that
 * runs with somebody else's privileges does not listen to its environment. */
static bool may_ask(uint64_t agent)
{
	if (agent != 0 && (agent == (uint64_t)getpid() || agent == (uint64_t)getppid()))
		return false;
	if (strcmp(program_invocation_short_name, "nss-live") == 0)
		return false;
	const char *unit = secure_getenv("SYSTEMD_ACTIVATION_UNIT");
	return !secure_getenv("SYSTEMD_NSS_DYNAMIC_BYPASS") && !(unit && strncmp(unit, "pwb-", 4) == 0);
}

/* What the local files say. */
struct local {
	enum pwb_result result; /* PWB_FOUND, _RANGE, _NOMEM, _MISS, _NONE, _BAD */
	uint32_t least_id;
	uint64_t generation;
	bool restricted; /* nobody but the agent may answer beside the index */
};

static void look(const struct pwb_conf *conf, struct pwb_want *want, struct local *l)
{
	struct pwb_index x;
	uint32_t kind = want->db == PWB_SHADOW ? PWB_INDEX_SHADOW : PWB_INDEX_ROSTER;
	l->result = pwb_index_open(&x, conf->state_dir, kind);
	/* What cannot be read may have said that the policy leaves accounts out. */
	l->restricted = l->result == PWB_BAD;
	l->least_id = PWB_MIN_ID;
	if (l->result != PWB_FOUND)
		return;
	l->restricted = x.flags & PWB_RESTRICTED;
	l->generation = x.generation;
	if (x.least_id > PWB_MIN_ID)
		l->least_id = x.least_id;
	l->result = pwb_index_find(&x, want);
	pwb_index_close(&x);
}

/* The roster's index tells for shadow, too, whether nss-live may be asked. */
static bool roster_restricted(const struct pwb_conf *conf)
{
	struct pwb_index x;
	enum pwb_result r = pwb_index_open(&x, conf->state_dir, PWB_INDEX_ROSTER);
	if (r != PWB_FOUND)
		return r == PWB_BAD;
	pwb_index_close(&x);
	return x.flags & PWB_RESTRICTED;
}

/* What a step's end means; of an index's miss this is the last word. */
static struct answer meaning(enum pwb_result r, enum pwb_database db)
{
	switch (r) {
	case PWB_FOUND:
		return (struct answer){NSS_STATUS_SUCCESS, 0};
	case PWB_MISS:
		return not_found;
	case PWB_RANGE:
		return (struct answer){NSS_STATUS_TRYAGAIN, ERANGE};
	case PWB_NOMEM:
		return (struct answer){NSS_STATUS_TRYAGAIN, ENOMEM};
	case PWB_DENIED:
		return db == PWB_SHADOW ? not_found : unavailable(EACCES);
	case PWB_AWAY:
		return unavailable(EHOSTUNREACH);
	case PWB_LATE:
		return unavailable(ETIMEDOUT);
	case PWB_NONE:
		return unavailable(ENOENT);
	case PWB_BAD:
		break;
	}
	return unavailable(EBADMSG);
}

/* Asks the agent, or nss-live where there is none. */
static struct answer ask(const struct pwb_conf *conf, struct pwb_want *want, const struct local *l, int64_t deadline)
{
	if (pwb_now() < atomic_load_explicit(&rest_until, memory_order_relaxed))
		return unavailable(EAGAIN);
	char *line = want->buffer;
	size_t size = want->size, length = 0;
	if (want->db == PWB_INITGROUPS) { /* there is no caller's buffer */
		size = GIDS_LINE;
		line = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (line == MAP_FAILED)
			return meaning(PWB_NOMEM, want->db);
	}
	enum pwb_result r = pwb_ask(conf->socket_path, want, deadline, line, size, &length);
	if (r == PWB_NONE && (l->restricted || (want->db == PWB_SHADOW && roster_restricted(conf))))
		r = l->result == PWB_BAD ? PWB_AWAY : PWB_MISS;
	else if (r == PWB_NONE)
		r = pwb_live(conf->live_path, want, deadline, line, size, &length);
	if (r == PWB_NONE && l->result == PWB_MISS)
		r = PWB_MISS; /* nobody is to be asked: the index is all there is */
	if (r == PWB_FOUND)
		r = pwb_line(line, length, want);
	if (want->db == PWB_INITGROUPS) {
		munmap(line, size);
		if (r == PWB_RANGE) /* no caller's buffer was too small */
			r = PWB_BAD;
	}
	if (r == PWB_LATE || r == PWB_BAD)
		atomic_store_explicit(&rest_until, pwb_now() + REST, memory_order_relaxed);
	return meaning(r, want->db);
}

static struct answer find(struct pwb_want *want)
{
	struct pwb_conf conf;
	struct local l = {0};
	if (!pwb_conf_read(&conf, PWB_CONF))
		return unavailable(ENOENT);
	if (!possible(want))
		return not_found;
	int64_t deadline = pwb_now() + conf.timeout;

	look(&conf, want, &l);
	switch (l.result) {
	case PWB_FOUND:
	case PWB_RANGE:
	case PWB_NOMEM:
		return meaning(l.result, want->db);
	default:
		break;
	}
	if (!want->name && want->id < l.least_id)
		return not_found;
	if (want->db == PWB_SHADOW && geteuid() != 0)
		return not_found; /* hashes are root's */

	uint64_t generation = 0, agent = 0;
	enum pwb_state state = pwb_state_read(conf.state_path, &generation, &agent);
	if (state == PWB_CURRENT && l.result == PWB_MISS && (generation == l.generation || want->db == PWB_SHADOW))
		return not_found;
	if (state == PWB_UNREACHABLE)
		return unavailable(EHOSTUNREACH);
	if (!may_ask(agent))
		return l.result == PWB_MISS ? not_found : unavailable(EAGAIN);
	return ask(&conf, want, &l, deadline);
}

/* Hands an answer over: the status goes to glibc and its reason to *errnop. errnop
 * is glibc's errno as a rule, which a success leaves as it was. */
static enum nss_status handed_over(struct answer (*from)(struct pwb_want *), struct pwb_want *want, int *errnop)
{
	int before = errno;
	struct answer a = from(want);
	errno = before;
	if (a.status != NSS_STATUS_SUCCESS)
		*errnop = a.code;
	return a.status;
}

/* Answers what is wanted. */
enum nss_status pwb_answer(struct pwb_want *want, int *errnop) { return handed_over(find, want, errnop); }

/* The next entry of an enumeration: of the index alone, and only where the
 * configuration says so; elsewhere the database looks empty. */
static struct answer next(struct pwb_want *want)
{
	struct pwb_conf conf;
	struct pwb_index x;
	if (!pwb_conf_read(&conf, PWB_CONF))
		return unavailable(ENOENT);
	if (!conf.enumerate)
		return not_found;
	enum pwb_result r = pwb_index_open(&x, conf.state_dir, want->db == PWB_SHADOW ? PWB_INDEX_SHADOW : PWB_INDEX_ROSTER);
	if (r == PWB_FOUND) {
		r = pwb_index_next(&x, want);
		pwb_index_close(&x);
	} else if (want->db == PWB_SHADOW && geteuid() != 0) {
		r = PWB_MISS;
	}
	return meaning(r, want->db);
}

enum nss_status pwb_enumerate(struct pwb_want *want, int *errnop) { return handed_over(next, want, errnop); }
