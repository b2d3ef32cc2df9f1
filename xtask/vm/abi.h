/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the stub driver and the program that calls it agree on: the commands of one Hailo driver of each line, by the
 * numbers and sizes of hailo_ioctl_common.h (github.com/hailo-ai/hailort-drivers, tags v4.20.0 and v5.2.0). All numbers
 * are whole commands, size and direction included, because that is how the driver compares them.
 */
#ifndef ACCELSCOPE_ABI_H
#define ACCELSCOPE_ABI_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
#endif

enum command {
	QUERY_DEVICE_PROPERTIES,
	QUERY_DRIVER_INFO,
	ENABLE_CHANNELS,
	DISABLE_CHANNELS,
	INTERRUPTS_WAIT,
	BUFFER_MAP,
	BUFFER_UNMAP,
	MARK_AS_IN_USE,
	LAUNCH_TRANSFER,
	FW_CONTROL,
	READ_NOTIFICATION,
	DISABLE_NOTIFICATION,
	COMMANDS,
	/* Not a command: what the stub counts all others under. */
	UNKNOWN = COMMANDS,
};

/* Offsets in bytes; the structures are packed. */
struct line {
	const char *version;
	u32 major, minor, revision;
	u32 commands[COMMANDS];
	u32 launch_engine, launch_channel, launch_count, launch_buffers, launch_max;
	/* Bytes of one word of the bitmap of channels, of which INTERRUPTS_WAIT has three, and where the count is. */
	u32 wait_word, wait_count;
};

static const struct line line4 = {
	.version = "4.20.0", .major = 4, .minor = 20, .revision = 0,
	.commands = {
		[QUERY_DEVICE_PROPERTIES] = 0x40176701, [QUERY_DRIVER_INFO] = 0x400c6702,
		[ENABLE_CHANNELS] = 0x800d7600, [DISABLE_CHANNELS] = 0x800c7601,
		[INTERRUPTS_WAIT] = 0xc2ad7602, [BUFFER_MAP] = 0xc0287604, [BUFFER_UNMAP] = 0x80087605,
		[MARK_AS_IN_USE] = 0x4001760c, [LAUNCH_TRANSFER] = 0xc041760f, [FW_CONTROL] = 0xc5f86e00,
		[READ_NOTIFICATION] = 0x45e46e01, [DISABLE_NOTIFICATION] = 0x00006e02,
	},
	.launch_engine = 0, .launch_channel = 1, .launch_count = 15, .launch_buffers = 16, .launch_max = 2,
	.wait_word = 4, .wait_count = 12,
};

static const struct line line5 = {
	.version = "5.2.0", .major = 5, .minor = 2, .revision = 0,
	.commands = {
		[QUERY_DEVICE_PROPERTIES] = 0x40136700, [QUERY_DRIVER_INFO] = 0x400c6701,
		[ENABLE_CHANNELS] = 0x80197600, [DISABLE_CHANNELS] = 0x80187601,
		[INTERRUPTS_WAIT] = 0xc1817602, [BUFFER_MAP] = 0xc0207604, [BUFFER_UNMAP] = 0x80207605,
		[MARK_AS_IN_USE] = 0x4001760a, [LAUNCH_TRANSFER] = 0x8095760d, [FW_CONTROL] = 0xc5f86e00,
		[READ_NOTIFICATION] = 0x45e46e01, [DISABLE_NOTIFICATION] = 0x00006e02,
	},
	.launch_engine = 147, .launch_channel = 0, .launch_count = 9, .launch_buffers = 10, .launch_max = 8,
	.wait_word = 8, .wait_count = 24,
};

/* One buffer of a transfer: 16 bytes, the size last. */
#define BUFFER_STRIDE 16
#define BUFFER_SIZE 12
/* Channels below it go to the device. */
#define FIRST_FROM_DEVICE 16
#define CHANNELS 32
#define ENGINES 3

/* hailo_fw_control: the request, of which the opcode is a big-endian word, and the time the driver waits for it. */
#define FW_OPCODE 32
#define FW_TIMEOUT_MS 1520
#define OP_CHANGE_CONTEXT_SWITCH_STATUS 37
/* The stub never answers this one (GET_HEALTH_INFORMATION): the call ends with ETIMEDOUT when its time is over. */
#define OP_UNANSWERED 62

/* The longest structure and the longest wait of the stub. */
#define STRUCT_MAX 4095
#define WAIT_MAX_MS 60000

#define COMMAND_SIZE(command) (((command) >> 16) & 0x3fff)
#define COMMAND_TO_DRIVER(command) ((command) & 0x80000000u)
#define COMMAND_FROM_DRIVER(command) ((command) & 0x40000000u)

#endif
