#include "proxy/admin/process_values.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static double
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long all;
	unsigned long resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu %lu", &all, &resident) != 2)
		resident = 0;
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	double count = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count - 1; /* less the one that we read by */
}

static double
cpu_seconds(void)
{
	struct rusage use;

	if (getrusage(RUSAGE_SELF, &use) != 0)
		return 0;
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

void
process_values(double values[METRIC_VALUE_COUNT])
{
	struct rlimit limit = {0};

	getrlimit(RLIMIT_NOFILE, &limit);
	values[METRIC_VALUE_CPU] = cpu_seconds();
	values[METRIC_VALUE_RSS] = resident_bytes();
	values[METRIC_VALUE_FDS_OPEN] = open_descriptors();
	values[METRIC_VALUE_FDS_MAX] = (double)limit.rlim_cur;
}
