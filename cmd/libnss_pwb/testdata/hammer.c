/* Threads look up and fork, and their children look up: hammer LIBRARY ROUNDS.
 * All know what the answer must be. */
#include "guest.h"

#include <pthread.h>

static long rounds;

static void check(void)
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

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage: hammer LIBRARY ROUNDS");
	load(argv[1]);
	rounds = atol(argv[2]);
	pthread_attr_t small; /* the least stack that a thread may have */
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN + 4096);
	pthread_t threads[8];
	for (int i = 0; i < 8; i++)
		if (pthread_create(&threads[i], i % 2 ? &small : NULL, work, NULL))
			die("pthread_create");
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	printf("%llu threads\n", status_line("Threads:", 10));
	return 0;
}
