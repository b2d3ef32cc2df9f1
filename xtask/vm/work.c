/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The application in the machine: it makes ioctls whose numbers are known beforehand, and tells what programs the
 * kernel has run because of them.
 *
 *   work play LINE THREADS FRAMES   an inference, as HailoRT's calls look, with a few wrong calls
 *   work burst LINE PROCESSES       that many processes, one after the other, each with 3 transfers
 *   work hang LINE MS               a firmware control that is not answered for MS, with a notification waited for
 *   work fence                      one unknown command
 *   work null CALLS                 ioctls of another device (CALLS) and other system calls (as many)
 *   work nobody COMMAND...          runs the command without any privilege
 *   work programs                   the kernel's eBPF programs, and how often each was run
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi.h"

#define DEVICE "/dev/hailo0"
#define SWITCHES 3
#define UNKNOWN_COMMAND 0x0000767f

static const struct line *line;
static int frames;

static void fail(const char *what)
{
	fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Fails unless the call ends with the error (0: none) that it must end with. */
static void call(int device, u32 command, void *argument, int expected, const char *what)
{
	int error = ioctl(device, command, argument) < 0 ? errno : 0;

	if (error == expected)
		return;
	fprintf(stderr, "work: %s (0x%08x) ended with %d (%s), not with %d\n", what, command, error, strerror(error),
		expected);
	exit(1);
}

static int open_device(void)
{
	int device = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (device < 0)
		fail(DEVICE);
	return device;
}

static void put32(u8 *at, u32 value)
{
	memcpy(at, &value, sizeof value);
}

static void launch(int device, u8 channel, u8 count, u32 each, int expected)
{
	u8 argument[STRUCT_MAX] = { 0 };
	u8 at;

	argument[line->launch_channel] = channel;
	argument[line->launch_count] = count;
	for (at = 0; at < count && at < line->launch_max; at++)
		put32(argument + line->launch_buffers + at * BUFFER_STRIDE + BUFFER_SIZE, each);
	call(device, line->commands[LAUNCH_TRANSFER], argument, expected, "LAUNCH_TRANSFER");
}

static void control(int device, u32 opcode, u32 timeout, int expected)
{
	u8 argument[STRUCT_MAX] = { 0 };

	put32(argument + FW_OPCODE, __builtin_bswap32(opcode));
	put32(argument + FW_TIMEOUT_MS, timeout);
	call(device, line->commands[FW_CONTROL], argument, expected, "FW_CONTROL");
}

static void completed(int device)
{
	u8 argument[STRUCT_MAX] = { 0 };

	put32(argument, 1);
	call(device, line->commands[INTERRUPTS_WAIT], argument, 0, "INTERRUPTS_WAIT");
}

static void plain(int device, enum command command, const char *what)
{
	u8 argument[STRUCT_MAX] = { 0 };

	call(device, line->commands[command], argument, 0, what);
}

/* What a thread does is counted in the assertions of xtask/src/vmtest/judge/known.rs: change both. */
static void *infer(void *first)
{
	int device = open_device(), at;

	plain(device, QUERY_DRIVER_INFO, "QUERY_DRIVER_INFO");
	plain(device, QUERY_DEVICE_PROPERTIES, "QUERY_DEVICE_PROPERTIES");
	if (first)
		plain(device, MARK_AS_IN_USE, "MARK_AS_IN_USE");
	plain(device, ENABLE_CHANNELS, "ENABLE_CHANNELS");
	for (at = 0; at < SWITCHES; at++)
		control(device, OP_CHANGE_CONTEXT_SWITCH_STATUS, 1000, 0);
	control(device, 0, 1000, 0);
	for (at = 0; at < frames; at++) {
		launch(device, 0, 1, 1000, 0);
		launch(device, 16, 1, 200, 0);
		launch(device, 17, 2, 30, 0);
		completed(device);
	}
	/* Wrong calls: no buffer, more than there can be, no memory behind the address, no such command. */
	launch(device, 0, 0, 0, EINVAL);
	launch(device, 0, 255, 0, EINVAL);
	call(device, line->commands[LAUNCH_TRANSFER], (void *)16, EFAULT, "LAUNCH_TRANSFER");
	call(device, UNKNOWN_COMMAND, NULL, ENOTTY, "an unknown command");
	plain(device, DISABLE_CHANNELS, "DISABLE_CHANNELS");
	return NULL;
}

static void play(int threads)
{
	pthread_t thread[64];
	int at;

	if (threads < 1 || threads > 64)
		exit(2);
	for (at = 0; at < threads; at++)
		if (pthread_create(&thread[at], NULL, infer, at ? NULL : &thread[0]))
			fail("a thread");
	for (at = 0; at < threads; at++)
		pthread_join(thread[at], NULL);
}

static void burst(int processes)
{
	int at, status;

	for (at = 0; at < processes; at++) {
		pid_t child = fork();

		if (child < 0)
			fail("fork");
		if (!child) {
			int device = open_device();

			for (at = 0; at < 3; at++)
				launch(device, 0, 1, 500, 0);
			_exit(0);
		}
		if (waitpid(child, &status, 0) < 0 || status)
			fail("a child");
	}
}

static void *wait_for_notification(void *device)
{
	u8 argument[STRUCT_MAX] = { 0 };

	call(*(int *)device, line->commands[READ_NOTIFICATION], argument, 0, "READ_NOTIFICATION");
	return NULL;
}

static void hang(int milliseconds)
{
	int device = open_device();
	pthread_t thread;

	plain(device, MARK_AS_IN_USE, "MARK_AS_IN_USE");
	if (pthread_create(&thread, NULL, wait_for_notification, &device))
		fail("a thread");
	control(device, OP_UNANSWERED, milliseconds, ETIMEDOUT);
	plain(device, DISABLE_NOTIFICATION, "DISABLE_NOTIFICATION");
	pthread_join(thread, NULL);
}

static void null(int calls)
{
	int device = open("/dev/null", O_RDWR | O_CLOEXEC), at;

	if (device < 0)
		fail("/dev/null");
	for (at = 0; at < calls; at++) {
		call(device, UNKNOWN_COMMAND, NULL, ENOTTY, "an ioctl of /dev/null");
		syscall(SYS_getppid);
	}
}

/* Leaving user 0 takes the capabilities away, and none can be had again. */
static void nobody(char **command)
{
	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("the privileges");
	execv(command[0], command);
	fail(command[0]);
}

static long bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static void programs(void)
{
	u32 id = 0;

	for (;;) {
		struct bpf_prog_info info = { 0 };
		union bpf_attr attributes = { .start_id = id };
		int program;

		if (bpf(BPF_PROG_GET_NEXT_ID, &attributes))
			break;
		id = attributes.next_id;
		memset(&attributes, 0, sizeof attributes);
		attributes.prog_id = id;
		program = bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
		if (program < 0)
			continue;
		memset(&attributes, 0, sizeof attributes);
		attributes.info.bpf_fd = program;
		attributes.info.info_len = sizeof info;
		attributes.info.info = (u64)(unsigned long)&info;
		if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes))
			fail("a program's information");
		printf("%u type %u name %s runs %llu nanoseconds %llu\n", id, info.type, info.name[0] ? info.name : "-",
		       (unsigned long long)info.run_cnt, (unsigned long long)info.run_time_ns);
		close(program);
	}
	if (errno != ENOENT)
		fail("the kernel's programs");
}

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";

	if (count > 2)
		line = words[2][0] == '5' ? &line5 : &line4;
	if (!strcmp(verb, "play") && count == 5) {
		frames = atoi(words[4]);
		play(atoi(words[3]));
	} else if (!strcmp(verb, "burst") && count == 4) {
		burst(atoi(words[3]));
	} else if (!strcmp(verb, "hang") && count == 4) {
		hang(atoi(words[3]));
	} else if (!strcmp(verb, "fence")) {
		call(open_device(), UNKNOWN_COMMAND, NULL, ENOTTY, "a fence");
	} else if (!strcmp(verb, "null") && count == 3) {
		null(atoi(words[2]));
	} else if (!strcmp(verb, "nobody") && count > 2) {
		nobody(words + 2);
	} else if (!strcmp(verb, "programs")) {
		programs();
	} else {
		fprintf(stderr, "work: no such command\n");
		return 2;
	}
	return 0;
}
