/* What the parts of libnss_pwb share. Nothing here is kept between two calls
 * but atomic words (answer.c, cache.c, enumerate.c): no descriptor, no map, no lock. */
#ifndef PWB_H
#define PWB_H

#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef PWB_CONF
#define PWB_CONF "/etc/rstudio/workbench-nss.conf"
#endif

enum {
	PWB_NAME_MAX = 32,        /* bytes of a name, as roster.MaxName */
	PWB_PATH_MAX = 256,       /* bytes of a path in the configuration, with NUL */
	PWB_REPLY_MAX = 16 << 20, /* bytes of an answer's line */
	PWB_MIN_ID = 1000,        /* least uid that is anybody's of ours */
};

/* How a step ended. */
enum pwb_result {
	PWB_FOUND,   /* the answer is in the caller's memory */
	PWB_MISS,    /* there is no such entry */
	PWB_NONE,    /* there is nobody to ask, or no file */
	PWB_BAD,     /* there is, but it cannot be believed */
	PWB_RANGE,   /* the caller's buffer is too small */
	PWB_NOMEM,   /* no memory for more groups */
	PWB_AWAY,    /* who was asked says that the server cannot be reached */
	PWB_DENIED,  /* who was asked does not tell us */
	PWB_LATE,    /* the deadline has passed */
};

enum pwb_database { PWB_PASSWD, PWB_GROUP, PWB_SHADOW, PWB_INITGROUPS };

/* The list that initgroups_dyn fills; see pwb_gids_add. */
struct pwb_gids {
	gid_t primary;
	long *start, *size, limit;
	gid_t **groups;
	long end; /* what *start becomes if all goes well */
};

/* What is asked, and where the answer goes. */
struct pwb_want {
	enum pwb_database db;
	bool next;        /* whichever entry stands there: an enumeration */
	const char *name; /* NULL: by id */
	size_t name_length;
	uint32_t id;
	char *buffer; /* the caller's; unused for initgroups */
	size_t size;
	union {
		struct passwd *pw;
		struct group *gr;
		struct spwd *sp;
		struct pwb_gids *gids;
	} to;
};

/* conf.c */
struct pwb_conf {
	bool enumerate;
	int timeout; /* ms, for all steps of a call */
	char state_dir[PWB_PATH_MAX];
	char state_path[PWB_PATH_MAX];
	char socket_path[PWB_PATH_MAX];
	char live_path[PWB_PATH_MAX];
};
bool pwb_conf_read(struct pwb_conf *conf, const char *path);

/* cache.c */
struct stat;
struct timespec;
bool pwb_kept(const char *path, struct pwb_conf *conf);
void pwb_keep(const struct stat *st, const struct timespec *now, const struct pwb_conf *conf);

/* file.c */
int pwb_open(const char *path, int flags);
int pwb_above_stdio(int fd);
bool pwb_read_at(int fd, void *to, size_t n, uint64_t at);
void pwb_close(int fd);
int64_t pwb_now(void);                 /* ms, CLOCK_MONOTONIC */
int pwb_remaining(int64_t deadline);   /* ms for poll(2), 0 when it has passed */
uint64_t pwb_sum(uint64_t s, const void *words, size_t bytes);
#define PWB_SUM_START UINT64_C(0xcbf29ce484222325)
uint16_t pwb_u16(const unsigned char *at);
uint32_t pwb_u32(const unsigned char *at);
uint64_t pwb_u64(const unsigned char *at);

/* index.c */
enum { PWB_BY_PASSWD_NAME, PWB_BY_UID, PWB_BY_GROUP_NAME, PWB_BY_GID, PWB_TABLES };
enum { PWB_INDEX_ROSTER = 1, PWB_INDEX_SHADOW = 2 };
enum { PWB_RESTRICTED = 1 }; /* flag: the node's policy leaves out or rewrites accounts */
struct pwb_index {
	int fd;
	uint64_t size, generation;
	uint32_t seed, least_id, flags;
	struct pwb_table {
		uint64_t at;
		uint32_t slots, probes;
	} tables[PWB_TABLES];
	uint64_t begin[2], end[2]; /* of passwd or shadow records, of group records */
};
enum pwb_result pwb_index_open(struct pwb_index *x, const char *dir, uint32_t kind);
void pwb_index_close(struct pwb_index *x);
enum pwb_result pwb_index_find(struct pwb_index *x, struct pwb_want *want);

/* record.c */
enum pwb_result pwb_record(struct pwb_index *x, uint64_t at, struct pwb_want *want, uint32_t *length);

uint32_t pwb_record_length(struct pwb_index *x, uint64_t at, enum pwb_database db);

/* enumerate.c */
enum pwb_result pwb_index_next(struct pwb_index *x, struct pwb_want *want);
void pwb_enumerate_from_start(enum pwb_database db);

/* state.c */
enum pwb_state { PWB_UNKNOWN, PWB_CURRENT, PWB_UNREACHABLE };
enum pwb_state pwb_state_read(const char *path, uint64_t *generation, uint64_t *pid);

/* ask.c */
size_t pwb_request(const struct pwb_want *want, char line[static 128]);
enum pwb_result pwb_reply(int fd, int64_t deadline, char *to, size_t size, size_t *length);
enum pwb_result pwb_ask(const char *path, const struct pwb_want *want, int64_t deadline, char *to, size_t size, size_t *length);

/* live.c */
enum pwb_result pwb_live(const char *path, const struct pwb_want *want, int64_t deadline, char *to, size_t size, size_t *length);

/* line.c */
bool pwb_name_possible(const char *name, size_t *length);
bool pwb_uid_possible(uint32_t id);
bool pwb_gid_possible(uint32_t id);
enum pwb_result pwb_line(char *line, size_t length, struct pwb_want *want);
enum pwb_result pwb_gids_add(struct pwb_gids *gids, gid_t gid);

/* answer.c */
enum nss_status pwb_answer(struct pwb_want *want, int *errnop);
enum nss_status pwb_enumerate(struct pwb_want *want, int *errnop);

#endif
