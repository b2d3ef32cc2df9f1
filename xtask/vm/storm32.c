/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A 32-bit process that makes rounds of calls (vgem.h). Without a C library, so that a compiler for x86-64 builds it with
 * -m32 and no further package.
 *
 *   storm32 ROUNDS STRAYS    STRAYS: lchown(2), whose number is that of a 64-bit ioctl(2), with an ioctl's arguments where
 *                            a 32-bit process has them, and where a 64-bit one has them
 */
#include "vgem.h"

enum { EXIT = 1, WRITE = 4, OPEN = 5, LCHOWN = 16, IOCTL = 54 };
enum { ACCESS = -13, FAULT = -14, INVALID = -22 };

static unsigned int version[16], capability[4], other[4];

static int call(int number, long first, long second, long third)
{
	int result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third), "D"(first), "S"(second)
			 : "memory");
	return result;
}

static void end(int status)
{
	call(EXIT, status, 0, 0);
	__builtin_unreachable();
}

static void expect(int device, unsigned int command, const void *argument, int result)
{
	static const char complaint[] = "storm32: a call ended in another way than expected\n";

	if (call(IOCTL, device, (long)command, (long)argument) == result)
		return;
	call(WRITE, 2, (long)complaint, sizeof complaint - 1);
	end(1);
}

static int number(const char *text)
{
	int found = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		found = found * 10 + (*text - '0');
	return found;
}

__attribute__((used)) static void begin(long *stack)
{
	char **words = (char **)(stack + 1);
	int device, at, rounds, strays;

	if (stack[0] != 3)
		end(2);
	rounds = number(words[1]);
	strays = number(words[2]);
	device = call(OPEN, (long)VGEM_NODE, 2, 0);
	if (device < 0)
		end(3);
	capability[0] = VGEM_CAP_PRIME;
	other[0] = 0xffffffff;
	for (at = 0; at < rounds; at++) {
		expect(device, VGEM_VERSION_32, version, 0);
		expect(device, VGEM_GET_CAP, capability, 0);
		expect(device, VGEM_GEM_CLOSE, other, INVALID);
		expect(device, VGEM_AUTH_MAGIC, other, ACCESS);
		expect(device, VGEM_GET_CAP, (void *)16, FAULT);
	}
	for (at = 0; at < strays; at++)
		if (call(LCHOWN, device, VGEM_GEM_CLOSE, (long)other) != FAULT)
			end(4);
	end(0);
}

__asm__(".globl _start\n_start:\n\tmovl %esp, %eax\n\tandl $-16, %esp\n\tsubl $12, %esp\n\tpushl %eax\n\tcall begin\n");
