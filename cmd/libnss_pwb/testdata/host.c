/* What a lookup costs a program that knows nothing of the module, through glibc and
 * nsswitch.conf(5): host OP KEY COUNT, with OP pwnam, pwuid, grnam or initgroups.
 * Prints microseconds of the first call, of the least and of the median, and by how
 * many kB of memory the first one, which loads the source, made the process larger.
 * It ends after a second, and ten calls. */
#include "guest.h"

/* VmRSS is counted by batches of pages; this is what there is. */
static long resident(void)
{
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	if (!f)
		die("/proc/self/smaps_rollup: %s", strerror(errno));
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Rss: %ld", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

static void call(const char *op, const char *key)
{
	static char buffer[1 << 20];
	struct passwd pw, *p = NULL;
	struct group gr, *g = NULL;
	int miss = !strncmp(key, "nobody", 6), found;
	if (!strcmp(op, "pwnam")) {
		getpwnam_r(key, &pw, buffer, sizeof buffer, &p);
		found = p && !strcmp(p->pw_name, key);
	} else if (!strcmp(op, "pwuid")) {
		uid_t uid = (uid_t)atol(key);
		getpwuid_r(uid, &pw, buffer, sizeof buffer, &p);
		found = p && p->pw_uid == uid;
	} else if (!strcmp(op, "grnam")) {
		getgrnam_r(key, &gr, buffer, sizeof buffer, &g);
		found = g && g->gr_mem[0] && g->gr_mem[1];
	} else {
		gid_t groups[64];
		int n = 64;
		found = getgrouplist(key, 5000, groups, &n) == 6;
	}
	if (found == miss)
		die("%s %s: found %d", op, key, found);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: host OP KEY COUNT");
	long count = atol(argv[3]), n = 0;
	double *all = calloc((size_t)count, sizeof *all);
	long before = (resident(), resident()), grown = 0;
	long long begin = nanoseconds();
	for (; n < count && (n < 10 || nanoseconds() - begin < 1000000000LL); n++) {
		long long t = nanoseconds();
		call(argv[1], argv[2]);
		all[n] = (double)(nanoseconds() - t) / 1000;
		if (n == 0)
			grown = resident() - before;
	}
	double first = all[0];
	qsort(all, (size_t)n, sizeof *all, by_size);
	printf("%.2f %.2f %.2f %ld\n", first, all[0], all[n / 2], grown);
	return 0;
}
