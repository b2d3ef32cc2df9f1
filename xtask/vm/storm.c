/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Many calls at once of a module's own function, and what disturbs those who count them.
 *
 *   storm calls THREADS ROUNDS     rounds of calls (vgem.h), each thread with a descriptor of its own
 *   storm compat THREADS ROUNDS    the same by the 32-bit system call (int 0x80) of a 64-bit process
 *   storm strays COUNT             setsockopt(2) of the device's descriptor: its number is that of a 32-bit ioctl(2)
 *   storm maps                     changes an eBPF map until it is killed
 *   storm fence                    one failing call
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vgem.h"

#define MAX_THREADS 64
/* Number of ioctl(2) for 32-bit processes. */
#define IOCTL_32 54

/* A 32-bit system call takes addresses below 4 GiB, which no stack has: this program is linked to low addresses. */
static struct {
	uint64_t word[8];
} arguments[MAX_THREADS][3];

static int rounds, compat;
static pthread_barrier_t start;

static void fail(const char *what)
{
	fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int open_device(void)
{
	int device = open(VGEM_NODE, O_RDWR | O_CLOEXEC);

	if (device < 0)
		fail(VGEM_NODE);
	return device;
}

static long ioctl_32(int device, uint32_t command, void *argument)
{
	long result = -ENOSYS;

#ifdef __x86_64__
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(IOCTL_32), "b"(device), "c"(command), "d"(argument)
			 : "memory", "r8", "r9", "r10", "r11");
	/* An int in the lower half. */
	result = (int)result;
#endif
	return result;
}

/* Fails unless the call ends with the error (0: none) that it must end with. */
static void call(int device, uint32_t command, void *argument, int expected, const char *what)
{
	long result = compat ? ioctl_32(device, command, argument) : syscall(SYS_ioctl, device, command, argument);
	int error = compat ? (result < 0 ? (int)-result : 0) : (result < 0 ? errno : 0);

	if (error == expected)
		return;
	fprintf(stderr, "storm: %s ended with %d (%s), not with %d\n", what, error, strerror(error), expected);
	exit(1);
}

static void *play(void *nth)
{
	uint64_t *version = arguments[(long)nth][0].word, *capability = arguments[(long)nth][1].word;
	uint64_t *other = arguments[(long)nth][2].word;
	int device = open_device(), at;

	capability[0] = VGEM_CAP_PRIME;
	other[0] = 0xffffffff;
	pthread_barrier_wait(&start);
	for (at = 0; at < rounds; at++) {
		call(device, compat ? VGEM_VERSION_32 : VGEM_VERSION, version, 0, "VERSION");
		call(device, VGEM_GET_CAP, capability, 0, "GET_CAP");
		call(device, VGEM_GEM_CLOSE, other, EINVAL, "GEM_CLOSE");
		call(device, VGEM_AUTH_MAGIC, other, EACCES, "AUTH_MAGIC");
		call(device, VGEM_GET_CAP, (void *)16, EFAULT, "GET_CAP of nothing");
	}
	return NULL;
}

static void calls(long threads)
{
	pthread_t thread[MAX_THREADS];
	long at;

	if (threads < 1 || threads > MAX_THREADS)
		exit(2);
	pthread_barrier_init(&start, NULL, (unsigned)threads);
	for (at = 0; at < threads; at++)
		if (pthread_create(&thread[at], NULL, play, (void *)at))
			fail("a thread");
	for (at = 0; at < threads; at++)
		pthread_join(thread[at], NULL);
}

static void strays(int count)
{
	int device = open_device(), at;

	for (at = 0; at < count; at++)
		if (!setsockopt(device, VGEM_GET_CAP, SO_DEBUG, arguments[0], sizeof arguments[0]) || errno != ENOTSOCK)
			fail("setsockopt");
}

static long bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

/* While an element is changed, no eBPF program of this processor is run by a kprobe or tracepoint. */
static void maps(void)
{
	static char value[4096];
	union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = sizeof value,
				      .max_entries = 64 };
	int map = (int)bpf(BPF_MAP_CREATE, &attributes);
	uint32_t key = 0;

	if (map < 0)
		fail("a map");
	for (;; key = (key + 1) % 64) {
		memset(&attributes, 0, sizeof attributes);
		attributes.map_fd = (uint32_t)map;
		attributes.key = (uint64_t)(uintptr_t)&key;
		attributes.value = (uint64_t)(uintptr_t)value;
		if (bpf(BPF_MAP_UPDATE_ELEM, &attributes) && errno != EBUSY)
			fail("an element");
	}
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";

	if ((!strcmp(verb, "calls") || !strcmp(verb, "compat")) && count == 4) {
		compat = verb[1] == 'o';
		rounds = atoi(words[3]);
		calls(atol(words[2]));
	} else if (!strcmp(verb, "strays") && count == 3) {
		strays(atoi(words[2]));
	} else if (!strcmp(verb, "maps") && count == 2) {
		maps();
	} else if (!strcmp(verb, "fence") && count == 2) {
		arguments[0][0].word[0] = 0xffffffff;
		call(open_device(), VGEM_GEM_CLOSE, arguments[0], EINVAL, "a fence");
	} else {
		fprintf(stderr, "storm: no such command\n");
		return 2;
	}
	return 0;
}
