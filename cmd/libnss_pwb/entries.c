/* What glibc calls, by nss(5)'s naming. A thread that somebody cancels is
 * cancelled after the call: before, descriptors would stay open. */
#include "pwb.h"

#include <pthread.h>

#define ENTRY __attribute__((visibility("default")))

static enum nss_status guarded(enum nss_status (*f)(struct pwb_want *, int *), struct pwb_want *want, int *errnop)
{
	int cancel;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	enum nss_status status = f(want, errnop);
	pthread_setcancelstate(cancel, NULL);
	return status;
}

ENTRY enum nss_status _nss_pwb_getpwnam_r(const char *name, struct passwd *pw, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_PASSWD, .name = name, .buffer = buffer, .size = size, .to.pw = pw};
	return guarded(pwb_answer, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_getpwuid_r(uid_t uid, struct passwd *pw, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_PASSWD, .id = uid, .buffer = buffer, .size = size, .to.pw = pw};
	return guarded(pwb_answer, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_getgrnam_r(const char *name, struct group *gr, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_GROUP, .name = name, .buffer = buffer, .size = size, .to.gr = gr};
	return guarded(pwb_answer, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_getgrgid_r(gid_t gid, struct group *gr, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_GROUP, .id = gid, .buffer = buffer, .size = size, .to.gr = gr};
	return guarded(pwb_answer, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_getspnam_r(const char *name, struct spwd *sp, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_SHADOW, .name = name, .buffer = buffer, .size = size, .to.sp = sp};
	return guarded(pwb_answer, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_initgroups_dyn(const char *user, gid_t primary, long *start, long *size, gid_t **groups, long limit,
					      int *errnop)
{
	struct pwb_gids gids = {primary, start, size, limit, groups, *start};
	struct pwb_want want = {.db = PWB_INITGROUPS, .name = user, .to.gids = &gids};
	enum nss_status status = guarded(pwb_answer, &want, errnop);
	if (status == NSS_STATUS_SUCCESS)
		*start = gids.end;
	return status;
}

ENTRY enum nss_status _nss_pwb_setpwent(int stayopen)
{
	(void)stayopen;
	pwb_enumerate_from_start(PWB_PASSWD);
	return NSS_STATUS_SUCCESS;
}

ENTRY enum nss_status _nss_pwb_getpwent_r(struct passwd *pw, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_PASSWD, .next = true, .buffer = buffer, .size = size, .to.pw = pw};
	return guarded(pwb_enumerate, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_endpwent(void) { return _nss_pwb_setpwent(0); }

ENTRY enum nss_status _nss_pwb_setgrent(int stayopen)
{
	(void)stayopen;
	pwb_enumerate_from_start(PWB_GROUP);
	return NSS_STATUS_SUCCESS;
}

ENTRY enum nss_status _nss_pwb_getgrent_r(struct group *gr, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_GROUP, .next = true, .buffer = buffer, .size = size, .to.gr = gr};
	return guarded(pwb_enumerate, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_endgrent(void) { return _nss_pwb_setgrent(0); }

ENTRY enum nss_status _nss_pwb_setspent(int stayopen)
{
	(void)stayopen;
	pwb_enumerate_from_start(PWB_SHADOW);
	return NSS_STATUS_SUCCESS;
}

ENTRY enum nss_status _nss_pwb_getspent_r(struct spwd *sp, char *buffer, size_t size, int *errnop)
{
	struct pwb_want want = {.db = PWB_SHADOW, .next = true, .buffer = buffer, .size = size, .to.sp = sp};
	return guarded(pwb_enumerate, &want, errnop);
}

ENTRY enum nss_status _nss_pwb_endspent(void) { return _nss_pwb_setspent(0); }
