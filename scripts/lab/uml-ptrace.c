/*
 * A ptrace(2) to be preloaded into user-mode Linux, which does not know how large a processor's extended
 * register state has become.
 *
 * 6.1's user-mode kernel keeps a thread's floating-point state in a buffer of fixed size and hands that to
 * PTRACE_SETREGSET/NT_X86_XSTATE. The host's kernel takes nothing but the full size (xstateregs_set in
 * arch/x86/kernel/fpu/regset.c: EFAULT), which is larger on processors with AMX, and user-mode Linux panics:
 * "ptrace set fp regs failed, errno = 14".
 *
 * So such a request is answered with a full buffer: the short one at its start, and in the header's
 * xstate_bv only components that lie within the short one; the kernel gives all others their initial state.
 * Everything else passes through, and so does this where the kernel takes it as it is.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

/* The Intel manual, volume 1, 13.4: the legacy area is followed by a header that starts with XSTATE_BV. */
#define LEGACY_SIZE 512
#define HEADER_END 576

typedef long (*ptrace_function)(int request, ...);

static ptrace_function next_ptrace;
/* User-mode Linux traces from one thread, so one buffer does. */
static unsigned char state[64 * 1024] __attribute__((aligned(64)));
/* Bytes that the host's kernel wants; 0 as long as it has refused nothing. */
static size_t full_size;

/* Which components a buffer of this size holds (CPUID leaf 0xd: size and offset of each). */
static uint64_t components_within(size_t size)
{
	uint64_t components = 3; /* x87 and SSE are the legacy area */
	unsigned number, length, offset, flags, unused;

	for (number = 2; number < 63; number++) {
		if (!__get_cpuid_count(0xd, number, &length, &offset, &flags, &unused))
			break;
		if (length != 0 && !(flags & 1) && (size_t)offset + length <= size)
			components |= UINT64_C(1) << number;
	}
	return components;
}

static long set_state(pid_t pid, const struct iovec *given)
{
	static size_t known_size;
	static uint64_t known_components;
	struct iovec whole = { state, full_size };
	uint64_t present;

	if (known_size != given->iov_len) {
		known_size = given->iov_len;
		known_components = components_within(known_size);
	}
	memcpy(state, given->iov_base, given->iov_len);
	memcpy(&present, state + LEGACY_SIZE, sizeof present);
	present &= known_components;
	memcpy(state + LEGACY_SIZE, &present, sizeof present);
	return next_ptrace(PTRACE_SETREGSET, pid, (void *)(uintptr_t)NT_X86_XSTATE, &whole);
}

static int too_short(pid_t pid, const struct iovec *given)
{
	struct iovec whole = { state, sizeof state };

	if (given->iov_len < HEADER_END)
		return 0;
	if (next_ptrace(PTRACE_GETREGSET, pid, (void *)(uintptr_t)NT_X86_XSTATE, &whole) != 0)
		return 0;
	if (given->iov_len >= whole.iov_len)
		return 0;
	full_size = whole.iov_len;
	/* What lies behind the given bytes is never read as long as xstate_bv does not name it. */
	memset(state, 0, sizeof state);
	return 1;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	pid_t pid;
	void *address, *data;
	const struct iovec *given;
	long result;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);

	if (!next_ptrace)
		next_ptrace = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");
	if (request != PTRACE_SETREGSET || (uintptr_t)address != NT_X86_XSTATE)
		return next_ptrace(request, pid, address, data);

	given = data;
	if (full_size != 0 && given->iov_len < full_size && given->iov_len >= HEADER_END)
		return set_state(pid, given);
	result = next_ptrace(request, pid, address, data);
	if (result == -1 && errno == EFAULT) {
		if (too_short(pid, given))
			return set_state(pid, given);
		errno = EFAULT;
	}
	return result;
}
