/* What loading the module does to a process: nothing. A second argument is how
 * often to load and unload it. */
#include "guest.h"

int main(int argc, char **argv)
{
	if (argc < 2)
		die("usage: load LIBRARY [TIMES]");
	struct guest before = look();
	long long t = nanoseconds();
	load(argv[1]);
	t = nanoseconds() - t;
	struct guest after = look();
	before.maps = after.maps; /* those of the library */
	behaved(&before, "loading");
	printf("threads %llu, signals caught %llx, %lld us\n", after.threads, after.caught, t / 1000);
	long times = argc > 2 ? atol(argv[2]) : 0;
	unsigned long long first = 0;
	for (long i = 0; i < times; i++) {
		struct passwd pw;
		char buffer[1024];
		int code;
		module.getpwnam("ada", &pw, buffer, sizeof buffer, &code);
		dlclose(module.handle);
		load(argv[1]);
		if (i == times / 10)
			first = status_line("VmRSS:", 10);
	}
	if (times && status_line("VmRSS:", 10) > first + 64)
		die("%ld loads took memory from %llu to %llu kB", times, first, status_line("VmRSS:", 10));
	before.maps = after.maps;
	behaved(&before, "loading again");
	return 0;
}
