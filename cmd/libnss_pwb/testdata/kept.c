/* The configuration that the module keeps: kept MODE DIR, where DIR/a and DIR/b
 * hold an index each, in which ada's home is /home/a or /home/b, and DIR/other is a
 * root with a configuration and an index a of its own. The module's own C is
 * part of this program, cache.c of this file; it is compiled with PWB_SETTLED -1 and
 * PWB_UNASKED 0, for files that change at once, but for the modes "settled" and "unasked". */
#include "../cache.c"
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>

enum { THREADS = 4 };

enum nss_status _nss_pwb_getpwnam_r(const char *, struct passwd *, char *, size_t, int *);

static const char *dir;
static atomic_int running;

static const char *at(const char *name)
{
	static char path[4][256];
	static int next;
	char *p = path[next++ % 4];
	snprintf(p, sizeof path[0], "%s/%s", dir, name);
	return p;
}

/* The text of a configuration: all of it says which. */
static void put_file(const char *path, char which)
{
	FILE *f = fopen(path, "we");
	if (!f)
		die("%s: %s", path, strerror(errno));
	fprintf(f, "state-dir = %s/%c\nstate-path = /%c\nsocket-path = /%c\nlive-path = /%c\ntimeout = %d\n", dir, which, which, which, which,
		which == 'a' ? 1111 : 2222);
	fclose(f);
}

/* Puts the configuration in place by renaming a link to DIR/conf.a or DIR/conf.b. */
static void swap(char which)
{
	char from[] = "conf.?";
	from[5] = which;
	unlink(at("next"));
	if (link(at(from), at("next")) || rename(at("next"), PWB_CONF))
		die("swap: %s", strerror(errno));
}

static char whole(const struct pwb_conf *c)
{
	char which = c->state_path[1];
	size_t n = strlen(c->state_dir);
	if (c->socket_path[1] != which || c->live_path[1] != which || c->timeout != (which == 'a' ? 1111 : 2222) || c->state_dir[n - 1] != which)
		die("a mixture: %s %s %s %s %d", c->state_dir, c->state_path, c->socket_path, c->live_path, c->timeout);
	return which;
}

/* By which configuration a lookup answers; '-' when there is none. */
static char answers(void)
{
	struct passwd pw;
	char buffer[2048];
	int code = 0;
	enum nss_status s = _nss_pwb_getpwnam_r("ada", &pw, buffer, sizeof buffer, &code);
	if (s == NSS_STATUS_UNAVAIL && code == ENOENT)
		return '-';
	if (s != NSS_STATUS_SUCCESS || strncmp(pw.pw_dir, "/home/", 6))
		die("ada: status %d, %s", s, strerror(code));
	return pw.pw_dir[6];
}

static void expect(const char *when, char want)
{
	for (int i = 0; i < 3; i++) {
		char got = answers();
		if (got != want)
			die("%s: call %d answers by %c instead of %c", when, i, got, want);
	}
}

static void a_or_b(void)
{
	struct pwb_conf c;
	if (!pwb_conf_read(&c, PWB_CONF))
		die("no configuration");
	whole(&c);
	char which = answers();
	if (which != 'a' && which != 'b')
		die("an answer by %c", which);
}

static void in_a_child(void (*check)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		check();
		_exit(0);
	}
	int status;
	if (waitpid(pid, &status, 0) != pid || status)
		die("a child ended with %x", status);
}

static void *look_up(void *rounds)
{
	for (long i = 0; i < *(long *)rounds; i++) {
		a_or_b();
		if (i % 64 == 0)
			in_a_child(a_or_b);
	}
	running--;
	return NULL;
}

/* Threads and their children look up while the file is replaced without a pause. */
static void replaced(long rounds)
{
	pthread_t threads[THREADS];
	running = THREADS;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, look_up, &rounds))
			die("pthread_create");
	for (long i = 0; running > 0; i++)
		swap("ab"[i % 2]);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static struct stamp stamps[2];
static atomic_long taken;

static void *put_and_take(void *rounds)
{
	struct pwb_conf all[2], c;
	uint64_t at;
	for (int i = 0; i < 2; i++) {
		memset(&all[i], "ab"[i], sizeof all[i]);
		all[i].enumerate = false;
	}
	for (long i = 0; i < *(long *)rounds; i++) {
		put(&stamps[0], &all[i % 2]);
		memset(&c, 0, sizeof c);
		if (!take(&stamps[0], &c, &at))
			continue;
		taken++;
		if (memcmp(&c, &all[0], sizeof c) && memcmp(&c, &all[1], sizeof c))
			die("a mixture was taken");
		if (take(&stamps[1], &c, &at))
			die("what is another file's was taken");
	}
	return NULL;
}

/* The words alone, without files between. */
static void words(long rounds)
{
	pthread_t threads[THREADS];
	stamps[1].words[STAMP_WORDS - 1] = 1;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, put_and_take, &rounds))
			die("pthread_create");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (taken == 0)
		die("nothing was taken in %ld rounds", rounds);
}

static void is_b(void) { expect("a child of a write", 'b'); }

static void in_the_middle(void)
{
	uint64_t before;
	swap('a');
	expect("at first", 'a');
	if (!claim(&before))
		die("the words are somebody's");
	uint64_t odd = sequence;
	expect("while somebody writes", 'a');
	swap('b');
	in_a_child(is_b);
	expect("while somebody writes, replaced", 'b');
	if (sequence != odd || odd % 2 == 0)
		die("somebody else's write was ended");
	sequence = odd + 1;
	expect("after it", 'b');
	if (sequence == odd + 1)
		die("nothing is kept after it");
}

static void everything(void)
{
	swap('a');
	expect("at first", 'a');
	if (sequence != 2)
		die("it was kept %lu times", (unsigned long)sequence / 2);
	swap('b');
	expect("replaced", 'b');
	if (chmod(at("conf.b"), 0646))
		die("chmod");
	expect("writable for everybody", '-');
	chmod(at("conf.b"), 0644);
	expect("and not any more", 'b');
	uint64_t kept = sequence;
	chmod(at("conf.b"), 0600);
	expect("for its owner alone", 'b');
	if (sequence != kept)
		die("a file was kept that not everybody may read");
	chmod(at("conf.b"), 0644);
	expect("for all again", 'b');
	unlink(PWB_CONF);
	expect("removed", '-');
	swap('a');
	expect("back", 'a');
	/* The file itself is written anew, and longer. */
	put_file(PWB_CONF, 'b');
	FILE *f = fopen(PWB_CONF, "ae");
	fputs("# written in place\n", f);
	fclose(f);
	expect("written in place", 'b');
	unlink(PWB_CONF);
	if (symlink(at("conf.b"), PWB_CONF))
		die("symlink");
	expect("a link", 'b');
	if (geteuid() == 0) {
		if (chroot(at("other")) || chdir("/"))
			die("chroot: %s", strerror(errno));
		expect("in a chroot(2) with one of its own", 'a');
		unlink(PWB_CONF);
		expect("in a chroot(2) without one", '-');
	}
}

/* Where nobody asks for a while whether the file is the same: what was kept answers,
 * but not beyond the while, not under another sequence number, and not once the clock
 * stands before it. */
static void unasked(void)
{
	swap('a');
	expect("at first", 'a');
	swap('b');
	expect("within the while", 'a');
	int64_t at = seen_at;
	seen_at = at - PWB_UNASKED;
	expect("after it", 'b');
	swap('a');
	expect("within the next", 'b');
	seen_at = pwb_now() + 1000;
	expect("a clock that went back", 'a');
	swap('b');
	seen_sequence -= 2;
	expect("seen for other words", 'b');
	unlink(PWB_CONF);
	expect("removed within the while", 'b');
	seen_at -= PWB_UNASKED;
	expect("removed, and looked at", '-');
}

/* Which files are kept, at which age. */
static void ages(void)
{
	struct stat st = {.st_ctim = {1000, 999999999}};
	for (int s = -1; s <= PWB_SETTLED; s++)
		if (settled(&st, &(struct timespec){1000 + s, 0}))
			die("%d s are enough", s);
	if (!settled(&st, &(struct timespec){1000 + PWB_SETTLED + 1, 0}))
		die("%d s are not enough", PWB_SETTLED + 1);
	/* A program that was installed long ago is a configuration without a key. */
	struct pwb_conf c;
	for (int i = 0; i < 3; i++)
		if (!pwb_conf_read(&c, "/bin/sh") || c.timeout != 2000)
			die("/bin/sh");
	if (sequence != 2)
		die("an old file was kept %lu times", (unsigned long)sequence / 2);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: kept MODE DIR ROUNDS");
	dir = argv[2];
	long rounds = atol(argv[3]);
	put_file(at("conf.a"), 'a');
	put_file(at("conf.b"), 'b');
	swap('a');
	if (!strcmp(argv[1], "replaced"))
		replaced(rounds);
	else if (!strcmp(argv[1], "words"))
		words(rounds);
	else if (!strcmp(argv[1], "middle"))
		in_the_middle();
	else if (!strcmp(argv[1], "everything"))
		everything();
	else if (!strcmp(argv[1], "unasked"))
		unasked();
	else if (!strcmp(argv[1], "settled"))
		ages();
	else
		die("no mode %s", argv[1]);
	return 0;
}
