/* Mutates index files, state files, configurations and answers, and looks
 * everything up in them, under the compiler's sanitizers: fuzz DIR CASES SEED.
 * DIR holds good ones: roster.idx, shadow.idx, state, conf, and answers below
 * answers/. The module's own C is part of this program. */
#include "../pwb.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 10, FILES_MAX = 32 };

static struct file {
	char name[64];
	unsigned char bytes[FILE_MAX];
	size_t n;
} files[FILES_MAX];
static int count;
static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void read_files(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		char path[4096];
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		struct stat st;
		if (count == FILES_MAX || stat(path, &st) || !S_ISREG(st.st_mode))
			continue;
		int fd = open(path, O_RDONLY);
		struct file *f = &files[count];
		ssize_t n = read(fd, f->bytes, FILE_MAX);
		close(fd);
		if (n < 0)
			continue;
		f->n = (size_t)n;
		snprintf(f->name, sizeof f->name, "%s%.40s", prefix, e->d_name);
		count++;
	}
	if (d)
		closedir(d);
}

static void put64(unsigned char *at, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		at[i] = (unsigned char)(v >> 8 * i);
}

static const uint64_t odd[] = {0, 1, 2, 7, 8, 64, 65, 160, 255, 65535, 1000, 0x7fffffff, 0x80000000, 0xffffffff, 1ULL << 32, 1ULL << 63, ~0ULL};

static size_t mutate(unsigned char *b, size_t n)
{
	for (uint64_t times = 1 + rnd(4); times > 0; times--) {
		if (n == 0)
			return n;
		/* A quarter of all changes are in the header. */
		size_t at = rnd(rnd(4) == 0 && n > 160 ? 160 : n);
		switch (rnd(6)) {
		case 0:
			b[at] ^= (unsigned char)(1 << rnd(8));
			break;
		case 1:
			b[at] = (unsigned char)rnd(256);
			break;
		case 2:
			n = rnd(n + 1);
			break;
		case 3:
			at &= ~7UL;
			if (at + 8 <= n)
				put64(b + at, odd[rnd(sizeof odd / sizeof *odd)]);
			break;
		case 4:
			at &= ~3UL;
			for (int i = 0; i < 4 && at + 4 <= n; i++)
				b[at + (size_t)i] = (unsigned char)(odd[rnd(sizeof odd / sizeof *odd)] >> 8 * i);
			break;
		case 5: {
			size_t from = rnd(n), length = rnd(64);
			if (from + length <= n && at + length <= n)
				memmove(b + at, b + from, length);
		}
		}
	}
	return n;
}

/* Puts sums right, so that what lies behind them is reached. */
static void resum(unsigned char *b, size_t n)
{
	if (n < 160)
		return;
	for (int section = 0; section < 2; section++) {
		uint64_t at = pwb_u64(b + 112 + 16 * section), end = pwb_u64(b + 120 + 16 * section);
		for (int records = 0; records < 64 && at < end && end <= n && at % 8 == 0 && end - at >= 16; records++) {
			uint32_t length = pwb_u32(b + at + 8);
			if (length < 16 || length % 8 || length > end - at)
				break;
			put64(b + at, pwb_sum(PWB_SUM_START, b + at + 8, length - 8));
			at += length;
		}
	}
	put64(b + 24, n);
	put64(b + 16, pwb_sum(PWB_SUM_START, b + 24, 136));
}

static void touch(const char *s)
{
	if (strlen(s) > FILE_MAX)
		abort();
}

/* Every byte of an answer must be in memory that is ours to read. */
static void use(const struct pwb_want *want, enum pwb_result r)
{
	if (r != PWB_FOUND)
		return;
	switch (want->db) {
	case PWB_PASSWD:
		touch(want->to.pw->pw_name), touch(want->to.pw->pw_passwd), touch(want->to.pw->pw_gecos);
		touch(want->to.pw->pw_dir), touch(want->to.pw->pw_shell);
		if (want->to.pw->pw_uid < 1000 || want->to.pw->pw_gid < 1000)
			abort();
		break;
	case PWB_GROUP:
		touch(want->to.gr->gr_name), touch(want->to.gr->gr_passwd);
		for (char **m = want->to.gr->gr_mem; *m; m++)
			touch(*m);
		if (want->to.gr->gr_gid == 0)
			abort();
		break;
	case PWB_SHADOW:
		touch(want->to.sp->sp_namp), touch(want->to.sp->sp_pwdp);
		break;
	case PWB_INITGROUPS:
		if (want->to.gids->end < *want->to.gids->start || want->to.gids->end > *want->to.gids->size)
			abort();
		break;
	}
}

static const char *names[] = {"ada", "countess", "grace.hopper-1", "compilers", "docker", "nobodyhere"};

/* Calls f for each question, or a random one of them, with a buffer of exactly some size, so that the
 * sanitizer sees a byte too many. */
static void ask(bool all, enum pwb_result (*f)(struct pwb_want *, void *), void *arg)
{
	struct passwd pw;
	struct group gr;
	struct spwd sp;
	enum pwb_database one = (enum pwb_database)rnd(4);
	for (enum pwb_database db = PWB_PASSWD; db <= PWB_INITGROUPS; db++) {
		if (!all && db != one)
			continue;
		size_t size = rnd(3) ? 512 : rnd(200);
		char *buffer = malloc(size ? size : 1);
		long start = 0, length = 1;
		gid_t *groups = malloc(sizeof(gid_t));
		struct pwb_gids gids = {5001, &start, &length, (long)rnd(4), &groups, 0};
		struct pwb_want want = {.db = db, .buffer = buffer, .size = size};
		if (db == PWB_PASSWD)
			want.to.pw = &pw;
		else if (db == PWB_GROUP)
			want.to.gr = &gr;
		else if (db == PWB_SHADOW)
			want.to.sp = &sp;
		else
			want.to.gids = &gids;
		want.name = names[rnd(sizeof names / sizeof *names)];
		want.name_length = strlen(want.name);
		use(&want, f(&want, arg));
		if (db == PWB_PASSWD || db == PWB_GROUP) {
			want.name = NULL;
			want.id = db == PWB_PASSWD ? 5001 : rnd(2) ? 6000 : 998;
			use(&want, f(&want, arg));
		}
		free(buffer);
		free(groups);
	}
}

static enum pwb_result in_index(struct pwb_want *want, void *arg)
{
	struct pwb_index *x = arg;
	if (want->db != PWB_INITGROUPS && rnd(4) == 0) {
		struct pwb_want next = *want;
		next.next = true;
		next.name = NULL;
		use(&next, pwb_index_next(x, &next));
	}
	return pwb_index_find(x, want);
}

static enum pwb_result in_answer(struct pwb_want *want, void *arg)
{
	struct file *f = arg;
	char room[4096];
	int p[2];
	size_t length = 0;
	if (pipe(p))
		abort();
	if (write(p[1], f->bytes, f->n < 4000 ? f->n : 4000) < 0)
		abort();
	close(p[1]);
	char *line = want->db == PWB_INITGROUPS ? room : want->buffer;
	size_t size = want->db == PWB_INITGROUPS ? sizeof room : want->size;
	enum pwb_result r = pwb_reply(p[0], pwb_now() + 1000, line, size, &length);
	close(p[0]);
	return r == PWB_FOUND ? pwb_line(line, length, want) : r;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	char answers[4096], work[4096], path[5000];
	snprintf(answers, sizeof answers, "%s/answers", argv[1]);
	read_files(argv[1], "");
	read_files(answers, "answer-");
	seed = strtoull(argv[3], NULL, 10) * 2654435761u + 1;
	snprintf(work, sizeof work, "/dev/shm/pwbfuzzXXXXXX");
	if (!mkdtemp(work)) {
		snprintf(work, sizeof work, "/tmp/pwbfuzzXXXXXX");
		if (!mkdtemp(work))
			return 2;
	}
	static struct file f;
	long cases = atol(argv[2]), opened = 0, asked = 0;
	for (long i = 0; i < cases; i++) {
		do /* every second case is an index */
			f = files[rnd((uint64_t)count)];
		while (!strstr(f.name, ".idx") && i % 2);
		f.n = mutate(f.bytes, f.n);
		if (!strncmp(f.name, "answer-", 7)) {
			ask(false, in_answer, &f);
			asked++;
			continue;
		}
		if (strstr(f.name, ".idx") && rnd(16))
			resum(f.bytes, f.n);
		snprintf(path, sizeof path, "%s/%s", work, f.name);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (write(fd, f.bytes, f.n) < 0)
			abort();
		close(fd);
		struct pwb_index x;
		struct pwb_conf conf;
		uint64_t a, b;
		if (!strcmp(f.name, "conf")) {
			pwb_conf_read(&conf, path);
			touch(conf.state_dir), touch(conf.state_path), touch(conf.socket_path), touch(conf.live_path);
			if (conf.timeout < 1 || conf.timeout > 60000)
				abort();
		} else if (!strcmp(f.name, "state")) {
			pwb_state_read(path, &a, &b);
		} else if (pwb_index_open(&x, work, f.name[0] == 's' ? PWB_INDEX_SHADOW : PWB_INDEX_ROSTER) == PWB_FOUND) {
			ask(true, in_index, &x);
			pwb_index_close(&x);
			opened++;
		}
	}
	printf("%ld cases, %ld indexes opened, %ld answers read\n", cases, opened, asked);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/%s", work, files[i].name);
		unlink(path);
	}
	rmdir(work);
	return opened > 0 && asked > 0 ? 0 : 4;
}
