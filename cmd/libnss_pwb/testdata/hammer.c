/* Threads look up and fork, and their children look up: hammer LIBRARY ROUNDS
 * [live]. All know what the answer must be, of the index or of a live query. */
#include "guest.h"

#include <pthread.h>

static long rounds;

static void check_live(void)
{
	struct passwd pw;
	struct group gr;
	char buffer[2048];
	int code = 0;
	if (module.getpwnam("lisa", &pw, buffer, sizeof buffer, &code) != NSS_STATUS_SUCCESS || strcmp(pw.pw_dir, "/home/lisa"))
		die("lisa is not found: %d", code);
	if (module.getgrnam("team", &gr, buffer, sizeof buffer, &code) != NSS_STATUS_SUCCESS || strcmp(gr.gr_mem[1], "lisa"))
		die("the team is not found: %d", code);
	if (module.getpwnam("nobodyhere", &pw, buffer, sizeof buffer, &code) != NSS_STATUS_NOTFOUND)
		die("nobodyhere is found, or nobody was asked: %d", code);
}

static void check_index(void)
{
	struct passwd pw;
	struct group gr;
	char buffer[2048];
	int code = 0;
	if (module.getpwnam("ada", &pw, buffer, sizeof buffer, &code) != NSS_STATUS_SUCCESS || strcmp(pw.pw_dir, "/home/ada"))
		die("ada is not found: %d", code);
	if (module.getpwuid(5002, &pw, buffer, sizeof buffer, &code) != NSS_STATUS_SUCCESS || strcmp(pw.pw_name, "grace.hopper-1"))
		die("5002 is not found: %d", code);
	if (module.getgrgid(6000, &gr, buffer, sizeof buffer, &code) != NSS_STATUS_SUCCESS || strcmp(gr.gr_mem[1], "countess"))
		die("6000 is not found: %d", code);
	if (module.getpwnam("nobodyhere", &pw, buffer, sizeof buffer, &code) == NSS_STATUS_SUCCESS)
		die("nobodyhere is found");
	long start = 0, size = 1;
	gid_t *groups = malloc(sizeof(gid_t));
	if (module.initgroups("ada", 5001, &start, &size, &groups, 0, &code) != NSS_STATUS_SUCCESS || start != 3 || groups[1] != 998)
		die("the groups of ada: %ld, %d", start, code);
	free(groups);
}

static void (*check)(void) = check_index;

static void *work(void *arg)
{
	(void)arg;
	for (long i = 0; i < rounds; i++) {
		check();
		if (i % 64 == 0) {
			pid_t pid = fork();
			if (pid == 0) {
				check();
				_exit(0);
			}
			int status;
			if (waitpid(pid, &status, 0) != pid || status)
				die("a child ended with %x", status);
		}
	}
	return NULL;
}

static void *nothing(void *arg) { return arg; }

/* What the host's first thread changes, glibc does: it catches its own signal 33,
 * by which setuid(3) reaches all threads. Nothing else may change, then or later. */
static struct guest look_with_threads(void)
{
	unsigned long long before = status_line("SigCgt:", 16), setxid = 1ULL << (33 - 1);
	pthread_t thread;
	if (pthread_create(&thread, NULL, nothing, NULL))
		die("pthread_create");
	pthread_join(thread, NULL);
	struct guest g = look();
	if (g.caught != before && g.caught != (before | setxid))
		die("the first thread caught signals: %llx, before %llx", g.caught, before);
	return g;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		die("usage: hammer LIBRARY ROUNDS [live]");
	load(argv[1]);
	rounds = atol(argv[2]);
	if (argc > 3)
		check = check_live;
	struct guest before = look_with_threads();
	pthread_attr_t small; /* the least stack that a thread may have */
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN + 4096);
	pthread_t threads[8];
	for (int i = 0; i < 8; i++)
		if (pthread_create(&threads[i], i % 2 ? &small : NULL, work, NULL))
			die("pthread_create");
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	before.maps = maps(); /* stacks and heaps of threads that were, which glibc keeps */
	behaved(&before, "hammering");
	printf("%llu threads\n", status_line("Threads:", 10));
	return 0;
}
