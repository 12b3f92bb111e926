/* What the programs of the tests share: they load the module as glibc does, and
 * look whether it behaves as a guest. */
#ifndef GUEST_H
#define GUEST_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct module {
	void *handle;
	enum nss_status (*getpwnam)(const char *, struct passwd *, char *, size_t, int *);
	enum nss_status (*getpwuid)(uid_t, struct passwd *, char *, size_t, int *);
	enum nss_status (*getgrnam)(const char *, struct group *, char *, size_t, int *);
	enum nss_status (*getgrgid)(gid_t, struct group *, char *, size_t, int *);
	enum nss_status (*getspnam)(const char *, struct spwd *, char *, size_t, int *);
	enum nss_status (*initgroups)(const char *, gid_t, long *, long *, gid_t **, long, int *);
	enum nss_status (*setpwent)(int), (*endpwent)(void), (*getpwent)(struct passwd *, char *, size_t, int *);
	enum nss_status (*setgrent)(int), (*endgrent)(void), (*getgrent)(struct group *, char *, size_t, int *);
	enum nss_status (*setspent)(int), (*endspent)(void), (*getspent)(struct spwd *, char *, size_t, int *);
} module;

static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("driver: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	exit(3);
}

static void *symbol(const char *name)
{
	void *p = dlsym(module.handle, name);
	if (!p)
		die("%s", dlerror());
	return p;
}

__attribute__((unused)) static void load(const char *path)
{
	if (!(module.handle = dlopen(path, RTLD_NOW)))
		die("%s", dlerror());
	module.getpwnam = symbol("_nss_pwb_getpwnam_r");
	module.getpwuid = symbol("_nss_pwb_getpwuid_r");
	module.getgrnam = symbol("_nss_pwb_getgrnam_r");
	module.getgrgid = symbol("_nss_pwb_getgrgid_r");
	module.getspnam = symbol("_nss_pwb_getspnam_r");
	module.initgroups = symbol("_nss_pwb_initgroups_dyn");
	module.setpwent = symbol("_nss_pwb_setpwent");
	module.endpwent = symbol("_nss_pwb_endpwent");
	module.getpwent = symbol("_nss_pwb_getpwent_r");
	module.setgrent = symbol("_nss_pwb_setgrent");
	module.endgrent = symbol("_nss_pwb_endgrent");
	module.getgrent = symbol("_nss_pwb_getgrent_r");
	module.setspent = symbol("_nss_pwb_setspent");
	module.endspent = symbol("_nss_pwb_endspent");
	module.getspent = symbol("_nss_pwb_getspent_r");
}

/* A line of /proc/self/status, such as "Threads:". */
static unsigned long long status_line(const char *key, int base)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	if (!f)
		die("/proc/self/status: %s", strerror(errno));
	unsigned long long v = 0;
	while (fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			v = strtoull(line + strlen(key), NULL, base);
	fclose(f);
	return v;
}

/* A digest of which descriptors are open. */
static uint64_t descriptors(void)
{
	uint64_t sum = 0;
	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;
		if (fstat(fd, &st) == 0)
			sum += ((uint64_t)fd + 1) * 2654435761u + (st.st_ino * 31 + st.st_dev);
	}
	return sum;
}

extern char **environ;

static uint64_t environment(void)
{
	uint64_t sum = (uintptr_t)environ;
	for (char **e = environ; *e; e++) {
		sum = sum * 31 + (uintptr_t)*e;
		for (char *p = *e; *p; p++)
			sum = sum * 31 + (unsigned char)*p;
	}
	return sum;
}

static uint64_t dispositions(void)
{
	uint64_t sum = 0;
	sigset_t mask;
	for (int s = 1; s < NSIG; s++) {
		struct sigaction a;
		memset(&a, 0, sizeof a);
		if (sigaction(s, NULL, &a) == 0)
			sum = sum * 31 + (uintptr_t)a.sa_handler + (unsigned)a.sa_flags;
	}
	sigemptyset(&mask);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int s = 1; s < NSIG; s++)
		sum = sum * 3 + (unsigned)sigismember(&mask, s);
	return sum;
}

/* The maps of files, and of memory without a name that is not the heap's. */
static long maps(void)
{
	char line[512];
	long n = 0;
	FILE *f = fopen("/proc/self/maps", "re");
	while (f && fgets(line, sizeof line, f))
		n++;
	if (f)
		fclose(f);
	return n;
}

struct guest {
	uint64_t descriptors, environment, dispositions;
	unsigned long long threads, caught;
	long maps;
};

static struct guest look(void)
{
	return (struct guest){descriptors(), environment(), dispositions(), status_line("Threads:", 10), status_line("SigCgt:", 16), maps()};
}

/* Dies if the module left anything in its host. */
__attribute__((unused)) static void behaved(const struct guest *before, const char *after)
{
	struct guest now = look();
	if (now.descriptors != before->descriptors)
		die("%s changed the open descriptors", after);
	if (now.environment != before->environment)
		die("%s changed the environment", after);
	if (now.dispositions != before->dispositions || now.caught != before->caught)
		die("%s changed the signals: caught %llx, before %llx", after, now.caught, before->caught);
	if (now.threads != before->threads)
		die("%s left %llu threads, before %llu", after, now.threads, before->threads);
	if (now.maps > before->maps)
		die("%s left %ld maps, before %ld", after, now.maps, before->maps);
	if (waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD)
		die("%s left a child", after);
}

__attribute__((unused)) static long long nanoseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#endif
