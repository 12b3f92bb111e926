/* A live query by a process of its own, where no agent listens.
 *
 * The host must notice nothing: no SIGCHLD, no child that its wait(2) finds, no
 * zombie, no descriptor, no map that stays. So there are two processes. The
 * minder is cloned with CLONE_VM, CLONE_VFORK and exit signal 0, which wait(2)
 * passes over, and holds this thread until it has ended. It starts the helper,
 * reads the answer straight into the caller's buffer, and ends and reaps the
 * helper when the answer is there or the deadline has passed. (execve(2) gives a
 * process back its SIGCHLD, which is why the helper cannot be our own child.) */
#include "pwb.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Descriptors of the minder, all of its own: it begins by closing the host's. */
enum { NOWHERE_IN, NOWHERE_OUT, NOWHERE_ERR, REQUEST_OUT, REQUEST_IN, ANSWER_OUT, ANSWER_IN };

enum { MINDER_STACK = 64 << 10, HELPER_STACK = 32 << 10 };

struct job {
	const char *path;
	const struct pwb_want *want;
	int64_t deadline;
	char *to, *helper_stack;
	size_t size, *length;
	enum pwb_result result;
};

/* The kernel's own form: glibc's sigprocmask(3) leaves two signals out. */
static void set_mask(uint64_t mask, uint64_t *old)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, old, sizeof mask);
}

/* Handlers are the host's code, and run on the host's memory: none may. By system
 * call, since glibc's sigaction(3) leaves its own two signals as they are; what the
 * kernel reads is all zero whatever its order: SIG_DFL, no flags, no mask. */
static void default_signals(void)
{
	const uint64_t dfl[8] = {0};
	for (int s = 1; s < NSIG; s++)
		syscall(SYS_rt_sigaction, s, dfl, NULL, sizeof(uint64_t));
}

/* The helper's process until its program begins. System calls alone: setresuid(3)
 * would change the host's other threads. The real user of a setuid program may
 * not signal the helper that works for the effective one. */
static int helper(void *arg)
{
	const struct job *job = arg;
	static char name[] = "nss-live";
	char *argv[] = {name, NULL}, *envp[] = {NULL};
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (dup2(REQUEST_OUT, STDIN_FILENO) < 0 || dup2(ANSWER_IN, STDOUT_FILENO) < 0 || syscall(SYS_setresgid, gid, gid, gid) != 0 ||
	    syscall(SYS_setresuid, uid, uid, uid) != 0 || chdir("/") != 0)
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	set_mask(0, NULL);
	execve(job->path, argv, envp);
	_exit(127);
}

/* Closes every descriptor, of the minder's own table. */
static void close_all(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 0, ~0U, 0) == 0)
		return;
#endif
	/* Kernels before 5.9. The list is read anew after each round, since it
	 * changes under the reader. */
	for (bool closed = true; closed;) {
		char list[2048];
		int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		long n = dir < 0 ? -1 : syscall(SYS_getdents64, dir, list, sizeof list);
		closed = false;
		for (long at = 0; at < n;) {
			unsigned short length;
			const char *digits = list + at + 19; /* d_ino, d_off, d_reclen, d_type */
			memcpy(&length, list + at + 16, sizeof length);
			int fd = 0;
			for (; *digits >= '0' && *digits <= '9'; digits++)
				fd = fd * 10 + (*digits - '0');
			if (digits > list + at + 19 && fd != dir)
				closed |= close(fd) == 0;
			at += length;
		}
		if (dir >= 0)
			close(dir);
	}
}

/* Opens the seven descriptors in their order. */
static bool open_all(void)
{
	int p[2];
	/* A chroot(2) may have no /dev/null; a pipe without a reader does as well. */
	if (open("/dev/null", O_RDWR | O_CLOEXEC) == NOWHERE_IN) {
		if (dup(NOWHERE_IN) != NOWHERE_OUT || dup(NOWHERE_IN) != NOWHERE_ERR)
			return false;
	} else if (pipe2(p, 0) != 0 || dup2(NOWHERE_IN, NOWHERE_ERR) != NOWHERE_ERR) {
		return false;
	}
	return pipe2(p, O_CLOEXEC) == 0 && p[0] == REQUEST_OUT && p[1] == REQUEST_IN && pipe2(p, O_CLOEXEC) == 0 && p[0] == ANSWER_OUT &&
	       p[1] == ANSWER_IN;
}

/* Ends the helper and reaps it; one that even SIGKILL does not end, in a system
 * call that never returns, is left to init after a moment. */
static void end(pid_t pid)
{
	const uint64_t child = UINT64_C(1) << (SIGCHLD - 1);
	int64_t until = pwb_now() + 200;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, WNOHANG) == 0 && pwb_now() < until) {
		struct timespec t = {.tv_nsec = 20 * 1000 * 1000};
		syscall(SYS_rt_sigtimedwait, &child, NULL, &t, sizeof child);
	}
}

/* The minder's process: all signals stay blocked, so that no handler runs and a
 * pipe without a reader is an error of write(2) and no more. */
static int minder(void *arg)
{
	struct job *job = arg;
	char line[128];
	size_t n = pwb_request(job->want, line);
	close_all();
	default_signals();
	if (!open_all() || write(REQUEST_IN, line, n) != (ssize_t)n)
		_exit(1);
	close(REQUEST_IN);
	pid_t pid = clone(helper, job->helper_stack, CLONE_VM | CLONE_VFORK | SIGCHLD, job);
	if (pid < 0)
		_exit(1);
	close(REQUEST_OUT);
	close(ANSWER_IN);
	job->result = pwb_reply(ANSWER_OUT, job->deadline, job->to, job->size, job->length);
	end(pid);
	_exit(0);
}

/* The helper's program is run by root too: it must be root's, or the caller's own. */
static enum pwb_result check_program(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR ? PWB_NONE : PWB_BAD;
	bool good = S_ISREG(st.st_mode) && st.st_mode & 0111 && !(st.st_mode & (S_IWGRP | S_IWOTH)) &&
		    (st.st_uid == 0 || st.st_uid == geteuid());
	return good ? PWB_FOUND : PWB_BAD;
}

/* Asks the helper at path: as pwb_reply, or PWB_NONE where there is none. */
enum pwb_result pwb_live(const char *path, const struct pwb_want *want, int64_t deadline, char *to, size_t size, size_t *length)
{
	enum pwb_result r = check_program(path);
	if (r != PWB_FOUND)
		return r;
	size_t n = MINDER_STACK + HELPER_STACK;
	char *stacks = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stacks == MAP_FAILED)
		return PWB_BAD;
	struct job job = {
		.path = path,
		.want = want,
		.deadline = deadline,
		.to = to,
		.size = size,
		.length = length,
		.helper_stack = stacks + HELPER_STACK,
		.result = PWB_BAD,
	};
	uint64_t mask;
	set_mask(~UINT64_C(0), &mask);
	pid_t pid = clone(minder, stacks + n, CLONE_VM | CLONE_VFORK, &job);
	while (pid > 0 && waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
		;
	set_mask(mask, NULL);
	munmap(stacks, n);
	/* The minder wrote it, in memory that is ours too. */
	return *(volatile enum pwb_result *)&job.result;
}
