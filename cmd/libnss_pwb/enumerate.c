/* Where an enumeration stands. POSIX has one for each database in a process, and
 * glibc calls the module under a lock of its own; the numbers are atomic so that
 * a host which calls it otherwise gets nonsense at worst. No file stays open. */
#include "pwb.h"

#include <stdatomic.h>

static struct place {
	_Atomic uint64_t at;         /* byte of the next record, 0: the first */
	_Atomic uint64_t generation; /* of the index that at belongs to */
	_Atomic uint64_t passed;     /* records before it */
} places[3];                         /* passwd, group, shadow */

void pwb_enumerate_from_start(enum pwb_database db)
{
	atomic_store(&places[db].at, 0);
	atomic_store(&places[db].passed, 0);
}

/* Hands the next record over, or PWB_MISS after the last. The place moves only
 * with PWB_FOUND, so that a caller whose buffer was too small asks again. When
 * the index was replaced meanwhile, as many records are passed over as were
 * seen: entries that moved between may be missed or seen twice, as in any file. */
enum pwb_result pwb_index_next(struct pwb_index *x, struct pwb_want *want)
{
	struct place *place = &places[want->db];
	uint64_t begin = x->begin[want->db == PWB_GROUP], end = x->end[want->db == PWB_GROUP];
	uint64_t at = atomic_load(&place->at);
	if (at == 0) {
		at = begin;
	} else if (atomic_load(&place->generation) != x->generation) {
		at = begin;
		for (uint64_t i = atomic_load(&place->passed); i > 0 && at < end; i--) {
			uint32_t length = pwb_record_length(x, at, want->db);
			if (length == 0)
				return PWB_BAD;
			at += length;
		}
	}
	if (at >= end)
		return PWB_MISS;
	uint32_t length;
	enum pwb_result r = pwb_record(x, at, want, &length);
	if (r == PWB_FOUND) {
		atomic_store(&place->at, at + length);
		atomic_store(&place->generation, x->generation);
		atomic_fetch_add(&place->passed, 1);
	}
	return r;
}
