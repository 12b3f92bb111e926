/* Loads a module and calls its entries, as the lines of standard input say; each
 * call's answer is a line of standard output. Whatever an entry leaves behind,
 * or writes where it may not, ends the program with status 3 and the reason.
 *
 * Lines: OP KEY SIZE for pwnam, pwuid, grnam, grgid, spnam; OP 0 SIZE for pwent,
 * grent, spent; setpwent and the like; initgroups NAME PRIMARY LIMIT; sizes OP KEY
 * MAX; bench OP KEY COUNT; and what changes the host: see change(). In a KEY, %XX
 * is a byte. */
#include "guest.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/time.h>

enum { SENTINEL = 12345, UNTOUCHED = 777, BIG = 32 << 20 };

static char *memory;
static FILE *out;
static volatile sig_atomic_t children, alarms, profiles;

static const char *status_name(enum nss_status s)
{
	switch (s) {
	case NSS_STATUS_SUCCESS:
		return "SUCCESS";
	case NSS_STATUS_NOTFOUND:
		return "NOTFOUND";
	case NSS_STATUS_UNAVAIL:
		return "UNAVAIL";
	case NSS_STATUS_TRYAGAIN:
		return "TRYAGAIN";
	default:
		return "?";
	}
}

static void failed(enum nss_status s, int code)
{
	fprintf(out, "%s %s\n", status_name(s), strerrorname_np(code));
}

static void inside(const void *p, const char *buffer, size_t size)
{
	const char *c = p;
	if (c < buffer || c >= buffer + size)
		die("a result points outside the caller's buffer");
}

static void string_inside(const char *s, const char *buffer, size_t size)
{
	inside(s, buffer, size);
	if (!memchr(s, 0, (size_t)(buffer + size - s)))
		die("a string does not end in the caller's buffer");
}

union entry {
	struct passwd pw;
	struct group gr;
	struct spwd sp;
};

static enum nss_status call(const char *op, const char *key, char *buffer, size_t size, union entry *e, int *code)
{
	unsigned id = (unsigned)strtoul(key, NULL, 10);
	if (!strcmp(op, "pwnam"))
		return module.getpwnam(key, &e->pw, buffer, size, code);
	if (!strcmp(op, "pwuid"))
		return module.getpwuid(id, &e->pw, buffer, size, code);
	if (!strcmp(op, "pwent"))
		return module.getpwent(&e->pw, buffer, size, code);
	if (!strcmp(op, "grnam"))
		return module.getgrnam(key, &e->gr, buffer, size, code);
	if (!strcmp(op, "grgid"))
		return module.getgrgid(id, &e->gr, buffer, size, code);
	if (!strcmp(op, "grent"))
		return module.getgrent(&e->gr, buffer, size, code);
	if (!strcmp(op, "spnam"))
		return module.getspnam(key, &e->sp, buffer, size, code);
	if (!strcmp(op, "spent"))
		return module.getspent(&e->sp, buffer, size, code);
	die("no operation %s", op);
	return NSS_STATUS_UNAVAIL;
}

static void show(const char *op, const union entry *e, const char *buffer, size_t size, FILE *to)
{
	if (!strncmp(op, "pw", 2)) {
		const char *all[] = {e->pw.pw_name, e->pw.pw_passwd, e->pw.pw_gecos, e->pw.pw_dir, e->pw.pw_shell};
		for (int i = 0; i < 5; i++)
			string_inside(all[i], buffer, size);
		fprintf(to, "SUCCESS %s:%s:%u:%u:%s:%s:%s\n", all[0], all[1], e->pw.pw_uid, e->pw.pw_gid, all[2], all[3], all[4]);
	} else if (!strncmp(op, "gr", 2)) {
		string_inside(e->gr.gr_name, buffer, size);
		string_inside(e->gr.gr_passwd, buffer, size);
		inside(e->gr.gr_mem, buffer, size);
		if ((uintptr_t)e->gr.gr_mem % sizeof(char *))
			die("the list of members is not aligned");
		fprintf(to, "SUCCESS %s:%s:%u:", e->gr.gr_name, e->gr.gr_passwd, e->gr.gr_gid);
		for (char **m = e->gr.gr_mem; *m; m++) {
			inside(m + 1, buffer, size);
			string_inside(*m, buffer, size);
			fprintf(to, "%s%s", m == e->gr.gr_mem ? "" : ",", *m);
		}
		fputc('\n', to);
	} else {
		string_inside(e->sp.sp_namp, buffer, size);
		string_inside(e->sp.sp_pwdp, buffer, size);
		fprintf(to, "SUCCESS %s:%s:%ld:%ld:%ld:%ld:%ld:%ld:%ld\n", e->sp.sp_namp, e->sp.sp_pwdp, e->sp.sp_lstchg, e->sp.sp_min,
			e->sp.sp_max, e->sp.sp_warn, e->sp.sp_inact, e->sp.sp_expire, (long)e->sp.sp_flag);
	}
}

static void codes(enum nss_status s, int code, const char *op)
{
	if (errno != SENTINEL)
		die("%s changed errno to %d", op, errno);
	if (s == NSS_STATUS_SUCCESS ? code != UNTOUCHED : code == UNTOUCHED || code == 0)
		die("%s: status %d with errnop %d", op, s, code);
	if (code == ERANGE && s != NSS_STATUS_TRYAGAIN)
		die("%s: ERANGE with status %d", op, s);
}

static void one(const char *op, const char *key, size_t size)
{
	union entry e;
	int code = UNTOUCHED;
	char *buffer = memory + 64;
	memset(buffer + size, '#', 64);
	errno = SENTINEL;
	enum nss_status s = call(op, key, buffer, size, &e, &code);
	codes(s, code, op);
	for (int i = 0; i < 64; i++)
		if (buffer[size + (size_t)i] != '#')
			die("%s wrote behind the buffer", op);
	if (s == NSS_STATUS_SUCCESS)
		show(op, &e, buffer, size, out);
	else
		failed(s, code);
}

/* Every size from 0 to most, at every alignment: too small until it is enough,
 * then the same answer always, and nothing written outside. */
static void sizes(const char *op, const char *key, size_t most)
{
	char *want = NULL;
	for (size_t align = 0; align < 8; align++) {
		size_t least = 0;
		int enough = 0;
		for (size_t size = 0; size <= most; size++) {
			union entry e;
			int code = UNTOUCHED;
			char *buffer = memory + 64 + align;
			memset(memory, '#', size + 192);
			errno = SENTINEL;
			enum nss_status s = call(op, key, buffer, size, &e, &code);
			codes(s, code, op);
			for (char *p = memory; p < memory + size + 192; p++)
				if ((p < buffer || p >= buffer + size) && *p != '#')
					die("%s %s: wrote outside a buffer of %zu at %zu", op, key, size, align);
			if (s == NSS_STATUS_TRYAGAIN && code == ERANGE && !enough)
				continue;
			if (s != NSS_STATUS_SUCCESS)
				die("%s %s: a buffer of %zu gives %s %d", op, key, size, status_name(s), code);
			if (!enough)
				least = size;
			enough = 1;
			char *text;
			size_t n;
			FILE *f = open_memstream(&text, &n);
			show(op, &e, buffer, size, f);
			fclose(f);
			if (want && strcmp(want, text))
				die("%s %s: a buffer of %zu gives %s, another gave %s", op, key, size, text, want);
			if (want)
				free(text);
			else
				want = text;
		}
		if (!enough)
			die("%s %s: not even %zu bytes are enough", op, key, most);
		(void)least;
	}
	fputs(want, out);
	free(want);
}

static void groups_of(const char *name, unsigned primary, long limit)
{
	long start = 1, size = 1;
	gid_t *groups = malloc(sizeof(gid_t));
	int code = UNTOUCHED;
	groups[0] = primary;
	errno = SENTINEL;
	enum nss_status s = module.initgroups(name, primary, &start, &size, &groups, limit, &code);
	codes(s, code, "initgroups");
	if (limit > 0 && size > limit)
		die("initgroups: %ld groups are more than the limit %ld", size, limit);
	if (s != NSS_STATUS_SUCCESS) {
		if (start != 1)
			die("initgroups: %ld groups with status %d", start, s);
		failed(s, code);
	} else {
		fprintf(out, "SUCCESS");
		for (long i = 1; i < start; i++)
			fprintf(out, " %u", groups[i]);
		fputc('\n', out);
	}
	free(groups);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* Microseconds of a call: the first, the least and the median. */
static void bench(const char *op, const char *key, long count)
{
	double *all = malloc((size_t)count * sizeof *all), first;
	long long begin = nanoseconds();
	for (long i = 0; i < count; i++) {
		union entry e;
		int code;
		long long t = nanoseconds();
		if (!strcmp(op, "initgroups")) {
			long start = 1, size = 64;
			gid_t *groups = malloc(64 * sizeof(gid_t));
			module.initgroups(key, 5000, &start, &size, &groups, 0, &code);
			free(groups);
		} else {
			call(op, key, memory, 1 << 20, &e, &code);
		}
		all[i] = (double)(nanoseconds() - t) / 1000;
		if (nanoseconds() - begin > 1000000000LL)
			count = i + 1; /* a second is enough */
	}
	first = all[0];
	qsort(all, (size_t)count, sizeof *all, by_size);
	fprintf(out, "%.2f %.2f %.2f\n", first, all[0], all[count / 2]);
	free(all);
}

static void on_child(int s) { (void)s; children++; }
static void on_alarm(int s) { (void)s; alarms++; }
static void on_profile(int s) { (void)s; profiles++; }

static void forbid_clone(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		die("seccomp: %s", strerror(errno));
}

/* Changes the host; false if op is none of these. */
static int change(const char *op, const char *key, long n)
{
	if (!strcmp(op, "env")) {
		setenv(key, "1", 1);
	} else if (!strcmp(op, "unit")) {
		setenv("SYSTEMD_ACTIVATION_UNIT", key, 1);
	} else if (!strcmp(op, "uid")) {
		if (setgid((gid_t)n) || setuid((uid_t)n))
			die("setuid: %s", strerror(errno));
	} else if (!strcmp(op, "full")) { /* no descriptor can be had */
		struct rlimit l = {3, 3};
		setrlimit(RLIMIT_NOFILE, &l);
	} else if (!strcmp(op, "closed")) {
		for (int fd = 0; fd < 3; fd++)
			close(fd);
	} else if (!strcmp(op, "sigchld")) {
		struct sigaction a = {.sa_handler = on_child};
		sigaction(SIGCHLD, &a, NULL);
	} else if (!strcmp(op, "children")) {
		fprintf(out, "%d signals\n", (int)children);
	} else if (!strcmp(op, "alarms")) { /* many EINTR: n a second */
		struct sigaction a = {.sa_handler = on_alarm};
		sigaction(SIGRTMIN, &a, NULL);
		struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
		timer_t timer;
		if (timer_create(CLOCK_MONOTONIC, &e, &timer))
			die("timer_create: %s", strerror(errno));
		struct itimerspec t = {{0, 1000000000 / n}, {0, 1000000000 / n}};
		timer_settime(timer, 0, &t, NULL);
	} else if (!strcmp(op, "timers")) { /* setitimer(2), each n microseconds */
		struct sigaction a = {.sa_handler = on_alarm}, p = {.sa_handler = on_profile};
		sigaction(SIGALRM, &a, NULL);
		sigaction(SIGPROF, &p, NULL);
		struct itimerval t = {{0, n}, {0, n}};
		if (setitimer(ITIMER_REAL, &t, NULL) || setitimer(ITIMER_PROF, &t, NULL))
			die("setitimer: %s", strerror(errno));
	} else if (!strcmp(op, "ticking")) { /* both handlers are still called */
		int a = alarms, p = profiles;
		while (alarms == a || profiles == p)
			;
		fprintf(out, "both\n");
	} else if (!strcmp(op, "processes")) { /* of this user: no more than n */
		struct rlimit l = {(rlim_t)n, (rlim_t)n};
		if (setrlimit(RLIMIT_NPROC, &l))
			die("setrlimit: %s", strerror(errno));
	} else if (!strcmp(op, "noclone")) {
		forbid_clone();
	} else if (!strcmp(op, "elapsed")) {
		static long long last;
		long long now = nanoseconds();
		if (last)
			fprintf(out, "%s\n", now - last < n * 1000000LL ? "in time" : "late");
		last = now;
	} else {
		return 0;
	}
	return 1;
}

static void decode(char *s)
{
	char *to = s;
	for (; *s; s++)
		if (*s == '%') {
			char hex[3] = {s[1], s[2], 0};
			*to++ = (char)strtol(hex, NULL, 16);
			s += 2;
		} else {
			*to++ = *s;
		}
	*to = 0;
}

static void command(const char *op, char *a, char *b, char *c)
{
	if (!strcmp(op, "sizes")) {
		decode(b);
		sizes(a, b, strtoul(c, NULL, 10));
	} else if (!strcmp(op, "bench")) {
		bench(a, b, strtol(c, NULL, 10));
	} else if (!strcmp(op, "initgroups")) {
		decode(a);
		groups_of(a, (unsigned)strtoul(b, NULL, 10), strtol(c, NULL, 10));
	} else if (!strncmp(op, "set", 3) || !strncmp(op, "end", 3)) {
		int begin = op[0] == 's';
		int code = errno = SENTINEL;
		enum nss_status s = op[3] == 'p'   ? (begin ? module.setpwent(0) : module.endpwent())
				    : op[3] == 'g' ? (begin ? module.setgrent(0) : module.endgrent())
						   : (begin ? module.setspent(0) : module.endspent());
		if (errno != SENTINEL)
			die("%s changed errno", op);
		fprintf(out, "%s\n", s == NSS_STATUS_SUCCESS ? "SUCCESS" : strerrorname_np(code));
	} else {
		decode(a);
		size_t size = strtoul(b, NULL, 10);
		if (size > BIG)
			die("%zu bytes are too many", size);
		one(op, a, size);
	}
}

int main(int argc, char **argv)
{
	static char script[1 << 20];
	if (argc != 2)
		die("usage: driver LIBRARY < LINES");
	size_t n = 0;
	for (ssize_t got; (got = read(0, script + n, sizeof script - 1 - n)) > 0; n += (size_t)got)
		;
	int copy = dup(1);
	out = fdopen(copy, "w");
	memory = malloc(BIG + 4096);
	load(argv[1]);
	char *rest;
	for (char *line = strtok_r(script, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char whole[4096], op[32] = "", *f[3] = {"", "", ""}, *words, *word;
		snprintf(whole, sizeof whole, "%s", line);
		word = strtok_r(whole, " ", &words);
		snprintf(op, sizeof op, "%s", word ? word : "");
		for (int i = 0; i < 3 && (word = strtok_r(NULL, " ", &words)); i++)
			f[i] = word;
		if (change(op, f[0], strtol(f[0], NULL, 10)))
			continue;
		int full = 0;
		struct rlimit l;
		getrlimit(RLIMIT_NOFILE, &l);
		full = l.rlim_cur == 3;
		struct guest before;
		if (!full)
			before = look();
		command(op, f[0], f[1], f[2]);
		if (!full)
			behaved(&before, line);
		fflush(out);
	}
	fflush(out);
	_exit(0); /* not every test has standard streams to close */
}
